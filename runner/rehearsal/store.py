"""The store of a rehearsal, and what leads a run to it.

S3 over TLS at an address that boxes reach; a remote of rclone's that nobody but this computer reaches; or one that
boxes reach, and that a run gives to its machine.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote

from runner.adapters.rclone import provide_rclone, rclone_program
from runner.emulation.remotes import REMOTES, configuration, obscured, serve_webdav
from runner.emulation.s3.account import BUCKET, ROLE_ARN, make_bucket
from runner.emulation.s3.manners import MANNERS
from runner.emulation.s3.server import Asked, serve_s3
from runner.errors import ToolError, UsageError
from runner.world import RealWorld
from trainer.checkpoints.complete import MANIFEST_NAME
from trainer.checkpoints.rclone_program import without_rclones

GIVEN = "webdav-given"
"""WebDAV that boxes reach, with the run's machine given the remote."""
BY_RCLONE = (*REMOTES, GIVEN)
STORES = (*MANNERS, *BY_RCLONE)
FOLDER = "store"
"""Folder of its certificates in that of the rehearsal, or of rclone's configuration and what the remote keeps."""
LOG = "store-log.jsonl"
RCLONE_CONFIG = "rclone.conf"
SERVED, RUNS = "served", "runs"


def check_store_name(name: str | None) -> None:
    """Refuse a store that there is not.

    Raises:
        UsageError: If it is none of ``STORES``.
    """
    if name is not None and name not in STORES:
        raise UsageError(f"rehearse: there is no store {name!r}", resolution=f"write STORE={'|'.join(STORES)}")


def provide_store(name: str | None) -> None:
    """Install what a store needs and is not here yet.

    Raises:
        ExtraError: If it cannot be installed.
    """
    if name in BY_RCLONE:
        provide_rclone(RealWorld())


def serve_store(stack: contextlib.AsyncExitStack, name: str, folder: Path, host: str) -> str:
    """Serve an empty store until the stack closes; return its address.

    Args:
        stack: What ends it.
        name: One of ``STORES``.
        folder: That of the rehearsal.
        host: IP address at which boxes and this machine reach it, if boxes are to reach it at all.

    Raises:
        ToolError: If it needs rclone and there is none, or rclone does not come up.
    """
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    if name in MANNERS:
        return _bucket(stack, name, folder, host)
    return _given(stack, place, host) if name == GIVEN else _remote(stack, name, place)


def _bucket(stack: contextlib.AsyncExitStack, manner: str, folder: Path, host: str) -> str:
    """Serve S3 in one of ``MANNERS``."""
    lock = threading.Lock()
    log = stack.enter_context((folder / LOG).open("a", encoding="utf-8"))

    def note(asked: Asked) -> None:
        with lock:
            log.write(json.dumps(asked._asdict()) + "\n")
            log.flush()

    make_bucket()
    return stack.enter_context(serve_s3(manner, folder / FOLDER, host=host, note=note)).url


def _remote(stack: contextlib.AsyncExitStack, kind: str, place: Path) -> str:
    """Make one of ``REMOTES``."""
    rclone = _rclone()
    (place / SERVED).mkdir()
    url = stack.enter_context(serve_webdav(rclone, place / SERVED, place / "log")) if kind == "webdav" else ""
    (place / RCLONE_CONFIG).write_text(configuration(kind, url), encoding="utf-8")
    return f"rclone://{kind}/{quote(str(place / SERVED / RUNS)) if kind == 'local' else RUNS}"


def _given(stack: contextlib.AsyncExitStack, place: Path, host: str) -> str:
    """Serve WebDAV at an address that boxes reach, to whoever has its password."""
    rclone, password = _rclone(), token_hex(16)
    (place / SERVED).mkdir()
    url = stack.enter_context(serve_webdav(rclone, place / SERVED, place / "log", host, password))
    known = configuration("webdav", url, obscured(rclone, password))
    (place / RCLONE_CONFIG).write_text(known, encoding="utf-8")
    return f"rclone://webdav/{RUNS}"


def _rclone() -> str:
    found = rclone_program(RealWorld())
    if found is None:
        raise ToolError("rehearse: there is no rclone", resolution="run `python3 -m runner.bootstrap rclone`")
    return found


def settings_of(name: str | None, url: str, folder: Path) -> list[str]:
    """Return the settings of a run file that lead to a store which is served.

    Args:
        name: One of ``STORES``.
        url: Its address.
        folder: That of the rehearsal.
    """
    if url.startswith("rclone://"):
        return [f"store.url={url}", *(["store.rclone_on_machine=true"] if name == GIVEN else [])]
    return [
        f"store.url=s3://{BUCKET}/{RUNS}",
        f"store.endpoint_url={url}",
        f"store.ca_file={folder / FOLDER / 'ca.pem'}",
        f"store.role_arn={ROLE_ARN}",
    ]


def surroundings_of(name: str | None, folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as it has to be for a store: rclone knows its remote there, and none of the user's."""
    if name not in BY_RCLONE:
        return dict(environ)
    return without_rclones(environ) | {"RCLONE_CONFIG": str(folder / FOLDER / RCLONE_CONFIG)}


def kept_in_remote(folder: Path, run_id: str) -> Path:
    """Return the folder in which a remote keeps what came of a run.

    Args:
        folder: That of the rehearsal.
        run_id: The run.
    """
    return folder / FOLDER / SERVED / RUNS / run_id


def has_checkpoint(folder: Path, run_id: str) -> bool:
    """Return whether a remote has a checkpoint of a run, its manifest with it."""
    return any(kept_in_remote(folder, run_id).glob(f"checkpoints/*/{MANIFEST_NAME}"))
