"""Output never fails: with real pipes, real terminals and real files behind it."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from runner.cli.printed import Printed
from runner.cli.terminal import BarView, LineView, make_view

STEP = {"event": "step", "step": 3, "max_steps": 12, "loss": 1.5}


@pytest.fixture
def printed(tmp_path: Path) -> Printed:
    """What is printed, with a log."""
    made = Printed()
    made.log = lambda: tmp_path / "logs" / "train.log"
    return made


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe: its end to read from, and the stream that writes to it."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        yield reader, stream


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """A terminal: the side on which its window is, and the stream that a program writes to."""
    window, side = pty.openpty()
    with os.fdopen(side, "w") as stream:
        yield window, stream


@contextlib.contextmanager
def guarded(printed: Printed, stream: TextIO | None) -> Iterator[None]:
    """Let a stream be standard output, and stand before it; pytest takes back what a fixture sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        with printed.guarded():
            yield


def in_log(folder: Path) -> str:
    return (folder / "logs" / "train.log").read_text()


def test_a_pipe_that_nobody_reads_any_more_leaves_its_lines_to_the_log(
    pipe: tuple[int, TextIO], printed: Printed, tmp_path: Path
) -> None:
    reader, stream = pipe
    with guarded(printed, stream):
        view = make_view(time.monotonic)
        view.line("seen")
        assert os.read(reader, 100) == b"seen\n"
        os.close(reader)

        view.line("not seen")
        view.step_ended("train", "done", 1.0)
        print("printed")

    assert type(view) is LineView
    assert in_log(tmp_path) == "not seen\n    train done after 1.0 s\nprinted\n"


def test_a_closed_terminal_leaves_its_lines_to_the_log_and_its_bars_to_nobody(
    terminal: tuple[int, TextIO], printed: Printed, tmp_path: Path
) -> None:
    window, stream = terminal
    with guarded(printed, stream):
        view = make_view(time.monotonic)
        view.step_started("train")
        view.event(STEP)
        os.close(window)

        view.line("not seen")
        view.progress("what passes")
        view.event(STEP | {"step": 4})
        view.step_ended("train", "done", 1.0)
        view.step_started("collect")
        view.step_ended("collect", "done", 1.0)

    assert type(view) is BarView
    lines = in_log(tmp_path).splitlines()
    assert "not seen" in lines
    assert lines[-3:] == ["    train done after 1.0 s", "==> collect", "    collect done after 1.0 s"]
    assert "\x1b" not in in_log(tmp_path)


def test_without_a_log_it_goes_nowhere(pipe: tuple[int, TextIO]) -> None:
    reader, stream = pipe
    os.close(reader)

    with guarded(Printed(), stream):
        print("x" * 100_000, flush=True)


def test_a_log_that_cannot_be_written_is_no_failure_either(pipe: tuple[int, TextIO], tmp_path: Path) -> None:
    reader, stream = pipe
    os.close(reader)
    printed = Printed()
    printed.log = lambda: tmp_path / "file" / "train.log"
    (tmp_path / "file").write_text("")

    with guarded(printed, stream):
        print("x", flush=True)


def test_a_stream_that_is_closed_or_missing_takes_everything(
    printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = (tmp_path / "out").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stderr", None)

    with guarded(printed, closed):
        assert not sys.stdout.isatty()
        print("to a closed file")
        print("to nothing", file=sys.stderr, flush=True)

    assert in_log(tmp_path) == "to a closed file\nto nothing\n"


def test_a_full_disk_behind_the_output_ends_nothing(printed: Printed, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full, guarded(printed, full):
        print("too much", flush=True)
        print("kept")

    assert in_log(tmp_path) == "too much\nkept\n"


def test_a_letter_that_the_terminal_lacks_is_written_as_its_number(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as stream, guarded(Printed(), stream):
        print("merging …")

    assert (tmp_path / "out").read_text() == "merging \\u2026\n"


def test_the_streams_of_before_are_back_afterwards(printed: Printed) -> None:
    before = sys.stdout, sys.stderr

    with printed.guarded():
        assert (sys.stdout, sys.stderr) != before

    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&- <&-", "| true", "2>&1 | true"])
def test_the_exit_status_is_that_of_the_verb_whatever_became_of_its_output(redirection: str, tmp_path: Path) -> None:
    """Python ends with status 120 where it cannot flush its streams at the end."""
    verb = f"'{sys.executable}' -m runner runs --runs-dir '{tmp_path}'"

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; (sleep 0.3; {verb}) {redirection}"], capture_output=True, timeout=240
    )

    assert (done.returncode, done.stderr) == (0, b"")
