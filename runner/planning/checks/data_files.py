"""The files that the samples are read from: on this machine, in a form that the trainer's readers take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from runner.adapters.data_sets.hub import Asking, HubSplit, fetch_split
from runner.adapters.data_sets.tables import read_tables
from runner.planning.market import is_reachable
from runner.world import World
from trainer.config.paths import Paths, WeightedPath, is_hub_dataset
from trainer.config.sections import DataSection
from trainer.data.collected import Progress
from trainer.data.sources.paths import find_files

SPLITS = {"train_path": "train", "eval_path": None}
"""Keys that name files, and the split that they take of a data set of the Hub where they name none."""


@dataclass(frozen=True)
class DataFiles:
    """The files of a run's samples.

    Attributes:
        here: The section that reads them on this machine.
        pinned: The keys that name data sets of the Hub, with the commits that were seen, as plain data.
        sets: These data sets.
    """

    here: DataSection
    pinned: dict[str, Any]
    sets: tuple[HubSplit, ...] = ()


def fetch_data(data: DataSection, world: World, progress: Progress) -> DataFiles:
    """Return the files of the samples, those of the Hub fetched, Parquet and Arrow turned into rows.

    Args:
        data: As the run file has it.
        world: Time, chance and surroundings.
        progress: Hears how far it is; raises where the user wants out.

    Raises:
        DataError: If files cannot be had, or turned into rows.
        ExtraError: If what that takes cannot be installed.
    """
    found = DataFiles(data, {})
    for name, split in SPLITS.items():
        paths: Paths | None = getattr(data, name)
        if paths is not None and any(is_hub_dataset(one.path) for one in _entries(paths)):
            reach = partial(is_reachable, world=world)
            found = _with_sets(found, name, paths, Asking(f"data.{name}", split, world, progress, reach))
    for name in SPLITS:
        paths = getattr(found.here, name)
        if paths is not None:
            read_tables([file.path for file in find_files(paths, f"data.{name}")], world, progress)
    return found


def _entries(paths: Paths) -> list[WeightedPath]:
    entries = [paths] if isinstance(paths, str) else paths
    return [WeightedPath(path=one) if isinstance(one, str) else one for one in entries]


def _with_sets(found: DataFiles, name: str, paths: Paths, asking: Asking) -> DataFiles:
    """Put the files of data sets in their places, and note which they are."""
    here, pinned, sets = list[WeightedPath](), list[WeightedPath](), list[HubSplit]()
    for one in _entries(paths):
        if not is_hub_dataset(one.path):
            here.append(one)
            pinned.append(one)
            continue
        split = fetch_split(one, asking)
        sets.append(split)
        pinned.append(split.source)
        here += [WeightedPath(path=str(file), weight=one.weight) for file in split.files]
    return replace(
        found,
        here=found.here.model_copy(update={name: here}),
        pinned=found.pinned | {name: [one.model_dump(mode="json", exclude_none=True) for one in pinned]},
        sets=(*found.sets, *sets),
    )
