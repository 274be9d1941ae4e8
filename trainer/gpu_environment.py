"""What PyTorch reads from the environment before it starts CUDA; it imports no torch."""

from __future__ import annotations

import os

ALLOCATOR = "expandable_segments:True"
"""Blocks that grow: rows of changing length leave no gaps between blocks of fixed size, which are memory nobody has."""
DETERMINISTIC_WORKSPACES = (":4096:8", ":16:8")
"""The workspaces with which cuBLAS adds in the same order each time; with another PyTorch ends a deterministic run."""


def prepare_gpu_environment(*, deterministic: bool) -> None:
    """Set how memory is allocated and, for a deterministic run, cuBLAS's workspace; call it before torch is imported.

    What the user's environment says about the allocator stands, in the older spelling too.

    Args:
        deterministic: Whether the run asks for the same bytes each time.
    """
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", ALLOCATOR)
    if deterministic and os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in DETERMINISTIC_WORKSPACES:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = DETERMINISTIC_WORKSPACES[0]
