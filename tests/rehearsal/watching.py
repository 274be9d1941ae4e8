"""Who looks for secrets where none may be: arguments of processes, files that pass, folders that stay."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from runner.emulation.cloud_state import REHEARSAL_KEY

HUB_TOKEN = "hf_ThisMarkerStandsForAHubToken0123"
POD_KEY = "rpa_POD"
"""How the key begins that the emulated RunPod gives to each pod, as RunPod does."""
SECRETS = (REHEARSAL_KEY, HUB_TOKEN, POD_KEY)
ARGUMENTS_EVERY_S = 0.03
FILES_EVERY_S = 0.4
LARGEST_BYTES = 64 << 20


class Watcher:
    """Looks at the arguments of all processes of this machine, and at files that are there for a while only.

    The processes of boxes are processes of this machine too, so both sides of a connection are seen.
    """

    def __init__(self, *places: tuple[Path, str], secrets: Sequence[str] = SECRETS) -> None:
        """Take folders with patterns of the passing files in them, and the secrets to look for."""
        self._places, self._secrets = places, secrets
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.found: set[str] = set()
        self.programs: set[str] = set()
        self.files: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        look_at = 0.0
        while not self._over.wait(ARGUMENTS_EVERY_S):
            self._look_at_arguments()
            if time.monotonic() >= look_at:
                self._look_at_files()
                look_at = time.monotonic() + FILES_EVERY_S

    def _look_at_arguments(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue  # it has ended
            self.programs |= {word.decode(errors="replace").rpartition("/")[2] for word in words.split(b"\0")[:2]}
            self.found |= {f"argv: {words!r}" for secret in self._secrets if secret.encode() in words}

    def _look_at_files(self) -> None:
        for folder, pattern in self._places:
            for path in passing(folder, pattern):
                for file in files_of(path):
                    self.files.add(file.name)
                    self.found |= {f"{file}: {name}" for name in secrets_in(file, self._secrets)}


def passing(folder: Path, pattern: str) -> list[Path]:
    """Return what fits a pattern, as far as it is there."""
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []  # it went while one looked


def leaks(folder: Path) -> list[str]:
    """Return the files of a folder that hold a secret, plan files unpacked."""
    return [f"{path}: {name}" for path in files_of(folder) for name in secrets_in(path)]


def files_of(path: Path) -> Iterator[Path]:
    """Return a file, or all files of a folder, as far as they are there."""
    try:
        found: Sequence[Path] = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (entry for entry in found if entry.is_file() and not entry.is_symlink())
    except OSError:
        return  # it went while one looked


def secrets_in(path: Path, secrets: Sequence[str] = SECRETS) -> list[str]:
    """Return where in a file a secret is; the file itself, or a member of an archive.

    A wheel is not unpacked: ours holds the sources of the emulated clouds, and so the keys that these made up.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return []
        parts = {path.name: path.read_bytes()}
        if path.suffix != ".whl" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                parts |= {f"{path.name}!{name}": archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return []  # it went, or is not whole yet
    return [
        f"{name} holds {secret[:8]}…" for name, data in parts.items() for secret in secrets if secret.encode() in data
    ]
