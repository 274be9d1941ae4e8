"""Training with a gradient scaler, as in float16 on CUDA; accelerate makes none on a CPU, so it is put in here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.trainer.test_findings import FINGERPRINTS, Seed
from trainer.checkpoints.complete import SCALER, WITH_SCALER, newest_complete
from trainer.errors import TrainingError
from trainer.events import read_events
from trainer.training.qlora_trainer import MOST_SKIPPED_IN_A_ROW, QloraTrainer

FIRST_SCALE = 2.0**16
NO_EVALUATION = {"eval_strategy": "no", "eval_steps": None}


@pytest.fixture
def scaled(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., QloraTrainer]]:
    """Make a trainer with a gradient scaler, whose gradient is not finite in some steps."""
    seed = Seed(tiny_model, tiny_dataset, tmp_path)

    def make(*, steps: int = 5, overflows_in: Any = (), scaler: bool = True) -> QloraTrainer:
        fingerprints = FINGERPRINTS | WITH_SCALER if scaler else FINGERPRINTS
        monkeypatch.setattr("tests.unit.trainer.test_findings.FINGERPRINTS", fingerprints)
        training = {"max_steps": steps, "gradient_accumulation_steps": 1}
        trainer = seed.ours(training=training, evaluation=NO_EVALUATION, checkpointing={"save_steps": 3})
        if scaler:
            trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=FIRST_SCALE)
            trainer.accelerator.native_amp = True
            monkeypatch.setattr(trainer.accelerator.state, "_mixed_precision", "fp16")
        first = next(parameter for parameter in trainer.model.parameters() if parameter.requires_grad)
        first.register_hook(
            lambda grad: torch.full_like(grad, math.inf) if trainer.state.global_step + 1 in overflows_in else grad
        )
        return trainer

    yield make
    seed.events.close()


def steps_of(trainer: QloraTrainer) -> list[dict[str, Any]]:
    return [event for event in read_events(trainer._watch.events.path) if event["event"] == "step"]


def adapter_of(trainer: QloraTrainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.model.parameters() if parameter.requires_grad]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_in_float16_the_steps_are_those_of_float32_to_a_few_digits(scaled: Callable[..., QloraTrainer]) -> None:
    scaled(scaler=False).train()
    trainer = scaled()
    trainer.train()

    steps = steps_of(trainer)
    plain, scaled_steps = steps[:5], steps[5:]
    assert [step.get("skipped_steps") for step in steps] == [None] * 5 + [0] * 5
    for key in ("loss", "grad_norm"):
        assert [step[key] for step in scaled_steps] == pytest.approx([step[key] for step in plain], rel=0.05)
    assert {parameter.dtype for parameter in adapter_of(trainer)} == {torch.float32}


def test_a_gradient_that_is_not_finite_skips_the_step_and_is_counted(scaled: Callable[..., QloraTrainer]) -> None:
    trainer = scaled(overflows_in=(2, 4))
    trainer.train()

    steps = steps_of(trainer)
    assert [step["skipped_steps"] for step in steps] == [0, 1, 1, 2, 2]
    assert [step["grad_norm"] is None for step in steps] == [False, True, False, True, False]
    assert all(step["loss"] > 0 for step in steps)
    assert trainer.skipped_steps == 2
    assert trainer.accelerator.scaler.get_scale() == FIRST_SCALE / 4


def test_a_skipped_step_changes_no_weight(scaled: Callable[..., QloraTrainer]) -> None:
    trainer = scaled(steps=2, overflows_in=(1, 2))
    before = adapter_of(trainer)
    trainer.train()

    assert same(adapter_of(trainer), before)


def test_too_many_skipped_steps_in_a_row_end_the_run(
    scaled: Callable[..., QloraTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.training.qlora_trainer.MOST_SKIPPED_IN_A_ROW", 3)
    trainer = scaled(steps=10, overflows_in=(1, 2, 4, 5, 6, 7))

    with pytest.raises(TrainingError, match="not finite for 4 steps in a row, up to step 7"):
        trainer.train()

    assert [step["step"] for step in steps_of(trainer)] == [1, 2, 3, 4, 5, 6]
    assert MOST_SKIPPED_IN_A_ROW == 20


def test_a_loss_that_is_not_finite_ends_the_run_all_the_same(
    scaled: Callable[..., QloraTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = scaled()
    loss = trainer.compute_loss
    monkeypatch.setattr(trainer, "compute_loss", lambda *given, **named: loss(*given, **named) * math.nan)

    with pytest.raises(TrainingError, match="the loss at step 1 is nan"):
        trainer.train()


def test_a_resumed_run_goes_on_with_the_scaler_and_its_count(scaled: Callable[..., QloraTrainer]) -> None:
    undisturbed = scaled(overflows_in=(2,))
    undisturbed.train()
    saved, _ = newest_complete(Path(undisturbed.args.output_dir))
    assert saved is not None
    assert (saved.step, (saved.path / SCALER).is_file()) == (5, True)

    resumed = scaled(overflows_in=(2,))
    resumed.train(resume_from_checkpoint=str(saved.path.with_name("checkpoint-3")))

    assert same(adapter_of(resumed), adapter_of(undisturbed))
    assert resumed.accelerator.scaler.state_dict() == undisturbed.accelerator.scaler.state_dict()
    assert resumed.accelerator.scaler.get_scale() == FIRST_SCALE / 2
    assert resumed.skipped_steps == undisturbed.skipped_steps == 1


def test_without_a_scaler_a_gradient_that_is_not_finite_ends_the_run(scaled: Callable[..., QloraTrainer]) -> None:
    with pytest.raises(TrainingError, match="the gradient's norm at step 2 is inf"):
        scaled(scaler=False, overflows_in=(2,)).train()
