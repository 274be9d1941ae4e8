"""A folder that ``datasets`` has saved (``Dataset.save_to_disk``): which of its Arrow files hold the rows."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import DataError
from trainer.files import read_json

_STATE, _SPLITS = "state.json", "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Return whether a path is such a folder, of one data set or of several splits."""
    return any((folder / name).is_file() for name in (_STATE, _SPLITS))


def saved_files(folder: Path, key: str) -> list[Path]:
    """Return the Arrow files of a saved data set, in the order of its rows.

    Args:
        folder: The folder.
        key: Recipe key that named it, for the hints.

    Raises:
        DataError: If it holds several splits, files are missing, or its list of files cannot be read.
    """
    splits = (read_json(folder / _SPLITS) or {}).get("splits")
    if isinstance(splits, list) and splits:
        raise DataError(
            f"data: {folder} holds the splits {', '.join(map(str, splits))}",
            resolution=f"set {key} to one of them, such as {folder / str(splits[0])}",
        )
    listed = (read_json(folder / _STATE) or {}).get("_data_files")
    names = [one.get("filename") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    files = [folder / Path(name).name for name in names if isinstance(name, str)]
    missing = [path.name for path in files if not path.is_file()] if files else [f"the list of files in {_STATE}"]
    if missing:
        raise DataError(
            f"data: {folder} is a saved data set, and {missing[0]} is missing",
            resolution="save the data set anew with `save_to_disk`, or copy the whole folder",
        )
    return files
