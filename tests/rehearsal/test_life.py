"""The main job on every cloud: rent, prepare, train for real, bring home, give back, prove it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.run.run_dir import PROJECT, list_runs, read_json
from runner.store.run_store import PROBE
from runner.world import RealWorld
from tests.rehearsal.conftest import Stage
from tests.rehearsal.watching import HUB_TOKEN, Watcher, leaks
from tests.tiny_model import write_tiny_run_file

pytestmark = pytest.mark.slow  # two cores are just enough for one real training at a time

TRIMMED = (
    "training.max_steps=4",
    "evaluation.eval_steps=4",
    "evaluation.max_eval_samples=4",
    "evaluation.generation_samples=1",
    "evaluation.max_new_tokens=16",
)


def test_the_quickstart_is_rehearsed_from_start_to_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.config = PROJECT / "examples" / "quickstart.yml"

    look_at_a_whole_life("lambda", TRIMMED, stage, monkeypatch)


@pytest.mark.parametrize(("cloud", "store"), [("runpod", None), ("aws", "amazon")])
def test_a_run_is_rehearsed_from_start_to_end(
    cloud: str,
    store: str | None,
    stage: Stage,
    tiny_model: Path,
    tiny_dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.config = write_tiny_run_file(stage.folder / "tiny.yml", tiny_model, tiny_dataset)

    look_at_a_whole_life(cloud, (), stage, monkeypatch, store)

    if store is not None:
        look_at_the_store(stage)


def look_at_the_store(stage: Stage) -> None:
    """Judge what a run brought to its store: with keys of its folder alone, but for the test file of its plan."""
    stored = [one for one in stage.stored() if one["who"] != f"douse-{PROBE}"]
    assert {one["who"] for one in stored} == {f"douse-{stage.run().run_id}"}
    names = {one["path"].rpartition("/")[2] for one in stored}
    assert names >= {"manifest.json", "adapter_model.safetensors", "events.jsonl"}


def look_at_a_whole_life(
    cloud: str, settings: Sequence[str], stage: Stage, monkeypatch: pytest.MonkeyPatch, store: str | None = None
) -> None:
    """Rehearse a run with the real trainer, and judge its adapter, its receipt and what was to be kept secret."""
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)

    with tempfile.TemporaryDirectory(prefix="dt-") as scratch:
        monkeypatch.setenv("TMPDIR", scratch)
        passing = (Path(scratch), "douse-*"), (stage.folder, "r*/boxes/boxes/*/console.log")
        with Watcher(*passing) as watcher:
            verdict = stage.rehearse(cloud, "", *settings, program="runner", store=store)

    run = stage.run()
    assert (verdict.broken, verdict.exit_code) == ([], 0), stage.said()
    assert [machine["is_billing"] for machine in verdict.machines] == [False]
    assert read_json(run.adapter / "acceptance.json")["accepted"]
    receipt = json.loads(run.receipt.read_text())
    assert receipt["checks"]["clouds"] == {cloud: 0}
    assert receipt["checks"]["terraform_resources"] == 0
    assert receipt["ended_by_the_sweep"] == []
    assert 0 < receipt["cost_usd"] < 1
    assert {"ansible-playbook", "terraform"} <= watcher.programs
    assert {"command", "stdout"} <= watcher.files, "what Ansible leaves for a while was not seen"
    assert (watcher.found, leaks(stage.folder)) == (set(), [])


def test_the_environment_is_the_same_on_two_machines(stage: Stage) -> None:
    stage.config = PROJECT / "examples" / "quickstart.yml"

    verdict = stage.rehearse("lambda", program="runner", verb="rebuild")

    facts = [read_json(run.file("host_facts.json")) for run in list_runs(stage.folder / "r1" / "runs", RealWorld())]
    assert (verdict.broken, verdict.exit_code) == ([], 0), stage.said("rebuild")
    assert [machine["is_billing"] for machine in verdict.machines] == [False, False]
    assert len({row["environment_digest"] for row in facts}) == 1
    assert len(facts[0]["environment_packages"]) > 40
    assert stage.said("rebuild").count(facts[0]["environment_digest"]) == 2
    assert "both are the same" in stage.said("rebuild")
