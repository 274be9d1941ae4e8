"""Complete checkpoints: write, list, choose, verify.

A checkpoint is complete or it does not exist. The Hugging Face Trainer writes its files first; the manifest with the
size and SHA-256 of each comes last, in one atomic rename. Readers take the newest checkpoint whose manifest verifies
and fall back to the one before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainer.checkpoints.names import is_checkpoint, step_of
from trainer.checkpoints.recipes import EFFECTIVE_ROWS, check_recipe
from trainer.errors import CheckpointError
from trainer.files import parse_object, read_json, sha256_of_file, write_json

MANIFEST_NAME = "manifest.json"
FORMAT = 1
LONGEST_NAME = 255
"""Bytes of a name that every file system takes."""
REQUIRED_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "rng_state.pth",
    "scheduler.pt",
    "trainer_state.json",
)
"""Without any one of these a resumed run would differ; transformers itself goes on silently without the optimizer."""
SCALER = "scaler.pt"
PRECISION = "precision"
WITH_SCALER = {PRECISION: "float16"}
"""What the fingerprints of a run in float16 hold besides: its checkpoints have the gradient scaler, too. Without one
transformers goes on with a fresh scaler, silently. Other runs hold nothing of it, as before there was float16."""


class NotWholeError(Exception):
    """A checkpoint that cannot be taken, and why, as what is said of it."""


@dataclass(frozen=True)
class Listed:
    """A file as a checkpoint's manifest lists it."""

    name: str
    size_bytes: int
    sha256: str

    def is_at(self, path: Path, sha256: str | None = None) -> bool:
        """Return whether this very content is in a file, whose SHA-256 is read where it is not given."""
        if not path.is_file() or path.stat().st_size != self.size_bytes:
            return False
        return (sha256 or sha256_of_file(path)) == self.sha256


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        step: Optimizer steps done.
        files: All that belongs to it.
        fingerprints: See ``Checkpoint``.
        recipe: See ``Checkpoint``.
    """

    step: int
    files: tuple[Listed, ...]
    fingerprints: Mapping[str, str]
    recipe: Mapping[str, Any] | None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that verifies.

    Attributes:
        path: Its folder.
        step: Optimizer steps done.
        fingerprints: What it belongs to: recipe, data, tokenization, base_model, environment.
        size_bytes: All files together.
        recipe: The recipe in values, as ``recipe_values`` gives it; ``None`` of a version that wrote none.
    """

    path: Path
    step: int
    fingerprints: Mapping[str, str]
    size_bytes: int
    recipe: Mapping[str, Any] | None = None

    @property
    def rows_in_step(self) -> int | None:
        """Rows in an optimizer step; ``None`` where that is not known."""
        rows = None if self.recipe is None else self.recipe.get(EFFECTIVE_ROWS)
        return rows if isinstance(rows, int) and rows > 0 else None


Found = tuple[Checkpoint | None, list[str]]
"""A checkpoint, if there is one, and what is to be said of it or of those that were passed over."""


