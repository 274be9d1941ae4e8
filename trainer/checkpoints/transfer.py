"""What a transfer between a folder and the store did, and how its files are moved: some at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from trainer.checkpoints.turns import turn

T = TypeVar("T")
AT_ONCE = 4
"""Files that are moved at the same time; each one in parallel parts if it is big."""


@dataclass
class Transfer:
    """What a transfer did.

    Attributes:
        direction: ``push`` or ``pull``.
        files: Files that were moved.
        size_bytes: Their size.
        unchanged: Files that were there already.
        checkpoint: Step of the newest checkpoint that is now on both sides, or ``None``.
        remarks: What was left out, and why.
    """

    direction: str
    files: int = 0
    size_bytes: int = 0
    unchanged: int = 0
    checkpoint: int | None = None
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Return one JSON line."""
        return json.dumps(asdict(self))

    def count(self, moved: Iterable[int | None]) -> None:
        """Add files: the size of each that was moved, ``None`` for each that was there already."""
        for size_bytes in moved:
            self.unchanged += size_bytes is None
            self.files += size_bytes is not None
            self.size_bytes += size_bytes or 0


def each(
    items: Iterable[T],
    act: Callable[[T], int | None],
    at_once: int = AT_ONCE,
    takes_turns: Callable[[T], bool] = lambda _: False,
) -> list[int | None]:
    """Do something for each, so many at a time; the first failure is raised and the rest is left undone.

    Args:
        items: What to do it for.
        act: What to do.
        at_once: How many threads; with one it is done in this thread.
        takes_turns: Whether it is done in turns with others that do: see ``turns``.
    """
    if at_once == 1:
        return [act(item) for item in items]

    def act_in_turn(item: T) -> int | None:
        with turn() if takes_turns(item) else nullcontext():
            return act(item)

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(act_in_turn, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
