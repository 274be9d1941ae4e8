"""Which rows are learned from and which are kept for evaluation, and how often each source is used."""

from __future__ import annotations

import random
from collections.abc import Sequence

from trainer.config.sections import DataSection
from trainer.data.collected import SHOWN_PLACES, Collected, Rows, shown
from trainer.data.sources.paths import shown_paths
from trainer.data.summary import SourceUse
from trainer.errors import DataError


def hold_out(rows: Rows, data: DataSection, seed: int) -> tuple[list[int], list[int]]:
    """Split off ``eval_fraction`` of the different samples; copies of one sample stay on one side.

    Returns:
        The indices of the rows to learn from, and of those to evaluate on.

    Raises:
        DataError: If there are fewer than two different samples.
    """
    firsts: dict[bytes, int] = {}
    for index in range(len(rows)):
        firsts.setdefault(rows.key(index), index)
    if len(firsts) < 2:
        raise DataError(
            f"data: {shown_paths(data.train_path)} holds {len(firsts)} different sample(s), and one must be kept for "
            "evaluation",
            resolution="add samples, or set data.eval_path to a file of its own",
        )
    wanted = max(1, round(len(firsts) * data.eval_fraction))
    chosen = set(random.Random(seed).sample(list(firsts), wanted))  # noqa: S311 - a split, not a secret
    train = [index for index in range(len(rows)) if rows.key(index) not in chosen]
    return train, sorted(firsts[key] for key in chosen)


def refuse_leaks(train: Collected, held_out: Collected, data: DataSection) -> None:
    """Refuse samples to evaluate on that are learned from.

    Raises:
        DataError: With the lines of both.
    """
    firsts = {train.rows.key(index): index for index in reversed(range(len(train.rows)))}
    rows = held_out.rows
    leaks = [(index, firsts[rows.key(index)]) for index in range(len(rows)) if rows.key(index) in firsts]
    if leaks:
        few = leaks[:SHOWN_PLACES]
        where = shown(
            [f"{held_out.place_of(one)} (train line {train.place_of(first)})" for one, first in few], len(leaks)
        )
        raise DataError(
            f"data: {shown_paths(data.eval_path or '')} has {len(leaks)} sample(s) that are in the training file too: "
            f"line {where}",
            resolution="take them out of one file, or leave data.eval_path out: then a share of train is held out",
        )


def weighted(train: Collected, chosen: Sequence[int], seed: int) -> Sequence[int]:
    """Return the rows to learn from, each source as often as its weight says, in the order of the files.

    A weight of 2.5 takes each row twice and then half of them once more; which half depends on the seed alone.
    """
    if all(file.weight == 1.0 for file in train.files):
        return chosen
    order: list[int] = []
    for owner, file in enumerate(train.files):
        own = [index for index in chosen if train.rows.owner(index) == owner]
        times, share = divmod(file.weight, 1.0)
        order += own * int(times)
        extra = round(len(own) * share) if times else max(min(1, len(own)), round(len(own) * share))
        order += sorted(random.Random(f"{seed}, source {owner}").sample(own, extra))  # noqa: S311 - as above
    return order


def used_sources(train: Collected, order: Sequence[int]) -> tuple[SourceUse, ...]:
    """Return how each file is used, where there are several or one has a weight; nothing for a single plain file."""
    if len(train.files) == 1 and train.files[0].weight == 1.0:
        return ()
    samples, used = [0] * len(train.files), [0] * len(train.files)
    for index in range(len(train.rows)):
        samples[train.rows.owner(index)] += 1
    for index in order:
        used[train.rows.owner(index)] += 1
    return tuple(
        SourceUse(str(file.path), file.weight, samples[owner], used[owner]) for owner, file in enumerate(train.files)
    )
