"""To the store: folders, to any address that ``open_place`` knows, checkpoints complete or absent.

A checkpoint goes up with its files first and its manifest last, so that one with a manifest is whole; a ``SHA256SUMS``
goes last for the same reason. Everything else is compared by content; what is there already is not moved again. It
imports no torch, and boto3 only when it is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from trainer.checkpoints.complete import MANIFEST_NAME, Listed, NotWholeError, read_manifest
from trainer.checkpoints.names import local_files, split_names, step_of
from trainer.checkpoints.places import Opener, Place, open_place
from trainer.checkpoints.transfer import Transfer, each
from trainer.errors import StoreError
from trainer.files import sha256_of_file

CHECKSUMS = "SHA256SUMS"
TRIES = 3


def push(
    folder: Path,
    url: str,
    *,
    endpoint_url: str | None = None,
    keys: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    rclone: str | None = None,
    opened: Opener | None = None,
) -> Transfer:
    """Bring a folder into the store; a second time moves nothing. Nothing is ever removed there.

    Args:
        folder: Any folder. A folder ``checkpoint-<step>`` in it goes up only if it has a manifest and is sound.
        url: ``s3://bucket/prefix``, ``file:///path`` or ``rclone://remote/path``.
        endpoint_url: Address of a store that speaks S3; ``None`` is Amazon's.
        keys: Credentials as variables; ``None`` looks where boto3 does.
        ca_file: Certificates, in PEM, of those who vouch for the endpoint; ``None`` trusts whom the system trusts.
        rclone: rclone's program; ``None`` looks on PATH.
        opened: Opens the store; ``None`` for ``open_place``.

    Raises:
        StoreError: If the store cannot be reached or refuses, or the folder is not there.
    """
    if not folder.is_dir():
        raise StoreError(f"sync: there is no folder {folder}", resolution="name a folder that exists with --folder")
    place, done = (opened or open_place)(url, endpoint_url, keys, ca_file, rclone), Transfer("push")
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

        def put(name: str) -> int | None:
            return _push_file(place, folder / name, name, there, done.remarks)

        for names in (sorted({*plain} - {*vouchers}), vouchers):
            done.count(each(names, put, place.at_once, lambda name: _takes_turns(place, folder / name)))
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


def _takes_turns(place: Place, path: Path) -> bool:
    try:
        return place.takes_turns(path.stat().st_size)
    except OSError:  # it was removed meanwhile, which is said where it is read
        return False


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


def _take_back(place: Place, folder: Path, manifest: str, listed: Sequence[Listed]) -> None:
    """Take the manifest of another checkpoint of this step from the store, before its files get other content.

    Keys that may not remove anything leave it: until the new one is there, its files are then not what it says.

    Raises:
        NotWholeError: If the checkpoint here is not whole: the one there stays.
    """
    damaged = next((entry.name for entry in listed if not entry.is_at(folder / entry.name)), None)
    if damaged is not None:
        raise NotWholeError(f"has a damaged {damaged}")
    with suppress(StoreError):
        place.remove(manifest)


def _push_checkpoint(place: Place, folder: Path, checkpoint: str, there: Mapping[str, int]) -> list[int | None]:
    """Bring one checkpoint into the store: its files, then its manifest.

    Raises:
        NotWholeError: If it is not whole here, or was removed meanwhile.
    """
    manifest = f"{checkpoint}/{MANIFEST_NAME}"
    try:
        raw = (folder / manifest).read_bytes()
        listed = read_manifest(raw).files
        is_there = there.get(manifest) == len(raw) and place.read(manifest) == raw

        def put(entry: Listed) -> int | None:
            path, name = folder / checkpoint / entry.name, f"{checkpoint}/{entry.name}"
            path.stat()
            if there.get(name) == entry.size_bytes and place.matches(name, path, entry.sha256):
                return None
            if not entry.is_at(path):
                raise NotWholeError(f"has a damaged {entry.name}")
            place.put(path, name, entry.sha256)
            return entry.size_bytes

        if manifest in there and not is_there:
            _take_back(place, folder / checkpoint, manifest, listed)
        moved = each(listed, put, place.at_once, lambda entry: place.takes_turns(entry.size_bytes))
        if not is_there:
            place.write(raw, manifest)
    except FileNotFoundError as err:
        raise NotWholeError("has no manifest, or was removed meanwhile") from err
    return [*moved, None if is_there else len(raw)]
