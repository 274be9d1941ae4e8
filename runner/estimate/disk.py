"""How much disk a run needs on its machine."""

from __future__ import annotations

from pathlib import Path

from runner.config import RunFile
from runner.errors import DiskSpaceError

GIB = 2**30
ENVIRONMENT_GIB = 2.0
CACHED_ENVIRONMENT_GIB = 0.3
CONVERTED_TIMES = 6
"""A 4-bit GGUF file becomes 16- or 32-bit weights in the cache."""
CHECKPOINT_SHARE = 0.05
SMALLEST_CHECKPOINT_GIB = 0.1


def disk_needed_gib(run_file: RunFile, *, model_bytes: int, is_gguf: bool, environment_cached: bool) -> float:
    """Return the free disk the machine should have, in GiB, rather too much than too little.

    Args:
        run_file: The run.
        model_bytes: Size of the base model's files; 0 when it is not known.
        is_gguf: Whether the base model is converted first.
        environment_cached: Whether the packages are on the machine already.
    """
    model_gib = model_bytes / GIB
    whole_gib = model_gib * (CONVERTED_TIMES if is_gguf else 1)
    checkpoint_gib = max(SMALLEST_CHECKPOINT_GIB, whole_gib * CHECKPOINT_SHARE * run_file.adapter.lora_r / 16)
    checkpoints_gib = checkpoint_gib * (run_file.checkpointing.save_total_limit + 2)
    merged_gib = whole_gib if run_file.artifacts.merged_model else 0.0
    environment_gib = CACHED_ENVIRONMENT_GIB if environment_cached else ENVIRONMENT_GIB
    return round(environment_gib + model_gib + (whole_gib if is_gguf else 0) + checkpoints_gib + merged_gib, 1)


def check_free_disk(free_bytes: int, needed_gib: float, folder: Path) -> None:
    """Refuse a disk that is too small.

    Raises:
        DiskSpaceError: If less is free than needed.
    """
    free_gib = free_bytes / GIB
    if free_gib < needed_gib:
        raise DiskSpaceError(
            f"plan: {free_gib:.1f} GiB are free at {folder}, this run needs {needed_gib:.1f} GiB",
            resolution="free some disk, or put the runs elsewhere with --runs-dir",
        )
