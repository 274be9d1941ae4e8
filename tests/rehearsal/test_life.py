"""The main job on every cloud: rent, prepare, train for real, bring home, give back, prove it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.run.run_dir import PROJECT, list_runs, read_json
from runner.store.run_store import PROBE
from runner.world import RealWorld
from tests.rehearsal.conftest import Stage
from tests.rehearsal.whole_life import look_at_a_whole_life
from tests.tiny_model import write_tiny_run_file

pytestmark = pytest.mark.slow  # two cores are just enough for one real training at a time

TRIMMED = (
    "data.max_length=256",
    "training.max_steps=2",
    "training.per_device_train_batch_size=1",
    "training.gradient_accumulation_steps=1",
    "checkpointing.save_steps=2",
    "evaluation.eval_steps=2",
    "evaluation.max_eval_samples=2",
    "evaluation.generation_samples=1",
    "evaluation.max_new_tokens=4",
)
"""Enough of the quickstart for an adapter that is accepted; the README's test trains it whole."""

CLOUD_OF_THE_HUB = "runpod"
"""Where ``test_hub`` has its whole life: with a model that comes from there."""


def test_the_quickstart_is_rehearsed_from_start_to_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.config = PROJECT / "examples" / "quickstart.yml"

    look_at_a_whole_life("lambda", TRIMMED, stage, monkeypatch)


def test_a_run_with_a_store_is_rehearsed_from_start_to_end(
    stage: Stage, tiny_model: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes into the store is written with keys of the run's folder alone, but for the test file of its plan."""
    stage.config = write_tiny_run_file(stage.folder / "tiny.yml", tiny_model, tiny_dataset)

    look_at_a_whole_life("aws", (), stage, monkeypatch, store="amazon")

    stored = [one for one in stage.stored() if one["who"] != f"douse-{PROBE}"]
    assert {one["who"] for one in stored} == {f"douse-{stage.run().run_id}"}
    names = {one["path"].rpartition("/")[2] for one in stored}
    assert names >= {"manifest.json", "adapter_model.safetensors", "events.jsonl"}


def test_the_environment_is_the_same_on_two_machines(stage: Stage) -> None:
    stage.config = PROJECT / "examples" / "quickstart.yml"

    verdict = stage.rehearse("lambda", "", "monitoring.tensorboard=false", program="runner", verb="rebuild")

    facts = [read_json(run.file("host_facts.json")) for run in list_runs(stage.folder / "r1" / "runs", RealWorld())]
    assert (verdict.broken, verdict.exit_code) == ([], 0), stage.said("rebuild")
    assert [machine["is_billing"] for machine in verdict.machines] == [False, False]
    assert len({row["environment_digest"] for row in facts}) == 1
    assert len(facts[0]["environment_packages"]) > 40
    assert stage.said("rebuild").count(facts[0]["environment_digest"]) == 2
    assert "both are the same" in stage.said("rebuild")
