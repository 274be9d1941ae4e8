"""How far the loading of a base model is: a large one takes minutes, in which nothing else is to be seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

PERIOD_S = 5.0
BAR = "Loading weights"
"""What transformers calls the bar of the tensors that it loads; its other bars are left to it."""

Report = Callable[[int, int], None]
"""Is handed how many tensors are there, and how many there will be."""


@contextmanager
def loading_reported(report: Report, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Report what transformers loads in this block: every few seconds, and once all is there.

    Args:
        report: Where to.
        clock: Seconds since some moment.
    """
    from transformers.utils import logging

    def hook(factory: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if options.get("desc") == BAR and args and isinstance(args[0], Collection):
            return _counted(args[0], report, clock)
        return factory(*args, **options)

    before = logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _counted(items: Collection[Any], report: Report, clock: Callable[[], float]) -> Iterator[Any]:
    total, reported_s = len(items), clock()
    for done, item in enumerate(items):
        if clock() - reported_s >= PERIOD_S:
            report(done, total)
            reported_s = clock()
        yield item
    report(total, total)
