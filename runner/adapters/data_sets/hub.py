"""A split of a data set of the Hub: its commit, the files that it is, and these files on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from runner.adapters.data_sets.environment import run_program
from runner.adapters.data_sets.refusals import UnreachableError, converted
from runner.world import World
from trainer.base_model.hub_files import ASK_S
from trainer.base_model.origin import given_commit
from trainer.config.paths import WeightedPath, hub_name
from trainer.data.collected import Progress
from trainer.errors import DataError
from trainer.files import cache_folder, read_json, write_json

CARDS = ("README.md", ".huggingface.yaml")
"""What says which configs and splits a data set has, where its files' names do not."""
FETCHING = "fetching the data set"


@dataclass(frozen=True)
class HubSplit:
    """A split of a data set on this machine.

    Attributes:
        source: As a run file names it, with name, config, split and commit.
        files: Its files in the Hub's cache.
        given_name: What it was called by the user, where the Hub calls it otherwise by now.
    """

    source: WeightedPath
    files: tuple[Path, ...]
    given_name: str | None = None

    def in_words(self) -> str:
        """Return which one it is, for a line of the preflight."""
        one = self.source
        return f"{hub_name(one.path)} ({one.name}, {one.split}) at commit {str(one.revision)[:12]}"


@dataclass(frozen=True)
class Asking:
    """How a split is asked for.

    Attributes:
        key: Recipe key that names it, for the hints.
        split: Its split, where the run file names none; ``None`` where one has to be named.
        world: Where to work.
        progress: Hears how far it is; raises where the user wants out.
        reach: Returns whether an address can be reached.
    """

    key: str
    split: str | None
    world: World
    progress: Progress
    reach: Callable[[str], bool] = lambda _: True


def fetch_split(source: WeightedPath, asking: Asking) -> HubSplit:
    """Return a split of a data set, fetched as far as it is not in the Hub's cache.

    A commit that was fetched before is taken from there, and nobody is asked.

    Args:
        source: As a run file names it.
        asking: How to ask.

    Raises:
        UnreachableError: If the Hub gives no answer, and the commit is not known or not in the cache.
        DataError: If there is no such data set, config or split, it may not be read, or it holds no samples.
        ExtraError: If `datasets` cannot be installed.
    """
    name, commit = hub_name(source.path), given_commit(source.revision)
    source = source.model_copy(update={"split": source.split or asking.split})
    if commit is not None and (kept := _kept(name, commit, source, asking.world)) is not None:
        return kept
    try:
        with converted(name, source.revision, asking.key):
            found = _ask(name, source.revision, asking.reach)
    except UnreachableError as err:
        if commit is not None:
            raise
        raise DataError(
            f"data: which commit {source.revision or 'main'} of {name} is cannot be asked: {err.trouble}",
            resolution=f"repeat the command once the Hub answers, or set `revision` in {asking.key} to a commit",
        ) from err
    sizes = {one.rfilename: one.size or 0 for one in found.siblings or () if _is_inside(one.rfilename)}
    true_name, commit = str(found.id), str(found.sha)
    _refuse_script(true_name, sizes, asking.key)
    with converted(true_name, commit, asking.key):
        answer = _files_of(true_name, commit, sizes, source, asking)
        files = _download(true_name, commit, {name: sizes[name] for name in answer["files"]}, asking)
    pinned = source.model_copy(
        update={"path": f"hf://datasets/{true_name}", "name": answer["config"], "revision": commit}
    )
    for asked in (source, pinned):
        write_json(_note(true_name, commit, asked, asking.world), answer)
    return HubSplit(pinned, files, name if name != true_name else None)


