"""A run whose memory is too small goes on with less: planted on a CPU, where what is too much is known exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trl import SFTTrainer

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.config.recipe import Recipe
from trainer.errors import EXIT_RESTART, InterruptedRunError, OutOfMemoryError, RestartError
from trainer.events import read_events
from trainer.training.phases import train

WORDS = "CUDA out of memory. Tried to allocate 2 GiB"
Fits = Callable[[SFTTrainer, dict[str, Any]], bool]


@pytest.fixture
def recipe(tiny_model: Path, tiny_dataset: Path) -> Recipe:
    """A recipe of four steps of four rows, all computed at once; without dropout, whose noise another shape changes."""
    return tiny_recipe(
        tiny_model,
        tiny_dataset,
        adapter={"lora_dropout": 0.0},
        training={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "max_steps": 4},
        evaluation={"eval_strategy": "no", "eval_steps": None, "max_eval_samples": 2, "max_new_tokens": 2},
        checkpointing={"save_steps": 2},
    )


def plant(monkeypatch: pytest.MonkeyPatch, fits: Fits) -> None:
    """Let a micro-batch that does not fit run out of memory."""
    whole = SFTTrainer.training_step

    def training_step(trainer: SFTTrainer, model: Any, inputs: dict[str, Any], *rest: Any) -> Any:
        if not fits(trainer, inputs):
            raise torch.OutOfMemoryError(WORDS)
        return whole(trainer, model, inputs, *rest)

    monkeypatch.setattr(SFTTrainer, "training_step", training_step)


def start_until_done(recipe: Recipe, output: Path) -> int:
    """Start the trainer as its supervisor does; return the number of starts."""
    for starts in range(10):
        try:
            train(recipe, output, resume=starts > 0)
        except RestartError:
            continue
        return starts + 1
    raise AssertionError("it never came to an end")


def events_of(output: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(output / "events.jsonl") if event["event"] == name]


def steps_of(output: Path) -> dict[int, dict[str, Any]]:
    return {event["step"]: event for event in events_of(output, "step")}


def test_a_run_that_is_short_of_memory_twice_has_the_steps_of_an_undisturbed_one(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first checkpoint from the start, then from the checkpoint, with half the rows each time."""
    train(recipe, tmp_path / "undisturbed", resume=False)
    wanted, output = steps_of(tmp_path / "undisturbed"), tmp_path / "output"
    room = lambda trainer: 1 if trainer.state.global_step >= 2 else 2  # noqa: E731
    plant(monkeypatch, lambda trainer, inputs: inputs["input_ids"].numel() <= 256 * room(trainer))

    assert start_until_done(recipe, output) == 3

    found = steps_of(output)
    started = events_of(output, "run_started")
    assert [(event["resumed_from_step"], event["micro_batch_rows"]) for event in started] == [(0, 4), (0, 2), (2, 1)]
    assert {event["effective_batch_rows"] for event in started} == {4}
    assert [found[step]["tokens"] for step in found] == [wanted[step]["tokens"] for step in wanted]
    for key in ("loss", "grad_norm", "learning_rate"):
        assert [found[step][key] for step in found] == pytest.approx([wanted[step][key] for step in wanted], abs=1e-4)
    measures = ["micro-batches of 2 rows instead of 4", "micro-batches of 1 row instead of 2"]
    assert [event["measure"] for event in events_of(output, "out_of_memory")] == measures
    assert json.loads((output / "adapter" / "manifest.json").read_text())["memory_measures"] == measures
    assert [event["status"] for event in events_of(output, "run_ended")] == ["accepted"]


def test_with_one_row_come_checkpointing_and_the_paged_optimizer_and_then_words(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[int, bool, str]] = []

    def fits(trainer: SFTTrainer, inputs: dict[str, Any]) -> bool:
        used.append((trainer.args.train_batch_size, trainer.model.is_gradient_checkpointing, trainer.args.optim))
        return False

    plant(monkeypatch, fits)

    with pytest.raises(OutOfMemoryError, match=f"one row at a time and gradient checkpointing: {WORDS}") as caught:
        start_until_done(recipe, tmp_path)

    assert used == [
        (4, False, "adamw_torch"),
        (2, False, "adamw_torch"),
        (1, False, "adamw_torch"),
        (1, True, "adamw_torch"),
        (1, True, "paged_adamw_32bit"),
    ]
    (ended,) = events_of(tmp_path, "run_ended")
    assert (ended["status"], ended["exit_code"], ended["message"]) == ("failed", 1, caught.value.message)


def test_an_evaluation_that_is_short_of_memory_is_made_smaller_and_training_is_not(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> float:
        raise torch.OutOfMemoryError(WORDS)

    often = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 2, "generation_batch_size": 1}
    recipe = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=often)})
    monkeypatch.setattr("trainer.training.qlora_trainer.eval_loss", out_of_memory)

    with pytest.raises(RestartError, match=f"evaluation: out of memory: {WORDS}") as caught:
        train(recipe, tmp_path, resume=False)
    with pytest.raises(OutOfMemoryError, match="one row and one answer at a time"):
        train(recipe, tmp_path, resume=True)

    assert caught.value.exit_code == EXIT_RESTART
    assert "evaluation of 1 row at a time instead of 2" in caught.value.resolution
    assert [event["micro_batch_rows"] for event in events_of(tmp_path, "run_started")] == [4, 4]


def test_an_older_runs_checkpoint_is_gone_before_memory_can_be_short(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the start that follows would resume from it."""
    (tmp_path / "checkpoints" / "checkpoint-99").mkdir(parents=True)
    monkeypatch.setattr("trainer.training.phases.load_base", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))

    with pytest.raises(OutOfMemoryError, match="out of memory: the machine's memory is full"):
        train(recipe, tmp_path, resume=False)

    assert not (tmp_path / "checkpoints" / "checkpoint-99").exists()


def test_a_run_that_was_asked_to_stop_when_memory_was_short_has_stopped(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_and_run_out(trainer: Any, inputs: dict[str, Any]) -> bool:
        trainer._watch.stop.signal_name = "SIGTERM"
        return False

    plant(monkeypatch, stop_and_run_out)

    with pytest.raises(InterruptedRunError, match="interrupted by SIGTERM"):
        train(recipe, tmp_path, resume=False)

    assert events_of(tmp_path, "out_of_memory")[0]["measure"] == "micro-batches of 2 rows instead of 4"
