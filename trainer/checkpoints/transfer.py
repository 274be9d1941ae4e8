"""The store: folders to and from ``s3://bucket/prefix`` or ``file:///path``, checkpoints complete or absent.

A checkpoint goes up with its files first and its manifest last, so that one with a manifest is whole; a ``SHA256SUMS``
goes last for the same reason. A checkpoint comes down the other way round: the newest whose files all match their
SHA-256 in its manifest, else the one before; and the best so far, if that is another. Everything else is compared by
content; what is there already is not moved again. It imports no torch, and boto3 only when it is needed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from trainer.checkpoints.complete import MANIFEST_NAME, Listed, NotWholeError, best_of, is_inside, read_manifest
from trainer.checkpoints.names import is_checkpoint, local_files, split_names, step_of
from trainer.checkpoints.places import Place, open_place
from trainer.errors import StoreError
from trainer.files import sha256_of_file, write_atomically

T = TypeVar("T")
CHECKSUMS = "SHA256SUMS"
AT_ONCE = 4
"""Files that are moved at the same time; each one in parallel parts if it is big."""
TRIES = 3


@dataclass
class Transfer:
    """What a transfer did.

    Attributes:
        direction: ``push`` or ``pull``.
        files: Files that were moved.
        size_bytes: Their size.
        unchanged: Files that were there already.
        checkpoint: Step of the newest checkpoint that is now on both sides, or ``None``.
        remarks: What was left out, and why.
    """

    direction: str
    files: int = 0
    size_bytes: int = 0
    unchanged: int = 0
    checkpoint: int | None = None
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Return one JSON line."""
        return json.dumps(asdict(self))

    def count(self, moved: Iterable[int | None]) -> None:
        """Add files: the size of each that was moved, ``None`` for each that was there already."""
        for size_bytes in moved:
            self.unchanged += size_bytes is None
            self.files += size_bytes is not None
            self.size_bytes += size_bytes or 0


def push(
    folder: Path,
    url: str,
    *,
    endpoint_url: str | None = None,
    keys: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
) -> Transfer:
    """Bring a folder into the store; a second time moves nothing. Nothing is ever removed there.

    Args:
        folder: Any folder. A folder ``checkpoint-<step>`` in it goes up only if it has a manifest and is sound.
        url: ``s3://bucket/prefix`` or ``file:///path``.
        endpoint_url: Address of a store that speaks S3; ``None`` is Amazon's.
        keys: Credentials as variables; ``None`` looks where boto3 does.
        ca_file: Certificates, in PEM, of those who vouch for the endpoint; ``None`` trusts whom the system trusts.

    Raises:
        StoreError: If the store cannot be reached or refuses, or the folder is not there.
    """
    if not folder.is_dir():
        raise StoreError(f"sync: there is no folder {folder}", resolution="name a folder that exists with --folder")
    place, done = open_place(url, endpoint_url, keys, ca_file), Transfer("push")
    there = place.sizes()
    plain, checkpoints = split_names(local_files(folder))
    with _settled(place):
        for name in sorted(checkpoints, key=step_of, reverse=True):  # time may be short: the newest is worth most
            try:
                done.count(_push_checkpoint(place, folder, name, there))
                done.checkpoint = max(step_of(name), done.checkpoint or 0)
            except NotWholeError as err:
                done.remarks.append(f"{name} {err}")
        vouchers = [name for name in plain if PurePosixPath(name).name == CHECKSUMS]
        for names in (sorted({*plain} - {*vouchers}), vouchers):
            done.count(_each(names, lambda name: _push_file(place, folder / name, name, there, done.remarks)))
    return done


def pull(
    url: str,
    folder: Path,
    *,
    endpoint_url: str | None = None,
    keys: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
) -> Transfer:
    """Bring the newest whole checkpoint, the best so far, and all that is no checkpoint; a second time moves nothing.

    Raises:
        StoreError: If the store cannot be reached or refuses, holds nothing under ``url``, or none of its checkpoints
            is whole, or a file is not what was put there.
    """
    place, done = open_place(url, endpoint_url, keys, ca_file), Transfer("pull")
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
    done.count(_each(sorted(plain), lambda name: _pull_file(place, folder / name, name)))
    for parent in sorted({str(PurePosixPath(name).parent) for name in checkpoints}):
        names = [name for name in checkpoints if str(PurePosixPath(name).parent) == parent]
        _pull_newest(place, folder, sorted(names, key=step_of, reverse=True), there, done)
    return done


