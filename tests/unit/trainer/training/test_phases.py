"""Whole runs of the trainer on the tiny model: what they leave, and that being killed changes nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_model import make_tiny_model
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.base_model.origin import Origin
from trainer.checkpoints import complete as checkpoint
from trainer.config.recipe import Recipe, to_mapping
from trainer.errors import EXIT_INTERRUPTED, AcceptanceError, BaseModelError, CheckpointError
from trainer.events import read_events
from trainer.export.adapter_folder import EXPECTED_FILES, verify_adapter_folder
from trainer.files import sha256_of_file
from trainer.training import phases
from trainer.training.phases import train

ORIGIN = Origin("folder", "mine", None, {"model.safetensors": "a" * 64})
TIMEOUT_S = 500.0
ADAPTER = "adapter/adapter_model.safetensors"
Start = Callable[[Recipe, Path], subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def recipe(tiny_model: Path, tiny_dataset: Path) -> Recipe:
    return tiny_recipe(tiny_model, tiny_dataset)


@pytest.fixture(scope="module")
def undisturbed(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a whole run that nothing disturbed."""
    output = tmp_path_factory.mktemp("undisturbed")
    assert train(recipe, output, resume=False) == 0
    return output


def events_of(output: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(output / "events.jsonl") if event["event"] == name]