def _ask(name: str, revision: str | None, reach: Callable[[str], bool]) -> Any:
    """Ask the Hub which commit a revision is, and which files it has."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    if constants.is_offline_mode():
        raise OfflineModeIsEnabled
    if not reach(constants.ENDPOINT):
        raise ConnectionError(f"no connection to {constants.ENDPOINT}")
    return HfApi().dataset_info(name, revision=revision, timeout=ASK_S, files_metadata=True)


def _is_inside(path: str) -> bool:
    """Return whether a path stays in its folder, whatever the Hub says."""
    return not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _refuse_script(name: str, files: dict[str, int], key: str) -> None:
    script = f"{name.rpartition('/')[2]}.py"
    if script in files:
        raise DataError(
            f"data: {name} is made by a program ({script}), which Douse does not run",
            resolution=f"set `revision: refs/convert/parquet` in {key}, where the Hub has its rows as Parquet",
        )


def _files_of(name: str, commit: str, files: dict[str, int], source: WeightedPath, asking: Asking) -> dict[str, Any]:
    """Return config and files of the split, as `datasets` understands the card and the names of all files."""
    with asking.world.scratch("douse-names-") as folder:
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(b"")
        for card in [card for card in CARDS if card in files]:
            (folder / card).write_bytes(_fetch(name, commit, card).read_bytes())
        answer = run_program("name_files.py", str(folder), source.name or "", source.split or "", world=asking.world)
    if "problem" in answer:
        raise _unfit(answer["problem"], answer["known"], name, source, asking)
    return answer


def _unfit(problem: str, known: Sequence[str], name: str, source: WeightedPath, asking: Asking) -> DataError:
    """Return the error for a data set that has not what is asked for."""
    listed, first, split = ", ".join(known), next(iter(known), None), source.split
    in_list = f"in {asking.key}: `- {{path: {name}, %s}}`"
    say = {
        "no config": (f"has several configs ({listed})", f"name one {in_list % f'name: {first}'}"),
        "config": (f"has no config {source.name}", f"set `name` in {asking.key} to one of: {listed}"),
        "split": (
            f"has no split {split}" if split else f"has several splits ({listed}), and none is named",
            f"set `split` {in_list % f'split: {first}'}; it has: {listed}" if first else "take another data set",
        ),
        "kind": (f"is of the kind {listed}, not samples as text", "take a data set of Parquet, Arrow, JSON or CSV"),
        "settings": (f"asks in its card for a way of reading that Douse lacks ({listed})",
                     "download the files, write them as JSON Lines, and name these"),
        "card": (f"has no files that can be found: {listed}", "download the files and name them"),
    }  # fmt: skip
    words, resolution = say[problem]
    return DataError(f"data: {name} {words}", resolution=resolution)


def _download(name: str, commit: str, sizes: dict[str, int], asking: Asking) -> tuple[Path, ...]:
    total, done, files = sum(sizes.values()), 0, list[Path]()
    for path, size in sizes.items():
        asking.progress(FETCHING, done, total)
        files.append(_fetch(name, commit, path))
        done += size
    asking.progress(FETCHING, total, total)
    return tuple(files)


def _fetch(name: str, commit: str, path: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, path, repo_type="dataset", revision=commit, etag_timeout=ASK_S))


def _note(name: str, commit: str, source: WeightedPath, world: World) -> Path:
    """Return the file that says which files a split of a commit is."""
    asked = json.dumps([name, commit, source.name, source.split])
    folder = cache_folder(world.environ) / "data_sets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"


def _kept(name: str, commit: str, source: WeightedPath, world: World) -> HubSplit | None:
    """Return a split that was fetched before and is in the Hub's cache as a whole, or ``None``; asks nobody."""
    from huggingface_hub import try_to_load_from_cache

    note = read_json(_note(name, commit, source, world))
    if note is None:
        return None
    found = [try_to_load_from_cache(name, path, revision=commit, repo_type="dataset") for path in note["files"]]
    files = tuple(Path(path) for path in found if isinstance(path, str))
    pinned = source.model_copy(update={"name": note["config"]})
    return HubSplit(pinned, files) if len(files) == len(found) else None