def push_checkpoint(place: Place, folder: Path, checkpoint: str) -> Transfer:
    """Bring one checkpoint into the store: its files, then its manifest.

    Args:
        place: The store.
        folder: The checkpoint's name is relative to it.
        checkpoint: Name of the checkpoint's folder, here and there, like ``checkpoints/checkpoint-20``.

    Returns:
        What was moved; where the checkpoint is not whole here, a remark and no step.

    Raises:
        StoreError: If the store cannot be reached or refuses.
    """
    done = Transfer("push")
    try:
        with _settled(place):
            done.count(_push_checkpoint(place, folder, checkpoint, place.sizes()))
        done.checkpoint = step_of(checkpoint)
    except NotWholeError as err:
        done.remarks.append(f"{checkpoint} {err}")
    return done


def push_file(place: Place, path: Path, name: str) -> None:
    """Bring one file that does not change into the store.

    Raises:
        StoreError: If the store cannot be reached or refuses.
    """
    place.put(path, name, sha256_of_file(path))


def forget_checkpoint(place: Place, checkpoint: str) -> None:
    """Remove a checkpoint from the store: its manifest first, so that what is left is no checkpoint.

    Raises:
        StoreError: If the store cannot be reached or refuses.
    """
    names = [name for name in place.sizes() if name.startswith(f"{checkpoint}/")]
    for name in sorted(names, key=lambda name: name != f"{checkpoint}/{MANIFEST_NAME}"):
        place.remove(name)


@contextmanager
def _settled(place: Place) -> Iterator[None]:
    """Let a place note what was brought there, also if it was cut: the next push goes on from there."""
    try:
        yield
    except StoreError:
        with suppress(StoreError):
            place.settle()
        raise
    place.settle()


def _each(items: Iterable[T], act: Callable[[T], int | None]) -> list[int | None]:
    """Do something for each, some at a time; the first failure is raised and the rest is left undone."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(act, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _push_file(place: Place, path: Path, name: str, there: Mapping[str, int], remarks: list[str]) -> int | None:
    """Bring one file into the store as it was at one moment. Returns its size, or ``None`` if it is there."""
    try:
        for _ in range(TRIES):
            before = path.stat()
            if there.get(name) == before.st_size and place.matches(name, path):
                return None
            place.put(path, name, sha256_of_file(path))
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return after.st_size
        remarks.append(f"{name} changes while it is read; push once more when it rests")
        return _push_copy(place, path, name)
    except FileNotFoundError:
        remarks.append(f"{name} was removed meanwhile")
        return None


def _push_copy(place: Place, path: Path, name: str) -> int:
    """Bring a copy of a file that does not rest; the file itself would get a SHA-256 that it no longer has."""
    copy = path.with_name(f".{path.name}.part")
    try:
        shutil.copyfile(path, copy)
        place.put(copy, name, sha256_of_file(copy))
        return copy.stat().st_size
    finally:
        copy.unlink(missing_ok=True)


def _push_checkpoint(place: Place, folder: Path, checkpoint: str, there: Mapping[str, int]) -> list[int | None]:
    """Bring one checkpoint into the store: its files, then its manifest.

    Raises:
        NotWholeError: If it is not whole here, or was removed meanwhile.
    """
    manifest = f"{checkpoint}/{MANIFEST_NAME}"
    try:
        raw = (folder / manifest).read_bytes()
        listed = read_manifest(raw).files
        is_there = manifest in there and place.read(manifest) == raw

        def put(entry: Listed) -> int | None:
            path, name = folder / checkpoint / entry.name, f"{checkpoint}/{entry.name}"
            path.stat()
            if there.get(name) == entry.size_bytes and place.matches(name, path, entry.sha256):
                return None
            if not entry.is_at(path):
                raise NotWholeError(f"has a damaged {entry.name}")
            place.put(path, name, entry.sha256)
            return entry.size_bytes

        moved = _each(listed, put)
        if not is_there:
            place.write(raw, manifest)
    except FileNotFoundError as err:
        raise NotWholeError("has no manifest, or was removed meanwhile") from err
    return [*moved, None if is_there else len(raw)]


def _pull_file(place: Place, path: Path, name: str) -> int | None:
    """Bring one file from the store. Returns its size, or ``None`` if it is here."""
    if path.is_file() and place.matches(name, path):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        place.get(name, part)
    except FileNotFoundError as err:
        raise StoreError(
            f"sync: {name} was removed from the store meanwhile", resolution="run `make sync PULL=1` again"
        ) from err
    if place.matches(name, part) is False:
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
    moved = _each(listed, lambda entry: _pull_listed(place, part / entry.name, f"{checkpoint}/{entry.name}", entry))
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
        place.get(name, path)
    except FileNotFoundError as err:
        raise NotWholeError(f"has {entry.name} missing") from err
    if not entry.is_at(path):
        path.unlink()
        raise NotWholeError(f"has a damaged {entry.name}")
    return entry.size_bytes
