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

from trainer.checkpoints.recipes import EFFECTIVE_ROWS, check_recipe
from trainer.errors import CheckpointError
from trainer.files import parse_object, sha256_of_file, write_json

MANIFEST_NAME = "manifest.json"
FORMAT = 1
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
        manifest = parse_object((folder / MANIFEST_NAME).read_bytes())
        step, files = int(manifest["step"]), list(manifest["files"])
        fingerprints = {str(key): str(value) for key, value in manifest["fingerprints"].items()}
        listed = {str(entry["name"]): (int(entry["size_bytes"]), str(entry["sha256"])) for entry in files}
    except FileNotFoundError as err:
        raise _broken(folder, "has no manifest: its writing was cut off") from err
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as err:
        raise _broken(folder, f"has an unreadable manifest ({err})") from err
    if manifest.get("format") != FORMAT:
        raise _broken(folder, f"has format {manifest.get('format')}, this version reads {FORMAT}")
    for name in _required_files(fingerprints):
        if name not in listed:
            raise _broken(folder, f"lists no {name}")
    for name, (size_bytes, sha256) in listed.items():
        path = folder / name
        if not _has_size(path, size_bytes):
            raise _broken(folder, f"has {name} missing or cut short")
        if sha256_of_file(path) != sha256:
            raise _broken(folder, f"has a damaged {name}")
    recipe = manifest.get("recipe")
    size_bytes = sum(size for size, _ in listed.values())
    return Checkpoint(folder, step, fingerprints, size_bytes, recipe if isinstance(recipe, dict) else None)


def list_newest_first(folder: Path) -> list[Path]:
    """Return the checkpoint folders below ``folder``, newest step first, verified or not."""
    found = []
    for path in folder.glob("checkpoint-*"):
        number = path.name.removeprefix("checkpoint-")
        if path.is_dir() and number.isascii() and number.isdigit():
            found.append((int(number), path))
    return [path for _, path in sorted(found, reverse=True)]


def newest_complete(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that verifies, and why each newer one was passed over."""
    problems: list[str] = []
    for path in list_newest_first(folder):
        try:
            return verify(path), problems
        except CheckpointError as err:
            problems.append(err.message)
    return None, problems


def choose(
    folder: Path, fingerprints: Mapping[str, str], recipe: Mapping[str, Any]
) -> tuple[Checkpoint | None, list[str]]:
    """Return the checkpoint to resume from and remarks for the log; ``None`` means: start from the beginning.

    Args:
        folder: Where the checkpoints are.
        fingerprints: What they have to belong to.
        recipe: The recipe in values, as ``recipe_values`` gives it.

    Raises:
        CheckpointError: If checkpoints are there, but none verifies, or the newest belongs to another recipe, data
            set or base model. A different environment is only remarked on, for it may change the last bits, and so is
            another length.
    """
    checkpoint, remarks = newest_complete(folder)
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
