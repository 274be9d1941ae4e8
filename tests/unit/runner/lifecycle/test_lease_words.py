"""The runner's words to a machine's lease, and what it says of a lease that is dead. The machine is a stand-in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import LocalMachine
from runner.adapters.process import ToolTimeoutError
from runner.adapters.stop import Stop
from runner.context import Context
from runner.errors import ConnectionLostError, MachineLostError
from runner.lifecycle import lease
from runner.run.models import Completed, Host
from runner.run.run_dir import create_run, read_json
from runner.run.run_file import RunFile
from runner.safety.lease_word import last_word, noted
from runner.world import RealWorld
from tests.unit.runner.kept_lines import Lines

HOST = Host("192.0.2.7", 22, "root", "pod-1", "A40", "EU-SE-1", False, 0.4, None, "runpod")
FINE = {"was_running": True, "runs": True, "written": True, "over": None}
RESTARTED = {"was_running": False, "runs": True, "written": True, "over": None}
DEAD = {"was_running": False, "runs": False, "written": True, "over": None}
DEAF = {"was_running": True, "runs": True, "written": False, "over": None}
NOT_YET = {"was_running": None, "runs": False, "written": True, "over": None}


class Rented(LocalMachine):
    """A rented machine whose lease gives these answers: JSON, an exit status, or a failure."""

    name = "pod-1"

    def __init__(self, home: Path, *answers: Any) -> None:
        self._home, self.answers = home, list(answers)
        self.asked: list[tuple[str, ...]] = []

    @property
    def home(self) -> str:
        return str(self._home)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.asked.append(tuple(argv))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return Completed(tuple(argv), answer, "", "sh: 0: cannot open it")
        return Completed(tuple(argv), 0, answer if isinstance(answer, str) else json.dumps(answer))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    world = RealWorld()
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 21, tzinfo=UTC), world)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "runpod"}})
    return Context(run, run_file, Lines(), Stop(world), world)


def talk(ctx: Context, machine: Rented, words: int) -> list[str]:
    """Say so many words to a machine and return what a person reads of it."""
    one = lease._Talk(ctx, HOST, machine)
    for _ in range(words):
        one.say("renew")
    assert isinstance(ctx.view, Lines)
    return ctx.view.said


def beat(ctx: Context, machine: Rented) -> Path:
    return Path(ctx.box(HOST, machine).prefix) / "lease" / "beat"


def test_a_word_is_said_to_the_leases_own_program_and_noted_here(ctx: Context, tmp_path: Path) -> None:
    machine = Rented(tmp_path, FINE)

    assert talk(ctx, machine, 1) == []

    ((shell, program, text),) = machine.asked
    assert (shell, program) == ("sh", f"{ctx.box(HOST, machine).prefix}/lease/say")
    assert text.startswith("renew ")
    assert not beat(ctx, machine).exists()
    assert read_json(ctx.run.file("lease.json"))["listener"] == "runs"
    assert last_word(ctx.run)[0] == "renew"  # type: ignore[index]


def test_no_two_words_are_alike(ctx: Context, tmp_path: Path) -> None:
    machine = Rented(tmp_path, FINE, FINE)

    talk(ctx, machine, 2)

    assert len({text for _, _, text in machine.asked}) == 2


@pytest.mark.parametrize("answer", [2, 127, "", "[]", "not JSON", ToolTimeoutError("ssh: slow", resolution="wait")])
def test_a_machine_without_that_program_gets_the_word_as_a_file(ctx: Context, tmp_path: Path, answer: Any) -> None:
    machine = Rented(tmp_path, answer)

    assert talk(ctx, machine, 1) == []

    assert beat(ctx, machine).read_text().startswith("renew ")
    assert read_json(ctx.run.file("lease.json"))["listener"] == "unknown"


@pytest.mark.parametrize("over", ["not_renewed", "hard_end", "idle"])
def test_a_machine_whose_lease_is_over_is_not_left_to_go_on(
    over: str, ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Rented(tmp_path, FINE | {"over": over})
    monkeypatch.setattr(Context, "machine", lambda self, host: machine)
    monkeypatch.setattr(lease, "hand_over", lambda *words: pytest.fail("nobody can keep it any more"))

    with pytest.raises(MachineLostError, match=rf"that of pod-1 is over \({over}\)"):
        lease.say_hold(ctx, HOST)

    assert noted(ctx.run) is None
    assert last_word(ctx.run)[0] == "renew"  # type: ignore[index]


def test_a_lost_connection_is_no_word(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(ConnectionLostError):
        talk(ctx, Rented(tmp_path, ConnectionLostError("ssh: gone", resolution="wait")), 1)

    assert last_word(ctx.run) is None


@pytest.mark.parametrize(
    ("answer", "heard"), [(FINE, [True]), (RESTARTED, [True]), (DEAF, [True]), (DEAD, [False]), (NOT_YET, []), (2, [])]
)
def test_the_guard_hears_whether_the_lease_runs(
    answer: Any, heard: list[bool], ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bool] = []
    monkeypatch.setattr(lease.guarding, "saves", lambda ctx, is_leased: said.append(is_leased))

    talk(ctx, Rented(tmp_path, answer), 1)

    assert said == heard


def test_a_dead_lease_that_was_started_again_is_reported_once(ctx: Context, tmp_path: Path) -> None:
    said = talk(ctx, Rented(tmp_path, FINE, RESTARTED, FINE, FINE), 4)

    assert said == ["the lease on pod-1 had died and was started again"]


def test_a_lease_that_does_not_start_is_reported_loudly_and_once(ctx: Context, tmp_path: Path) -> None:
    said = talk(ctx, Rented(tmp_path, DEAD, DEAD, 2, DEAD, FINE), 5)

    warning, again = said
    assert warning.startswith("WARNING: the lease on pod-1 IS DEAD")
    assert f"make down RUN={ctx.run.run_id}" in warning
    assert again == "the lease on pod-1 works again"
    log = (ctx.run.logs / "lease.log").read_text()
    assert [line.split(" ", 1)[1] for line in log.splitlines()] == said


def test_a_machine_that_can_write_no_word_down_is_reported(ctx: Context, tmp_path: Path) -> None:
    (warning,) = talk(ctx, Rented(tmp_path, DEAF, DEAF), 2)

    assert "CANNOT BE RENEWED" in warning
    assert read_json(ctx.run.file("lease.json"))["listener"] == "deaf"


def test_before_its_role_has_started_it_a_lease_is_not_called_dead(ctx: Context, tmp_path: Path) -> None:
    assert talk(ctx, Rented(tmp_path, NOT_YET, FINE), 2) == []
