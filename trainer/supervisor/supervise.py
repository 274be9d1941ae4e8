"""The trainer's parent process on the machine: starts it detached, watches it, stops it, reports how it ended.

Whoever launched the trainer may go away: the supervisor lives in a session of its own with its streams in files.
Its word is in three files of the output folder: ``supervisor.json`` (who runs), ``heartbeat`` (that it runs) and
``exit.json`` (how it ended). It imports no torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from trainer.beat import STACKS
from trainer.errors import EXIT_FAILED, EXIT_INTERRUPTED, TrainerError
from trainer.files import read_json, write_json
from trainer.supervisor.after_shortage import Start, has_less_to_try, look
from trainer.supervisor.outbox import LAST_WORDS_S
from trainer.supervisor.stall import Stall, StallWatch, is_paused, report_stall
from trainer.supervisor.status import Status, read_status, signal_process
from trainer.surroundings import for_training

HEARTBEAT_INTERVAL_S = 2.0
LIMIT_GRACE_S = 300.0
"""How long the trainer may take for its last checkpoint at the limit of hours, before it is killed."""
START_TIMEOUT_S = 20.0
RESTART_S = 30.0
STACKS_S = 5.0
"""How long a trainer that stands still has for the stacks of its threads, before it is killed."""
HELPER_S = 5.0
"""How long what asks a driver or a service has for its end: one that hangs keeps nothing."""
POLL_S = 0.05


def start(
    config: Path,
    output: Path,
    *,
    resume: bool,
    max_hours: float | None,
    secrets: Path | None = None,
    store: Path | None = None,
    metadata_url: str | None = None,
) -> Status:
    """Start the trainer detached from this process and return once it runs.

    Of this process's environment it gets what training needs (``trainer/surroundings.py``): on the user's own machine
    that is the user's whole shell, with the keys of clouds.

    Args:
        config: The recipe.
        output: The run's output folder.
        resume: Go on from the newest complete checkpoint.
        max_hours: Stop with a checkpoint after so many hours, or ``None``.
        secrets: JSON file of variables (tokens) that the trainer's environment gets; it is removed once read.
        store: JSON file that says which store takes the checkpoints as they are made, or ``None``.
        metadata_url: Address of the metadata service that says when this machine is reclaimed, or ``None``.

    Raises:
        TrainerError: If one is running in this output folder already, or the supervisor does not come up.
    """
    environment = for_training(os.environ) | _take_secrets(secrets)
    output.mkdir(parents=True, exist_ok=True)
    if read_status(output).state == "running":
        raise TrainerError(
            f"supervise: a trainer is running in {output} already",
            resolution="stop it with `make down`, or follow it with `make watch`",
        )
    for name in ("supervisor.json", "exit.json"):
        (output / name).unlink(missing_ok=True)
    command = _supervisor_command(
        config, output, resume=resume, max_hours=max_hours, store=store, metadata_url=metadata_url
    )
    with (output / "trainer.log").open("ab") as log:
        process = subprocess.Popen(  # the session outlives whoever started it
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            env=environment,
        )
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if (output / "supervisor.json").exists():
            process.returncode = 0  # it is nobody's child from here on: keep Popen from warning about it
            return read_status(output)
        if process.poll() is not None:
            break
        time.sleep(POLL_S)
    raise TrainerError(f"supervise: the trainer did not start in {output}", resolution=f"read {output}/trainer.log")


def run(
    config: Path,
    output: Path,
    *,
    resume: bool,
    max_hours: float | None,
    store: Path | None = None,
    metadata_url: str | None = None,
) -> int:
    """Be the supervisor: start the trainer, wait for its end, write it down. Returns the trainer's exit status.

    A trainer that ended for lack of memory is started again, from its newest checkpoint, as long as there is something
    that it can use less of; one whose loop stood still and that was killed for it, once. With a store, its outbox works
    beside the trainer, and has ``LAST_WORDS_S`` after its end; where NVML can be asked, so does the log of the GPUs.
    Where a metadata service tells of a reclaim, the process that hears it asks for the end, as any signal does.
    """
    outbox = None if store is None else _Helper("outbox", output, "--store", str(store))
    gpu_log = _Helper("gpu-log", output) if find_spec("pynvml") else None
    notice = None if metadata_url is None else _Helper("spot-notice", output, "--metadata-url", metadata_url)
    helpers = [helper for helper in (outbox, gpu_log, notice) if helper is not None]
    watch = _TrainerWatch(output, max_hours, helpers)
    start = look(output)
    code = watch.run(_trainer_command(config, output, resume=resume))
    while (why := _why_again(config, output, code, start, watch)) is not None:
        if watch.asked_to_stop:
            code = EXIT_INTERRUPTED
            break
        print(f"supervise: {why}", flush=True)
        start = look(output)
        code = watch.run(_trainer_command(config, output, resume=True))
    _write_exit(output, code)
    for helper in (gpu_log, notice):
        if helper is not None:
            helper.end(HELPER_S)
    if outbox is not None:  # what the store does not take in time is left to the lease
        outbox.end(2 * LAST_WORDS_S)
    return _shell_code(code)


def _why_again(config: Path, output: Path, code: int, start: Start, watch: _TrainerWatch) -> str | None:
    """Return why the trainer is started again, or ``None`` where its end is that of the run."""
    if watch.stall is not None:
        goes_on = report_stall(output, watch.stall, watch.stalls)
        return "the trainer stood still; starting it again" if goes_on else None
    has_less = has_less_to_try(config, output, code, start)
    return "out of memory; starting the trainer again with less" if has_less else None


class _Helper:
    """Keeps a process beside the trainer going; training does without it."""

    def __init__(self, verb: str, output: Path, *more: str) -> None:
        """Start it, by its verb of ``trainer supervise``."""
        self._command = [sys.executable, "-m", "trainer", "supervise", verb, "--output", str(output), *more]
        self._process = self._start()

    def look(self) -> None:
        """Start it again if it has failed, once in ``RESTART_S``; one that ended well has nothing to do here."""
        if self._process.poll() and time.monotonic() > self._started_s + RESTART_S:
            self._process = self._start()

    def end(self, timeout_s: float) -> None:
        """Let it finish what it is at for so long."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        self._started_s = time.monotonic()
        return subprocess.Popen(self._command, stdin=subprocess.PIPE)


