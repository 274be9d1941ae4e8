"""Where data and models lie: paths as people write them, several of them with weights, names of the Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from trainer.config.section import Section

HUB_ADDRESS = "hf://datasets/"
"""How an address on the Hub begins, in the Hub's own form."""
HUB_DATASET = re.compile(
    rf"(?:{HUB_ADDRESS}|https://huggingface\.co/datasets/)?(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)/?"
)
"""A data set of the Hub, as people write it."""
HUB_KEYS = ("name", "split", "revision")
"""As ``datasets.load_dataset`` calls them."""
DATA_SUFFIXES = (
    ".arrow", ".bz2", ".csv", ".gz", ".json", ".jsonl", ".ndjson", ".parquet", ".tab", ".tsv", ".txt", ".xz", ".zip",
    ".zst", ".zstd",
)  # fmt: skip
"""How the names of files end that are no data sets of the Hub where they are missing."""


class WeightedPath(Section):
    """One source of a mixture."""

    path: str = Field(min_length=1)
    """A file, a pattern such as ``part-*.jsonl``, or a data set of the Hub as ``org/name``."""
    weight: float = Field(default=1.0, gt=0.0, le=100.0)
    """How often its samples are used: 2 takes each twice, 0.5 takes half of them, chosen by ``run.seed``."""
    name: str | None = Field(default=None, min_length=1)
    """Config of a data set of the Hub; ``null`` is its default one."""
    split: str | None = Field(default=None, min_length=1)
    """Split of a data set of the Hub; ``null`` is ``train`` in ``train_path``, and has to be named in ``eval_path``."""
    revision: str | None = Field(default=None, min_length=1)
    """Commit, tag or branch of a data set of the Hub. ``null`` is the newest commit; the plan puts in which that is."""

    @property
    def hub_keys(self) -> tuple[str, ...]:
        """The keys given that only a data set of the Hub has."""
        return tuple(key for key in HUB_KEYS if getattr(self, key) is not None)


def _check_paths(value: Any) -> Any:
    """Refuse what names no files, in words about the whole: the types give a line for each that might be meant."""
    for entry in value if isinstance(value, list) and value else [value]:
        keys = entry if isinstance(entry, dict) and isinstance(value, list) else {"path": entry}
        path, weight = keys.get("path"), keys.get("weight", 1.0)
        if isinstance(entry, WeightedPath):
            continue
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not isinstance(path, str) or not path or not is_number or set(keys) - {"path", "weight", *HUB_KEYS}:
            raise ValueError("write a path, or a list of paths and of `{path: more.jsonl, weight: 0.5}`")
        if not 0.0 < weight <= 100.0:
            raise ValueError(f"the weight of {path} is {weight}, and has to be above 0 and at most 100")
    return value


OnePath = Annotated[str, Field(min_length=1)]
Paths = Annotated[OnePath | Annotated[list[OnePath | WeightedPath], Field(min_length=1)], BeforeValidator(_check_paths)]


def absolute_paths(paths: Paths, folder: Path) -> Paths:
    """Return paths made absolute, starting at ``folder``; data sets of the Hub by their addresses."""
    if isinstance(paths, str):
        return _absolute_source(paths, folder)
    return [
        _absolute_source(one, folder)
        if isinstance(one, str)
        else one.model_copy(update={"path": _absolute_source(one.path, folder)})
        for one in paths
    ]


def _absolute_source(path: str, folder: Path) -> str:
    """Return a path made absolute, or the address of the data set that it names, where there is no such file."""
    given = HUB_DATASET.fullmatch(path)
    if given is None:
        return absolute_path(path, folder)
    is_address = not path.startswith(given["name"])
    is_file_name = path.lower().endswith(DATA_SUFFIXES)
    if not is_address and (is_file_name or (folder / path).exists()):
        return absolute_path(path, folder)
    return f"{HUB_ADDRESS}{given['name']}"


def is_hub_dataset(path: str) -> bool:
    """Return whether a path of a recipe whose paths are resolved names a data set of the Hub."""
    return path.startswith(HUB_ADDRESS)


def hub_name(path: str) -> str:
    """Return the name, as ``org/name``, of a data set of the Hub."""
    return path.removeprefix(HUB_ADDRESS)


def absolute_path(path: str, folder: Path) -> str:
    """Return a path as a run file has it (``~`` is the user's home), made absolute, starting at ``folder``."""
    return str((folder / Path(path).expanduser()).resolve())


def is_local_model(base_model: str, folder: Path) -> bool:
    """Return whether ``base_model`` names a file or folder on this machine rather than a Hub id or package."""
    if base_model.startswith("pypi:"):
        return False
    looks_local = base_model.startswith(("/", "./", "../", "~")) or base_model.endswith(".gguf")
    return looks_local or (folder / base_model).exists()