@pytest.fixture
def start_process() -> Iterator[Start]:
    """Start the trainer as a program of its own; it does not outlive the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(recipe: Recipe, output: Path) -> subprocess.Popen[bytes]:
        config = output.parent / "recipe.json"
        config.write_text(json.dumps(to_mapping(recipe)))
        command = [sys.executable, "-m", "trainer", "train", "--config", str(config), "--output", str(output)]
        with (output.parent / "log").open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert process.poll() is None, "the trainer ended too early"
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.002)


def test_a_whole_run_leaves_an_accepted_adapter(undisturbed: Path) -> None:
    assert verify_adapter_folder(undisturbed / "adapter") == []
    assert {path.name for path in (undisturbed / "adapter").iterdir()} >= set(EXPECTED_FILES)
    assert json.loads((undisturbed / "adapter" / "acceptance.json").read_text())["accepted"]


def test_every_phase_is_begun_and_ended_in_order(undisturbed: Path) -> None:
    phases = ["data", "load_model", "evaluate_base", "train", "export", "acceptance"]

    assert [event["phase"] for event in events_of(undisturbed, "phase_started")] == phases
    assert [event["phase"] for event in events_of(undisturbed, "phase_ended")] == phases
    assert events_of(undisturbed, "run_ended")[0]["status"] == "accepted"


def test_the_loading_of_the_base_model_is_reported(undisturbed: Path) -> None:
    (loading,) = events_of(undisturbed, "loading")

    assert loading["done"] == loading["total"] > 0


def test_every_step_is_reported_with_loss_rate_norm_speed_and_memory(undisturbed: Path) -> None:
    steps = events_of(undisturbed, "step")

    assert [step["step"] for step in steps] == list(range(1, 13))
    assert all(step["max_steps"] == 12 for step in steps)
    assert all(step[key] > 0 for step in steps for key in ("loss", "grad_norm", "tokens_per_s", "memory_gib"))
    assert steps[-1]["loss"] < steps[0]["loss"]


def test_evaluations_are_reported_for_base_training_and_both_bases(undisturbed: Path) -> None:
    told = [(event["model"], event["step"]) for event in events_of(undisturbed, "evaluation")]

    assert told[:3] == [("base_4bit", 0), ("training", 6), ("training", 12)]
    assert {model for model, _ in told[3:]} == {"adapter_4bit", "base_unquantised", "adapter_unquantised"}


def test_the_last_evaluation_equals_that_of_the_reloaded_adapter(undisturbed: Path) -> None:
    evaluations = {event["model"]: event["eval_loss"] for event in events_of(undisturbed, "evaluation")}

    assert evaluations["adapter_4bit"] == pytest.approx(evaluations["training"], rel=1e-4)


def test_only_complete_checkpoints_are_kept_and_as_many_as_asked(undisturbed: Path) -> None:
    folders = checkpoint.list_newest_first(undisturbed / "checkpoints")

    assert [checkpoint.verify(folder).step for folder in folders] == [12, 9, 6]


def test_metrics_hold_training_and_evaluation(undisturbed: Path) -> None:
    metrics = json.loads((undisturbed / "metrics.json").read_text())

    assert metrics["train"]["steps"] == 12
    assert metrics["train"]["effective_batch_rows"] == 2
    assert metrics["train"]["loss_last"] < metrics["train"]["loss_first"]
    assert metrics["eval"]["adapter_4bit"]["loss"] < metrics["eval"]["base_4bit"]["loss"]
    assert len(metrics["samples"]) == 2


def test_a_second_run_gives_the_same_bytes_and_leaves_no_older_runs_checkpoint(
    recipe: Recipe, undisturbed: Path, tmp_path: Path
) -> None:
    stale = tmp_path / "again" / "checkpoints" / "checkpoint-99"
    stale.mkdir(parents=True)

    train(recipe, tmp_path / "again", resume=False)

    assert sha256_of_file(tmp_path / "again" / ADAPTER) == sha256_of_file(undisturbed / ADAPTER)
    assert not stale.exists()


def test_the_manifest_names_the_base_model_its_files_and_the_length(
    recipe: Recipe, undisturbed: Path, tiny_model: Path
) -> None:
    manifest = json.loads((undisturbed / "adapter" / "manifest.json").read_text())

    length = {f"training.{key}": getattr(recipe.training, key) for key in ("max_steps", "num_train_epochs")}
    assert manifest["length"] == length
    weights = sha256_of_file(tiny_model / "model.safetensors")
    assert (manifest["format"], manifest["base_model"], manifest["base_model_kind"]) == (2, tiny_model.name, "folder")
    assert (manifest["base_model_revision"], manifest["base_model_files"]) == (None, {"model.safetensors": weights})
    assert manifest["fingerprints"]["base_model"] == manifest["base_model_sha256"]


def test_no_file_of_the_adapter_names_a_folder_of_this_machine(
    undisturbed: Path, tiny_model: Path, tiny_dataset: Path
) -> None:
    folders = [str(path.parent).encode() for path in (undisturbed, tiny_model, tiny_dataset)]
    for path in (undisturbed / "adapter").iterdir():
        assert not [folder for folder in folders if folder in path.read_bytes()], path.name


@pytest.mark.parametrize(
    ("kept", "expected"),
    [("b" * 64, "b" * 64), ("c" * 64, ORIGIN.sha256), (None, ORIGIN.sha256)],
    ids=["as-loaded", "by-files", "no-checkpoint"],
)
def test_a_run_that_calls_its_base_model_by_the_loaded_weights_goes_on_doing_so(
    tmp_path: Path, kept: str | None, expected: str
) -> None:
    if kept is not None:
        folder = tmp_path / "checkpoints" / "checkpoint-3"
        folder.mkdir(parents=True)
        for name in checkpoint.REQUIRED_FILES:
            (folder / name).write_text("{}")
        checkpoint.complete(folder, 3, {"base_model": kept})

    newest, _ = checkpoint.newest_complete(tmp_path / "checkpoints")

    assert phases._base_id(newest, ORIGIN, "b" * 64) == expected


def test_a_tokenizer_that_transformers_makes_otherwise_ends_the_run_before_the_model_is_loaded(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    """A Qwen2 gets Qwen2's own splitting of digits, whatever its ``tokenizer.json`` says."""
    folder = make_tiny_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "qwen2"}))

    with pytest.raises(BaseModelError, match=r"Qwen2Tokenizer gives other ids than the tokenizer\.json of .*/model: "):
        train(tiny_recipe(folder, tiny_dataset), tmp_path / "output", resume=False)

    assert [event["phase"] for event in events_of(tmp_path / "output", "phase_started")] == ["data", "load_model"]
    assert not (tmp_path / "output" / "checkpoints").exists()


def test_killed_at_a_random_step_and_resumed_gives_the_same_bytes(
    recipe: Recipe, undisturbed: Path, tmp_path: Path, start_process: Start
) -> None:
    output, kill_at = tmp_path / "output", random.randrange(3, 12)
    process = start_process(recipe, output)
    wait_for(process, lambda: len(events_of(output, "step")) >= kill_at)
    process.kill()
    process.wait()

    assert train(recipe, output, resume=True) == 0

    started = events_of(output, "run_started")
    assert started[1]["resumed_from_step"] in range(3, 13), f"killed at {kill_at}"
    assert sha256_of_file(output / ADAPTER) == sha256_of_file(undisturbed / ADAPTER), f"killed at {kill_at}"


