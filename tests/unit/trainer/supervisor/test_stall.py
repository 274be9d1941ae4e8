"""When a training loop counts as standing still. Time is a number here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.beat import BEAT
from trainer.errors import EXIT_FAILED
from trainer.events import EventLog, read_events
from trainer.supervisor.stall import FIRST_S, FLOOR_S, PACES, Stall, StallWatch, is_paused, report_stall


class Trainer:
    """A trainer that beats when it is told to, and the watch over it."""

    def __init__(self, output: Path) -> None:
        self.path, self.now_s, self._count = output / BEAT, 0.0, 0
        self.watch = StallWatch(output)

    def beats_after(self, seconds: float) -> Stall | None:
        self.now_s += seconds
        self._count += 1
        self.path.touch()
        os.utime(self.path, ns=(self._count, self._count))
        return self.watch.look(self.now_s, paused=False)

    def is_silent_for(self, seconds: float, *, paused: bool = False) -> Stall | None:
        self.now_s += seconds
        return self.watch.look(self.now_s, paused=paused)


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return Trainer(tmp_path)


@pytest.mark.parametrize(("step_s", "limit_s"), [(1.0, FLOOR_S), (200.0, PACES * 200.0)])
def test_silence_is_judged_by_the_run_s_own_pace(trainer: Trainer, step_s: float, limit_s: float) -> None:
    for _ in range(8):
        assert trainer.beats_after(step_s) is None

    assert trainer.is_silent_for(limit_s) is None
    assert trainer.is_silent_for(1.0) == Stall(limit_s + 1.0, limit_s)


def test_the_first_steps_may_compile(trainer: Trainer) -> None:
    trainer.beats_after(1.0)

    assert trainer.is_silent_for(FIRST_S) is None
    assert trainer.is_silent_for(1.0) is not None


def test_one_long_step_changes_no_pace(trainer: Trainer) -> None:
    for step_s in (1.0, 1.0, 1.0, 1.0, 500.0, 1.0, 1.0):
        assert trainer.beats_after(step_s) is None

    assert trainer.is_silent_for(FLOOR_S + 1.0) == Stall(FLOOR_S + 1.0, FLOOR_S)


def test_without_a_beat_there_is_no_stall(trainer: Trainer) -> None:
    assert trainer.is_silent_for(1e6) is None  # the data are read, weights are loaded
    trainer.beats_after(1.0)
    trainer.path.unlink()

    assert trainer.is_silent_for(1e6) is None  # the adapter is exported and proved


def test_a_trainer_that_is_started_again_owes_nothing(trainer: Trainer) -> None:
    trainer.beats_after(1.0)
    trainer.is_silent_for(FIRST_S)

    trainer.watch.begin()

    assert not trainer.path.exists()
    assert trainer.beats_after(1e6) is None


def test_a_trainer_that_somebody_has_paused_is_given_its_time_again(trainer: Trainer) -> None:
    trainer.beats_after(1.0)

    assert trainer.is_silent_for(1e6, paused=True) is None
    assert trainer.is_silent_for(FIRST_S) is None
    assert trainer.is_silent_for(1.0) is not None


def test_a_beat_from_before_a_clock_was_set_back_is_a_beat(trainer: Trainer) -> None:
    trainer.beats_after(1.0)
    os.utime(trainer.path, ns=(0, 0))

    assert trainer.is_silent_for(FIRST_S + 1.0) is None


def test_a_process_is_paused_by_a_signal() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        assert not is_paused(process.pid)
        process.send_signal(signal.SIGSTOP)
        deadline_s = time.monotonic() + 60.0
        while not is_paused(process.pid):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert not is_paused(process.pid)


def test_the_first_stall_is_followed_by_another_start_and_the_second_by_the_end(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.write("step", step=7)
    log.close()

    assert report_stall(tmp_path, Stall(700.4, 600.0), 1)
    assert not report_stall(tmp_path, Stall(700.4, 600.0), 2)

    first, second, end = [
        {key: value for key, value in event.items() if key != "time"}
        for event in read_events(tmp_path / "events.jsonl")[1:]
    ]
    assert first == {"event": "stalled", "step": 7, "silent_s": 700, "limit_s": 600, "again": True}
    assert second == {**first, "again": False}
    assert (end["event"], end["status"], end["exit_code"]) == ("run_ended", "failed", EXIT_FAILED)
    assert "stood still 2 times, now after step 7: no micro-batch for 700 s" in end["message"]
    assert "make resume" in end["resolution"]
