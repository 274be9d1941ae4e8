"""A machine that is left up on purpose: what a person reads of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import EXIT_INTERRUPTED, EXIT_LEFTOVERS, ConnectionLostError, MachineLostError
from runner.lifecycle import drive, lease
from runner.lifecycle.left_alone import leave_alone, say_how_it_stands, say_what_is_up
from runner.run.models import Host
from runner.run.run_dir import PROJECT, create_run, write_json
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from tests.unit.runner.made_plan import made_plan

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.29, None, "lambda")


class Listening(SilentView):
    """Somebody who notes each line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def left(tmp_path: Path, env: str, **sections: Any) -> tuple[Context, list[str]]:
    """Return a run whose machine is over in two hours, and the lines that are said of it."""
    world = VirtualWorld()
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 21, 1, 55, tzinfo=UTC), world)
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, **sections}
    view = Listening()
    ctx = Context(run, RunFile.model_validate(values), view, Stop(world), world)
    ctx.keep_plan(made_plan(environment=env))
    write_json(run.host, replace(HOST, cloud=env).to_mapping())
    run.terraform.mkdir(parents=True)
    ends = world.now() + timedelta(hours=2)
    write_json(run.terraform / VARIABLES_FILE, {"candidates": [], "expires_at": ends.isoformat()})
    return ctx, view.lines


def until(ctx: Context) -> str:
    return f"{ctx.world.now() + timedelta(hours=2):%Y-%m-%d %H:%M} UTC at the latest"


def test_a_machine_is_said_with_its_price_its_end_and_when_it_goes_after_training(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "runpod")

    say_what_is_up(ctx, HOST, has_lease=True)

    machine, end = lines
    assert machine == f"left up      gpu_1x_a10 i-1 at $1.29/h, until {until(ctx)}"
    assert end.strip() == (
        "it shuts down when nothing has trained for 60 min (budget.keep_idle_minutes); what is not home or in a store "
        "by then is lost"
    )


def test_with_a_store_the_machine_waits_ten_minutes_unless_the_run_file_says_how_long(tmp_path: Path) -> None:
    saving, lines = left(tmp_path / "a", "runpod", store={"url": "s3://bucket/runs"})
    say_what_is_up(saving, HOST, has_lease=True)
    assert "it shuts down when nothing has trained for 10 min " in lines[1]

    patient, lines = left(tmp_path / "b", "runpod", budget={"keep_idle_minutes": 90})
    say_what_is_up(patient, HOST, has_lease=True)
    assert "it shuts down when nothing has trained for 90 min " in lines[1]


def test_a_machine_that_cannot_end_itself_is_said_as_such(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "lambda")

    say_what_is_up(ctx, HOST, has_lease=True)

    (line,) = lines
    assert line == (
        f"left up      gpu_1x_a10 i-1 at $1.29/h, until {until(ctx)}, if this computer or a sweep terminates it: "
        "Lambda itself does not"
    )


def test_without_a_guard_only_a_sweep_ends_such_a_machine(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "lambda", budget={"guard": False})

    say_what_is_up(ctx, HOST, has_lease=True)

    assert lines[0].endswith(", if a sweep terminates it: Lambda itself does not")


@pytest.mark.parametrize("env", ["aws", "runpod"])
def test_of_a_machine_without_a_lease_yet_is_said_by_when_it_has_to_be_set_up(env: str, tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, env)

    say_what_is_up(ctx, HOST, has_lease=False)

    assert lines[1].strip() == f"it shuts down 55 min after its boot, unless `make configure RUN={ctx.run.run_id}` ran"


@pytest.mark.parametrize(("env", "image"), [("lambda", None), ("runpod", "somebody/image:1")])
def test_a_machine_without_a_lease_of_its_boot_promises_no_earlier_end(
    env: str, image: str | None, tmp_path: Path
) -> None:
    ctx, lines = left(tmp_path, env, compute={"env": env, "image": image})

    say_what_is_up(ctx, HOST, has_lease=False)

    assert len(lines) == 1


def test_of_a_machine_that_was_given_nothing_is_said(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "local")

    say_what_is_up(ctx, HOST, has_lease=True)

    assert lines == []


def lease_said(ctx: Context, word: str, minutes_ago: float) -> None:
    said_at = ctx.world.now() - timedelta(minutes=minutes_ago)
    write_json(ctx.run.file("lease.json"), {"word": word, "said_at": said_at.isoformat(), "listener": "runs"})


