"""Have TensorBoard run on this machine's loopback: ``keep_tensorboard.py STATE_FOLDER LOG_FOLDER PORT``.

Runs with the trainer's Python. Prints ``started``, or ``unchanged`` when one runs already with the same settings.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_S = 60.0


def main() -> int:
    """Start it unless it runs; what runs with other settings is ended first."""
    folder, logs, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    argv = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--load_fast", "false"]  # else a second program listens and has to be ended as well
    state = folder / "tensorboard.json"
    pid = running(state)
    if pid is not None and command_of(pid) == argv:
        print("unchanged")
        return 0
    if pid is not None:
        end(state, pid)
    if answers(port):
        print(f"port {port} is taken by another program; choose another with monitoring_port", file=sys.stderr)
        return 1
    with (folder / "tensorboard.log").open("ab") as log:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    state.write_text(json.dumps({"pid": child.pid}))
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and child.poll() is None:
        if answers(port):
            child.returncode = 0  # it is nobody's child from here on
            print("started")
            return 0
        time.sleep(0.1)
    child.kill()
    print(f"TensorBoard did not start; see {folder / 'tensorboard.log'}", file=sys.stderr)
    return 1


def running(state: Path) -> int | None:
    """Return the process number of the one that was started last, if that still is TensorBoard."""
    try:
        pid = int(json.loads(state.read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None
    return pid if "tensorboard.main" in command_of(pid) else None


def command_of(pid: int) -> list[str]:
    """Return a process's command line; none where there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def end(state: Path, pid: int) -> None:
    """End a process and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(50):
            if running(state) is None:
                return
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            time.sleep(0.1)


def answers(port: int) -> bool:
    """Return whether something listens on a port of the loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
