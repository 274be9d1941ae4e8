"""Samples that cannot be used: all of them in one error with their whole list in a file, or left out and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data.collected import SHOWN_PLACES, Collected, shown
from trainer.data.shelf import shelves
from trainer.errors import TrainerError


@dataclass(frozen=True)
class Problem:
    """What is wrong with one sample.

    Attributes:
        path: Its file.
        place: Its line there, behind its file where the split has several.
        number: Its line.
        words: What is wrong, after the words "path:line".
        resolution: What to do.
        details: More, where there is more.
    """

    path: str
    place: str
    number: int
    words: str
    resolution: str
    details: str | None = None

    @property
    def line(self) -> str:
        """The problem as one line of a list."""
        return f"{self.path}:{self.number} {self.words}"


def problems_of(collected: Collected) -> list[Problem]:
    """Return what is wrong with rows of a split's files."""
    return [
        Problem(
            str(collected.files[owner].path),
            collected.place(owner, bad.number),
            bad.number,
            bad.problem,
            bad.resolution,
            bad.details,
        )
        for owner, bad in collected.bad
    ]


def refuse_all(problems: Sequence[Problem], total: int, kind: type[TrainerError]) -> None:
    """Refuse samples that cannot be used, all in one error.

    Args:
        problems: What is wrong; with none, nothing happens.
        total: How many samples there are in all.
        kind: The error to raise.

    Raises:
        TrainerError: Of the kind; with its own words if it is one sample.
    """
    if not problems:
        return
    first = problems[0]
    if len(problems) == 1:
        raise kind(f"data: {first.line}", resolution=first.resolution, details=first.details)
    written = write_list("bad-samples", [one.line for one in problems])
    listed = "" if written is None else f" (all are listed in {written})"
    raise kind(
        f"data: {len(problems)} of {total} samples cannot be used; the first: {first.line}",
        resolution=f"mend them{listed}, or set `data.on_bad_sample: skip` to leave them out; of the first: "
        f"{first.resolution}",
        details="\n".join(
            [*(one.line for one in problems[:SHOWN_PLACES]), *([first.details] if first.details else [])]
        ),
    )


def left_out(problems: Sequence[Problem], total: int, split: str) -> tuple[str, ...]:
    """Return the warning about samples of a split that are left out as they cannot be used."""
    if not problems:
        return ()
    written = write_list(f"bad-{split}-samples", [one.line for one in problems])
    listed = "" if written is None or len(problems) <= SHOWN_PLACES else f" (all are listed in {written})"
    places = shown([one.place for one in problems], len(problems))
    return (f"{len(problems)} of {total} {split} samples cannot be used and are left out: line {places}{listed}",)


def write_list(name: str, lines: Sequence[str]) -> Path | None:
    """Write a list for a person and return its file, or ``None`` where it cannot be written.

    Args:
        name: What is listed.
        lines: One for each sample.
    """
    text = "".join(f"{line}\n" for line in lines)
    path = shelves() / f"{name}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError:
        return None
    return path
