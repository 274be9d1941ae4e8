"""The same bytes each time, where a run asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trainer.errors import TrainingError


@contextmanager
def determinism(asked_for: bool) -> Iterator[None]:
    """Compute deterministically while the block runs, if that is asked for; an operation that can't ends the run.

    A warning would not do: PyTorch takes the deterministic backward of its memory-efficient attention only where it
    may raise.

    Args:
        asked_for: Whether the run asks for it.

    Raises:
        TrainingError: If an operation has no deterministic form.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(asked_for)
    try:
        yield
    except RuntimeError as err:
        if not asked_for or "deterministic" not in str(err):
            raise
        raise TrainingError(
            f"train: run.deterministic is true, which this model does not allow: {str(err).splitlines()[0]}",
            resolution="set model.attn_implementation to `eager`, or run.deterministic to false",
            details=str(err),
        ) from err
    finally:
        torch.use_deterministic_algorithms(before)
