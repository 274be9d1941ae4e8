"""What the emulated Hub has: models and data sets with their commits, and who may read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runner.emulation.hub.faults import HubFault
from runner.errors import UsageError

RepoKind = Literal["models", "datasets"]
KINDS: tuple[RepoKind, ...] = ("models", "datasets")
MAIN = "main"
SETTINGS = "hub.json"
LARGE_SUFFIXES = (".safetensors", ".bin", ".gguf", ".parquet", ".arrow")
"""What is stored apart (LFS), whose ETag is a SHA-256 and not git's own sum."""


@dataclass(frozen=True)
class HubFile:
    """A file of a commit.

    Attributes:
        content: Its bytes.
        is_large: Whether it is stored apart.
        etag: How the Hub names its bytes.
    """

    content: bytes
    is_large: bool
    etag: str


@dataclass
class Repository:
    """A model or a data set.

    Attributes:
        name: As ``org/name``.
        is_private: Only accounts that may read it know that it exists.
        is_gated: Everybody knows that it exists, only accounts that may read it get its files.
        commits: Files by path, by commit.
        refs: Commit by branch or tag.
    """

    name: str
    is_private: bool = False
    is_gated: bool = False
    commits: dict[str, Mapping[str, HubFile]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        """Return the commit that a revision stands for, or ``None``."""
        return revision if revision in self.commits else self.refs.get(revision)


@dataclass(frozen=True)
class Account:
    """Who a token belongs to.

    Attributes:
        name: The user.
        reads: Private and gated repositories that it may read.
    """

    name: str
    reads: frozenset[str] = frozenset()


class Library:
    """All repositories, accounts and names that were changed."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._repositories: dict[tuple[RepoKind, str], Repository] = {}
        self._renamed: dict[str, str] = {}
        self.accounts: dict[str, Account] = {}

    def add(
        self,
        kind: RepoKind,
        name: str,
        files: Mapping[str, bytes],
        *,
        is_private: bool = False,
        is_gated: bool = False,
        ref: str = MAIN,
    ) -> str:
        """Add a commit to a repository, made where it is new; return the commit, which a branch or tag then names."""
        made = {path: _file(path, content) for path, content in sorted(files.items())}
        words = "\n".join(f"{file.etag} {path}" for path, file in made.items())
        commit = hashlib.sha1(f"{name}\n{words}".encode()).hexdigest()  # noqa: S324 - as git names a commit
        repository = self._repositories.setdefault((kind, name), Repository(name, is_private, is_gated))
        repository.commits[commit] = made
        repository.refs[ref] = commit
        return commit

    def rename(self, old: str, new: str) -> None:
        """Let an old name lead to a repository."""
        self._renamed[old] = new

    def new_name(self, name: str) -> str | None:
        """Return what a repository is called now, where it had this name before."""
        return self._renamed.get(name)

    def find(self, kind: RepoKind, name: str) -> Repository | None:
        """Return a repository by its name."""
        return self._repositories.get((kind, name))

    def admit(self, token: str, account: Account) -> None:
        """Let a token belong to an account."""
        self.accounts[token] = account


def read_library(folder: Path) -> tuple[Library, list[HubFault]]:
    """Return what a folder has for an emulated Hub: ``models/<org>/<name>/…``, ``datasets/<org>/<name>/…``.

    Its ``hub.json``, which may be absent, has ``private`` and ``gated`` (lists of names), ``accounts`` (by token: name
    and ``reads``), ``renamed`` (new name by old) and ``faults`` (the fields of ``HubFault``).

    Raises:
        UsageError: If ``hub.json`` is not like that.
    """
    library = Library()
    try:
        path = folder / SETTINGS
        settings: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
        for token, said in settings.get("accounts", {}).items():
            library.admit(token, Account(said["name"], frozenset(said.get("reads", ()))))
        for old, new in settings.get("renamed", {}).items():
            library.rename(old, new)
        faults = [HubFault(**said) for said in settings.get("faults", ())]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        raise UsageError(
            f"rehearse: cannot read {folder / SETTINGS}: {err}", resolution="see docs/rehearsal.md, the emulated Hub"
        ) from err
    for kind in KINDS:
        for place in sorted(folder.glob(f"{kind}/*/*/")):
            name = f"{place.parent.name}/{place.name}"
            files = {one.relative_to(place).as_posix(): one.read_bytes() for one in place.rglob("*") if one.is_file()}
            is_private, is_gated = (name in settings.get(right, ()) for right in ("private", "gated"))
            library.add(kind, name, files, is_private=is_private, is_gated=is_gated)
    return library, faults


def _file(path: str, content: bytes) -> HubFile:
    if path.endswith(LARGE_SUFFIXES):
        return HubFile(content, True, hashlib.sha256(content).hexdigest())
    blob = b"blob %d\0" % len(content) + content
    return HubFile(content, False, hashlib.sha1(blob).hexdigest())  # noqa: S324 - as git names a file
