"""What a person sees: a line for each thing worth knowing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runner.cli.terminal import BarView, LineView, Meter, Pace, describe_event, make_view
from runner.errors import UsageError

STEP = {"event": "step", "step": 3, "max_steps": 12, "loss": 1.23456, "tokens_per_s": 210.4, "memory_gib": 1.25}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (STEP, "step 3/12  loss 1.2346  210 tokens/s  1.2 GiB"),
        (STEP | {"skipped_steps": 2}, "step 3/12  loss 1.2346  210 tokens/s  1.2 GiB  2 skipped"),
        (STEP | {"skipped_steps": 0}, "step 3/12  loss 1.2346  210 tokens/s  1.2 GiB"),
        (STEP | {"loss": None, "tokens_per_s": None, "memory_gib": None}, "step 3/12  loss ?"),
        ({"event": "run_started", "device": "cpu", "dtype": "float32"}, "training starts on cpu (float32)"),
        (
            {"event": "run_started", "device": "cpu", "dtype": "float32", "resumed_from_step": 8},
            "going on from step 8 on cpu (float32)",
        ),
        (
            {"event": "run_started", "device": "cuda", "dtype": "bfloat16", "why_no_triton": "there is no C compiler"},
            "training starts on cuda (bfloat16); without Triton: there is no C compiler",
        ),
        ({"event": "loading", "done": 120, "total": 291}, "loading weights: 120 of 291 tensors"),
        ({"event": "evaluation", "eval_loss": 1.5, "model": "adapter_4bit"}, "eval loss 1.5000 (adapter 4bit)"),
        (
            {"event": "acceptance_check", "name": "base_unchanged", "passed": True, "value": "x"},
            "ok   base unchanged: x",
        ),
        ({"event": "acceptance_check", "name": "a", "passed": False, "value": 1}, "FAIL a: 1"),
        ({"event": "acceptance_check", "name": "a", "passed": False, "required": False, "value": 1}, "warn a: 1"),
        (
            {"event": "out_of_memory", "step": 6, "message": "CUDA out of memory", "measure": "gradient checkpointing"},
            "out of memory after step 6: CUDA out of memory; going on with gradient checkpointing",
        ),
        (
            {"event": "out_of_memory", "step": None, "message": "CUDA out of memory", "measure": None},
            "out of memory after step 0: CUDA out of memory",
        ),
        (
            {"event": "stalled", "step": 6, "silent_s": 700, "limit_s": 600, "again": True},
            "standing still after step 6: no micro-batch for 700 s; going on from the newest checkpoint",
        ),
        (
            {"event": "stalled", "step": None, "silent_s": 700, "again": False},
            "standing still after step 0: no micro-batch for 700 s",
        ),
        ({"event": "checkpoint_stored", "step": 4, "duration_s": 1.0}, "checkpoint at step 4 is in the store"),
        (
            {"event": "checkpoint_removed", "step": 2, "message": "the disk is short of room for the next one"},
            "checkpoint at step 2 removed: the disk is short of room for the next one",
        ),
        (
            {"event": "reclaimed", "step": 6, "action": "terminate", "at": "2026-11-29T12:00:00+00:00"},
            "the cloud takes the machine back (at the latest 2026-11-29T12:00:00+00:00); stopping with a checkpoint",
        ),
        (
            {"event": "checkpoint_skipped", "step": 2, "message": "checkpoint-4 was complete before its turn"},
            "checkpoint at step 2 not stored: checkpoint-4 was complete before its turn",
        ),
        (
            {"event": "store_failed", "message": "sync: s3://b/r refuses: SlowDown", "resolution": "wait"},
            "sync: s3://b/r refuses: SlowDown; training goes on, and so do the tries",
        ),
        ({"event": "run_ended", "status": "failed", "message": "no"}, "failed: no"),
        ({"event": "run_ended", "status": "failed", "message": "a\x1b[2J\r\n    ok   b"}, "failed: a ok   b"),
        ({"event": "sample", "prompt": "p"}, None),
        ({"event": "of a later version"}, None),
    ],
)
def test_each_event_is_a_line_for_people_or_none(event: dict[str, Any], line: str | None) -> None:
    assert describe_event(event, Pace(time.monotonic)) == line


def test_the_time_left_comes_from_the_steps_seen() -> None:
    now = iter((0.0, 10.0, 20.0))
    pace = Pace(lambda: next(now))

    assert [pace.left(1, 100), pace.left(2, 100), pace.left(3, 4)] == [None, "16 min left", "10 s left"]


def test_lines_are_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    view = make_view(time.monotonic)
    view.step_started("train")
    view.progress("what passes")
    view.event(STEP)
    view.step_ended("train", "done", 1.25)

    assert type(view) is LineView
    assert capsys.readouterr().out == (
        "==> train\n    step 3/12  loss 1.2346  210 tokens/s  1.2 GiB\n    train done after 1.2 s\n"
    )


@pytest.mark.parametrize("kind", [LineView, BarView])
def test_nothing_that_is_shown_steers_the_terminal(kind: type[LineView], capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]52;c;aGk=\x07a\x9b2Jb\u202e"
    view = kind(time.monotonic)
    view.line(evil)
    view.progress(evil)
    view.event({"event": "phase_started", "phase": evil})

    assert capsys.readouterr().out == "a2Jb\n    a2Jb …\n"


def test_a_terminal_gets_a_bar_and_square_brackets_stay(capsys: pytest.CaptureFixture[str]) -> None:
    view = BarView(time.monotonic)
    view.step_started("train")
    view.event(STEP)
    view.progress("[bold]not markup[/bold]")
    view.line("keep [this]")
    view.step_ended("train", "done", 1.0)

    assert "keep [this]" in capsys.readouterr().out


def test_the_words_beside_a_bar_are_step_seconds_and_dollars() -> None:
    now, spent = [100.0], [0.0]
    meter = Meter("configure", lambda: now[0], lambda: spent[0])

    assert str(meter) == "configure 0 s"

    now[0], spent[0] = 112.4, 0.01234
    assert str(meter) == "configure 12 s  $0.0123"

    now[0], spent[0] = 113.0, 0.5
    assert str(meter) == "configure 13 s  $0.0123", "it is read once a second"

    now[0] = 113.5
    assert str(meter) == "configure 14 s  $0.5000"


def test_a_meter_that_cannot_be_read_shows_its_last_word() -> None:
    now, told = [0.0], [0.25]

    def read() -> float:
        if not told:
            raise UsageError("the journal cannot be read", resolution="")
        return told.pop()

    meter = Meter("train", lambda: now[0], read)
    assert str(meter) == "train 0 s  $0.2500"

    now[0] = 5.0
    assert str(meter) == "train 5 s  $0.2500"


def test_a_step_on_a_machine_that_costs_nothing_shows_no_dollars() -> None:
    assert str(Meter("train", time.monotonic, lambda: 0.0)) == str(Meter("train", time.monotonic)) == "train 0 s"
