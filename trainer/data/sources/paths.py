"""The files that a run file names: a path, a pattern or a saved data set, or a list of them with weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.config.paths import Paths, WeightedPath, is_hub_dataset
from trainer.data.sources.saved import is_saved, saved_files
from trainer.errors import DataError


@dataclass(frozen=True)
class SourceFile:
    """One file of a split.

    Attributes:
        path: The file.
        weight: How often its samples are used.
    """

    path: Path
    weight: float = 1.0


def find_files(paths: Paths, key: str) -> tuple[SourceFile, ...]:
    """Return the files of a split, in the order of the run file, those of a pattern by their names.

    Args:
        paths: A path or a pattern, or a list of them.
        key: Recipe key that has them, for the hints.

    Raises:
        DataError: If a pattern fits no file, or a file is named twice.
    """
    entries = [paths] if isinstance(paths, str) else paths
    files: list[SourceFile] = []
    for entry in entries:
        one = WeightedPath(path=entry) if isinstance(entry, str) else entry
        _check_source(one, key)
        files += [SourceFile(path, one.weight) for path in _matches(one.path, key)]
    names = [file.path for file in files]
    twice = next((path for path in names if names.count(path) > 1), None)
    if twice is not None:
        raise DataError(
            f"data: {key} names {twice} twice",
            resolution="name each file once; a weight of 2 uses its samples twice",
        )
    return tuple(files)


def shown_paths(paths: Paths) -> str:
    """Return the paths of a split in one line, for messages."""
    if isinstance(paths, str):
        return paths
    return ", ".join(one if isinstance(one, str) else _shown(one) for one in paths)


def _shown(one: WeightedPath) -> str:
    return one.path if one.revision is None else f"{one.path}@{one.revision}"


def _check_source(one: WeightedPath, key: str) -> None:
    """Refuse what is no file: a data set of the Hub that was not fetched, and keys that only such a data set has."""
    if is_hub_dataset(one.path):
        raise DataError(
            f"data: {one.path} is on the Hub, and its files are not here",
            resolution=f"start with `make`, which fetches them, or set {key} to a file",
        )
    if one.hub_keys:
        raise DataError(
            f"data: {one.path} is on this machine, and `{one.hub_keys[0]}` is for data sets of the Hub",
            resolution=f"leave it out, or set the path in {key} to hf://datasets/<org>/<name>",
        )


def _matches(path: str, key: str) -> list[Path]:
    whole = Path(path)
    if is_saved(whole):
        return saved_files(whole, key)
    if not set(path) & set("*?[") or whole.exists():  # brackets and the like may be a part of a name
        return [whole]
    pattern = str(whole.relative_to(whole.anchor))
    found = sorted(one for one in Path(whole.anchor).glob(pattern) if one.is_file() and not one.name.startswith("."))
    if not found:
        raise DataError(f"data: no file fits {path}", resolution=f"set {key} to a pattern that fits, or name the files")
    return found
