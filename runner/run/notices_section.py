"""Whom a run writes to while it goes on, and where an address may stand: never in clear in a file of the run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from runner.errors import UsageError
from trainer.config.section import Section

EventName = Literal[
    "started",
    "waiting",
    "first_step",
    "eval",
    "stalled",
    "reclaimed",
    "recovered",
    "budget_80",
    "terminated",
    "finished",
    "failed",
]
EVENT_NAMES: tuple[EventName, ...] = get_args(EventName)
ADDRESSES_VARIABLE = "DOUSE_NOTICE_URLS"
"""Addresses for all runs of a person, separated by spaces."""
NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""An environment variable in an address."""
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.+-]{0,20})://")
PLAIN = re.compile(
    r"(https?|jsons?|xmls?|forms?)://(localhost|[0-9.]+|\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]{1,253})"
    r"(:\d{1,5})?(/[a-z_-]{1,20})*/?"
)
"""An address that cannot hold a secret: no user, no query, and words alone in its path."""
WRITTEN_PASSWORD = re.compile(r"://[^/?#@]*:[^/?#@]+@")
SHORTEST_KEY = 16


def _as_texts(value: Any) -> list[str]:
    """Return whatever was given as a list of texts, so that no error of pydantic's shows an address."""
    return [str(one) for one in (value if isinstance(value, list | tuple) else [] if value is None else [value])]


class NoticesSection(Section):
    """Whom a run writes to while it goes on; a notice that does not arrive never delays a run, nor fails it."""

    urls: Annotated[list[str], BeforeValidator(_as_texts)] = Field(default=[])
    """Addresses as apprise reads them, for Slack, Discord, mail, ntfy and others, or any ``https://`` address, which is
    sent JSON. Write what is secret as ``${NAME}``: the environment variable is read when a notice is sent, and its
    value stands in no file. ``DOUSE_NOTICE_URLS`` has addresses for all your runs. ``docs/notices.md`` has examples."""
    events: list[EventName] = Field(default=list(EVENT_NAMES))
    """What to write about: ``started``, ``waiting`` (for a machine that can be had), ``first_step``, ``eval`` (each
    evaluation), ``stalled`` (training stood still), ``reclaimed`` (a machine was lost), ``recovered`` (training goes on
    with another one), ``budget_80`` (80 % of the budget is used), ``terminated`` (nothing of the run bills any more),
    ``finished`` and ``failed`` (it ended otherwise, or was interrupted)."""
    command: list[str] = Field(default=[])
    """A program to start for each notice, with its arguments, as ``[notify-send, Douse]``; no shell reads them. It
    finds the notice in ``DOUSE_NOTICE_EVENT``, ``DOUSE_NOTICE_RUN``, ``DOUSE_NOTICE_TITLE`` and
    ``DOUSE_NOTICE_BODY``, and has ten seconds."""


def check_addresses(section: NoticesSection, name: str) -> None:
    """Refuse an address that may hold a secret in clear: a run's folder keeps its run file, and people share theirs.

    Args:
        section: What was read.
        name: The file, for the message.

    Raises:
        UsageError: If one does; of the address itself only its scheme is shown.
    """
    for index, address in enumerate(section.urls):
        if may_stand_in_a_file(address):
            continue
        scheme = scheme_of(address)
        raise UsageError(
            f"config: {name} notices.urls[{index}], {scheme}://…, has a secret in clear, or may have: "
            "who reads the file, or the run's folder, could write there as you",
            resolution="keep it in an environment variable, and write its name: "
            f"export DOUSE_HOOK='{scheme}://…', then notices.urls: ['${{DOUSE_HOOK}}'] (docs/notices.md)",
        )


def may_stand_in_a_file(address: str) -> bool:
    """Return whether nothing in an address is secret, or what is stands in environment variables."""
    if not NAMED.search(address):
        return PLAIN.fullmatch(address) is not None
    written = NAMED.sub("", address)
    pieces = re.split(r"[/?&=:@,.]", written)
    return not (WRITTEN_PASSWORD.search(written) or any(map(_looks_like_a_key, pieces)))


def _looks_like_a_key(piece: str) -> bool:
    return len(piece) >= SHORTEST_KEY and any(map(str.isdigit, piece))


def scheme_of(address: str) -> str:
    """Return the scheme of an address, which is never secret, or a stand-in where it has none."""
    match = SCHEME.match(address)
    return match[1].lower() if match else "address"


def filled_in(address: str, environ: Mapping[str, str]) -> tuple[str, Sequence[str]]:
    """Return an address with its environment variables in place, and the names of those that are not set."""
    missing = [name for name in NAMED.findall(address) if not environ.get(name)]
    return NAMED.sub(lambda match: environ.get(match[1], ""), address), missing


def addresses_of_all_runs(environ: Mapping[str, str]) -> list[str]:
    """Return the addresses that a person has for all runs."""
    return environ.get(ADDRESSES_VARIABLE, "").split()
