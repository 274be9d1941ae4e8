"""What a recipe asks of the trainer: what it cannot do is refused before anything is rented."""

from __future__ import annotations

from runner.planning.checks.line import Check, failed
from runner.run.run_file import RunFile

ATTENTION = "attention"


def check_recipe(run_file: RunFile) -> list[Check]:
    """Return the lines about the recipe itself; none where there is nothing to say."""
    return [*_attention(run_file)]


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
