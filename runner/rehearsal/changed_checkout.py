"""A checkout whose locks have changed, without a package index: how ``make`` gives a verb there.

It is a copy, so that nothing changes in the checkout that rehearses. Its environment stands, as an earlier set-up left
it: it is that of the rehearsal itself.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.bootstrap import STAMP, TARGETS
from runner.run.run_dir import PROJECT

NAME = "changed-checkout"
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "runs", "rehearsals", "build", "dist")
OFFLINE: Mapping[str, str] = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
"""What leaves pip and uv without anything to install from."""


def make_changed_checkout(folder: Path) -> Path:
    """Return a copy of this checkout in a folder, with other locks than its environment was made from."""
    checkout = folder / NAME
    if checkout.exists():
        return checkout
    shutil.copytree(PROJECT, checkout, ignore=LEFT_OUT, symlinks=True)
    target = TARGETS["control"]
    with (checkout / target.lock).open("a", encoding="utf-8") as lock:
        lock.write("# changed since the environment was made\n")
    venv = checkout / target.venv
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != STAMP:
            (venv / entry.name).symlink_to(entry)
    (venv / STAMP).write_text(json.dumps({"lock_sha256": "that of the lock before"}), encoding="utf-8")
    return checkout


def as_make_gives_it(program: str, words: Sequence[str]) -> list[str]:
    """Return the command by which ``make`` gives a verb that terminates; its folder is the checkout."""
    return [sys.executable, "-m", "runner.bootstrap", "control", "--standing", "--then", "-m", program, *words]
