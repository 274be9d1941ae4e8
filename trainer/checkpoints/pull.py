"""From the store: the newest checkpoint that is whole, the best so far, and all that is no checkpoint.

The newest whose files all match their SHA-256 in its manifest comes down, else the one before. It imports no torch, and
boto3 only when it is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from trainer.checkpoints.complete import MANIFEST_NAME, Listed, NotWholeError, best_of, is_inside, read_manifest
from trainer.checkpoints.names import is_checkpoint, split_names, step_of
from trainer.checkpoints.places import Opener, Place, open_place
from trainer.checkpoints.rclone import UNSURE
from trainer.checkpoints.transfer import Transfer, each
from trainer.errors import StoreError
from trainer.files import write_atomically


def pull(
    url: str,
    folder: Path,
    *,
    endpoint_url: str | None = None,
    keys: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    rclone: str | None = None,
    opened: Opener | None = None,
) -> Transfer:
    """Bring the newest whole checkpoint, the best so far, and all that is no checkpoint; a second time moves nothing.

    Raises:
        StoreError: If the store cannot be reached or refuses, holds nothing under ``url``, or none of its checkpoints
            is whole, or a file is not what was put there.
    """
    place, done = (opened or open_place)(url, endpoint_url, keys, ca_file, rclone), Transfer("pull")
    there = place.sizes()
    if not there:
        raise StoreError(
            f"sync: there is nothing in {url}", resolution="check store.url, or push a checkpoint first: `make sync`"
        )
    outside = [name for name in there if not is_inside(name)]
    if outside:
        raise StoreError(f"sync: {url} holds a file named {outside[0]!r}", resolution="remove or rename it there")
    folder.mkdir(parents=True, exist_ok=True)
    plain, checkpoints = split_names(there)

    def get(name: str) -> int | None:
        return _pull_file(place, folder / name, name)

    done.count(each(sorted(plain), get, place.at_once, lambda name: place.takes_turns(there[name])))
    for parent in sorted({str(PurePosixPath(name).parent) for name in checkpoints}):
        names = [name for name in checkpoints if str(PurePosixPath(name).parent) == parent]
        _pull_newest(place, folder, sorted(names, key=step_of, reverse=True), there, done)
    return done


def _pull_file(place: Place, path: Path, name: str) -> int | None:
    """Bring one file from the store. Returns its size, or ``None`` if it is here."""
    if path.is_file() and place.matches(name, path):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        sha256 = place.get(name, part)
    except FileNotFoundError as err:
        raise StoreError(
            f"sync: {name} was removed from the store meanwhile", resolution="run `make sync PULL=1` again"
        ) from err
    if place.matches(name, part, sha256) is False:
        part.unlink()
        raise StoreError(
            f"sync: {name} came down damaged: it is not what was put there",
            resolution="push it again with `make sync`, then pull: `make sync PULL=1`",
        )
    part.replace(path)
    return path.stat().st_size


def _pull_newest(place: Place, folder: Path, names: list[str], there: Mapping[str, int], done: Transfer) -> None:
    """Bring the newest whole checkpoint of those, which come newest first.

    Raises:
        StoreError: If none of them is whole.
    """
    problems: list[str] = []
    for name in names:
        try:
            done.count(_pull_checkpoint(place, folder, name, there))
        except NotWholeError as err:
            problems.append(f"{name} {err}")
            continue
        done.checkpoint = max(step_of(name), done.checkpoint or 0)
        done.remarks += problems
        _pull_best(place, folder, name, there, done)
        return
    raise StoreError(
        f"sync: none of {len(names)} checkpoints in the store is whole: {problems[0]}",
        details="\n".join(problems),
        resolution="push a checkpoint again with `make sync`, or start a new run with `make train`",
    )


def _pull_best(place: Place, folder: Path, newest: str, there: Mapping[str, int], done: Transfer) -> None:
    """Bring the best checkpoint so far as well: a run that ends takes its adapter from there."""
    best = best_of(folder / newest)
    if best is None or not is_checkpoint(best):
        return
    name = str(PurePosixPath(newest).with_name(best))
    if name == newest or ((folder / name / MANIFEST_NAME).exists() and f"{name}/{MANIFEST_NAME}" not in there):
        return
    try:
        done.count(_pull_checkpoint(place, folder, name, there))
    except NotWholeError as err:
        done.remarks.append(f"{name}, the best by eval loss so far, {err}")


def _pull_checkpoint(place: Place, folder: Path, checkpoint: str, there: Mapping[str, int]) -> list[int | None]:
    """Bring one checkpoint from the store; it appears whole or not at all, and what came down before a cut is kept.

    Raises:
        NotWholeError: If it is not whole there.
    """
    manifest, target = f"{checkpoint}/{MANIFEST_NAME}", folder / checkpoint
    if manifest not in there:
        is_begun = any(name.startswith(f"{checkpoint}/") for name in there)
        raise NotWholeError("has no manifest: its upload was cut off" if is_begun else "is not in the store")
    unsure = [name for name, size_bytes in there.items() if size_bytes == UNSURE and name.startswith(f"{checkpoint}/")]
    if unsure:
        raise NotWholeError(f"has {unsure[0].removeprefix(f'{checkpoint}/')} twice, with different contents")
    try:
        raw = place.read(manifest)
    except FileNotFoundError as err:
        raise NotWholeError("was removed from the store meanwhile") from err
    listed = read_manifest(raw).files
    missing = [entry.name for entry in listed if there.get(f"{checkpoint}/{entry.name}") != entry.size_bytes]
    if missing:
        raise NotWholeError(f"has {missing[0]} missing or cut short")
    if _has(target / MANIFEST_NAME, raw) and all(entry.is_at(target / entry.name) for entry in listed):
        return [None] * (len(listed) + 1)
    part = target.with_name(f".{target.name}.part")

    def get(entry: Listed) -> int | None:
        return _pull_listed(place, part / entry.name, f"{checkpoint}/{entry.name}", entry)

    moved = each(listed, get, place.at_once, lambda entry: place.takes_turns(entry.size_bytes))
    write_atomically(part / MANIFEST_NAME, raw)
    if target.exists():
        shutil.rmtree(target)  # it is not whole, or of another run
    part.replace(target)
    return [*moved, len(raw)]


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _pull_listed(place: Place, path: Path, name: str, entry: Listed) -> int | None:
    if entry.is_at(path):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        sha256 = place.get(name, path)
    except FileNotFoundError as err:
        raise NotWholeError(f"has {entry.name} missing") from err
    if not entry.is_at(path, sha256):
        path.unlink()
        raise NotWholeError(f"has a damaged {entry.name}")
    return entry.size_bytes
