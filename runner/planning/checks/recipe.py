"""What a recipe asks of the trainer: what it cannot do is refused before anything is rented."""

from __future__ import annotations

from runner.planning.checks.line import Check, failed, passed, warned
from runner.run.run_file import RunFile
from trainer.data.samples import EncodedDataset
from trainer.data.steps import steps_of_run

STEPS, ATTENTION = "steps", "attention"


def check_recipe(run_file: RunFile, encoded: EncodedDataset | None) -> list[Check]:
    """Return the lines about the recipe itself.

    Args:
        run_file: The run.
        encoded: Its samples as tokens, or ``None`` where they cannot be read.
    """
    return [*([] if encoded is None else [_steps(run_file, encoded)]), *_attention(run_file)]


def _steps(run_file: RunFile, encoded: EncodedDataset) -> Check:
    """Report how many optimizer steps the run has; under ten is a warning, as it may be meant, to try a run file."""
    steps = steps_of_run(run_file, encoded)
    if steps.are_few:
        return warned(STEPS, steps.in_words(), steps.remedy)
    return passed(STEPS, steps.in_words())


def _attention(run_file: RunFile) -> list[Check]:
    """Refuse the kernel whose package is in no lock: transformers would end the run once the machine is paid for."""
    wanted = run_file.model.attn_implementation
    if wanted != "flash_attention_2":
        return []
    return [
        failed(
            ATTENTION,
            f"{wanted} needs the package flash-attn, which is not among those that Douse installs",
            "set model.attn_implementation to auto or sdpa",
        )
    ]
