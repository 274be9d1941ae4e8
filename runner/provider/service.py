"""The calls Terraform makes, turned into calls of our resources."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from runner.errors import RunnerError
from runner.provider.resource import Ctx, ProblemError, Provider
from runner.provider.schema import Values, complete, read_values, schema_message
from runner.provider.wire import MESSAGES, UNKNOWN, load_json, pack, unpack

CALLS = {
    "GetMetadata": "Empty",
    "GetProviderSchema": "Empty",
    "ValidateProviderConfig": "ProviderConfig",
    "ValidateResourceConfig": "TypedConfig",
    "ValidateDataResourceConfig": "TypedConfig",
    "UpgradeResourceState": "Upgrade",
    "ConfigureProvider": "Configure",
    "ReadResource": "Read",
    "PlanResourceChange": "Plan",
    "ApplyResourceChange": "Apply",
    "ImportResourceState": "Import",
    "ReadDataSource": "ReadData",
    "StopProvider": "Empty",
}
"""Each call of the protocol that a provider like ours answers, and the message that it takes."""

T = TypeVar("T")


class Service:
    """One provider, answering Terraform; calls come from many threads at once."""

    def __init__(self, provider: Provider) -> None:
        """Serve ``provider``."""
        self.provider = provider
        self.stop = provider.world.event()
        self._is_abandoned = False
        self._calls, self._idle = 0, threading.Condition()

    def answer(self, call: str, request: Any) -> Any:
        """Answer one call of ``CALLS``."""
        with self._idle:
            self._calls += 1
        try:
            return _ANSWERS[call](self, request)
        finally:
            with self._idle:
                self._calls -= 1
                self._idle.notify_all()

    def abandon(self, timeout_s: float) -> None:
        """End all calls, for Terraform is gone: what was rented and cannot reach a state any more is ended as well."""
        self._is_abandoned = True
        self.stop.set()
        with self._idle:
            self._idle.wait_for(lambda: self._calls == 0, timeout_s)

    def _get_metadata(self, _request: Any) -> Any:
        name = MESSAGES["TypeName"]
        return MESSAGES["MetadataAnswer"](
            server_capabilities=MESSAGES["Capabilities"](plan_destroy=True),
            resources=[name(type_name=item) for item in self.provider.resources],
            data_sources=[name(type_name=item) for item in self.provider.data_sources],
        )

    def _get_schema(self, _request: Any) -> Any:
        answer = MESSAGES["SchemaAnswer"](
            provider=schema_message(self.provider.attrs, _doc(self.provider)),
            provider_meta=schema_message({}),
            server_capabilities=MESSAGES["Capabilities"](plan_destroy=True),
        )
        for name, kind in self.provider.resources.items():
            answer.resource_schemas[name].CopyFrom(schema_message(kind.attrs, _doc(kind)))
        for name, source in self.provider.data_sources.items():
            answer.data_source_schemas[name].CopyFrom(schema_message(source.attrs, _doc(source)))
        return answer

    def _validate_provider(self, _request: Any) -> Any:
        return MESSAGES["DiagnosticsAt2"]()

    def _validate_resource(self, request: Any) -> Any:
        ctx, resource = self._ctx(), self._resource(request)
        config = read_values(resource.attrs, unpack(request.config))
        self._guard(ctx, lambda: resource.validate(ctx, config))
        return MESSAGES["DiagnosticsAt1"](diagnostics=ctx.diagnostics)

    def _validate_data(self, _request: Any) -> Any:
        return MESSAGES["DiagnosticsAt1"]()

    def _configure(self, request: Any) -> Any:
        ctx = self._ctx()
        config = read_values(self.provider.attrs, unpack(request.config)) or {}
        known = {name: None if value is UNKNOWN else value for name, value in config.items()}
        self._guard(ctx, lambda: self.provider.configure(known))
        return MESSAGES["DiagnosticsAt1"](diagnostics=ctx.diagnostics)

    def _upgrade(self, request: Any) -> Any:
        attrs = self._resource(request).attrs
        state = complete(attrs, read_values(attrs, load_json(request.raw_state.json)))
        return MESSAGES["UpgradeAnswer"](upgraded_state=pack(state))

    def _read(self, request: Any) -> Any:
        ctx, resource = self._ctx(), self._resource(request)
        before = read_values(resource.attrs, unpack(request.current_state))
        after = self._guard(ctx, lambda: resource.read(ctx, before))
        state = before if ctx.failed else complete(resource.attrs, after)
        return MESSAGES["ReadAnswer"](new_state=pack(state), private=request.private, diagnostics=ctx.diagnostics)

    def _plan(self, request: Any) -> Any:
        resource = self._resource(request)
        proposed = read_values(resource.attrs, unpack(request.proposed_new_state))
        if proposed is None:  # to be destroyed
            return MESSAGES["PlanAnswer"](planned_state=pack(None), planned_private=request.prior_private)
        prior: Values | None = read_values(resource.attrs, unpack(request.prior_state))
        config = read_values(resource.attrs, unpack(request.config))
        planned = {
            name: attr.plan(proposed.get(name), config.get(name), prior.get(name) if prior else None)
            for name, attr in resource.attrs.items()
        }
        ctx = self._ctx()
        replaced = (self._guard(ctx, lambda: resource.replaced_by(prior, planned)) or []) if prior else []
        planned = self._guard(ctx, lambda: resource.plan(prior, planned)) or planned
        step, path = MESSAGES["Step"], MESSAGES["AttributePath"]
        return MESSAGES["PlanAnswer"](
            planned_state=pack(complete(resource.attrs, planned)),
            planned_private=request.prior_private,
            diagnostics=ctx.diagnostics,
            requires_replace=[path(steps=[step(attribute_name=name)]) for name in replaced],
        )

    def _apply(self, request: Any) -> Any:
        ctx, resource = self._ctx(), self._resource(request)
        prior = read_values(resource.attrs, unpack(request.prior_state))
        planned = read_values(resource.attrs, unpack(request.planned_state))
        ctx.config = read_values(resource.attrs, unpack(request.config)) or {}
        for name, attr in resource.attrs.items():
            if attr.write_only or attr.sensitive:
                ctx.conceal(ctx.config.get(name))
        if planned is None:
            after = self._guard(ctx, lambda: resource.delete(ctx, prior))
        elif prior is None:
            after = self._guard(ctx, lambda: resource.create(ctx, planned))
        else:
            after = self._guard(ctx, lambda: resource.update(ctx, prior, planned))
        if ctx.failed:
            after = prior if ctx.saved is None else ctx.saved
            if self._is_abandoned and prior is None and ctx.saved is not None:
                orphan = ctx.saved
                self._guard(ctx, lambda: resource.delete(Ctx(self.provider.world.event()), orphan))
        state = complete(resource.attrs, after)
        if state is not None:  # nothing may stay unknown
            state = {name: None if value is UNKNOWN else value for name, value in state.items()}
        return MESSAGES["ApplyAnswer"](
            new_state=pack(state), private=request.planned_private, diagnostics=ctx.diagnostics
        )

    def _import(self, request: Any) -> Any:
        ctx, resource = self._ctx(), self._resource(request)
        state = complete(resource.attrs, self._guard(ctx, lambda: resource.import_by_id(ctx, request.id)))
        imported = [] if state is None else [MESSAGES["Imported"](type_name=request.type_name, state=pack(state))]
        return MESSAGES["ImportAnswer"](imported_resources=imported, diagnostics=ctx.diagnostics)

    def _read_data(self, request: Any) -> Any:
        ctx = self._ctx()
        source = self.provider.data_sources[request.type_name](self.provider)
        config = read_values(source.attrs, unpack(request.config))
        state = complete(source.attrs, self._guard(ctx, lambda: source.read(ctx, config)))
        return MESSAGES["DataAnswer"](state=pack(state), diagnostics=ctx.diagnostics)

    def _stop(self, _request: Any) -> Any:
        self.stop.set()
        return MESSAGES["StopAnswer"]()

    def _ctx(self) -> Ctx:
        return Ctx(self.stop, self.provider.secrets())

    def _resource(self, request: Any) -> Any:
        return self.provider.resources[request.type_name](self.provider)

    def _guard(self, ctx: Ctx, work: Callable[[], T]) -> T | None:
        """Do the work; whatever goes wrong becomes a diagnostic, so that a saved state always reaches Terraform."""
        try:
            return work()
        except RunnerError as err:
            attribute = err.attribute if isinstance(err, ProblemError) else ""
            ctx.error(err.message, "\n".join(filter(None, (err.details, err.resolution))), attribute)
        except Exception as err:  # noqa: BLE001 (a defect must not lose the id of a machine that bills)
            frames = "".join(traceback.format_tb(err.__traceback__))
            print(ctx.redact(f"{frames}{type(err).__name__}: {err}"), file=sys.stderr)
            ctx.error(
                f"defect in the provider: {type(err).__name__}",
                f"{err}\nReport this; TF_LOG_PROVIDER=DEBUG shows where it happened.",
            )
        return None


def _doc(thing: object) -> str:
    return (thing.__doc__ or "").strip()


_ANSWERS: dict[str, Callable[[Service, Any], Any]] = {
    "GetMetadata": Service._get_metadata,
    "GetProviderSchema": Service._get_schema,
    "ValidateProviderConfig": Service._validate_provider,
    "ValidateResourceConfig": Service._validate_resource,
    "ValidateDataResourceConfig": Service._validate_data,
    "UpgradeResourceState": Service._upgrade,
    "ConfigureProvider": Service._configure,
    "ReadResource": Service._read,
    "PlanResourceChange": Service._plan,
    "ApplyResourceChange": Service._apply,
    "ImportResourceState": Service._import,
    "ReadDataSource": Service._read_data,
    "StopProvider": Service._stop,
}
