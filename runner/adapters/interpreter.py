"""The interpreter of a machine: the one that makes the environment there."""

from __future__ import annotations

from runner.adapters.machine import LocalMachine, Machine
from runner.adapters.packages import python_with_pip
from runner.errors import PlaybookFailedError
from runner.run.host_words import checked_path

FIND_PYTHON = """for python in python3 python3.11 python3.12 python3.13 python3.14; do
"$python" -c 'import sys, venv; sys.exit(print(sys.executable) if sys.version_info >= (3, 11) else 1)' && exit
done 2>/dev/null"""
FIND_ANY_PYTHON = f"{FIND_PYTHON}; command -v python3"
"""A rented machine need not have the Python that trains, only one that Ansible speaks to: uv brings the other."""


def find_python(machine: Machine, *, any_will_do: bool) -> str:
    """Return an interpreter of the machine that can make the environment.

    Args:
        machine: The machine.
        any_will_do: Whether one that is too old to train with is better than none.

    Raises:
        PlaybookFailedError: If there is none that is new enough.
        HostWordsError: If its path is no plain one: it goes into Ansible's inventory.
    """
    if isinstance(machine, LocalMachine):
        return python_with_pip()
    done = machine.run(["sh", "-c", FIND_ANY_PYTHON if any_will_do else FIND_PYTHON], timeout_s=60)
    lines = done.stdout.split("\n")
    found = [line for line in map(str.strip, lines) if line]  # a login script may print lines of its own before
    if not found:
        raise PlaybookFailedError(
            f"configure: {machine.name} has no Python 3.11 or newer with venv",
            details=done.last_words or None,
            resolution="install one there (Debian, Ubuntu: sudo apt-get install python3-venv python3-pip)",
        )
    return checked_path(found[-1], "path of Python")
