"""The emulated Hub, served in this process, with the Hub's own client led to it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from runner.emulation.hub import Account, Hub, HubFault, Library

TOKEN = "hf_RehearsalTokenOfMe"
WAIT_S = 120.0


@dataclass(frozen=True)
class ServedHub:
    """A Hub that answers at an address."""

    hub: Hub
    endpoint: str

    def asked(self, *words: str) -> list[str]:
        """Return method, path and range of the requests whose path has all these words."""
        return [
            f"{one.method} {one.path} {one.range}".strip()
            for one in self.hub.log()
            if all(word in one.path for word in words)
        ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by path, as a commit takes them."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextlib.contextmanager
def served_hub(library: Library, faults: Sequence[HubFault] = ()) -> Iterator[ServedHub]:
    """Serve a Hub on a free port until the block ends."""
    hub = Hub(library, faults)
    server = uvicorn.Server(uvicorn.Config(hub.app(), port=0, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + WAIT_S
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield ServedHub(hub, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(WAIT_S)


def lead_to(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch, *, token: str | None = None) -> None:
    """Let the client in this process ask a Hub at an address, with a cache of its own; as a user without an account."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(cache / "xet"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)


__all__ = ["TOKEN", "Account", "HubFault", "Library", "ServedHub", "files_of", "lead_to", "served_hub"]
