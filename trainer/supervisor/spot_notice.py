"""The word that this machine will be reclaimed: a process beside the trainer that asks a metadata service for it.

The service is EC2's, in its second version: a token by PUT, then a question by GET. What it answers is input, and a
machine without one goes on as ever: nobody waits for this process. On a notice it writes an event and asks for the end
of training, which comes with a checkpoint.

Source, read 2026-11-29: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

from __future__ import annotations

import http.client
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from trainer.events import EventLog, last_step, read_events
from trainer.files import object_or_none, read_json
from trainer.supervisor.status import is_alive, signal_process

EVERY_S = 5.0
"""As often as AWS advises; its notice is two minutes."""
TIMEOUT_S = 2.0
TOKEN_TTL_S = 21600
"""The longest that the service gives."""
MOST_BYTES = 4096
TOKEN_PATH = "/latest/api/token"  # noqa: S105 - where to get one
NOTICE_PATH = "/latest/meta-data/spot/instance-action"
TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
ACTIONS = frozenset({"terminate", "stop", "hibernate"})


@dataclass(frozen=True)
class Notice:
    """What is going to happen to the machine.

    Attributes:
        action: ``terminate``, ``stop`` or ``hibernate``.
        at: When, at the latest, by the cloud's clock.
    """

    action: str
    at: datetime


def keep_asking(output: Path, url: str, *, is_over: Callable[[float], bool]) -> None:
    """Ask for a notice every few seconds until there is one, or ``is_over``; then tell it, and ask for the end.

    Args:
        output: The run's output folder.
        url: Address of the metadata service.
        is_over: Waits so many seconds at most; returns whether the trainer is gone.
    """
    service = MetadataService(url)
    while (notice := service.notice()) is None:
        if is_over(EVERY_S):
            return
    _write_event(output, notice)
    while not ask_to_end(output):  # it comes before the trainer does
        if is_over(EVERY_S):
            return


class MetadataService:
    """Asks one question; no proxy, no redirection, no name to be looked up."""

    def __init__(self, url: str) -> None:
        """Take its address."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._token: str | None = None
        self._token_until_s = 0.0

    def notice(self) -> Notice | None:
        """Return the notice; ``None`` as long as there is none, or nobody answers, or nothing that can be read."""
        try:
            if self._token is None or time.monotonic() > self._token_until_s:
                self._renew_token()
            if self._token is None:
                return None
            status, body = self._ask("GET", NOTICE_PATH, {"X-aws-ec2-metadata-token": self._token})
        except (OSError, http.client.HTTPException):
            return None
        if status == http.HTTPStatus.UNAUTHORIZED:
            self._token = None
        return read_notice(body) if status == http.HTTPStatus.OK else None

    def _renew_token(self) -> None:
        status, body = self._ask("PUT", TOKEN_PATH, {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_TTL_S)})
        text = body.decode("ascii", "replace")
        self._token = text if status == http.HTTPStatus.OK and TOKEN.fullmatch(text) else None
        self._token_until_s = time.monotonic() + TOKEN_TTL_S / 2

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(MOST_BYTES)
        finally:
            connection.close()


def read_notice(body: bytes) -> Notice | None:
    """Return the notice that an answer holds; ``None`` if it holds none."""
    found = object_or_none(body) or {}
    action, at = found.get("action"), found.get("time")
    if not isinstance(action, str) or action not in ACTIONS or not isinstance(at, str):
        return None
    try:
        moment = datetime.fromisoformat(at)
        return Notice(action, moment.astimezone(UTC)) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def ask_to_end(output: Path) -> bool:
    """Ask the supervisor for the end of training, or the trainer where that is gone; return whether one was there."""
    who = read_json(output / "supervisor.json") or {}
    for role in ("supervisor", "trainer"):
        pid, started = who.get(f"{role}_pid"), who.get(f"{role}_started")
        if pid is not None and started is not None and is_alive(pid, started):
            signal_process(pid, started, signal.SIGTERM)
            return True
    return False


def _write_event(output: Path, notice: Notice) -> None:
    path = output / "events.jsonl"
    with suppress(OSError), closing(EventLog(path)) as events:  # a full disk may still take an end
        step = last_step(read_events(path)) or 0
        events.write("reclaimed", step=step, action=notice.action, at=notice.at.isoformat(timespec="seconds"))
