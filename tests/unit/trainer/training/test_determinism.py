"""A deterministic run takes only operations that give the same bytes, and says where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from trl import SFTTrainer

from tests.unit.trainer.test_findings import Seed
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.errors import TrainingError
from trainer.events import read_events
from trainer.training.determinism import determinism
from trainer.training.phases import train


@pytest.mark.parametrize("asked_for", [True, False])
def test_it_holds_inside_the_block_alone(asked_for: bool) -> None:
    with determinism(asked_for):
        assert torch.are_deterministic_algorithms_enabled() is asked_for
        assert not torch.is_deterministic_algorithms_warn_only_enabled()

    assert not torch.are_deterministic_algorithms_enabled()


def test_our_own_training_and_evaluation_have_a_deterministic_form(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    seed = Seed(tiny_model, tiny_dataset, tmp_path)
    trainer = seed.ours(training={"max_steps": 2, "gradient_checkpointing": True}, evaluation={"eval_steps": 2})

    with determinism(True):
        trainer.train()

    seed.events.close()
    assert trainer.state.global_step == 2
    assert trainer.state.best_metric is not None


def test_an_operation_without_a_deterministic_form_ends_the_run_in_words(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training_step(*_: object, **__: object) -> torch.Tensor:
        return torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))  # by PyTorch's documents it has none

    monkeypatch.setattr(SFTTrainer, "training_step", training_step)
    recipe = tiny_recipe(tiny_model, tiny_dataset, run={"deterministic": True})

    with pytest.raises(TrainingError, match=r"run\.deterministic is true, .*put_") as caught:
        train(recipe, tmp_path, resume=False)

    assert "model.attn_implementation" in caught.value.resolution
    assert read_events(tmp_path / "events.jsonl")[-1]["message"] == caught.value.message


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="something else"), determinism(True):
        raise RuntimeError("something else")
