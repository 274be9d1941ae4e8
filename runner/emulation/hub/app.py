"""The emulated Hub's HTTP API: what huggingface_hub 2.4.0 asks for when it looks up, lists and downloads."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette

from runner.emulation.calls import Answer, Call, as_app
from runner.emulation.hub.faults import Faults, HubFault
from runner.emulation.hub.library import MAIN, Account, HubFile, Library, RepoKind, Repository, read_library

NAME = r"(?P<name>[^/]+/[^/]+)"
RESOLVE = re.compile(rf"/(?P<kind>datasets/)?{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
STORED = re.compile(rf"/api/resolve-cache/(?P<kind>models|datasets)/{NAME}/(?P<revision>[^/]+)/(?P<path>.+)")
INFO = re.compile(rf"/api/(?P<kind>models|datasets)/{NAME}(?:/revision/(?P<revision>[^/]+))?")
TREE = re.compile(rf"/api/(?P<kind>models|datasets)/{NAME}/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?")
PATHS = re.compile(rf"/api/(?P<kind>models|datasets)/{NAME}/paths-info/(?P<revision>[^/]+)")
REFS = re.compile(rf"/api/(?P<kind>models|datasets)/{NAME}/refs")
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Asked:
    """A request in the Hub's log.

    Attributes:
        method: HTTP method.
        path: Path from the root.
        range: The ``Range`` header, empty where there was none.
        who: Name of the account, ``None`` for nobody and ``?`` for a token that belongs to none.
        status: HTTP status of the answer.
        sent_bytes: Bytes of the body that were sent.
        fault: What went wrong, or ``None``.
    """

    method: str
    path: str
    range: str
    who: str | None
    status: int
    sent_bytes: int
    fault: str | None = None


class Hub:
    """Answers as the Hub does, and keeps a log of it."""

    def __init__(
        self, library: Library, faults: Sequence[HubFault] = (), note: Callable[[Asked], None] = lambda _: None
    ) -> None:
        """Take what it has, what is to go wrong, and who is to hear of each request."""
        self.library, self.faults = library, Faults(faults)
        self._note, self._lock, self._log = note, threading.Lock(), list[Asked]()
        self._routes = (
            (RESOLVE, self._resolve), (STORED, self._stored), (INFO, self._info), (TREE, self._tree),
            (PATHS, self._paths), (REFS, self._refs),
        )  # fmt: skip

    def app(self) -> Starlette:
        """Return it as an ASGI app."""
        return as_app(self.serve)

    def log(self) -> list[Asked]:
        """Return all requests so far, in the order of the answers."""
        with self._lock:
            return list(self._log)

    def serve(self, call: Call) -> Answer:
        """Answer a request, and write it into the log."""
        answer, fault = self._with_faults(call)
        token = _token(call)
        account = self.library.accounts.get(token or "")
        sent = len(answer.bytes()) if answer.cut_after is None else answer.cut_after
        asked = Asked(
            method=call.method,
            path=call.path,
            range=call.headers.get("range", ""),
            who=account.name if account else token and "?",
            status=answer.status,
            sent_bytes=0 if call.method == "HEAD" else sent,
            fault=fault,
        )
        with self._lock:
            self._log.append(asked)
            self._note(asked)
        return answer

    def _with_faults(self, call: Call) -> tuple[Answer, str | None]:
        if (fault := self.faults.take("too_many", call.path)) is not None:
            headers = {"Retry-After": str(fault.retry_after_s)}
            return Answer(429, {"error": "We had to rate limit you."}, headers), fault.kind
        if self.faults.take("down", call.path) is not None:
            return Answer(503, {"error": "The service is unavailable."}), "down"
        answer = self._answer(call)
        if call.method == "GET" and answer.raw is not None:
            fault = self.faults.take("cut", call.path, len(answer.raw))
            if fault is not None:
                return replace(answer, cut_after=fault.after_bytes), fault.kind
        return answer, None

    def _answer(self, call: Call) -> Answer:
        token = _token(call)
        if token is not None and token not in self.library.accounts:
            return refusal(401, "Invalid credentials in Authorization header")
        account = self.library.accounts.get(token or "")
        if call.path == "/api/whoami-v2":
            return _whoami(account)
        for pattern, handler in self._routes:
            if (match := pattern.fullmatch(call.path)) is not None:
                return self._of_repository(call, match.groupdict(), account, handler)
        return refusal(404, "Sorry, we can't find the page you are looking for.")

    def _of_repository(
        self, call: Call, parts: Mapping[str, str | None], account: Account | None, handler: Handler
    ) -> Answer:
        kind: RepoKind = "datasets" if (parts["kind"] or "").startswith("datasets") else "models"
        name, revision = str(parts["name"]), parts.get("revision") or MAIN
        if (new := self.library.new_name(name)) is not None:
            return Answer(307, headers={"Location": quote(call.path.replace(name, new, 1))})
        found = self.library.find(kind, name)
        may_read = account is not None and name in account.reads
        if found is None or (found.is_private and not may_read):
            return refusal(404 if account else 401, "Repository not found", "RepoNotFound")
        commit = found.commit_of(revision)
        if commit is None:
            return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if found.is_gated and not may_read and handler in (self._resolve, self._stored):
            return refusal(403 if account else 401, f"Access to {kind[:-1]} {name} is restricted.", "GatedRepo")
        return handler(call, Wanted(kind, found, commit, parts.get("path") or ""))

    def _resolve(self, call: Call, wanted: Wanted) -> Answer:
        """Lead to where a file of a commit lies."""
        file = wanted.files.get(wanted.path)
        if file is None:
            return replace(
                refusal(404, "Entry not found", "EntryNotFound"),
                headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": wanted.commit},
            )
        place = f"/api/resolve-cache/{wanted.kind}/{wanted.repository.name}/{wanted.commit}/{wanted.path}"
        return Answer(307, headers={"Location": quote(place), **_described(file, wanted.commit)})

    def _stored(self, call: Call, wanted: Wanted) -> Answer:
        """Give a file, or the part of it that is asked for."""
        file = wanted.files.get(wanted.path)
        if file is None:
            return refusal(404, "Entry not found", "EntryNotFound")
        headers = {**_described(file, wanted.commit), "Content-Type": "application/octet-stream"}
        whole, asked = file.content, RANGE.fullmatch(call.headers.get("range", ""))
        if asked is None:
            return Answer(200, raw=whole, headers=headers)
        first, last = int(asked[1]), min(int(asked[2] or len(whole)), len(whole) - 1)
        if first >= len(whole):
            return Answer(416, headers={"Content-Range": f"bytes */{len(whole)}"})
        part = {"Content-Range": f"bytes {first}-{last}/{len(whole)}"}
        return Answer(206, raw=whole[first : last + 1], headers=headers | part)

    def _info(self, call: Call, wanted: Wanted) -> Answer:
        found = wanted.repository
        return Answer(200, {
            "_id": "0" * 24, "id": found.name, "sha": wanted.commit, "private": found.is_private,
            "gated": "manual" if found.is_gated else False, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
            "siblings": [{"rfilename": path} for path in wanted.files],
        })  # fmt: skip

    def _tree(self, call: Call, wanted: Wanted) -> Answer:
        below = f"{wanted.path}/" if wanted.path else ""
        is_deep = call.query.get("recursive", "").lower() == "true"
        inside = [path for path in wanted.files if path.startswith(below)]
        if not inside:
            return refusal(404, f"{wanted.path} does not exist", "EntryNotFound")
        folders = {
            below + "/".join(parts[:depth])
            for parts in (path.removeprefix(below).split("/") for path in inside)
            for depth in range(1, len(parts) if is_deep else min(2, len(parts)))
        }
        shown = [path for path in inside if is_deep or "/" not in path.removeprefix(below)]
        return Answer(200, [_folder(path) for path in sorted(folders)] + [wanted.entry(path) for path in shown])

    def _paths(self, call: Call, wanted: Wanted) -> Answer:
        body: Any = call.json()
        asked = body.get("paths", []) if isinstance(body, dict) else []
        files = [wanted.entry(path) for path in asked if path in wanted.files]
        is_folder = {path for path in asked if any(known.startswith(f"{path}/") for known in wanted.files)}
        return Answer(200, [*files, *(_folder(path) for path in sorted(is_folder))])

    def _refs(self, call: Call, wanted: Wanted) -> Answer:
        refs = wanted.repository.refs.items()
        shown = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit} for name, commit in refs]
        return Answer(200, {"branches": shown, "tags": [], "converts": []})


@dataclass(frozen=True)
class Wanted:
    """What a request is about.

    Attributes:
        kind: Models or data sets.
        repository: Which one.
        commit: At which commit.
        path: Which file or folder.
    """

    kind: RepoKind
    repository: Repository
    commit: str
    path: str

    @property
    def files(self) -> Mapping[str, HubFile]:
        """The commit's files by path."""
        return self.repository.commits[self.commit]

    def entry(self, path: str) -> dict[str, Any]:
        """Return what a listing says of a file."""
        file = self.files[path]
        size_bytes = len(file.content)
        large = {"lfs": {"oid": file.etag, "size": size_bytes, "pointerSize": 134}} if file.is_large else {}
        return {"type": "file", "path": path, "size": size_bytes, "oid": file.etag[:40], **large}


Handler = Callable[[Call, Wanted], Answer]


def refusal(status: int, message: str, code: str | None = None) -> Answer:
    """Return an error in the Hub's form: code and message are in headers as well."""
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": message}, headers)


def hub_of(folder: Path, log: Path) -> Hub:
    """Return a Hub with what a folder has for it (``library.read_library``), which writes each request into a log.

    Args:
        folder: What it has.
        log: JSON Lines file, one line for each request.

    Raises:
        UsageError: If the folder's settings cannot be read.
    """
    library, faults = read_library(folder)

    def note(asked: Asked) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(asked)) + "\n")

    return Hub(library, faults, note)


def _token(call: Call) -> str | None:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _described(file: HubFile, commit: str) -> dict[str, str]:
    """Return the headers that say which file it is."""
    linked = {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))} if file.is_large else {}
    return {"ETag": f'"{file.etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes", **linked}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}


def _whoami(account: Account | None) -> Answer:
    if account is None:
        return refusal(401, "Invalid username or password.")
    token = {"displayName": "rehearsal", "role": "read", "createdAt": "2026-01-01T00:00:00.000Z"}
    return Answer(200, {
        "type": "user", "id": "0" * 24, "name": account.name, "fullname": account.name, "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    })  # fmt: skip
