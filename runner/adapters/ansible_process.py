"""Ansible in a process of its own: ``python -m runner.adapters.ansible_process FOLDER``.

ansible-runner gives Ansible the environment of the process that it is called in, and takes nothing out of it. So this
process is given Ansible's environment and nothing else. It also sees when the runner is gone, however it ended, and
then ends Ansible with all that it has started: nobody would wait for it, or read what it says.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner.world import RealWorld, World

ORDER = "order.json"
"""File of the folder that says what to play; a caller writes it."""
CONTROL = "cp"
"""Folder of the connection masters' sockets; short, because a socket's path may have 100 characters."""
ENDED = "ended"
"""Name of the last event: how Ansible has ended."""
EVENTS = ("playbook_on_task_start", "runner_on_ok", "runner_on_failed", "runner_on_unreachable")
FIELDS = ("task", "task_action", "ignore_errors", "res")
IDLE_S = 1800
"""How long Ansible may say nothing."""
LOOK_S = 1
"""How often ansible-runner asks whether to go on."""


def main(folder: Path, world: World) -> None:
    """Play what the order in the folder says; print each event as a line of JSON, how it has ended as the last one."""
    import ansible_runner

    order = json.loads((folder / ORDER).read_bytes())
    interrupts: list[str] = []
    world.on_signals({signal.SIGINT: lambda: interrupts.append("stop")})

    def is_over() -> bool:
        if not interrupts and os.getppid() == order["runner"]:
            return False
        end_all_of(folder)
        return True

    outcome = ansible_runner.run(
        private_data_dir=str(folder),
        **order["play"],
        settings={"idle_timeout": IDLE_S, "pexpect_timeout": LOOK_S, "suppress_ansible_output": True},
        event_handler=_print_event,
        cancel_callback=is_over,
        suppress_env_files=True,
        quiet=True,
    )
    if is_over() and os.getppid() != order["runner"]:  # asked once more, for what was starting meanwhile
        world.disk.remove_tree(folder)  # its owner is gone
        return
    _print({"event": ENDED, "status": outcome.status, "rc": outcome.rc})


def end_all_of(folder: Path) -> None:
    """End every process that was started for the play of a folder; Ansible's workers have sessions of their own."""
    _end(lambda process: _is_inside(folder, process.environ()) or _is_master(folder, process.cmdline()))


def end_masters_of(folder: Path) -> None:
    """End the connection masters of a folder's play; they outlive Ansible by design."""
    _end(lambda process: _is_master(folder, process.cmdline()))


def _end(is_meant: Callable[[Any], bool]) -> None:
    import psutil

    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and is_meant(process):
                process.kill()
        except psutil.Error:  # it is gone, or somebody else's
            continue


def _is_inside(folder: Path, environ: Mapping[str, str]) -> bool:
    return any(value == str(folder) or value.startswith(f"{folder}{os.sep}") for value in environ.values())


def _is_master(folder: Path, words: list[str]) -> bool:
    return any(f"{folder}{os.sep}{CONTROL}" in word for word in words)


def _print_event(event: Mapping[str, Any]) -> None:
    if event.get("event") in EVENTS:
        data = event.get("event_data", {})
        _print({"event": event["event"], "event_data": {name: data[name] for name in FIELDS if name in data}})


def _print(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), RealWorld())
