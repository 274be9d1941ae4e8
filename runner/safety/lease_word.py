"""The last word that a machine got about its lease: in the run's folder, and in its journal where that is damaged."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, Literal, get_args

from runner.run.journal import Journal
from runner.run.run_dir import RunDir, read_json
from runner.safety.asked import DAMAGE

Word = Literal["renew", "hold"]
LEASE_NAME = "lease.json"
NOTED = "lease"
"""Action of the journal's lines that say how the machine was left."""
BEAT_S = 20.0
"""Longest pause between two words of a runner, in seconds."""
BEATS_PER_LEASE = 6
MOVES_PER_LEASE = 3
"""So often the end of a lease is moved at a cloud that shows it, each time to a lease and one such pause from then."""


def beat_s(lease_minutes: float) -> float:
    """Return the pause between two words of a runner, in seconds."""
    return min(BEAT_S, lease_minutes * 60 / BEATS_PER_LEASE)


def last_word(run: RunDir) -> tuple[Word, datetime] | None:
    """Return the runner's last word to the machine of a run, and its time; ``None`` where there is no lease.

    Raises:
        ValueError: If it is none that this version knows, or its time has no offset from UTC.
        RunnerError: If the file is damaged, as are ``OSError``, ``TypeError`` and ``KeyError``; see ``DAMAGE``.
    """
    said: dict[str, Any] | None = read_json(run.file(LEASE_NAME))
    if said is None:
        return None
    word, at = said["word"], datetime.fromisoformat(said["said_at"])
    if word not in get_args(Word) or at.tzinfo is None:
        raise ValueError(f"{LEASE_NAME} says {word} at {at}")
    return word, at


def note(run: RunDir, word: Word) -> None:
    """Note in the journal that the machine is left to itself (``hold``), or has a runner again (``renew``).

    Only a change is noted: a runner renews many times, and without a note it did nothing else.
    """
    if noted(run) != word:
        with contextlib.suppress(OSError):  # on a full disk here the run goes on without it
            Journal(run).answer(NOTED, word=word)


def noted(run: RunDir) -> Word | None:
    """Return how the machine of a run was left by its journal; ``None`` where no line that can be read says it."""
    try:
        words = [entry.get("word") for entry in Journal(run).entries() if entry["action"] == NOTED]
    except DAMAGE:
        return None
    return next((word for word in get_args(Word) if words[-1:] == [word]), None)


def word_or_noted(run: RunDir) -> tuple[Word | None, datetime] | None:
    """Return the last word as the run's folder has it, also where its file is damaged; ``None`` for no lease.

    The word is the journal's then, and its time the latest that it can be: when the file was changed last. A runner
    that works writes the file anew within a beat, whole.
    """
    try:
        return last_word(run)
    except DAMAGE:
        return noted(run), run.world.disk.changed_at(run.file(LEASE_NAME).path)