def test_sigterm_saves_within_a_step_and_resuming_gives_the_same_bytes(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, start_process: Start
) -> None:
    slow = {"training": {"gradient_accumulation_steps": 16, "max_steps": 3}, "checkpointing": {"save_steps": 1000}}
    recipe = tiny_recipe(tiny_model, tiny_dataset, evaluation={"eval_steps": 1000}, **slow)
    output = tmp_path / "output"
    process = start_process(recipe, output)
    wait_for(process, lambda: len(events_of(output, "step")) >= 1)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=TIMEOUT_S) == EXIT_INTERRUPTED
    saved, problems = checkpoint.newest_complete(output / "checkpoints")
    assert saved is not None
    assert (saved.step in (1, 2), problems) == (True, [])
    assert events_of(output, "run_ended")[0]["status"] == "interrupted"

    train(recipe, output, resume=True)
    train(recipe, tmp_path / "undisturbed", resume=False)
    assert sha256_of_file(output / ADAPTER) == sha256_of_file(tmp_path / "undisturbed" / ADAPTER)


def test_resuming_a_finished_training_only_exports_and_proves(
    recipe: Recipe, undisturbed: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(undisturbed, tmp_path / "output")
    (output / ADAPTER).unlink()

    train(recipe, output, resume=True)

    assert len(events_of(output, "step")) == 12
    assert sha256_of_file(output / ADAPTER) == sha256_of_file(undisturbed / ADAPTER)


def test_resuming_skips_a_damaged_checkpoint(recipe: Recipe, undisturbed: Path, tmp_path: Path) -> None:
    output = shutil.copytree(undisturbed, tmp_path / "output")
    (output / "checkpoints" / "checkpoint-12" / "optimizer.pt").unlink()

    train(recipe, output, resume=True)

    assert events_of(output, "run_started")[1]["resumed_from_step"] == 9
    assert sha256_of_file(output / ADAPTER) == sha256_of_file(undisturbed / ADAPTER)


def test_resuming_with_another_effective_batch_is_refused(
    tiny_model: Path, tiny_dataset: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    (output / "checkpoints").symlink_to(undisturbed / "checkpoints")
    changed = tiny_recipe(tiny_model, tiny_dataset, training={"gradient_accumulation_steps": 4})

    with pytest.raises(CheckpointError, match="another recipe: rows in an optimizer step was 2, is 4"):
        train(changed, output, resume=True)


def test_a_resumed_run_may_compute_other_rows_at_once(
    tiny_model: Path, tiny_dataset: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A step has the same rows; only the order of additions differs, which shows in the last bits."""
    output = tmp_path / "output"
    shutil.copytree(undisturbed / "checkpoints" / "checkpoint-6", output / "checkpoints" / "checkpoint-6")
    two = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}

    train(tiny_recipe(tiny_model, tiny_dataset, training=two), output, resume=True)

    (started,) = events_of(output, "run_started")
    assert (started["resumed_from_step"], started["micro_batch_rows"], started["effective_batch_rows"]) == (6, 2, 2)
    losses = [event["loss"] for event in events_of(undisturbed, "step")][6:]
    assert [event["loss"] for event in events_of(output, "step")] == pytest.approx(losses, rel=0.01)


def test_the_best_evaluation_is_exported_and_not_the_last(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses are planted: whether a run diverges, and where, is a matter of the CPU's arithmetic."""
    planted = [2.0, 1.5, 1.0, 1.25, 1.75, 2.5]
    best, last = 3, len(planted)
    losses = iter(planted)
    monkeypatch.setattr("trainer.training.qlora_trainer.eval_loss", lambda *_, **__: next(losses))
    recipe = tiny_recipe(
        tiny_model,
        tiny_dataset,
        training={"max_steps": last},
        evaluation={"eval_steps": 1},
        checkpointing={"save_total_limit": 1},
    )
    output = tmp_path / "output"

    with suppress(AcceptanceError):  # whether it is accepted is not the question here
        train(recipe, output, resume=False)

    told = [event["eval_loss"] for event in events_of(output, "evaluation") if event["model"] == "training"]
    assert told == planted
    assert json.loads((output / "metrics.json").read_text())["train"]["best_step"] == best
    exported = sha256_of_file(output / ADAPTER)
    of_best, of_last = (
        sha256_of_file(output / "checkpoints" / f"checkpoint-{step}" / "adapter_model.safetensors")
        for step in (best, last)
    )
    assert exported == of_best != of_last


def test_a_signal_outside_training_ends_the_run_at_once(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trainer.training.phases.export_adapter",
        lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(30),
    )

    handler = signal.getsignal(signal.SIGTERM)

    with pytest.raises(Exception, match="interrupted by SIGTERM") as caught:
        train(recipe, tmp_path / "output", resume=False)
    assert caught.value.exit_code == EXIT_INTERRUPTED  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGTERM) == handler
