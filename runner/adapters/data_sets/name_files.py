"""Name the files of a data set's split, as `datasets` understands its card: ``python name_files.py FOLDER NAME SPLIT``.

A program for the environment of ``requirements/data.lock``. The folder has the card of a data set of the Hub
(``README.md``) and a file of each name that the data set has, without its bytes: names and card are all that decides.
NAME is a config, or empty for the default one. One JSON object is printed: ``files`` and ``config``, or ``problem`` and
what is ``known`` instead. Nobody is asked on the network.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

READ = ("parquet", "arrow", "json", "csv")
"""Builders of `datasets` whose files are read by readers of Douse's own."""
READ_ANYWAY = ("name", "version", "data_dir", "data_files", "description", "features", "sep", "delimiter")
"""Settings of a builder that change no row: a reader finds out what separates the cells of a table."""


def main() -> None:
    """Print the answer."""
    folder, name, split = sys.argv[1:]
    try:
        answer = files_of(Path(folder).resolve(), name or None, split)
    except Exception as err:  # noqa: BLE001 - whatever the library raises about a card is about the card
        answer = {"problem": "card", "known": [" ".join(str(err).split())[:300] or type(err).__name__]}
    print(json.dumps(answer))


def files_of(folder: Path, name: str | None, split: str) -> dict[str, Any]:
    """Return the files of a split by their paths in ``folder``, or the problem with finding them."""
    from datasets import get_dataset_config_names, get_dataset_default_config_name, load_dataset_builder

    configs = get_dataset_config_names(str(folder))
    chosen = name or get_dataset_default_config_name(str(folder))
    if chosen not in configs:
        return {"problem": "config" if name else "no config", "known": configs}
    config = load_dataset_builder(str(folder), chosen, cache_dir=str(folder / ".cache")).config
    module = type(config).__module__.rpartition(".")[2]
    if module not in READ:
        return {"problem": "kind", "known": [module]}
    changed = _changed(config)
    if changed:
        return {"problem": "settings", "known": changed}
    found = {str(key): [os.path.relpath(path, folder) for path in paths] for key, paths in config.data_files.items()}
    if split not in found:
        return {"problem": "split", "known": list(found)}
    return {"config": chosen, "files": found[split]}


def _changed(config: Any) -> list[str]:
    """Return the settings of a card that ask for another way of reading than its files' own."""
    plain = type(config)()
    names = [field.name for field in dataclasses.fields(config) if field.name not in READ_ANYWAY]
    return [name for name in names if getattr(config, name) != getattr(plain, name)]


if __name__ == "__main__":
    main()
