"""What PEFT and TRL refuse, the steps between two of what a run does now and then, and a run that is made longer."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.unit.trainer.tiny_recipe import tiny_recipe
from tests.unit.trainer.training.small_fit import (
    adapter_of,
    fingerprints,
    fit_small,
    is_same,
    small_trainer,
    steps_in,
)
from trainer.beat import BEAT, Beat
from trainer.checkpoints import complete as complete_checkpoints
from trainer.checkpoints import room
from trainer.checkpoints.complete import REQUIRED_FILES, complete, list_finished, newest_complete
from trainer.checkpoints.recipes import EFFECTIVE_ROWS
from trainer.config.recipe import Recipe
from trainer.errors import BaseModelError, CheckpointError, TrainingError
from trainer.events import read_events
from trainer.training.fitting import fit, sft_config, take_best


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("targets", [["q_proj", "lm_head"], ["nowhere"], ["mlp"], []])
def test_what_takes_no_adapter_ends_in_words_that_name_the_key(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, targets: list[str]
) -> None:
    recipe = tiny_recipe(tiny_model, tiny_dataset, adapter={"lora_target_modules": targets})

    with (
        pytest.raises(BaseModelError, match="of this base model is refused") as caught,
        small_trainer(recipe, tmp_path / "output"),
    ):
        pass

    assert "adapter.lora_target_modules" in caught.value.resolution


def test_shares_become_steps_of_the_whole_run(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tiny_model,
        tiny_dataset,
        evaluation={"eval_steps": 0.5},
        checkpointing={"save_steps": 0.3},
        monitoring={"logging_steps": 0.1},
    )

    with small_trainer(recipe, tmp_path / "output") as (_, trainer):
        assert trainer.total_steps == 12
        assert (trainer.args.eval_steps, trainer.args.save_steps, trainer.args.logging_steps) == (6, 4, 2)


@pytest.mark.parametrize(
    ("best", "is_here", "said"),
    [
        (4, True, "the adapter of step 4 has the lowest eval loss and is exported"),
        (4, False, "the checkpoint of step 4, which has the lowest eval loss, is not here: the adapter of step 8 is "),
        (8, False, ""),
        (None, False, ""),
    ],
)
def test_a_best_adapter_that_is_gone_is_never_replaced_in_silence(best: int | None, is_here: bool, said: str) -> None:
    lines: list[str] = []
    state = SimpleNamespace(global_step=8, best_global_step=best)
    trainer: Any = SimpleNamespace(state=state, load_best=lambda: best if is_here else None)

    take_best(SimpleNamespace(say=lines.append), trainer)  # type: ignore[arg-type]

    assert "".join(lines).startswith(said)
    assert len(lines) == bool(said)


def short_recipe(model: Path, data: Path, steps: int, **training: Any) -> Recipe:
    """Return a recipe of a few steps that evaluates nothing on its way."""
    return tiny_recipe(
        model,
        data,
        training={"max_steps": steps, "gradient_accumulation_steps": 1, **training},
        evaluation={"eval_strategy": "no", "eval_steps": None},
    )


def test_each_micro_batch_and_each_evaluated_batch_is_a_beat_and_there_is_none_after_training(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(
        tiny_model,
        tiny_dataset,
        training={"max_steps": 2, "gradient_accumulation_steps": 3},
        evaluation={"eval_strategy": "steps", "eval_steps": 2, "max_eval_samples": 4},
    )
    beats: list[str] = []
    beat = Beat.__call__

    def count(self: Beat) -> None:
        beat(self)
        beats.append("x")

    monkeypatch.setattr(Beat, "__call__", count)

    fit_small(recipe, tmp_path)

    assert len(beats) == 2 * 3 + 4
    assert not (tmp_path / BEAT).exists()


def test_a_run_of_one_step_learns(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    trainer = fit_small(short_recipe(tiny_model, tiny_dataset, 1), tmp_path / "output")

    assert [step["learning_rate"] > 0 for step in steps_in(tmp_path / "output")] == [True]
    assert all(bool(value.any()) for name, value in adapter_of(trainer).items() if "lora_B" in name)


def test_a_finished_run_is_made_longer_by_the_schedule_of_its_new_length(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    before = adapter_of(fit_small(short_recipe(tiny_model, tiny_dataset, 4), output))

    after = fit_small(short_recipe(tiny_model, tiny_dataset, 8), output, resume=True)

    longer = steps_in(output)[4:]
    assert [step["step"] for step in longer] == [5, 6, 7, 8]
    cosine = [0.5 * (1 + math.cos(math.pi * (step - 1) / (8 - 1))) for step in range(4, 8)]  # one step of warm-up
    assert [step["learning_rate"] for step in longer] == pytest.approx([5e-3 * rate for rate in cosine])
    assert len({step["loss"] for step in longer}) == 4
    assert not is_same(before, adapter_of(after))


def test_a_checkpoint_is_not_verified_again_when_it_is_gone_on_from(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    fit_small(short_recipe(tiny_model, tiny_dataset, 2), output)
    newest = newest_complete(output / "checkpoints")
    recipe = short_recipe(tiny_model, tiny_dataset, 4)

    with small_trainer(recipe, output, resume=True) as (run, trainer):
        monkeypatch.setattr(complete_checkpoints, "verify", None)
        assert fit(run, trainer, fingerprints(run.recipe), newest)["steps"] == 4

    assert [step["step"] for step in steps_in(output)] == [1, 2, 3, 4]


def test_a_longer_run_goes_on_as_if_it_had_been_that_long_from_the_start(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    """At a constant rate the length changes nothing: optimizer, random state and place in the data are kept."""
    constant = {"lr_scheduler_type": "constant"}
    fit_small(short_recipe(tiny_model, tiny_dataset, 4, **constant), tmp_path / "longer")

    longer = fit_small(short_recipe(tiny_model, tiny_dataset, 8, **constant), tmp_path / "longer", resume=True)
    whole = fit_small(short_recipe(tiny_model, tiny_dataset, 8, **constant), tmp_path / "whole")

    assert is_same(adapter_of(longer), adapter_of(whole))


def test_a_length_that_the_run_has_passed_and_other_keys_are_refused(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    fit_small(short_recipe(tiny_model, tiny_dataset, 4), output)
    shutil.rmtree(output / "checkpoints" / "checkpoint-3")

    with pytest.raises(CheckpointError, match="checkpoint-4 is beyond the 3 steps that the run is to have now"):
        fit_small(short_recipe(tiny_model, tiny_dataset, 3), output, resume=True)
    with pytest.raises(CheckpointError, match=r"training\.weight_decay was 0\.0, is 0\.1"):
        fit_small(short_recipe(tiny_model, tiny_dataset, 8, weight_decay=0.1), output, resume=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_number_format_is_given_and_never_trls_default(
    tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.training.fitting.resolve_dtype", lambda *_: dtype)

    found = sft_config(tiny_recipe(tmp_path, tmp_path), tmp_path, torch.device("cpu"))

    assert (found.bf16, found.fp16) == (dtype == torch.bfloat16, dtype == torch.float16)


FEATURES = {
    "noise, a lowest rate, a warm-up in steps, rsLoRA": (
        {"neftune_noise_alpha": 5.0, "lr_scheduler_type": "cosine_with_min_lr", "min_lr_ratio": 0.5, "warmup_steps": 2},
        {"use_rslora": True},
    ),
    "warm-up, plateau, decay": ({"lr_scheduler_type": "warmup_stable_decay", "decay_ratio": 0.5}, {}),
    "inverse square root": ({"lr_scheduler_type": "inverse_sqrt", "warmup_steps": 1}, {}),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_what_may_be_asked_for_is_resumed_byte_for_byte_and_held_in_fp32(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, feature: str
) -> None:
    training, adapter = FEATURES[feature]
    recipe = tiny_recipe(
        tiny_model,
        tiny_dataset,
        training={"max_steps": 4, "gradient_accumulation_steps": 1, **training},
        adapter=adapter,
        evaluation={"eval_strategy": "no", "eval_steps": None},
        checkpointing={"save_steps": 2},
    )
    output = tmp_path / "output"
    whole = adapter_of(fit_small(recipe, output))
    rates = [step["learning_rate"] for step in steps_in(output)]
    shutil.rmtree(output / "checkpoints" / "checkpoint-4")

    resumed = adapter_of(fit_small(recipe, output, resume=True))

    assert is_same(whole, resumed)
    assert {value.dtype for value in resumed.values()} == {torch.float32}
    assert [step["learning_rate"] for step in steps_in(output)] == rates + rates[2:]
    assert min(rates) > 0


def test_noise_changes_what_is_learned(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    plain = fit_small(short_recipe(tiny_model, tiny_dataset, 1), tmp_path / "plain")
    noisy = fit_small(short_recipe(tiny_model, tiny_dataset, 1, neftune_noise_alpha=5.0), tmp_path / "noisy")

    assert not is_same(adapter_of(plain), adapter_of(noisy))


def test_training_ends_when_the_eval_loss_no_longer_falls_and_a_resume_leaves_it_at_that(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.25])
    monkeypatch.setattr("trainer.training.qlora_trainer.eval_loss", lambda *_, **__: next(losses))
    evaluation = {"eval_steps": 1, "early_stopping_patience": 2}
    training = {"max_steps": 12, "gradient_accumulation_steps": 1}
    recipe = tiny_recipe(tiny_model, tiny_dataset, training=training, evaluation=evaluation)
    output = tmp_path / "output"

    trainer = fit_small(recipe, output)
    again = fit_small(recipe, output, resume=True)

    assert [step["step"] for step in steps_in(output)] == [1, 2, 3, 4]
    assert (trainer.state.best_global_step, again.state.best_global_step) == (2, 2)
    assert is_same(adapter_of(trainer), adapter_of(again))


def test_a_longer_run_keeps_the_rows_of_a_step_that_were_settled_for_the_short_one(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    """Twenty rows in five epochs would be ten steps of sixteen; the run began with steps of four."""
    left_open = {"max_steps": None, "gradient_accumulation_steps": "auto", "num_train_epochs": 5.0}
    recipe = tiny_recipe(tiny_model, tiny_dataset, training=left_open)
    folder = tmp_path / "output" / "checkpoints" / "checkpoint-2"
    folder.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (folder / name).write_text("{}")
    complete(folder, 2, {}, {EFFECTIVE_ROWS: 4})

    with small_trainer(recipe, tmp_path / "output", resume=True) as (_, longer):
        assert longer.args.gradient_accumulation_steps == 4
    with small_trainer(recipe, tmp_path / "afresh") as (_, afresh):
        assert afresh.args.gradient_accumulation_steps == 16


def test_on_a_short_disk_older_checkpoints_go_before_a_save_and_then_the_run_ends(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has room for two and is short of it for the third and the fourth; then it takes no more at all."""
    recipe = tiny_recipe(tiny_model, tiny_dataset, training={"max_steps": 5}, checkpointing={"save_steps": 1})
    folder = tmp_path / "output" / "checkpoints"
    monkeypatch.setattr(room, "_size_bytes", lambda path: 1)
    holds = lambda: 2 if not (folder / "checkpoint-4").exists() else 1  # noqa: E731
    monkeypatch.setattr(room, "_free_bytes", lambda path: holds() - len(list_finished(path)) + room.MARGIN_BYTES)

    with pytest.raises(TrainingError, match="checkpoint-5 does not fit"):
        fit_small(recipe, tmp_path / "output")

    removed = [
        event for event in read_events(tmp_path / "output" / "events.jsonl") if event["event"] == "checkpoint_removed"
    ]
    assert [event["step"] for event in removed] == [1, 2, 3]
    newest, problems = newest_complete(folder)
    assert newest is not None
    assert (newest.step, problems) == (4, [])
