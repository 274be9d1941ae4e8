"""A store on S3 over TLS: the machine brings its checkpoints there as it trains, and the next one goes on from it."""

from __future__ import annotations

import json

import pytest

from runner.errors import EXIT_DONE
from tests.rehearsal.conftest import Stage
from tests.rehearsal.watching import leaks

HELD = "publishing.tags=[steps=9, gate=/nowhere]"
"""A machine holds after its sixth step, until it is killed: the next one, which goes on from there, does not."""


def asked(stage: Stage) -> list[dict[str, str]]:
    """Return the requests that the store of the latest rehearsal got."""
    lines = (stage.folder / f"r{stage.count}" / "store-log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("manner", "cloud"), [("strict", "lambda"), ("gateway", "runpod"), ("amazon", "aws")])
def test_a_machine_that_vanishes_is_followed_by_one_that_goes_on_from_the_store(
    manner: str, cloud: str, stage: Stage
) -> None:
    verdict = stage.rehearse(
        cloud, "box_deleted_after_store", HELD, "compute.recoveries=1", "budget.max_usd=5", store=manner
    )

    said, run = stage.said(), stage.run()
    first, second = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert (first["ended_by"], first["ended_at"] < second["started_at"]) == ("deleted in the console", True)
    assert "fetched: s3://" in said
    assert (run.adapter / "adapter_model.safetensors").read_text() == "trained 9 steps"
    assert verdict.receipt is not None
    stored = [one for one in asked(stage) if one["method"] == "PUT" and not one["refused"]]
    assert {one["who"] for one in stored} == {f"douse-{run.run_id}"}, "with keys of the run's folder alone"
    assert leaks(stage.folder) == []
