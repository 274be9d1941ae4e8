"""A machine that vanishes while its runner looks on: the run goes on with another one by itself."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from runner.errors import EXIT_DONE
from tests.rehearsal.conftest import Stage
from tests.unit.runner.adapters.notices.receivers import WebServer, refused_port, serving

LONG = "publishing.tags=[steps=100, step_s=0.3]"


def test_a_run_whose_machine_vanishes_goes_on_with_another_one_within_what_was_agreed_to(stage: Stage) -> None:
    verdict = stage.rehearse(
        "lambda", "box_deleted_in_console:after_s=20", LONG, "compute.recoveries=2", "budget.max_usd=5"
    )

    said = stage.said()
    first, second = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert first["ended_by"] == "deleted in the console"
    assert first["ended_at"] < second["started_at"]
    assert f"machine {first['id']} no longer exists on lambda" in said
    assert "; recovery 1 of 2, for at most $4." in said
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"
    assert verdict.receipt is not None


def test_each_turn_of_a_run_that_recovers_is_told_once_and_who_does_not_listen_delays_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, password = WebServer(), "of-a-channel-that-anybody-may-write-to"
    monkeypatch.setenv("MY_HOOK", f"json://me:{password}@{hook.place}/ok")
    deaf = [f"json://{hook.place}/silent", f"json://127.0.0.1:{refused_port()}/nobody"]

    with serving(hook):
        verdict = stage.rehearse(
            "lambda",
            "box_deleted_in_console:after_s=20",
            LONG,
            "compute.recoveries=2",
            "budget.max_usd=5",
            f"notices.urls={json.dumps(['${MY_HOOK}', *deaf])}",
        )

    said = stage.said()
    run_id = stage.run().run_id
    told = [body["title"].removeprefix(f"{run_id} ") for path, body in hook.got if path == "/ok"]
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert told[:4] == ["has started", "trains", "has lost its machine", "goes on with another machine"]
    assert sorted(told[4:]) == ["bills nothing any more", "is done"], "the last two go out together"
    assert "6 notices did not arrive everywhere" in said
    assert password not in said
    holding = [path for path in stage.folder.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert holding == []


@pytest.mark.parametrize("notice_s", [120, 30])
def test_a_spot_machine_of_aws_hears_that_it_goes_saves_and_the_run_goes_on_with_another_one(
    notice_s: int, stage: Stage
) -> None:
    verdict = stage.rehearse(
        "aws",
        f"spot_notice:after_s=25;notice_s={notice_s}",
        LONG,
        "compute.spot_enabled=true",
        "compute.recoveries=2",
        "budget.max_usd=5",
    )

    said = stage.said()
    first, second = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    if notice_s == 120:
        assert first["ended_by"] == "request", "with its checkpoint at home, well before the cloud would have taken it"
    assert first["ended_at"] < second["started_at"]
    assert "the cloud takes the machine back (at the latest" in said
    ended = re.search(rf"aws takes machine {first['id']} back; the trainer ended at step (\d+);", said)
    assert ended is not None, said
    assert stage.started_from()[-1] == int(ended[1]), "no step was trained twice"
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"
    assert verdict.receipt is not None


def test_a_run_that_finds_no_machine_on_its_cloud_goes_on_with_another_cloud_to_the_same_adapter(stage: Stage) -> None:
    verdict = stage.rehearse(
        "aws",
        "spot_notice@step:step=80,no_capacity:candidates=all;when=ended",
        LONG,
        "compute.recoveries=1",
        "compute.recover_on=[runpod]",
        "compute.instance_types=[g6.xlarge]",
        "budget.max_usd=5",
        f"store.url=file://{stage.folder}/store",
        others=["runpod"],
    )

    said = stage.said()
    first, second = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert [first["cloud"], second["cloud"]] == ["aws", "runpod"]
    assert first["ended_at"] < second["started_at"]
    assert [line["cloud"] for line in verdict.receipt["machines"]] == ["aws", "runpod"]
    assert verdict.receipt["checks"]["clouds"] == {"aws": 0, "runpod": 0}
    assert stage.started_from()[0] == 0
    # Step 80 is seen a moment after it was trained, and the machine trains on until it is taken.
    assert 0 < stage.started_from()[1] < 100, "from a checkpoint, not from the start"
    assert (stage.run().adapter / "learned.txt").read_text() == learned(100)


def learned(steps: int) -> str:
    """Return what the stand-in for the trainer has learned after so many steps, each trained once."""
    found = "nothing"
    for step in range(1, steps + 1):
        found = hashlib.sha256(f"{found} {step}".encode()).hexdigest()
    return found


@pytest.mark.parametrize(
    ("cloud", "machine", "region"),
    [("lambda", "gpu_1x_a10", "us-east-1"), ("runpod", "NVIDIA RTX A5000", "any"), ("aws", "g6.xlarge", "us-east-1")],
)
def test_a_run_waits_for_a_machine_and_pays_for_none_meanwhile(
    cloud: str, machine: str, region: str, stage: Stage
) -> None:
    where = () if region == "any" else (f"compute.regions=[{region}]",)

    verdict = stage.rehearse(
        cloud,
        "no_capacity:candidates=all;lasts_s=40",
        "compute.wait_minutes=10",
        f"compute.instance_types=[{machine}]",
        *where,
    )

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE)
    assert "waiting for one until" in stage.said()
    assert [one["instance_type"] for one in verdict.machines] == [machine]
    assert verdict.receipt is not None
