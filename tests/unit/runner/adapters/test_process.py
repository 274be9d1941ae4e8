"""Programs: timeouts, cancelling, process groups."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from runner.adapters import process
from runner.adapters.process import ToolCancelledError, ToolMissingError, ToolTimeoutError
from tests.unit.runner.conftest import processes_naming, wait_until


def test_both_streams_and_the_status_come_back(tmp_path: Path) -> None:
    log = tmp_path / "log"

    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=60, log=log)

    assert (done.exit_code, done.stdout, done.stderr, done.last_words) == (3, "out\n", "err\n", "err")
    assert sorted(log.read_text().splitlines()) == ["err", "out"]


def test_lines_are_reported_as_they_come() -> None:
    lines: list[str] = []

    process.run(["printf", "one\\ntwo\\nrest"], timeout_s=60, on_line=lines.append)

    assert lines == ["one", "two"]


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ToolMissingError, match="process: cannot run no-such-program: No such file or directory"):
        process.run(["no-such-program"], timeout_s=60)


def test_nothing_of_a_group_survives_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.5)
    mark = str(tmp_path / "mark")
    deaf = f"trap '' INT; sh -c 'sleep 300; : {mark}' & sleep 300; : {mark}"

    with pytest.raises(ToolTimeoutError, match="process: sh did not finish within 0 s"):
        process.run(["sh", "-c", deaf], timeout_s=0.3)

    wait_until(lambda: processes_naming(mark) == [])


def test_a_cancelled_program_gets_sigint_and_time_to_clean_up(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    script = f"trap 'echo saved > {kept}; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    ready: list[str] = []

    with pytest.raises(ToolCancelledError) as caught:
        process.run(["sh", "-c", script], timeout_s=60, on_line=ready.append, cancel=lambda: bool(ready))

    assert kept.read_text() == "saved\n"
    assert caught.value.exit_code == 130


def test_a_program_does_not_outlive_whoever_takes_its_lines(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")

    def fail(line: str) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match="ready"):
        process.run(["sh", "-c", f"echo ready; sleep 300; : {mark}"], timeout_s=600, on_line=fail)

    wait_until(lambda: processes_naming(mark) == [])


def test_a_program_has_a_process_group_of_its_own() -> None:
    done = process.run([sys.executable, "-c", "import os; print(os.getpgrp(), os.getpid())"], timeout_s=60)

    group, pid = done.stdout.split()
    assert group == pid != str(os.getpgrp())


def test_a_detached_grandchild_that_holds_the_pipes_does_not_hold_us() -> None:
    done = process.run(["sh", "-c", "sleep 300 & echo $!"], timeout_s=60)

    os.kill(int(done.stdout), signal.SIGKILL)  # it is there still, so nobody waited for it


def test_a_child_goes_on_by_itself_until_it_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "trap 'echo ended; exit 7' TERM; echo started; while :; do sleep 0.05; done"

    child = process.start(["sh", "-c", script], log=log)
    wait_until(lambda: log.read_text() == "started\n")

    assert (child.poll(), child.end(60.0)) == (None, 7)
    assert log.read_text().splitlines()[-1] == "ended"


def test_a_deaf_child_is_killed_with_all_it_started(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    child = process.start(["sh", "-c", f"trap '' TERM; sh -c 'sleep 300; : {mark}' & sleep 300"], log=tmp_path / "log")
    wait_until(lambda: processes_naming(mark) != [])

    assert child.wait(0.01) is None
    assert child.end(0.1) == -9
    wait_until(lambda: processes_naming(mark) == [])


def test_a_child_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="process: cannot run no-such-program: No such file or directory"):
        process.start(["no-such-program"], log=tmp_path / "log")


def test_a_program_has_the_environment_that_it_is_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THIS_PROCESS", "1")

    added = process.run(["/usr/bin/env"], timeout_s=60, env={"ADDED": "2"})
    whole = process.run(["/usr/bin/env"], timeout_s=60, env={"ADDED": "2"}, environ={"GIVEN": "3", "ADDED": "1"})

    assert {"OF_THIS_PROCESS=1", "ADDED=2"} <= set(added.stdout.splitlines())
    assert sorted(whole.stdout.splitlines()) == ["ADDED=2", "GIVEN=3"]


def test_what_a_program_makes_can_be_its_users_alone(tmp_path: Path) -> None:
    process.run(["touch", "secret"], timeout_s=60, cwd=tmp_path, umask=0o077)

    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_program_is_heard_through_a_terminal_of_its_own_or_through_a_pipe(is_terminal: bool) -> None:
    heard, spoken = os.openpty() if is_terminal else os.pipe()
    code = "import os, sys; print(sys.stdout.isatty(), os.getsid(0) == os.getpid(), flush=True)"

    child = process.start_heard([sys.executable, "-c", code], spoken, is_terminal=is_terminal)

    assert child.wait(240) == 0
    assert os.read(heard, 100).decode().split() == [str(is_terminal), "True"]
    for number in (heard, spoken):
        os.close(number)


def test_a_program_that_there_is_not_cannot_be_heard() -> None:
    with pytest.raises(process.ToolMissingError):
        process.start_heard(["/nowhere/program"], 1, is_terminal=False)


def test_a_program_apart_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    """It was stopped, or hangs; whoever has something to say goes on, and starts another one."""
    deaf = process.start_apart(
        [sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "log", cwd=tmp_path, env={}
    )
    try:
        assert deaf.first_line(0.0) == b""
        assert not all(deaf.say(b"x" * 1023 + b"\n") for _ in range(2048))
    finally:
        deaf.end()


def test_a_program_that_takes_its_time_to_end_loses_it_once_somebody_is_in_a_hurry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "GRACE_S", 0.1)
    asked: list[bool] = []

    with pytest.raises(process.ToolCancelledError):
        process.run(
            ["sh", "-c", "trap '' INT; sleep 600; sleep 600"],
            timeout_s=600,
            cancel=lambda: True,
            grace_s=600,
            hurry=lambda: asked.append(True) or len(asked) > 2,  # type: ignore[func-returns-value]
        )

    assert len(asked) == 3, "it is asked until it says yes"


def test_nobody_waits_for_a_first_line_once_that_is_cancelled(tmp_path: Path) -> None:
    deaf = process.start_apart(
        [sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "log", cwd=tmp_path, env={}
    )
    try:
        assert deaf.first_line(600.0, lambda: True) == b""
    finally:
        deaf.end()