def complete(
    folder: Path, step: int, fingerprints: Mapping[str, str], recipe: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Make the checkpoint in ``folder`` complete: flush its files, then write the manifest.

    Raises:
        CheckpointError: If the trainer left out a file that a resume needs.
    """
    missing = [name for name in _required_files(fingerprints) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"checkpoint: {folder.name} was written without {', '.join(missing)}",
            resolution="check the free disk space, then `make resume`: the checkpoint before it is good",
        )
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST_NAME]
    files = [_describe(path, folder) for path in paths]
    manifest = {
        "format": FORMAT,
        "step": step,
        "files": files,
        "fingerprints": dict(fingerprints),
        "recipe": None if recipe is None else dict(recipe),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(folder / MANIFEST_NAME, manifest)
    return Checkpoint(folder, step, fingerprints, sum(int(str(file["size_bytes"])) for file in files), recipe)


def verify(folder: Path) -> Checkpoint:
    """Return the checkpoint in ``folder`` if every file is there with the right size and SHA-256.

    Raises:
        CheckpointError: If it does not verify; the message names the file.
    """
    try:
        manifest = read_manifest((folder / MANIFEST_NAME).read_bytes())
    except FileNotFoundError as err:
        raise _broken(folder, "has no manifest: its writing was cut off") from err
    except OSError as err:
        raise _broken(folder, f"has an unreadable manifest ({err})") from err
    except NotWholeError as err:
        raise _broken(folder, str(err)) from err
    for entry in manifest.files:
        path = folder / entry.name
        if not _has_size(path, entry.size_bytes):
            raise _broken(folder, f"has {entry.name} missing or cut short")
        if not entry.is_at(path):
            raise _broken(folder, f"has a damaged {entry.name}")
    size_bytes = sum(entry.size_bytes for entry in manifest.files)
    return Checkpoint(folder, manifest.step, manifest.fingerprints, size_bytes, manifest.recipe)


def read_manifest(raw: bytes) -> Manifest:
    """Return what a checkpoint's manifest says, if a run could go on from such a checkpoint.

    Raises:
        NotWholeError: If it cannot be read, is of another format, names a file outside of the checkpoint, or does not
            name one that a resume needs.
    """
    try:
        values = parse_object(raw)
        files = tuple(Listed(str(one["name"]), int(one["size_bytes"]), str(one["sha256"])) for one in values["files"])
        if not all(is_inside(entry.name) for entry in files):
            raise NotWholeError(
                "has a manifest that lists files outside of the checkpoint, or names that no disk takes"
            )
        step = int(values["step"])
        fingerprints = {str(key): str(value) for key, value in values["fingerprints"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as err:
        raise NotWholeError(f"has an unreadable manifest ({err})") from err
    if values.get("format") != FORMAT:
        raise NotWholeError(f"has format {values.get('format')}, this version reads {FORMAT}")
    listed = {entry.name for entry in files}
    for name in _required_files(fingerprints):
        if name not in listed:
            raise NotWholeError(f"lists no {name}")
    recipe = values.get("recipe")
    return Manifest(step, files, fingerprints, recipe if isinstance(recipe, dict) else None)


def is_inside(name: str) -> bool:
    """Return whether a name stays inside the folder it is relative to, and a disk takes it."""
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:  # half a character, which JSON may hold
        return False
    return not any(part in {b"", b".", b".."} or b"\0" in part or len(part) > LONGEST_NAME for part in parts)


def best_of(checkpoint: Path) -> str | None:
    """Return the name of the best checkpoint so far, as a newer one names it; ``None`` before the first evaluation."""
    best = (read_json(checkpoint / "trainer_state.json") or {}).get("best_model_checkpoint")
    return Path(str(best)).name if best else None


def list_newest_first(folder: Path) -> list[Path]:
    """Return the checkpoint folders below ``folder``, newest step first, verified or not."""
    found = [path for path in folder.glob("checkpoint-*") if is_checkpoint(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: step_of(path.name), reverse=True)


def list_finished(folder: Path) -> list[Path]:
    """Return the checkpoint folders whose manifest is there, newest step first; none of their files is looked at."""
    return [path for path in list_newest_first(folder) if (path / MANIFEST_NAME).is_file()]


def newest_complete(folder: Path) -> Found:
    """Return the newest checkpoint that verifies, and why each newer one was passed over."""
    problems: list[str] = []
    for path in list_newest_first(folder):
        try:
            return verify(path), problems
        except CheckpointError as err:
            problems.append(err.message)
    return None, problems


def choose(found: Found, fingerprints: Mapping[str, str], recipe: Mapping[str, Any]) -> Found:
    """Return the checkpoint to resume from and remarks for the log; ``None`` means: start from the beginning.

    Args:
        found: From ``newest_complete``, which reads all files of a checkpoint.
        fingerprints: What they have to belong to.
        recipe: The recipe in values, as ``recipe_values`` gives it.

    Raises:
        CheckpointError: If checkpoints are there, but none verifies, or the newest belongs to another recipe, data
            set or base model. A different environment is only remarked on, for it may change the last bits, and so is
            another length.
    """
    checkpoint, remarks = found[0], list(found[1])
    if checkpoint is None:
        if remarks:
            raise CheckpointError(
                f"resume: none of {len(remarks)} checkpoints verifies: {remarks[0]}",
                details="\n".join(remarks),
                resolution="start a new run with `make train`; the damaged folders are left as they are",
            )
        return None, []
    for kind in dict.fromkeys((*fingerprints, PRECISION)):
        was, value = checkpoint.fingerprints.get(kind), fingerprints.get(kind)
        if was == value or (was is None and kind != PRECISION):  # earlier versions knew fewer kinds
            continue
        if kind == PRECISION:
            raise _other_precision(checkpoint, was, value)
        if kind == "environment":
            remarks.append("resume: the environment has changed since the checkpoint; the last bits may differ")
            continue
        if kind == "recipe":
            remarks += check_recipe(checkpoint.path.name, checkpoint.recipe, recipe)
            continue
        raise CheckpointError(
            f"resume: {checkpoint.path.name} belongs to another {kind.replace('_', ' ')}",
            resolution=f"restore the {kind.replace('_', ' ')} it was started with, or start a new run",
        )
    return checkpoint, remarks


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size_bytes
    except OSError:  # no disk takes such a name
        return False


def _required_files(fingerprints: Mapping[str, str]) -> tuple[str, ...]:
    return (*REQUIRED_FILES, SCALER) if fingerprints.get(PRECISION) == WITH_SCALER[PRECISION] else REQUIRED_FILES


def _other_precision(checkpoint: Checkpoint, was: str | None, now: str | None) -> CheckpointError:
    other = "bfloat16 or float32"
    return CheckpointError(
        f"resume: {checkpoint.path.name} was trained in {was or other}, this run computes in {now or other}",
        resolution="resume on a GPU of the kind that it was started on, or start a new run with `make train`",
    )


def _broken(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(f"checkpoint: {folder.name} {what}", resolution="use the checkpoint before it")


def _describe(path: Path, folder: Path) -> dict[str, object]:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {
        "name": path.relative_to(folder).as_posix(),
        "size_bytes": path.stat().st_size,
        "sha256": sha256_of_file(path),
    }
