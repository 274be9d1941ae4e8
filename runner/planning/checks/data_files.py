"""The files that the samples are read from: on this machine, in a form that the trainer's readers take."""

from __future__ import annotations

from runner.adapters.data_sets.tables import read_tables
from runner.world import World
from trainer.config import DataSection
from trainer.data.collected import Progress
from trainer.data.sources.paths import find_files


def fetch_data(data: DataSection, world: World, progress: Progress) -> DataSection:
    """Return the samples' section with files that can be read here.

    Args:
        data: As the run file has it.
        world: Time, chance and surroundings.
        progress: Hears how far it is; raises where the user wants out.

    Raises:
        DataError: If files cannot be had, or turned into rows.
        ExtraError: If what that takes cannot be installed.
    """
    splits = (("data.train_path", data.train_path), ("data.eval_path", data.eval_path))
    found = [file.path for key, paths in splits if paths is not None for file in find_files(paths, key)]
    read_tables(found, world, progress)
    return data
