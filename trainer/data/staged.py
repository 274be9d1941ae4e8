"""What goes to the machine that trains: one canonical JSON Lines file for each split, whatever the user's files are."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from trainer.config.sections import DataSection
from trainer.data.checked import ANY
from trainer.data.collected import Samples
from trainer.data.samples import load_dataset


def write_staged(data: DataSection, seed: int, folder: Path) -> DataSection:
    """Write the samples of a run to ``train.jsonl`` and ``eval.jsonl``.

    Args:
        data: The user's files, and what to do with their samples.
        seed: Decides what is held out, and which part of a source is used.
        folder: Where to write.

    Returns:
        The section that reads what was written: the same samples in the same order, with the same SHA-256.

    Raises:
        DataError: If files or samples cannot be used.
    """
    dataset = load_dataset(data, seed)
    paths = folder / "train.jsonl", folder / "eval.jsonl"
    for path, samples in zip(paths, (dataset.train, dataset.eval), strict=True):
        with path.open("wb") as file:
            file.writelines(cast("Samples", samples).lines())  # what is loaded from files has lines
    changes = {"train_path": str(paths[0]), "eval_path": str(paths[1]), "columns": {}}
    return data.model_copy(update=changes | ({"format": ANY} if "+" in dataset.format else {}))
