"""The outcome of acceptance: what was checked, what was found, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.errors import AcceptanceError
from trainer.proof.evaluation import Evaluation

RESOLUTIONS = {
    "files_complete": "copy the whole adapter folder again, or train again",
    "checksums_match": "copy the adapter folder again: a file was changed after it was written",
    "base_fingerprint": "set model.base_model and model.revision to the model the adapter was trained on",
    "base_unchanged": "do not use this adapter: download the base model again, then run `make train`",
    "weights_sound": "do not use this adapter; train it again, with more steps if it has learned nothing "
    "(training.num_train_epochs, training.max_steps)",
    "eval_loss_below_base": "see the loss curve in the report: where it fell to the end, train longer "
    "(training.max_steps) or raise training.learning_rate; where it rose, lower that or train less",
    "merged_as_good_as_adapter": "use the adapter unmerged, or set `merged_dtype: float32`",
}
MODELS = ("base_4bit", "adapter_4bit", "base_unquantised", "adapter_unquantised")


@dataclass(frozen=True)
class AcceptanceCheck:
    """One check of the adapter.

    Attributes:
        name: Short name.
        passed: Whether it was shown.
        value: What was found.
        requirement: What was asked for, as a sentence.
        required: ``False`` for a warning: it does not refuse the adapter.
    """

    name: str
    passed: bool
    value: str
    requirement: str
    required: bool = True


@dataclass(frozen=True)
class AcceptanceReport:
    """The outcome.

    Attributes:
        checks: All checks made, in order. After a check that leaves nothing to load, the rest is not made.
        evaluations: What each model scored: ``base_4bit``, ``adapter_4bit``, ``base_unquantised``,
            ``adapter_unquantised``, ``base_quantised``, ``adapter_quantised``, ``merged``.
        samples: Prompt, reference and both answers, for the report.
        metrics: All of ``metrics.json``: what training measured, and the parts ``eval`` and ``samples``.
    """

    checks: tuple[AcceptanceCheck, ...]
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    samples: tuple[dict[str, str], ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether every required check passed."""
        return all(check.passed for check in self.checks if check.required)

    def require(self) -> None:
        """Let an accepted adapter pass.

        Raises:
            AcceptanceError: If a required check failed; the message names the first, the details all.
        """
        failed = [check for check in self.checks if check.required and not check.passed]
        if failed:
            first = failed[0]
            raise AcceptanceError(
                f"acceptance: {first.name}: {first.value}",
                details="\n".join(f"{check.name}: {check.value} (required: {check.requirement})" for check in failed),
                resolution=RESOLUTIONS.get(first.name, "do not use this adapter; train it again"),
            )

    def to_mapping(self) -> dict[str, Any]:
        """Return the contents of ``acceptance.json``."""
        return {"accepted": self.accepted, "checks": [asdict(check) for check in self.checks]}

    def to_metrics(self) -> dict[str, Any]:
        """Return the parts ``eval`` and ``samples`` of ``metrics.json``."""
        results = {
            kind: None if (found := self.evaluations.get(kind)) is None else found.to_mapping()
            for kind in dict.fromkeys((*MODELS, *self.evaluations))
        }
        return {"eval": results, "samples": list(self.samples)}
