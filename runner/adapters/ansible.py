"""Ansible, by ansible-runner: a fresh folder for each run, live progress, and nothing left when it is cut short."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.adapters.process import Cancel, OnLine
from runner.errors import PlaybookFailedError, RunInterruptedError
from runner.run.run_dir import PROJECT
from runner.world import World

ALIVE_S = 5
CONTROL = "douse-cp"
"""Folder of the connection masters' sockets; short, because a socket's path may have 100 characters."""
SECRET_VARIABLES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
"""How variables end that no playbook needs: ansible-runner writes its whole environment into a file."""
SSH_ARGS = f"-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval={ALIVE_S} -o ServerAliveCountMax=3"
"""A master without keepalive hangs for minutes on a dead connection."""


class PlaybookRun:
    """Result of a playbook: how many tasks ran and how many changed something."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.tasks = 0
        self.changed = 0
        self.failure: str | None = None
        self.failed_task: str | None = None

    def read_event(self, event: Mapping[str, Any], on_progress: OnLine | None) -> None:
        """Take one of ansible-runner's events."""
        data, kind = event.get("event_data", {}), event.get("event")
        if kind == "playbook_on_task_start" and on_progress is not None:
            on_progress(str(data.get("task", "")))
        elif kind == "runner_on_ok":
            self.tasks += 1
            self.changed += bool(data.get("res", {}).get("changed"))
        elif kind == "runner_on_unreachable" or (kind == "runner_on_failed" and not data.get("ignore_errors")):
            self.failed_task = str(data.get("task", "?"))
            self.failure = _words(data.get("res", {}))


def run_playbook(
    playbook: str,
    *,
    inventory: Mapping[str, Any],
    environment: str,
    variables: Mapping[str, Any],
    log: Path,
    world: World,
    on_progress: OnLine | None = None,
    cancel: Cancel | None = None,
    tags: Sequence[str] = (),
) -> PlaybookRun:
    """Run a playbook of ``playbooks/`` to its end.

    Args:
        playbook: File name.
        inventory: The run's own host, as an Ansible inventory mapping.
        environment: Folder of ``inventories/`` with what all hosts of the environment share.
        variables: The roles' inputs.
        log: File that gets Ansible's own output.
        world: Its environment variables, without secrets, are Ansible's.
        on_progress: Called with the name of each task.
        cancel: Asked between events; when it says yes, Ansible and all it started are ended.
        tags: Run only what has one of these tags; none runs all.

    Raises:
        PlaybookFailedError: If a task failed or the machine was unreachable.
        RunInterruptedError: If ``cancel`` said yes.
    """
    import ansible_runner

    result = PlaybookRun()
    with world.scratch("douse-") as folder:
        stop = _stopper(cancel, str(folder))
        outcome = ansible_runner.run(
            private_data_dir=str(folder),
            project_dir=str(PROJECT / "playbooks"),
            playbook=playbook,
            inventory=[str(_write_inventory(folder, inventory)), str(PROJECT / "inventories" / environment)],
            extravars=_as_data(variables),
            envvars=_environment(folder, world.environ),
            settings={"idle_timeout": 1800, "suppress_ansible_output": True},
            event_handler=lambda event: result.read_event(event, on_progress),
            cancel_callback=stop,
            tags=",".join(tags) or None,
            suppress_env_files=True,
            quiet=True,
        )
        printed = _keep_output(folder / "artifacts", log)
        _end_ssh_masters(str(folder))
    if outcome.status == "canceled":
        raise RunInterruptedError("configure: stopped on request", resolution="continue with `make resume`")
    if outcome.status != "successful":
        task = result.failed_task or "before the first task"
        words = result.failure or _errors(printed) or f"ansible exited with status {outcome.status} (rc {outcome.rc})"
        raise PlaybookFailedError(
            f"configure: {playbook}: task '{task}' failed: {words.splitlines()[0][:300]}",
            details=words,
            resolution="see Ansible's own output with `make logs`, fix the cause, then run `make resume`",
        )
    return result


def _write_inventory(folder: Path, inventory: Mapping[str, Any]) -> Path:
    path = folder / "hosts.json"
    path.write_text(json.dumps(_as_data(inventory)), encoding="utf-8")
    return path


def _as_data(value: Any) -> Any:
    """Return values with each text marked for Ansible as one that it never renders.

    Ansible takes what stands in an inventory and in extra variables for templates of the user's own, and renders them
    on this machine. Ours are data, and the machine chose some of them: its home folder, its interpreter.
    """
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {key: _as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_data(item) for item in value]
    return value


def _environment(folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return settings for this run alone; programs of our own environment come first."""
    control = folder / CONTROL
    control.mkdir()
    secrets = {name: "" for name in inherited if name.endswith(SECRET_VARIABLES)}
    return secrets | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), inherited.get("PATH", os.defpath))),
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner switches it off where nobody says so
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "ANSIBLE_SSH_ARGS": SSH_ARGS,
        "ANSIBLE_NOCOLOR": "1",
    }


def _stopper(cancel: Cancel | None, folder: str) -> Callable[[], bool]:
    """Return ansible-runner's cancel question. Ansible's workers have sessions of their own: end them as well."""

    def asked() -> bool:
        if cancel is None or not cancel():
            return False
        _end_descendants(folder)
        return True

    return asked


def _end_descendants(folder: str) -> None:
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            if any(value == folder or value.startswith(folder + os.sep) for value in child.environ().values()):
                child.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def _end_ssh_masters(folder: str) -> None:
    """End the connection masters of this run; they outlive Ansible by design."""
    import psutil

    for entry in psutil.process_iter(["cmdline"]):
        words = entry.info["cmdline"] or []
        if any(f"{folder}{os.sep}{CONTROL}" in word for word in words):
            try:
                entry.kill()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue


def _keep_output(artifacts: Path, log: Path) -> str:
    """Add what Ansible printed to the log, and return it; the folder it lies in goes with the run."""
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(artifacts.glob("*/stdout")))
    with log.open("a", encoding="utf-8") as file:
        file.write(text or "(Ansible printed nothing)\n")
    return text


def _errors(printed: str) -> str:
    """Return Ansible's output from its first error on: a playbook it cannot read makes no event."""
    start = printed.find("[ERROR]: ")
    return "" if start < 0 else printed[start + len("[ERROR]: ") :].strip()


def _words(result: Mapping[str, Any]) -> str:
    parts = [str(result.get(key, "")).strip() for key in ("msg", "stderr", "stdout")]
    return "\n".join(part for part in parts if part) or "no message"
