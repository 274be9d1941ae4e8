"""The question before the first dollar, at a real terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli import consent
from runner.cli.consent import ask_to_rent, question
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import RunInterruptedError, UsageError
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan

FIRST = PlannedMachine("gpu_1x_a10", "us-west-1", False, 0.75, 0.75, hard_end_h=3.0, most_usd=2.25)
SECOND = PlannedMachine("gpu_1x_a100", "us-west-1", False, 1.5, 1.5, hard_end_h=2.5, most_usd=3.75)


def planned(
    folder: Path, env: str = "lambda", machines: tuple[PlannedMachine, ...] = (FIRST, SECOND), **budget: Any
) -> Context:
    run = create_run(folder, "tiny", datetime(2026, 11, 21, 1, 55, tzinfo=UTC), RealWorld())
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, "budget": {"max_hours": 10, **budget}}
    ctx = Context(run, RunFile.model_validate(values), SilentView(), Stop(RealWorld()), RealWorld())
    most_usd = max((one.most_usd for one in machines if one.most_usd), default=None)
    ctx.keep_plan(made_plan(environment=env, machines=machines, most_usd=most_usd))
    return ctx


def asked(ctx: Context) -> str:
    return question(ctx.plan)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal on both sides of the runner; what is written to it is typed."""
    keys, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin, os.fdopen(os.dup(terminal), "w") as stdout:
        # pytest takes sys.stdout back when the test begins
        monkeypatch.setattr(consent, "sys", SimpleNamespace(stdin=stdin, stdout=stdout, stderr=None))
        yield keys
    with contextlib.suppress(OSError):  # a test may have closed the window
        os.close(keys)


@pytest.mark.parametrize("answer", [b"y\n", b"YES\n", b" yes \n"])
def test_yes_goes_on(answer: bytes, keyboard: int, tmp_path: Path) -> None:
    os.write(keyboard, answer)

    ask_to_rent(planned(tmp_path), yes=False)


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"yep\n", b"\x04"])
def test_anything_else_rents_nothing_and_says_how_to_go_on(answer: bytes, keyboard: int, tmp_path: Path) -> None:
    ctx = planned(tmp_path)
    os.write(keyboard, answer)

    with pytest.raises(RunInterruptedError, match="nothing was rented: the answer was not yes") as caught:
        ask_to_rent(ctx, yes=False)

    assert f"make resume RUN={ctx.run.run_id}" in caught.value.resolution
    assert caught.value.exit_code == 130


def test_a_signal_is_heard_while_nobody_types(keyboard: int, tmp_path: Path) -> None:
    ctx = planned(tmp_path)
    threading.Timer(0.1, ctx.stop._on_stop).start()

    with pytest.raises(RunInterruptedError, match="stopped on request"):
        ask_to_rent(ctx, yes=False)


@pytest.mark.parametrize(("env", "yes"), [("lambda", True), ("local", False)])
def test_who_said_yes_before_or_rents_nothing_is_not_asked(env: str, yes: bool, keyboard: int, tmp_path: Path) -> None:
    ask_to_rent(planned(tmp_path, env), yes=yes)


def without_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "sys", SimpleNamespace(stdin=None, stdout=None, stderr=None))


def test_without_a_terminal_and_a_yes_nothing_is_rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_terminal(monkeypatch)
    ctx = planned(tmp_path)

    with pytest.raises(UsageError, match="lambda rents a machine for money, and there is no terminal") as caught:
        ask_to_rent(ctx, yes=False)

    assert caught.value.exit_code == 2
    assert f"YES=1 (`--yes`), as in `make resume RUN={ctx.run.run_id} YES=1`" in caught.value.resolution


@pytest.mark.parametrize(("env", "yes"), [("lambda", True), ("local", False)])
def test_without_a_terminal_a_yes_or_ones_own_machine_is_enough(
    env: str, yes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_terminal(monkeypatch)

    ask_to_rent(planned(tmp_path, env), yes=yes)


def test_somebody_who_looks_through_a_pipe_is_asked_on_standard_error(
    keyboard: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = consent.sys.stdout
    with (tmp_path / "out").open("w") as pipe:
        monkeypatch.setattr(consent, "sys", SimpleNamespace(stdin=consent.sys.stdin, stdout=pipe, stderr=terminal))
        os.write(keyboard, b"y\n")

        ask_to_rent(planned(tmp_path), yes=False)

    assert (tmp_path / "out").read_text() == ""
    said = b""
    while b"rent gpu_1x_a10 at $0.75/h" not in said:
        said += os.read(keyboard, 1000)


def test_a_terminal_that_is_closed_at_the_question_is_no_yes(keyboard: int, tmp_path: Path) -> None:
    ctx = planned(tmp_path)
    threading.Timer(0.3, lambda: os.close(keyboard)).start()

    with pytest.raises(RunInterruptedError, match="nothing was rented"):
        ask_to_rent(ctx, yes=False)


def test_the_question_names_the_machine_its_price_and_the_most_that_any_candidate_may_cost(tmp_path: Path) -> None:
    assert asked(planned(tmp_path, "runpod")) == (
        "rent gpu_1x_a10 at $0.75/h, for at most $3.75 (gpu_1x_a100 in us-west-1, the dearest) "
        "until its end after 2.5 h, its disk included?"
    )


def test_the_question_says_which_rights_of_its_own_the_machine_may_use(tmp_path: Path) -> None:
    plan = planned(tmp_path, "runpod").plan

    said, words = question(replace(plan, own_rights="instance profile trainers")).split("\n")

    assert said == (
        "when nobody renews its keys, the machine opens the store with all rights of instance profile trainers"
    )
    assert words.startswith("rent gpu_1x_a10")


def test_the_question_says_which_remotes_the_machine_is_given(tmp_path: Path) -> None:
    said, words = question(replace(planned(tmp_path, "runpod").plan, given_remotes=("drive",))).split("\n")

    assert said == (
        "the machine is given rclone's drive of your configuration, in its memory: whoever is root there can read what "
        "opens all of it"
    )
    assert words.startswith("rent gpu_1x_a10")


def test_where_nothing_at_the_cloud_keeps_the_end_the_question_says_so_and_what_a_day_costs(tmp_path: Path) -> None:
    caveat, words = asked(planned(tmp_path)).split("\n")

    assert caveat == (
        "Lambda itself terminates nothing then: without this computer or a sweep it bills on, $36.00 a day"
    )
    assert words.startswith(
        "rent gpu_1x_a10 at $0.75/h, for at most $3.75 (gpu_1x_a100 in us-west-1, the dearest) "
        "until its end after 2.5 h"
    )


def test_the_question_about_a_plan_without_ends_promises_none(tmp_path: Path) -> None:
    old = replace(FIRST, hard_end_h=None, most_usd=None)

    assert asked(planned(tmp_path, "runpod", (old,))) == "rent gpu_1x_a10 at $0.75/h, for as long as it is up?"


def test_the_question_says_when_the_machine_is_a_strangers(tmp_path: Path) -> None:
    ctx = planned(tmp_path, machines=(replace(FIRST, trust="community"),))

    assert "rent gpu_1x_a10 (community machine) at $0.75/h, for at most $2.25 " in asked(ctx)


def test_the_question_says_when_a_strangers_machine_may_come_later(tmp_path: Path) -> None:
    ctx = planned(tmp_path, machines=(FIRST, replace(SECOND, trust="community")))

    assert "rent gpu_1x_a10 (or a community machine) at $0.75/h, for at most $3.75 " in asked(ctx)
