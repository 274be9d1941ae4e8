"""Whether a rehearsal changed files that are none of its business: in the user's home, in the checkout.

A machine is not to be trusted with what it sends, nor is Douse with what it writes: all of a run goes into the run's
folder, and all that is kept between runs into the cache.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from runner.run.run_dir import PROJECT

FOLDERS = (".ssh", ".ansible", ".config", ".terraform.d", "bin", ".local/bin")
"""Folders of a home in which a file would matter to whoever logs in next."""
ALLOWED = frozenset({".cache", "__pycache__", "tmp", "cp", "runs", "rehearsals", "node_modules"})
"""Folders that change by design: caches, what Ansible keeps for a moment, other runs."""
WORK = "build"
"""What the checkout has for logs of set-ups and what checks make, which may run beside a rehearsal."""
LARGEST_BYTES = 64 << 20
MOST_FILES = 20_000


def footprint(home: Path, checkout: Path = PROJECT) -> dict[str, str]:
    """Return size and checksum of every file that no rehearsal may touch, by its path."""
    watched = [*_files_at_the_top(home), *(file for name in FOLDERS for file in _files(home / name))]
    watched += [*_files_at_the_top(checkout), *(file for folder in _folders(checkout) for file in _files(folder))]
    return {str(file): _sum(file) for file in watched[:MOST_FILES]}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return what was made, changed and removed in between, a line each."""
    made = [f"{path} was made" for path in sorted(after.keys() - before.keys())]
    gone = [f"{path} was removed" for path in sorted(before.keys() - after.keys())]
    other = [f"{path} was changed" for path in sorted(before.keys() & after.keys()) if before[path] != after[path]]
    return [f"outside the run's folder, {line}" for line in (*made, *other, *gone)]


def _files_at_the_top(folder: Path) -> Iterator[Path]:
    """Yield the files that lie in a folder itself, but for what shells and editors remember, and locks of set-ups."""
    with suppress(OSError):
        files = (path for path in sorted(folder.iterdir()) if path.is_file() and "hist" not in path.name)
        yield from (path for path in files if not re.fullmatch(r"\.venv[\w-]*\.lock", path.name))


def _folders(checkout: Path) -> Iterator[Path]:
    with suppress(OSError):
        folders = (path for path in sorted(checkout.iterdir()) if path.is_dir())
        yield from (path for path in folders if path.name != WORK and not path.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder, without following links, and without what changes by design."""
    if folder.name in ALLOWED or folder.is_symlink():
        return
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                yield from _files(path)
            else:
                yield path


def _sum(file: Path) -> str:
    try:
        if file.is_symlink():
            return f"link to {file.readlink()}"
        size = file.stat().st_size
        return f"{size} {hashlib.sha256(file.read_bytes()).hexdigest() if size <= LARGEST_BYTES else ''}"
    except OSError as err:
        return err.__class__.__name__
