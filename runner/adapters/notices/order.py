"""What the process that sends a notice is handed, and what it answers: one JSON object each way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from runner.run.host_words import one_line
from runner.run.notices_section import EventName

ORDER_VARIABLE = "DOUSE_NOTICE_ORDER"
"""The environment variable that carries the order: an argument list would be seen by every user of the computer."""


TITLES: dict[EventName, str] = {
    "started": "has started",
    "waiting": "waits for a machine",
    "first_step": "trains",
    "eval": "was evaluated",
    "stalled": "stood still",
    "reclaimed": "has lost its machine",
    "recovered": "goes on with another machine",
    "budget_80": "has used 80 % of its budget",
    "terminated": "bills nothing any more",
    "finished": "is done",
    "failed": "did not finish",
}


@dataclass(frozen=True)
class Notice:
    """Something worth knowing of a run.

    Attributes:
        event: Its kind, as in ``notices.events``.
        run_id: The run.
        title: A few words.
        body: A sentence or two.
    """

    event: str
    run_id: str
    title: str
    body: str


def notice_of(event: EventName, run_id: str, words: str) -> Notice:
    """Return the notice of something that has happened to a run.

    Args:
        event: What it is.
        run_id: The run.
        words: A sentence about it; a machine may have had a say in it.
    """
    return Notice(event, run_id, f"{run_id} {TITLES[event]}", one_line(words))


@dataclass(frozen=True)
class Order:
    """A notice and whom it is for.

    Attributes:
        notice: The notice.
        urls: Addresses as the run file has them; the sending process puts its environment variables in.
        command: The user's program and its arguments, or nothing.
        folder: Where that program starts.
    """

    notice: Notice
    urls: tuple[str, ...]
    command: tuple[str, ...]
    folder: str

    def variables(self) -> dict[str, str]:
        """Return the order as an environment variable."""
        return {ORDER_VARIABLE: json.dumps(asdict(self))}


@dataclass(frozen=True)
class Delivery:
    """What became of a notice at one receiver.

    Attributes:
        receiver: Who it is, without what is secret of the address.
        problem: Why it did not arrive, or ``None``.
    """

    receiver: str
    problem: str | None


def read_order(environ: Mapping[str, str]) -> Order:
    """Return the order that this process was started with."""
    found: dict[str, Any] = json.loads(environ[ORDER_VARIABLE])
    return Order(Notice(**found["notice"]), tuple(found["urls"]), tuple(found["command"]), found["folder"])


def line_of(delivery: Delivery) -> str:
    """Return an answer of the sending process."""
    return json.dumps(asdict(delivery))


def read_line(line: str) -> Delivery | None:
    """Return an answer of the sending process; ``None`` for a line that a library wrote."""
    try:
        return Delivery(**json.loads(line))
    except (TypeError, ValueError):
        return None
