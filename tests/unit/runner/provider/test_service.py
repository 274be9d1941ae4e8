"""What the service adds to the resources: states that survive, secrets that do not, the end of Terraform."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import pytest

from runner.provider.resource import Ctx, Provider, TerraformResource
from runner.provider.schema import NUMBER, Attr, Attrs, Values
from runner.provider.service import CALLS, Service
from runner.provider.wire import ERROR, MESSAGES, UNKNOWN, pack, unpack
from runner.world import RealWorld


class Thing(TerraformResource["Things"]):
    """A thing."""

    attrs: ClassVar[Attrs] = {
        "id": Attr(computed=True),
        "size": Attr(NUMBER, optional=True),
        "secret": Attr(optional=True, write_only=True),
    }

    def create(self, ctx: Ctx, planned: Values) -> Values:
        ctx.save({**planned, "id": "t1"})
        self.provider.created.set()
        ctx.stop.wait(240)
        raise RuntimeError(f"oh, {ctx.config['secret']}")

    def delete(self, ctx: Ctx, state: Values) -> None:
        self.provider.deleted.append(state["id"])
        assert not ctx.stop.is_set()


class Things(Provider):
    """Things."""

    resources: ClassVar[dict[str, type[TerraformResource[Any]]]] = {"thing": Thing}

    def __init__(self) -> None:
        super().__init__(RealWorld())
        self.created, self.deleted = threading.Event(), list[str]()


def message(call: str, **fields: Any) -> Any:
    return MESSAGES[CALLS[call]](type_name="thing", **fields)


def creation() -> Any:
    config = {"id": None, "size": "1.5", "secret": "a-long-secret-word"}
    planned = {**config, "id": UNKNOWN, "secret": None}
    return message(
        "ApplyResourceChange",
        prior_state=pack(None),
        planned_state=pack(planned),
        config=pack(config),
        planned_private=b"kept",
    )


def test_a_saved_state_reaches_terraform_with_the_error_and_without_the_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = Service(Things())
    service.stop.set()

    answer = service.answer("ApplyResourceChange", creation())

    assert unpack(answer.new_state) == {"id": "t1", "size": "1.5", "secret": None}
    assert answer.private == b"kept"
    (diagnostic,) = answer.diagnostics
    assert (diagnostic.severity, diagnostic.summary) == (ERROR, "defect in the provider: RuntimeError")
    assert diagnostic.detail.startswith("oh, (secret)\n")
    assert "RuntimeError: oh, (secret)" in capsys.readouterr().err


def test_what_was_rented_for_a_terraform_that_is_gone_is_ended() -> None:
    things = Things()
    service = Service(things)
    thread = threading.Thread(target=service.answer, args=("ApplyResourceChange", creation()))
    thread.start()
    assert things.created.wait(240)

    service.abandon(60.0)

    assert things.deleted == ["t1"]
    thread.join(60)


def test_terraform_asked_to_stop_is_no_reason_to_end_anything() -> None:
    things = Things()
    service = Service(things)

    service.answer("StopProvider", MESSAGES["Empty"]())
    service.answer("ApplyResourceChange", creation())

    assert things.deleted == []


def test_a_state_of_an_older_shape_gets_the_shape_of_today() -> None:
    raw = MESSAGES["RawState"](json=b'{"id": "t1", "size": 1.29, "long_gone": true}')

    answer = Service(Things()).answer("UpgradeResourceState", message("UpgradeResourceState", raw_state=raw))

    assert unpack(answer.upgraded_state) == {"id": "t1", "size": "1.29", "secret": None}


def test_terraform_is_told_what_there_is() -> None:
    service = Service(Things())

    metadata = service.answer("GetMetadata", MESSAGES["Empty"]())
    schema = service.answer("GetProviderSchema", MESSAGES["Empty"]())

    assert [item.type_name for item in metadata.resources] == ["thing"]
    assert schema.resource_schemas["thing"].block.description == "A thing."
    assert metadata.server_capabilities.plan_destroy
    assert schema.server_capabilities.plan_destroy
