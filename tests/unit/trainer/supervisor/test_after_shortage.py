"""The supervisor starts a trainer again that ended for lack of memory: stand-in trainers that are short of it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.config.recipe import to_mapping
from trainer.errors import EXIT_INTERRUPTED, EXIT_RESTART
from trainer.events import EventLog, read_events
from trainer.shortage.measures import FILE
from trainer.supervisor import after_shortage, supervise

TRAINS = """
import sys
from pathlib import Path
from trainer.events import EventLog
log = EventLog(Path(sys.argv[1]) / "events.jsonl")
log.write("phase_started", phase="train")
"""
IS_KILLED = f"{TRAINS}\nimport os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
CHOSE_A_MEASURE = f"{TRAINS}\nlog.write('out_of_memory', measure='gradient checkpointing'); sys.exit({EXIT_RESTART})"
CHOSE_NONE = f"{TRAINS}\nsys.exit({EXIT_RESTART})"
ENDS_WELL = f"{TRAINS}\nlog.write('run_ended', status='accepted')"


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bool]]:
    """Be the supervisor of stand-in trainers, one script for each start; return which of them were to resume."""
    (tmp_path / "recipe.json").write_text(json.dumps(to_mapping(tiny_recipe(tmp_path, tmp_path))))
    monkeypatch.setattr(supervise.signal, "signal", lambda *_: None)  # this process keeps its own handlers
    resumed: list[bool] = []

    def run(*scripts: str) -> list[bool]:
        left = list(scripts)

        def command(config: Path, output: Path, *, resume: bool) -> list[str]:
            resumed.append(resume)
            return [sys.executable, "-c", left.pop(0), str(output)]

        monkeypatch.setattr(supervise, "_trainer_command", command)
        supervise.run(tmp_path / "recipe.json", tmp_path, resume=False, max_hours=None)
        return resumed

    return run


@pytest.fixture
def kernel_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel have killed one process more each time it is asked."""
    kills = iter(range(100))
    monkeypatch.setattr(after_shortage, "kernel_kills", lambda: next(kills))


def ended(output: Path) -> tuple[int, int | None]:
    found = json.loads((output / "exit.json").read_text())
    return found["exit_code"], found["signal"]


def measures_of(output: Path) -> list[str | None]:
    return [event["measure"] for event in read_events(output / "events.jsonl") if event["event"] == "out_of_memory"]


def test_a_trainer_that_chose_a_measure_is_started_again_to_resume(
    supervised: Callable[..., list[bool]], tmp_path: Path
) -> None:
    assert supervised(CHOSE_A_MEASURE, CHOSE_A_MEASURE, ENDS_WELL) == [False, True, True]
    assert ended(tmp_path) == (0, None)
    assert json.loads((tmp_path / "supervisor.json").read_text())["trainer_pid"]


def test_one_that_chose_none_is_not_started_for_ever(supervised: Callable[..., list[bool]], tmp_path: Path) -> None:
    assert supervised(CHOSE_NONE) == [False]
    assert ended(tmp_path) == (EXIT_RESTART, None)


@pytest.mark.usefixtures("kernel_kills")
def test_one_that_the_kernel_killed_for_its_memory_goes_on_with_less(
    supervised: Callable[..., list[bool]], tmp_path: Path
) -> None:
    assert supervised(IS_KILLED, ENDS_WELL) == [False, True]
    assert measures_of(tmp_path) == ["gradient checkpointing"]
    assert (tmp_path / FILE).is_file()


def test_one_that_somebody_else_killed_is_not_started_again(
    supervised: Callable[..., list[bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after_shortage, "kernel_kills", lambda: 7)

    assert supervised(IS_KILLED) == [False]
    assert ended(tmp_path) == (128 + signal.SIGKILL, signal.SIGKILL)
    assert measures_of(tmp_path) == []


@pytest.mark.usefixtures("kernel_kills")
def test_when_nothing_is_left_the_last_event_has_the_words(
    supervised: Callable[..., list[bool]], tmp_path: Path
) -> None:
    assert supervised(IS_KILLED, IS_KILLED, IS_KILLED) == [False, True, True]

    paged = "the optimizer paged_adamw_32bit instead of adamw_torch"
    assert measures_of(tmp_path) == ["gradient checkpointing", paged, None]
    last: dict[str, Any] = read_events(tmp_path / "events.jsonl")[-1]
    assert (last["event"], last["status"], last["exit_code"]) == ("run_ended", "failed", 1)
    assert "one row at a time and gradient checkpointing: the machine's memory is full" in last["message"]
    assert "compute.min_gpu_memory_gib" in last["resolution"]


def test_a_library_that_ends_the_process_is_believed_by_the_log(
    supervised: Callable[..., list[bool]], tmp_path: Path
) -> None:
    log = tmp_path / after_shortage.LOG
    log.write_text("Error out of memory at line 1 in file of-an-earlier-try.cpp\n")
    start = after_shortage.look(tmp_path)
    log.write_text(log.read_text() + "a long line\n" * 9000 + "Error out of memory at line 380 in file x.cpp\n")
    events = EventLog(tmp_path / "events.jsonl")
    events.write("phase_started", phase="train")
    events.close()

    assert after_shortage.has_less_to_try(tmp_path / "recipe.json", tmp_path, 1, start)
    assert read_events(tmp_path / "events.jsonl")[-1]["message"] == "Error out of memory at line 380 in file x.cpp"


def test_the_log_of_an_earlier_try_explains_nothing(supervised: Callable[..., list[bool]], tmp_path: Path) -> None:
    (tmp_path / after_shortage.LOG).write_text("Error out of memory at line 1 in file of-an-earlier-try.cpp\n")

    assert supervised(f"{TRAINS}\nsys.exit(1)") == [False]


def test_a_trainer_with_last_words_of_its_own_is_not_second_guessed(
    supervised: Callable[..., list[bool]], tmp_path: Path
) -> None:
    said = "log.write('run_ended', status='failed'); print('out of memory'); sys.exit(1)"

    assert supervised(f"{TRAINS}\n{said}") == [False]
    assert measures_of(tmp_path) == []


def test_after_a_signal_no_trainer_is_started_again(
    supervised: Callable[..., list[bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise._TrainerWatch, "run", asked_to_stop(supervise._TrainerWatch.run))

    assert supervised(CHOSE_A_MEASURE) == [False]
    assert ended(tmp_path) == (EXIT_INTERRUPTED, None)


def asked_to_stop(run: Callable[..., int]) -> Callable[..., int]:
    """Return a supervisor's wait at the end of which it was asked to stop."""

    def wait(watch: Any, command: list[str]) -> int:
        code = run(watch, command)
        watch._pass_on(signal.SIGTERM, None)
        return code

    return wait