class _TrainerWatch:
    """Watches one trainer after the other: their signals, the run's hours, the heartbeat, whether they move on.

    Attributes:
        asked_to_stop: Whether a signal or the limit of hours asked for the end.
        stall: For what the last trainer was killed, if it stood still.
        stalls: How many have stood still.
    """

    def __init__(self, output: Path, max_hours: float | None, helpers: Sequence[_Helper] = ()) -> None:
        """Begin the run's hours, and take the signals of this process."""
        self.asked_to_stop = self._is_over = False
        self._helpers = helpers
        self._pace = StallWatch(output)
        self.stall: Stall | None = None
        self.stalls = 0
        self._output, self._max_hours = output, max_hours
        self._deadline_s = None if max_hours is None else time.monotonic() + max_hours * 3600
        self._trainer: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._pass_on)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def run(self, command: list[str]) -> int:
        """Start a trainer and return its exit status, once it has one; negative for a signal."""
        self._pace.begin()
        self.stall = None
        self._trainer = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        if self.asked_to_stop:  # a signal between two trainers
            self._trainer.send_signal(signal.SIGTERM)
        _write_who_runs(self._output, self._trainer.pid)
        while True:
            (self._output / "heartbeat").touch()
            for helper in self._helpers:
                helper.look()
            try:
                code = self._trainer.wait(timeout=HEARTBEAT_INTERVAL_S)
                return code if self.stall is None else EXIT_FAILED
            except subprocess.TimeoutExpired:
                self._look(self._trainer)

    def _look(self, trainer: subprocess.Popen[bytes]) -> None:
        now_s = time.monotonic()
        stall = self._pace.look(now_s, paused=is_paused(trainer.pid))
        if self._deadline_s is not None and now_s > self._deadline_s:
            self._end(trainer)
        elif stall is not None and self.stall is None:
            self._end_stalled(trainer, stall)

    def _end_stalled(self, trainer: subprocess.Popen[bytes], stall: Stall) -> None:
        """Let a trainer whose loop stands still write down where, and kill it: it hears nothing else."""
        self.stall, self.stalls = stall, self.stalls + 1
        print(f"supervise: {stall.words}; where its threads are:", flush=True)
        trainer.send_signal(STACKS)
        with suppress(subprocess.TimeoutExpired):
            trainer.wait(timeout=STACKS_S)
        trainer.kill()

    def _end(self, trainer: subprocess.Popen[bytes]) -> None:
        """Stop the trainer at the limit of hours; kill one that does not stop within its grace."""
        if self._is_over:  # a trainer that hangs hears no signal that it could hear
            print(f"supervise: the trainer did not stop within {LIMIT_GRACE_S:.0f} s; killing it", flush=True)
            trainer.kill()
            return
        self._is_over = self.asked_to_stop = True
        self._deadline_s = time.monotonic() + LIMIT_GRACE_S
        print(f"supervise: the limit of {self._max_hours} hours is reached; stopping with a checkpoint", flush=True)
        trainer.send_signal(signal.SIGTERM)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.asked_to_stop = True
        if self._trainer is not None:
            self._trainer.send_signal(number)


