"""How many rows are computed at once, where the run file leaves that to the plan; an optimizer step stays the same."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from runner.run.run_file import RunFile

if TYPE_CHECKING:
    from trainer.data.samples import EncodedDataset

AUTO = "auto"
ACCUMULATION = "gradient_accumulation_steps"


def settled(run_file: RunFile, encoded: EncodedDataset) -> tuple[RunFile, dict[str, Any]]:
    """Return the run with a number of micro-batches in a step, and what a plan keeps of its samples."""
    from trainer.data.steps import settle_accumulation

    found = settle_accumulation(run_file, encoded)
    return found, encoded.summary.to_mapping() | {ACCUMULATION: found.training.accumulation}


def settled_by_plan(run_file: RunFile, data: Mapping[str, Any]) -> RunFile:
    """Return the run with the micro-batches in a step that its plan settled; plans of older versions settled none."""
    known = data.get(ACCUMULATION)
    if run_file.training.gradient_accumulation_steps != AUTO or not isinstance(known, int):
        return run_file
    training = run_file.training.model_copy(update={ACCUMULATION: known})
    return run_file.model_copy(update={"training": training})


def is_chosen_here(run_file: RunFile) -> bool:
    """Return whether the plan chooses the rows of a micro-batch."""
    return run_file.training.per_device_train_batch_size == AUTO


def row_choices(run_file: RunFile) -> list[int]:
    """Return how many rows there may be in a micro-batch, rising: each divides the rows of an optimizer step."""
    if not is_chosen_here(run_file):
        return [run_file.training.micro_batch_rows]
    whole = run_file.effective_batch_rows
    small = [rows for rows in range(1, isqrt(whole) + 1) if whole % rows == 0]
    return sorted({*small, *(whole // rows for rows in small)})


def row_settings(run_file: RunFile, rows: int) -> dict[str, int]:
    """Return the keys of ``training`` for a micro-batch of so many rows, and as many in an optimizer step as before.

    Raises:
        ValueError: If an optimizer step cannot be made of such micro-batches.
    """
    steps, rest = divmod(run_file.effective_batch_rows, rows)
    if rest:
        raise ValueError(f"{run_file.effective_batch_rows} rows of an optimizer step are no multiple of {rows}")
    return {"per_device_train_batch_size": rows, "gradient_accumulation_steps": steps}


def with_rows(run_file: RunFile, rows: int) -> RunFile:
    """Return the run with a micro-batch of so many rows; raises as ``row_settings``."""
    training = run_file.training.model_copy(update=row_settings(run_file, rows))
    return run_file.model_copy(update={"training": training})
