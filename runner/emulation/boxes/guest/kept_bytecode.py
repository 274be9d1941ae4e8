"""Keeps the bytecode of what Python imports from a zip file. Runs in the box, in each start of its own Python.

Ansible sends the code of each task in a zip file, half a megabyte of source that is the same in all of them, and Python
keeps bytecode only of files that lie in folders: it compiled the same sixty modules for each task, and each of them
twice, for it asks the file's name of the same function.
"""

# Without pathlib, which each start of Python would import for it:
# ruff: noqa: PTH105, PTH118, PTH119, PTH123

from __future__ import annotations

import _imp
import marshal
import os
import zipimport
from types import CodeType

FOLDER = "/var/cache/rehearsal-bytecode"
KEY = 0x646F757365
compile_source = zipimport._compile_source  # type: ignore[attr-defined]


def kept(pathname: str, source: bytes) -> CodeType:
    """Return the code of a module's source, from the last time that this user compiled it if there was one."""
    name = f"{os.geteuid()}-{len(source)}-{_imp.source_hash(KEY, source).hex()}-{os.path.basename(pathname)}"
    path = os.path.join(FOLDER, name)
    try:
        with open(path, "rb") as file:
            code: CodeType = marshal.load(file)  # noqa: S302 - this user's own
    except (OSError, EOFError, ValueError, TypeError):
        code = compile_source(pathname, source)
        keep(path, code)
    return code


def keep(path: str, code: CodeType) -> None:
    """Keep code for the next task; where nothing can be written, it is compiled again."""
    part = f"{path}.{os.getpid()}"
    try:
        with open(part, "wb") as file:
            marshal.dump(code, file)
        os.replace(part, path)
    except OSError:
        return


def install() -> None:
    """Let this process keep what it compiles of zip files."""
    zipimport._compile_source = kept  # type: ignore[attr-defined]
