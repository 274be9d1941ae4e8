"""How much disk a run needs on its machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from runner.clouds.environments import find_environment
from runner.errors import DiskSpaceError
from runner.planning.estimate.model_shape import ModelShape
from runner.run.run_file import RunFile

GIB = 2**30
ENVIRONMENT_GIB = 2.0
CUDA_ENVIRONMENT_GIB = 8.2
"""With torch's CUDA build: an image with torch 2.13.0+cu130 and little else has 8.81 GB; source: Toloka/tolokaforge,
issue 1116, of 2026-08-13."""
CACHED_ENVIRONMENT_GIB = 0.3
CONVERTED_TIMES = 6
"""A 4-bit GGUF file becomes 16- or 32-bit weights in the cache."""
CHECKPOINT_SHARE = 0.05
SMALLEST_CHECKPOINT_GIB = 0.1
BYTES_PER_WEIGHT = 2
"""The Hub's models are stored in 16 bits, mostly; source: ``torch_dtype`` of their configurations."""
WEIGHTS = (".gguf", ".safetensors", ".bin")


@dataclass(frozen=True)
class DiskNeed:
    """The free disk that a run needs.

    Attributes:
        there_gib: On its machine, in GiB.
        here_gib: On this machine, in GiB: what comes home, or all of it where the run is here.
    """

    there_gib: float
    here_gib: float


def disk_of_run(run_file: RunFile, files: Path | None, shape: ModelShape | None, cache: Path) -> DiskNeed:
    """Return the free disk that a run needs, by what is known of its base model.

    Args:
        run_file: The run.
        files: The base model's file or folder on this machine, if it is there; a folder need not hold weights.
        shape: The base model's shape, which gives the size of a model that is not here.
        cache: The folder that runs share on this machine; the trainer's packages may be there already.
    """
    is_gguf = files is not None and files.suffix == ".gguf"
    model_bytes = files_bytes(files) or (0 if shape is None else shape.parameters * BYTES_PER_WEIGHT)
    is_here = run_file.compute.env == "local"
    environment_cached = is_here and (cache / "uv").is_dir()
    there_gib = disk_needed_gib(
        run_file, model_bytes=model_bytes, is_gguf=is_gguf, environment_cached=environment_cached
    )
    if is_here:
        return DiskNeed(there_gib, there_gib)
    # Of all that the machine needs, what comes home is neither packages nor base model.
    whole_gib = disk_needed_gib(run_file, model_bytes=model_bytes, is_gguf=is_gguf, environment_cached=True)
    model_gib = model_bytes / GIB * (1 + CONVERTED_TIMES if is_gguf else 1)
    return DiskNeed(there_gib, max(0.0, whole_gib - CACHED_ENVIRONMENT_GIB - model_gib))


def files_bytes(files: Path | None) -> int:
    """Return the size of a base model's weights and all beside them; 0 where there are only its small files."""
    if files is None:
        return 0
    found = [files] if files.is_file() else [path for path in files.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in found) if any(path.suffix in WEIGHTS for path in found) else 0


def rented_disk_gib(run_file: RunFile, needed_gib: float) -> int:
    """Return the disk that a machine is rented with, in GiB: what is asked for, or what is needed if that is more."""
    return max(run_file.compute.disk_size_gib, math.ceil(needed_gib))


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
    environment_gib = CACHED_ENVIRONMENT_GIB if environment_cached else _environment_gib(run_file)
    return round(environment_gib + model_gib + (whole_gib if is_gguf else 0) + checkpoints_gib + merged_gib, 1)


def _environment_gib(run_file: RunFile) -> float:
    """Return the size of the packages; machines that are rented for their GPU get those for CUDA."""
    has_gpu = find_environment(run_file.compute.env).rents_machine and run_file.compute.gpu_required
    return CUDA_ENVIRONMENT_GIB if has_gpu else ENVIRONMENT_GIB


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
