"""What is read from the environment's variables to open an account: keys, from a variable or a file, and seconds."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from runner.errors import AccountError, UsageError

Environ = Mapping[str, str]


class NotConfiguredError(AccountError):
    """Nothing in the environment names an account on this cloud."""


def secret(environ: Environ, name: str, cloud: str) -> str:
    """Return a key from a variable, or from the file that ``<name>_FILE`` names.

    Raises:
        NotConfiguredError: If neither is set.
        AccountError: If the file cannot be read, or is empty.
    """
    if environ.get(name, "").strip():
        return environ[name].strip()
    path = environ.get(f"{name}_FILE", "").strip()
    if not path:
        raise NotConfiguredError(
            f"{cloud}: there is no API key", resolution=f"set {name}, or {name}_FILE to a file that holds the key"
        )
    try:
        key = in_home(environ, path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise AccountError(
            f"{cloud}: cannot read the API key from {path}", details=str(err), resolution=f"check {name}_FILE"
        ) from err
    if not key:
        raise AccountError(f"{cloud}: {path} is empty", resolution=f"put the API key into it, or set {name}")
    return key


def in_home(environ: Environ, path: str) -> Path:
    """Return a path whose leading ``~`` is the home folder that the environment names, else the account's own.

    A scheduled sweep may run without HOME; it must see the same accounts as its user does.
    """
    if path == "~" or path.startswith("~/"):
        return Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir) / path[2:]
    return Path(path)


def seconds(environ: Environ, name: str, default: float) -> float:
    """Return the seconds that a variable gives, or the default.

    Raises:
        UsageError: If it gives no number between 0 and 60.
    """
    value = environ.get(name, "").strip()
    try:
        found = float(value) if value else default
    except ValueError:
        found = -1.0
    if not 0 <= found <= 60:
        raise UsageError(f"{name} is {value}, not between 0 and 60 seconds", resolution=f"set {name}, or leave it out")
    return found


def text(path: Path) -> str:
    """Return the text of a file, empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