@pytest.mark.parametrize(("minutes_ago", "words"), [(8, "its lease ends at"), (40, "its lease ended at")])
@pytest.mark.parametrize("env", ["runpod", "lambda"])
def test_a_machine_whose_runner_is_gone_was_not_left_up_and_has_its_lease_alone(
    env: str, minutes_ago: float, words: str, tmp_path: Path
) -> None:
    ctx, lines = left(tmp_path, env)
    lease_said(ctx, "renew", minutes_ago)

    say_how_it_stands(ctx, HOST)

    keeper = ", if this computer or a sweep terminates it: Lambda itself does not" if env == "lambda" else ""
    ends = ctx.world.now() + timedelta(minutes=15 - minutes_ago)
    assert lines == [
        f"still up     gpu_1x_a10 i-1 at $1.29/h: its runner is gone, and {words} {ends:%Y-%m-%d %H:%M} UTC{keeper}",
        f"             `make watch RUN={ctx.run.run_id}` renews it and follows the run",
    ]


def test_a_machine_that_was_held_is_left_up_and_one_without_a_lease_has_to_be_set_up(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "runpod")

    say_how_it_stands(ctx, HOST)
    lease_said(ctx, "hold", 40)
    say_how_it_stands(ctx, HOST)

    assert [line for line in lines if line.startswith("left up")] == [lines[0]] * 2
    assert "unless `make configure" in lines[1]
    assert "it shuts down when nothing has trained" in lines[3]


def test_of_a_machine_that_was_given_nothing_is_said_after_a_look(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "local")
    lease_said(ctx, "renew", 1)

    say_how_it_stands(ctx, HOST)

    assert lines == []


def unreachable(ctx: Context, host: Host) -> None:
    raise ConnectionLostError("ssh: 203.0.113.7 does not answer", resolution="wait")


def test_a_lease_is_not_said_to_pass_the_hard_end(tmp_path: Path) -> None:
    ctx, lines = left(tmp_path, "runpod", budget={"lease_minutes": 180})
    lease_said(ctx, "renew", 1)

    say_how_it_stands(ctx, HOST)

    assert f"its lease ends at {until(ctx).removesuffix(' at the latest')}" in lines[0]


def lease_is_over(ctx: Context, host: Host) -> None:
    raise MachineLostError("lease: that of i-1 is over", resolution="watch")


@pytest.mark.parametrize(
    ("hold", "words", "promise"),
    [
        (lambda ctx, host: None, "left up      gpu_1x_a10 i-1 at $1.29/h, until ", "continues without a runner"),
        (
            unreachable,
            "still up     gpu_1x_a10 i-1 at $1.29/h: it does not hear that its runner goes, and its lease ends within",
            "could not be told to go on: it trains until its lease ends",
        ),
        (
            lease_is_over,
            "still up     gpu_1x_a10 i-1 at $1.29/h: its lease is over, and it trains no more",
            "could not be told to go on: it trains until its lease ends at the latest",
        ),
    ],
    ids=["held", "unreachable", "over"],
)
def test_a_closed_terminal_leaves_a_word_of_what_bills_and_promises_no_more_than_the_machine_has_heard(
    hold: Callable[[Context, Host], None], words: str, promise: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, lines = left(tmp_path, "runpod")
    monkeypatch.setattr(lease, "say_hold", hold)

    error = drive._left_alone(ctx, is_held=drive._hold_if_possible(ctx))

    assert lines[0].startswith(words)
    assert promise in error.message
    assert error.exit_code == (EXIT_LEFTOVERS if "could not" in promise else EXIT_INTERRUPTED)
    assert ("left up" in "".join(lines)) == ("continues" in error.message)


def test_a_machine_that_cannot_be_held_is_an_error_for_whoever_wants_it_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, lines = left(tmp_path, "runpod")
    monkeypatch.setattr(lease, "say_hold", unreachable)

    with pytest.raises(ConnectionLostError):
        leave_alone(ctx, HOST)

    assert lines


def test_nobody_holds_a_machine_without_saying_what_it_costs() -> None:
    holders = {path.name for path in PROJECT.glob("runner/**/*.py") if "say_hold(" in path.read_text(encoding="utf-8")}

    assert holders == {"lease.py", "left_alone.py"}
