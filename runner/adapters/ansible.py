"""Ansible, by ansible-runner: a fresh folder for each play, live progress, and nothing left when it is cut short."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.adapters import ansible_process, process
from runner.adapters.ansible_process import CONTROL, ENDED, ORDER, end_all_of, end_masters_of
from runner.adapters.process import Cancel, OnLine, ToolCancelledError
from runner.adapters.surroundings import for_ansible
from runner.errors import PlaybookFailedError, RunInterruptedError
from runner.run.run_dir import PROJECT, write_json
from runner.world import World
from trainer.files import object_or_none

ALIVE_S = 5
CHECKOUT = Path(__file__).resolve().parents[2]
"""Where the code of Ansible's process is."""
LONGEST_S = 12 * 3600.0
"""How long a play may take; one that says nothing ends long before (``ansible_process.IDLE_S``)."""
SSH_ARGS = f"-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval={ALIVE_S} -o ServerAliveCountMax=3"
"""A master without keepalive hangs for minutes on a dead connection."""
GATHER = "gather_facts"


class PlaybookRun:
    """Result of a playbook: how many tasks ran and how many changed something."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.tasks = 0
        self.changed = 0
        self.status: str | None = None
        self.failure: str | None = None
        self.failed_task: str | None = None

    def read_event(self, event: Mapping[str, Any], on_progress: OnLine | None) -> None:
        """Take one of the events that Ansible's process prints; gathering facts is no task that anybody wrote."""
        data, kind = event.get("event_data", {}), event.get("event")
        if kind == "playbook_on_task_start" and on_progress is not None:
            on_progress(str(data.get("task", "")))
        elif kind == ENDED:
            self.status = str(event.get("status"))
        elif kind == "runner_on_ok" and data.get("task_action") != GATHER:
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
        world: What ``surroundings.for_ansible`` leaves of its environment variables is Ansible's.
        on_progress: Called with the name of each task.
        cancel: Asked several times a second; when it says yes, Ansible and all it started are ended.
        tags: Run only what has one of these tags; none runs all.

    Raises:
        PlaybookFailedError: If a task failed, the machine was unreachable, or no task ran at all.
        RunInterruptedError: If ``cancel`` said yes.
        ToolTimeoutError: If it did not end.
    """
    result = PlaybookRun()
    with world.scratch("douse-") as folder:
        own, shared = folder / "hosts.json", PROJECT / "inventories" / environment
        write_json(own, _as_data(inventory))
        order = {
            "project_dir": str(PROJECT / "playbooks"),
            "playbook": playbook,
            "inventory": [str(own), str(shared)],
            "extravars": _as_data(variables),
            "tags": ",".join(tags) or None,
        }
        write_json(folder / ORDER, {"runner": world.process_id, "play": order})
        try:
            said = _play(folder, result, world, on_progress, cancel)
        finally:
            printed = _keep_output(folder / "artifacts", log)
    if result.status != "successful":
        task = result.failed_task or "before the first task"
        words = result.failure or _errors(printed) or said or f"ansible exited with status {result.status}"
        raise PlaybookFailedError(
            f"configure: {playbook}: task '{task}' failed: {words.splitlines()[0][:300]}",
            details=words,
            resolution="see Ansible's own output with `make logs`, fix the cause, then run `make resume`",
        )
    if result.tasks == 0:
        raise PlaybookFailedError(
            f"configure: {playbook}: Ansible reports success, and no task ran on the machine",
            details=printed or None,
            resolution="see Ansible's own output with `make logs`, fix the cause, then run `make resume`",
        )
    return result


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
    """Return the whole environment of this play: what it needs of the user's, and settings for it alone."""
    control = folder / CONTROL
    control.mkdir()
    return for_ansible(inherited) | {
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner switches it off where nobody says so
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "ANSIBLE_SSH_ARGS": SSH_ARGS,
        "ANSIBLE_NOCOLOR": "1",
    }


def _play(folder: Path, result: PlaybookRun, world: World, on_progress: OnLine | None, cancel: Cancel | None) -> str:
    """Carry out the order in the folder; return what the process said besides its events.

    Raises:
        RunInterruptedError: If ``cancel`` said yes.
        ToolTimeoutError: If it did not end.
    """
    try:
        return process.run(
            [sys.executable, "-m", ansible_process.__name__, str(folder)],
            timeout_s=LONGEST_S,
            cwd=CHECKOUT,
            environ=_environment(folder, world.environ),
            on_line=lambda line: result.read_event(object_or_none(line) or {}, on_progress),
            cancel=cancel,
        ).stderr
    except ToolCancelledError as err:
        raise RunInterruptedError("configure: stopped on request", resolution="continue with `make resume`") from err
    finally:
        if result.status == "successful":
            end_masters_of(folder)
        else:  # it was cut short, and what Ansible has started need not have noticed
            end_all_of(folder)


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
