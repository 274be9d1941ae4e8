"""The store of a rehearsal: S3 over TLS at an address that boxes reach, and what leads a run to it."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

from runner.emulation.s3.account import BUCKET, ROLE_ARN, make_bucket
from runner.emulation.s3.manners import MANNERS
from runner.emulation.s3.server import Asked, serve_s3
from runner.errors import UsageError

FOLDER = "store"
"""Folder of its certificates in that of the rehearsal."""
LOG = "store-log.jsonl"


def check_manner(manner: str | None) -> None:
    """Refuse a store of a manner that there is not.

    Raises:
        UsageError: If it is none of ``MANNERS``.
    """
    if manner is not None and manner not in MANNERS:
        raise UsageError(f"rehearse: there is no store {manner!r}", resolution=f"write STORE={'|'.join(MANNERS)}")


def serve_store(stack: contextlib.AsyncExitStack, manner: str, folder: Path, host: str) -> str:
    """Serve a store with an empty bucket until the stack closes; return its address.

    Args:
        stack: What ends it.
        manner: One of ``MANNERS``.
        folder: That of the rehearsal.
        host: IP address at which boxes and this machine reach it.
    """
    lock = threading.Lock()
    log = stack.enter_context((folder / LOG).open("a", encoding="utf-8"))

    def note(asked: Asked) -> None:
        with lock:
            log.write(json.dumps(asked._asdict()) + "\n")
            log.flush()

    certificates = folder / FOLDER
    certificates.mkdir(exist_ok=True)
    make_bucket()
    return stack.enter_context(serve_s3(manner, certificates, host=host, note=note)).url


def settings_of(url: str, folder: Path) -> list[str]:
    """Return the settings of a run file that lead to a store which is served.

    Args:
        url: Its address.
        folder: That of the rehearsal.
    """
    return [
        f"store.url=s3://{BUCKET}/runs",
        f"store.endpoint_url={url}",
        f"store.ca_file={folder / FOLDER / 'ca.pem'}",
        f"store.role_arn={ROLE_ARN}",
    ]
