"""What is written down of a machine that is given up before anything trained on it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.context import Context
from runner.errors import (
    NEVER_UP,
    ConnectionLostError,
    NeverUpError,
    PlaybookFailedError,
    RunInterruptedError,
    RunnerError,
    TerraformError,
    UsageError,
)
from runner.lifecycle import finish as finishing
from runner.lifecycle.cloud_words import cause_of
from runner.lifecycle.useless import note_useless
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.run.spend import spend_of
from runner.world import RealWorld
from tests.unit.runner.kept_lines import Lines

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")
DEAD = PlaybookFailedError("configure: the GPU does not answer", resolution="-")


def rented(tmp_path: Path, env: str = "lambda", *, is_up: bool = True) -> Context:
    world = RealWorld({})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 30, tzinfo=UTC), world)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": env}})
    ctx = Context(run, run_file, Lines(), Stop(world), world)
    journal = Journal(run)
    journal.intent("provision", environment=env, candidates=[{"max_price_usd_per_h": 1.0}])
    journal.answer("look", cloud=env, machines=[{"id": "i-1", "status": "running", "price_usd_per_h": 1.0}], gone=[])
    if is_up:
        journal.answer("provision", instance_id="i-1", price_usd_per_h=1.0)
        write_json(run.host, HOST.to_mapping())
    return ctx


def noted(ctx: Context) -> list[dict[str, Any]]:
    return [line for line in Journal(ctx.run).entries() if line["action"] == "useless"]


def test_a_machine_that_fails_before_training_is_written_down_once(tmp_path: Path) -> None:
    ctx = rented(tmp_path)

    note_useless(ctx, DEAD)
    note_useless(ctx, DEAD)

    (line,) = noted(ctx)
    said = {name: line[name] for name in ("cloud", "instance_id", "instance_type", "region", "spot", "why")}
    assert said == {
        "cloud": "lambda",
        "instance_id": "i-1",
        "instance_type": "gpu_1x_a10",
        "region": "us-west-1",
        "spot": False,
        "why": DEAD.message,
    }
    assert [one["why_useless"] for one in spend_of(ctx.run).lines] == [DEAD.message]


@pytest.mark.parametrize(
    ("made", "place"),
    [
        ({"id": "i-1", "instance_type": "a10", "region": "west", "spot": True}, ("a10", "west", True)),
        ({"id": "i-1", "instance_type": "g6.xlarge", "availability_zone": "eu-1a"}, ("g6.xlarge", "eu-1", False)),
        ({"id": "i-2", "instance_type": "a10", "region": "west"}, None),
    ],
    ids=["of our provider", "of AWS's", "another machine"],
)  # fmt: skip
def test_one_that_never_came_up_is_known_by_terraforms_state(
    made: dict[str, Any], place: tuple[str, str, bool] | None, tmp_path: Path
) -> None:
    ctx = rented(tmp_path, is_up=False)
    ctx.run.terraform.mkdir()
    state = {"resources": [{"instances": []}, {"instances": [{"attributes": {"id": "k"}}, {"attributes": made}]}]}
    (ctx.run.terraform / "terraform.tfstate").write_text(json.dumps(state))

    note_useless(ctx, ConnectionLostError("provision: no answer", resolution="-"))

    (line,) = noted(ctx)
    found = tuple(line.get(name) for name in ("instance_type", "region", "spot"))
    assert found == (place or (None, None, None))


@pytest.mark.parametrize(
    "error",
    [None, RunInterruptedError("stopped", resolution="-"), UsageError("stage: the data is gone", resolution="-")],
    ids=["all is well", "on request", "the user's fault"],
)
def test_a_machine_is_not_blamed_for_what_is_not_its_fault(error: RunnerError | None, tmp_path: Path) -> None:
    ctx = rented(tmp_path)

    note_useless(ctx, error)

    assert noted(ctx) == []


def test_one_that_trained_or_is_gone_or_is_the_users_own_is_not_useless(tmp_path: Path) -> None:
    trained, gone, own = (rented(tmp_path / name) for name in ("trained", "gone", "own"))
    trained.state.begin("train")
    Journal(gone.run).answer("destroy", left=[])
    own = Context(own.run, RunFile.model_validate({"data": {"train_path": "x"}}), own.view, own.stop, own.world)

    for ctx in (trained, gone, own):
        note_useless(ctx, DEAD)
        assert noted(ctx) == []


def test_a_folder_that_takes_no_line_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = rented(tmp_path)

    def full(*given: object, **facts: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_append", full)
    note_useless(ctx, DEAD)
    (ctx.run.path / "host.json").write_bytes(b"{")
    note_useless(ctx, DEAD)


def test_it_is_written_down_before_the_machine_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, lines = rented(tmp_path), list[int]()

    def destroy(ctx: Context, *, keep_output: bool) -> None:
        lines.append(len(noted(ctx)))

    monkeypatch.setattr(finishing, "_bring_home", lambda ctx, error: [])
    monkeypatch.setattr(finishing.destroy, "destroy", destroy)
    monkeypatch.setattr(finishing, "_write_down", lambda ctx, error, came: None)

    finishing.finish(ctx, DEAD)

    assert lines == [1]


def test_a_machine_that_did_not_come_up_is_a_lost_one_in_our_providers_words() -> None:
    words = f"lambda: i-1: not up after 300 s: it is booting: {NEVER_UP}; it is kept in the state as tainted"
    failed = TerraformError(f"terraform: apply failed: {words}", details=words, resolution="-")

    found = cause_of("lambda", failed)

    assert isinstance(found, NeverUpError)
    assert found.message == "terraform: apply failed: lambda: i-1: not up after 300 s: it is booting"
    assert found.failure == "machine lost"
