"""A folder of a remote that rclone knows: OneDrive, Google Drive, Azure Blob, WebDAV and some seventy others.

Each request is a process of rclone's own program. Its configuration is where rclone looks for it: ``RCLONE_CONFIG``,
else its default. A remote may have sums of its own, of which the best is taken; of a remote without any
the content itself is read back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from trainer.checkpoints.rclone_program import Answer, ask, without_rclones
from trainer.checkpoints.transfer import AT_ONCE
from trainer.errors import StoreError
from trainer.files import sha256_of_file

ADDRESS = re.compile(r"rclone://([A-Za-z0-9_][A-Za-z0-9_.+@-]*)(?:/(.*))?")
KINDS = (
    "sha256", "sha512", "blake3", "sha1", "md5", "quickxor", "dropbox", "mailru", "whirlpool", "xxh128", "hidrive"
)  # fmt: skip
"""Sums that tell two contents apart, best first; a CRC does not."""
SHA256 = "sha256"
UNSURE = -1
"""Size of a file that is there twice, with different contents."""
OPTIONS = ("--ask-password=false", "--contimeout=20s")
ASK_S = 300.0
TRANSFER_S = 6 * 3600.0
"""rclone itself gives up a connection on which nothing moves; this ends only what hangs all the same."""
MISSING = (3, 4)
"""Exit statuses for a folder and for a file that is not there."""
PARTIAL = re.compile(r"\.[0-9a-z]{8}\.partial")
"""What rclone has begun to write and not renamed yet."""
SUM = re.compile(r"[0-9a-f]{16,}")
STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:[A-Z]+ *: *)?")
QUERY = re.compile(r"""(\w+://[^\s"'?]+\?)[^\s"']+""")
"""What follows the path of an address: for some clouds a token or a signature, which opens the remote."""
NO_REMOTE = "didn't find section in config file"
NO_PASSWORD = ("decrypt configuration", "password-command", "password command")


def split_address(url: str) -> tuple[str, str] | None:
    """Return remote and folder of ``rclone://remote/folder``; ``None`` if it is something else."""
    match = ADDRESS.fullmatch(url)
    return None if match is None else (match[1], unquote(match[2] or "").rstrip("/"))


class Remote:
    """A folder of a remote of rclone's."""

    def __init__(
        self,
        remote: str,
        folder: str,
        program: str | None = None,
        variables: Mapping[str, str] | None = None,
        at_once: int | None = None,
    ) -> None:
        """Name it; it is made with the first file, and asked with the first question.

        Args:
            remote: Its name in rclone's configuration.
            folder: The folder there; with ``/`` in front it begins where the remote's own file system does.
            program: rclone's program; ``None`` looks on PATH.
            variables: What alone tells rclone of its remotes; ``None`` leaves it to this process's own variables.
            at_once: How many processes may speak to it at the same time; ``None`` for as many as serve.

        Raises:
            StoreError: If there is no such program.
        """
        found = program or shutil.which("rclone")
        if found is None:
            raise StoreError(
                f"sync: rclone is not installed here, and rclone://{remote} needs it",
                resolution="install rclone so that it is on PATH (https://rclone.org/install/)",
            )
        self._program, self._remote, self._folder = found, remote, folder
        self.at_once = at_once or AT_ONCE
        self._environ = os.environ if not variables else {**without_rclones(os.environ), **variables}
        self._url = f"rclone://{remote}/{folder}"
        self._twice: set[str] = set()
        self._unsure: set[str] = set()

    def takes_turns(self, size_bytes: int) -> bool:
        """Return ``False``: rclone does the work, in a process of its own."""
        del size_bytes
        return False

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes; ``UNSURE`` for one that is there twice with different contents."""
        listed = self._list(self._at(""), "--recursive")
        found = {str(entry["Path"]): int(entry["Size"]) for entry in listed}
        counted = Counter(str(entry["Path"]) for entry in listed)
        self._twice = {name for name, count in counted.items() if count > 1}
        self._unsure = {name for name in self._twice if not self._agree(name, counted[name])}
        return found | dict.fromkeys(self._unsure, UNSURE)

    def matches(self, name: str, path: Path, sha256: str | None = None) -> bool | None:
        """Compare by the best sum that the remote has; where it has none, by what is read back."""
        if name in self._unsure:
            return False
        kind = self._kind
        try:
            there = None if kind is None else self._sum(self._at(name), kind)
            if there is None:
                kind, there = SHA256, self._sum(self._at(name), SHA256, "--download")
        except FileNotFoundError:
            return False
        if kind == SHA256:
            return there == (sha256 or sha256_of_file(path))
        is_as_named = sha256 is None or sha256_of_file(path) == sha256
        return is_as_named and there is not None and there == self._sum(str(path), str(kind))

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        with tempfile.TemporaryDirectory(prefix="douse-") as folder:
            path = Path(folder) / "content"
            self.get(name, path)
            return path.read_bytes()

    def write(self, content: bytes, name: str) -> None:
        """Write a small file."""
        with tempfile.TemporaryDirectory(prefix="douse-") as folder:
            path = Path(folder) / "content"
            path.write_bytes(content)
            self.put(path, name, sha256_of_file(path))

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Bring a file there, in place of all that have its name; what the remote has then is compared.

        Raises:
            StoreError: If it cannot be written, or the remote has something else.
        """
        path.stat()  # a missing file is reported as missing, not as a failed upload
        if name in self._twice:
            self._remove_all(name)
        self._copy(str(path), self._at(name))
        if not self.matches(name, path, sha256) and sha256_of_file(path) == sha256:
            raise StoreError(
                f"sync: {self._url}/{name} was written, and the remote has something else",
                resolution=f"see what `rclone check` says of {self._remote}:, then run `make sync` again",
            )

    def get(self, name: str, path: Path) -> None:
        """Fetch a file."""
        path.unlink(missing_ok=True)
        self._copy(self._at(name), str(path))
        if not path.is_file():  # a remote without folders finds nothing to copy, and that is no failure to it
            raise FileNotFoundError(name)

    def remove(self, name: str) -> None:
        """Remove a file, and its folder if nothing else is in it."""
        if name in self._twice:
            self._remove_all(name)
        else:
            with suppress(FileNotFoundError):
                self._call("deletefile", self._at(name))
        parent = self._at(name.rpartition("/")[0])
        if not parent.endswith(":"):
            with suppress(StoreError, FileNotFoundError):
                self._call("rmdir", "--retries=1", parent)

    def settle(self) -> None:
        """Do nothing: files are compared by what the remote says of them, or by their content."""

    def _at(self, name: str) -> str:
        """Return rclone's own address of a file, or of the folder itself."""
        return f"{self._remote}:{'/'.join(part for part in (self._folder, name) if part)}"

    def _list(self, folder: str, *options: str) -> list[dict[str, Any]]:
        """Return the files in a folder, finished ones only; a folder that is not there is empty."""
        try:
            answer = self._call("lsjson", "--files-only", "--no-modtime", "--no-mimetype", *options, folder)
        except FileNotFoundError:
            return []
        entries: list[dict[str, Any]] = self._read_json(answer)
        names = ((entry, PurePosixPath(str(entry["Path"])).name) for entry in entries)
        return [entry for entry, name in names if not name.startswith(".") and PARTIAL.search(name) is None]

    def _agree(self, name: str, count: int) -> bool:
        """Return whether all files of one name have one content, by the remote's own sums.

        There may be two folders of one name as well: then fewer are listed here, and of the rest nothing is known.
        """
        kind = self._kind
        if kind is None:
            return False
        folder, _, base = name.rpartition("/")
        listed = self._list(self._at(folder), "--hash", f"--hash-type={kind}")
        sums = [entry.get("Hashes", {}).get(kind) for entry in listed if entry["Path"] == base]
        return len(sums) == count and len(set(sums)) == 1 and bool(sums[0])

    def _remove_all(self, name: str) -> None:
        """Remove all files of one name; a command for one file would leave the others."""
        folder, _, base = name.rpartition("/")
        pattern = re.sub(r"([\\*?\[\]{}])", r"\\\1", base)
        self._call("delete", f"--include=/{pattern}", "--max-depth=1", self._at(folder))
        self._twice.discard(name)
        self._unsure.discard(name)

    @cached_property
    def _kind(self) -> str | None:
        """The best sum that the remote has for its files."""
        known = self._read_json(self._call("backend", "features", self._at(""))).get("Hashes") or []
        return next((kind for kind in KINDS if kind in known), None)

    def _sum(self, address: str, kind: str, *options: str) -> str | None:
        """Return a file's sum; ``None`` where the remote has none of this kind for it."""
        words = self._call("hashsum", *options, kind, address, is_transfer=True).stdout.split()
        return words[0] if words and SUM.fullmatch(words[0]) else None

    def _copy(self, source: str, target: str) -> None:
        """Copy one file, whatever is there; one that grows meanwhile comes as long as it was at first."""
        self._call("copyto", "--ignore-times", "--local-no-check-updated", source, target, is_transfer=True)

    def _call(self, command: str, *words: str, is_transfer: bool = False) -> Answer:
        """Run one command.

        Raises:
            FileNotFoundError: If what it is about is not there.
            StoreError: If it fails.
        """
        argv = [self._program, command, *OPTIONS, *words]
        try:
            answer = ask(argv, self._environ, timeout_s=TRANSFER_S if is_transfer else ASK_S)
        except (OSError, TimeoutError) as err:
            raise StoreError(
                f"sync: {self._url}: `{self._program} {command}`: {err}",
                resolution=f"see whether `rclone lsd {self._remote}:` answers, then run `make sync` again",
            ) from err
        if answer.status in MISSING:
            raise FileNotFoundError(words[-1])
        if answer.status != 0:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: Answer) -> StoreError:
        """Return the error for what rclone has refused, in its own last words."""
        lines = [QUERY.sub(r"\1…", STAMP.sub("", line)) for line in answer.stderr.splitlines() if line.strip()]
        cause = lines[-1][:300] if lines else f"exit status {answer.status}"
        if NO_REMOTE in cause:
            return StoreError(
                f"sync: {self._url}: rclone has no remote {self._remote}",
                resolution="make it with `rclone config`, or correct store.url: `rclone listremotes` has their names, "
                "and RCLONE_CONFIG leads to another configuration file",
            )
        if any(words in cause for words in NO_PASSWORD):
            return StoreError(
                f"sync: {self._url}: rclone's configuration needs its password: {cause}",
                resolution="set RCLONE_CONFIG_PASS to it, or RCLONE_PASSWORD_COMMAND to a program that prints it",
            )
        return StoreError(
            f"sync: {self._url} refuses: {cause}",
            resolution=f"see what `rclone lsd {self._remote}:` says, then run `make sync` again: what is there already "
            "is not moved twice",
            details="\n".join(lines[-20:]),
        )

    def _read_json(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.stdout)
        except ValueError as err:
            raise StoreError(
                f"sync: {self._url}: rclone's answer is no JSON: {answer.stdout[:100]!r}",
                resolution=f"update rclone ({self._program}): 1.60 is the oldest that was tried",
            ) from err
