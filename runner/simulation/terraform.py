"""A stand-in for Terraform: its state file, its words, its exit statuses, and our provider's own code inside of it.

As the real one was seen to do: the state file is empty until a resource is finished 20 s or more after the beginning,
or all are; what is not in it when Terraform is killed is in no state; a plan of what is there changes nothing; and when
Terraform alone is killed, the provider notices, gives up what it does and terminates what can reach no state any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.clouds.provider import DouseProvider
from runner.emulation.service import Module, PlannedResource
from runner.errors import RunnerError
from runner.provider.resource import Ctx, TerraformResource
from runner.provider.schema import Values, complete, read_values
from runner.provider.wire import UNKNOWN

if TYPE_CHECKING:
    from runner.simulation.process import Process

STATE_FILE, VARIABLES_FILE = "terraform.tfstate", "run.auto.tfvars.json"
VARIABLE = "TF_VAR_"
QUICK_S = 2.0
PERSIST_S = 20.0
"""So long after it was written, or its command began, the state is written again before the command's end."""
NEIGHBOUR, FAR_AWAY = "20251231-235959-other-n8br", "2026-02-01T00:00:00Z"
CHANGES = 2
"""Exit status of a plan that changes something."""


class SimulatedTerraform:
    """One command of Terraform's, in a process of its own.

    Attributes:
        lines: What it has printed.
    """

    def __init__(self, process: Process, words: list[str], folder: Path, module: Module) -> None:
        """Begin.

        Args:
            process: The process that it is.
            words: Its arguments.
            folder: The working copy.
            module: What the root module makes of its inputs.
        """
        self.lines: list[str] = []
        self.is_abandoned = False
        self.stop = process.event()
        self._process, self._words, self._folder, self._module = process, words, folder, module
        self._provider = provider_of(process, module)
        self._written_s = process.monotonic_s()

    def main(self) -> int:
        """Carry the command out and return its exit status."""
        verb = self._words[0]
        self._process.sleep(QUICK_S)
        if verb == "plan":
            return self._plan()
        if verb == "apply":
            return self._apply()
        if verb == "destroy":
            return self._destroy()
        if verb == "output":
            values = {kind: entry["values"] for kind, entry in self._state().items()}
            self._print(json.dumps({"host": {"value": self._module.host(self._inputs(), values)}}))
        if verb == "state":
            self._print(*(f"{kind}.this" for kind in self._state()))
            return 0 if self._has_state else 1
        return 0

    def _plan(self) -> int:
        if not self._signs_in(looks_up=True):
            return 1
        return 0 if len(self._state()) == len(self._planned()) else CHANGES

    def _signs_in(self, *, looks_up: bool) -> bool:
        """Do what a vendor's provider does before anything else; return whether that went well. Ours asks nobody.

        Args:
            looks_up: Whether the module's data sources are read as well.
        """
        if self._module.provider is None or self._module.look_up is None:
            return True
        try:
            self._provider.configure({})
            if looks_up:
                self._module.look_up(self._provider, self._inputs())
        except RunnerError as err:
            self._complain(Ctx(self.stop, self._provider.secrets()), err)
            return False
        return True

    def _apply(self) -> int:
        if not self._signs_in(looks_up=False):
            return 1
        state = self._state()
        if not state:
            (self._folder / STATE_FILE).write_bytes(b"")
        for resource in self._planned():
            if resource.kind in state:
                continue
            if self._is_halted:
                break
            self._say("apply_start", f"{resource.kind}.this: Creating...")
            made, has_failed = self._create(resource)
            if made is not None:
                state[resource.kind] = {"values": made, "tainted": has_failed}
            if has_failed:
                self._write(state)
                return 1
            self._persist(state)
            self._say("apply_complete", f"{resource.kind}.this: Creation complete")
        self._write(state)
        return 1 if self._is_halted else 0

    @property
    def _is_halted(self) -> bool:
        """Whether Terraform begins nothing more: it was asked to stop, or is gone; our provider gives up by itself."""
        return self._module.provider is not None and self.stop.is_set()

    def _create(self, resource: PlannedResource) -> tuple[Values | None, bool]:
        """Create a resource; return its state, ``None`` where there is none, and whether that failed."""
        made, config, planned = _planned(self._provider, resource)
        ctx = Ctx(self.stop, self._provider.secrets())
        ctx.config = config
        try:
            after: Values | None = made.create(ctx, planned)
        except RunnerError as err:
            self._complain(ctx, err)
            after = ctx.saved
            if self.is_abandoned and after is not None and self._module.provider is None:
                made.delete(Ctx(self._process.event()), after)
            return _known(complete(made.attrs, after)), True
        return _known(complete(made.attrs, after)), False

    def _destroy(self) -> int:
        state = self._state()
        if state and not (self._has_inputs() and self._signs_in(looks_up=True)):
            return 1
        for kind in reversed(list(state)):
            resource = self._provider.resources[kind](self._provider)
            ctx = Ctx(self.stop, self._provider.secrets())
            try:
                found = resource.read(ctx, state[kind]["values"])
                if found is not None:
                    resource.delete(ctx, found)
            except RunnerError as err:
                self._complain(ctx, err)
                self._write(state)
                return 1
            del state[kind]
            self._persist(state)
        self._write(state)
        return 0

    def _complain(self, ctx: Ctx, err: RunnerError) -> None:
        detail = "\n".join(filter(None, (err.details, err.resolution)))
        self._complain_of(ctx.redact(err.message), ctx.redact(detail))

    def _complain_of(self, summary: str, detail: str = "") -> None:
        found = {"severity": "error", "summary": summary, "detail": detail}
        self._print(json.dumps({"type": "diagnostic", "diagnostic": found}))

    def _say(self, kind: str, message: str) -> None:
        at = self._process.now().isoformat(timespec="milliseconds")
        self._print(json.dumps({"type": kind, "@timestamp": at, "@message": message}))

    def _print(self, *lines: str) -> None:
        """Print lines, which whoever has started this may wait for."""
        self.lines += lines
        self._process.computer.turns.stir()

    def _planned(self) -> list[PlannedResource]:
        return list(self._module.planned(self._inputs()))

    def _has_inputs(self) -> bool:
        """Return whether the module's variables can be read, and say so where not; they come before all else."""
        try:
            is_whole = "run_id" in self._inputs()
        except ValueError:
            self._complain_of("Error: Missing expression for variable value")
            return False
        except FileNotFoundError:
            is_whole = False
        if not is_whole:
            self._complain_of("Error: No value for required variable")
        return is_whole

    def _inputs(self) -> dict[str, Any]:
        """Return the module's variables: those of the file, and those of the environment."""
        return inputs_of(self._folder, self._process.environ)

    @property
    def _has_state(self) -> bool:
        path = self._folder / STATE_FILE
        return path.exists() and path.stat().st_size > 0

    def _state(self) -> dict[str, dict[str, Any]]:
        """Return the resources of the state by their kind; none where the file is missing or empty."""
        resources = json.loads((self._folder / STATE_FILE).read_bytes())["resources"] if self._has_state else []
        return {
            one["type"]: {"values": one["instances"][0]["attributes"], "tainted": "status" in one["instances"][0]}
            for one in resources
        }

    def _persist(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the state down between two resources, where that is due, or Terraform was asked to stop."""
        if self.stop.is_set() or self._process.monotonic_s() - self._written_s >= PERSIST_S:
            self._write(state)

    def _write(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the state down; a process that is dead, or abandoned by the real Terraform, writes nothing."""
        self._process.check()
        if self.is_abandoned:
            return
        resources = [
            {
                "type": kind,
                "name": "this",
                "instances": [{"attributes": one["values"], **({"status": "tainted"} if one["tainted"] else {})}],
            }
            for kind, one in state.items()
        ]
        content = json.dumps({"version": 4, "resources": resources}, default=float)
        (self._folder / STATE_FILE).write_text(content, encoding="utf-8")
        self._written_s = self._process.monotonic_s()


def inputs_of(folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables of the module in a folder: those of the file, and those of the environment."""
    given = {name.removeprefix(VARIABLE): text for name, text in environ.items() if name.startswith(VARIABLE)}
    values: dict[str, Any] = json.loads((folder / VARIABLES_FILE).read_bytes())
    return values | given


def neighbours_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for a run of somebody else's, which goes on for long, shows no lease, and brings no end along."""
    ends = {"run_id": NEIGHBOUR, "expires_at": FAR_AWAY}
    candidates = [one | {"expires_at": FAR_AWAY} for one in inputs["candidates"]]
    unleased = {name: None for name in inputs if name.endswith(("first_lease_s", "user_data"))}
    return {**inputs, **ends, **unleased, "candidates": candidates}


def provider_of(process: Process, module: Module) -> Any:
    """Return the provider that creates the resources of a module: ours, unless the vendor has one of its own."""
    return DouseProvider(process) if module.provider is None else module.provider(process)


def create_all(process: Process, module: Module, inputs: Mapping[str, Any]) -> None:
    """Create the resources of a module as its provider does."""
    provider = provider_of(process, module)
    for resource in module.planned(inputs):
        made, config, planned = _planned(provider, resource)
        ctx = Ctx(process.event())
        ctx.config = config
        made.create(ctx, planned)


def _planned(provider: Any, resource: PlannedResource) -> tuple[TerraformResource[Any], Values, Values]:
    """Return the kind of a resource, its configuration, and what Terraform would plan for it."""
    made = provider.resources[resource.kind](provider)
    config = read_values(made.attrs, dict(resource.values))
    planned = {name: attr.plan(config.get(name), config.get(name), None) for name, attr in made.attrs.items()}
    return made, config, planned


def _known(values: Values | None) -> Values | None:
    """Return values of which nothing is unknown any more."""
    if values is None:
        return None
    return {name: None if value is UNKNOWN else value for name, value in values.items()}
