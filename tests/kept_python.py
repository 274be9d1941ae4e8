"""An interpreter for the tasks of playbooks: it compiles once what Ansible sends with each of them, as boxes do."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from runner.adapters.packages import python_with_pip
from runner.emulation.boxes.guest import kept_bytecode

START = """import os
import kept_bytecode
del os.environ["PYTHONPATH"]  # it is for this start alone
kept_bytecode.FOLDER = {folder!r}
kept_bytecode.install()
"""
HOMES: list[tempfile.TemporaryDirectory[str]] = []
"""They go with the process."""


@cache
def kept_python() -> str:
    """Return a program that is this machine's Python with pip in everything else."""
    HOMES.append(tempfile.TemporaryDirectory(prefix="kept-python-"))
    home = Path(HOMES[-1].name)
    shutil.copyfile(kept_bytecode.__file__, home / "kept_bytecode.py")
    (home / "sitecustomize.py").write_text(START.format(folder=str(home)))
    program = home / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={home} exec {python_with_pip()} "$@"\n')
    program.chmod(0o755)
    return str(program)