def stop(output: Path, *, timeout_s: float, now: bool) -> Status:
    """Stop the trainer: orderly with a checkpoint, or at once. Does nothing where none runs.

    Args:
        output: The run's output folder.
        timeout_s: How long the trainer may take for its checkpoint before it is killed.
        now: Kill it at once, without a checkpoint.
    """
    who = read_json(output / "supervisor.json")
    if who is None or read_status(output).state != "running":
        return read_status(output)
    if not now:
        asked: int | None = None
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if asked != who["trainer_pid"]:  # out of memory just now, it may have been started anew
                signal_process(who["trainer_pid"], who["trainer_started"], signal.SIGTERM)
                asked = who["trainer_pid"]
            if read_status(output).state != "running":
                return read_status(output)
            time.sleep(POLL_S)
            who = read_json(output / "supervisor.json") or who
    for role in ("supervisor", "trainer"):
        signal_process(who[f"{role}_pid"], who[f"{role}_started"], signal.SIGKILL)
    _write_exit(output, -signal.SIGKILL)
    return read_status(output)


def _take_secrets(path: Path | None) -> dict[str, str]:
    """Return the variables in a file, and remove it: from here on they are in the trainer's environment alone."""
    if path is None:
        return {}
    values: dict[str, Any] | None = read_json(path)
    path.unlink(missing_ok=True)
    if values is None:
        raise TrainerError(f"supervise: there is no file {path}", resolution="run `make launch` again")
    return {str(name): str(value) for name, value in values.items()}


def _supervisor_command(
    config: Path, output: Path, *, resume: bool, max_hours: float | None, store: Path | None, metadata_url: str | None
) -> list[str]:
    command = [sys.executable, "-m", "trainer", "supervise", "run", "--config", str(config), "--output", str(output)]
    command += ["--resume"] if resume else []
    command += [] if store is None else ["--store", str(store)]
    command += [] if metadata_url is None else ["--metadata-url", metadata_url]
    return command + ([] if max_hours is None else ["--max-hours", str(max_hours)])


def _trainer_command(config: Path, output: Path, *, resume: bool) -> list[str]:
    command = [sys.executable, "-m", "trainer", "train", "--config", str(config), "--output", str(output)]
    return command + (["--resume"] if resume else [])


def _write_who_runs(output: Path, trainer_pid: int) -> None:
    who = {
        "supervisor_pid": os.getpid(),
        "supervisor_started": psutil.Process().create_time(),
        "trainer_pid": trainer_pid,
        "trainer_started": psutil.Process(trainer_pid).create_time(),
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    write_json(output / "supervisor.json", who)


def _write_exit(output: Path, code: int) -> None:
    ended = {
        "exit_code": _shell_code(code),
        "signal": -code if code < 0 else None,
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    write_json(output / "exit.json", ended)


def _shell_code(code: int) -> int:
    """Return an exit status as a shell reports it: 128 + the number of the signal that ended the process."""
    return 128 - code if code < 0 else code
