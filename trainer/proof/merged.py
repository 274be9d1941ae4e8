"""Whether the merged model is as good as the adapter that it was made from."""

from __future__ import annotations

from trainer.proof.evaluation import Evaluation
from trainer.proof.scoring import FORMAT_SCORES

LOSS_TOLERANCE = 0.02
"""The merged model's eval loss may be higher than the adapter's by this share of it (or by this much below 1)."""


def merged_problems(merged: Evaluation, adapter: Evaluation) -> list[str]:
    """Return in what the merged model is worse than the adapter it was made from.

    Args:
        merged: The merged model, loaded again from its files.
        adapter: The adapter on the base it was trained on.
    """
    limit = adapter.loss + LOSS_TOLERANCE * max(1.0, adapter.loss)
    too_high = [] if merged.loss <= limit else [f"eval loss {merged.loss:.4f} is above {limit:.4f}"]
    return too_high + [
        f"{name} {merged.scores.get(name, 0.0):.2f} is below the adapter's {adapter.scores[name]:.2f}"
        for name in FORMAT_SCORES
        if merged.scores.get(name, 0.0) < adapter.scores.get(name, 0.0)
    ]
