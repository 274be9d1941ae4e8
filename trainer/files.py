"""Files written so that they are whole or absent, known by their SHA-256, and where shared ones are kept."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import Any

SECRET_MODE = 0o600  # its user's alone
_WORDS = {True: "true", False: "false", None: "null"}


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder that runs share on this machine: ``DOUSE_CACHE``, else ``douse`` in the user's cache.

    Args:
        environ: The environment variables; this process's by default.
    """
    given = os.environ if environ is None else environ
    if given.get("DOUSE_CACHE"):
        return Path(given["DOUSE_CACHE"]).expanduser().resolve()
    base = given.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "douse").resolve()


def sha256_of_file(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_unchanged(path: Path) -> str:
    """Return the file's SHA-256, which is computed once as long as its size and the time of its change stay."""
    found = path.stat()
    return _sha256_once(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256_once(path: Path, size_bytes: int, changed_ns: int) -> str:  # noqa: ARG001 - they say whether it is the same
    return sha256_of_file(path)


def write_atomically(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file so that it is whole or absent, also after a power cut.

    Args:
        path: The file.
        content: All of it.
        mode: Its permission bits, set before there is anything in it; ``None`` for what the process gives.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: object) -> None:
    """Write plain data as indented JSON, whole or not at all."""
    write_atomically(path, indented(value).encode() + b"\n")


def indented(value: object) -> str:
    """Return plain data as ``json.dumps(value, indent=2, ensure_ascii=False)`` has it, some three times as fast.

    With an indent Python's own encoder goes through each value in Python, piece by piece.
    """
    return _indented(value, "\n")


def _indented(value: Any, margin: str) -> str:
    kind = type(value)
    if kind is str:
        return quoted(value)
    if value is None or kind is bool:
        return _WORDS[value]
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    inner = margin + "  "
    if kind is dict and value and set(map(type, value)) == {str}:
        rows = [
            f"{quoted(name)}: {quoted(one) if type(one) is str else _indented(one, inner)}"
            for name, one in value.items()
        ]
        return f"{{{inner}{f',{inner}'.join(rows)}{margin}}}"
    if (kind is list or kind is tuple) and value:
        return f"[{inner}{f',{inner}'.join([_indented(one, inner) for one in value])}{margin}]"
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", margin)  # empty, odd, or refused


class NotAnObjectError(ValueError):
    """A text is JSON, and not an object."""


def parse_object(content: bytes | str) -> dict[str, Any]:
    """Return the mapping that a JSON text holds.

    Raises:
        NotAnObjectError: If it holds something else.
        ValueError: If it is cut off, no JSON, or nested more deeply than Python reads.
    """
    try:
        if isinstance(content, bytes) and content[:1] == b"{" and content[1:2] != b"\0":
            content = content.decode("utf-8", "surrogatepass")  # as JSON's own look for the encoding would find out
        value = json.loads(content)
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err
    if not isinstance(value, dict):
        raise NotAnObjectError("it is not a JSON object")
    return value


def object_or_none(content: bytes | str) -> dict[str, Any] | None:
    """Return the mapping that a JSON text holds, or ``None`` for any other text: what a killed writer leaves, say."""
    try:
        return parse_object(content)
    except ValueError:
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON file's mapping, or ``None`` if it is missing or broken."""
    try:
        return object_or_none(path.read_bytes())
    except FileNotFoundError:
        return None
