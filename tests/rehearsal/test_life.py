"""The main job on every cloud: rent, prepare, train for real, bring home, give back, prove it."""

from __future__ import annotations

import json

import pytest

from runner.run_dir import PROJECT, read_json
from tests.rehearsal.conftest import Stage

TRIMMED = (
    "training.max_steps=4",
    "evaluation.eval_steps=4",
    "evaluation.max_eval_samples=4",
    "evaluation.generation_samples=1",
    "evaluation.max_new_tokens=16",
)


@pytest.mark.parametrize("cloud", ["lambda", "runpod", "aws"])
def test_a_run_is_rehearsed_from_start_to_end(cloud: str, stage: Stage) -> None:
    stage.config = PROJECT / "examples" / "quickstart.yml"

    verdict = stage.rehearse(cloud, "", *TRIMMED, program="runner")

    run = stage.run()
    assert (verdict.broken, verdict.exit_code) == ([], 0), stage.said()
    assert [machine["is_billing"] for machine in verdict.machines] == [False]
    assert read_json(run.adapter / "acceptance.json")["accepted"]
    receipt = json.loads(run.receipt.read_text())
    assert receipt["checks"]["clouds"] == {cloud: 0}
    assert receipt["checks"]["terraform_resources"] == 0
    assert receipt["ended_by_the_sweep"] == []
    assert 0 < receipt["cost_usd"] < 1
