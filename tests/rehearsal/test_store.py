"""A store keeps the checkpoints of a machine as it trains, and the next one goes on from there.

On S3 over TLS the machine brings them itself; to a remote of rclone's they go on from home.
"""

from __future__ import annotations

import re

import pytest

from runner.errors import EXIT_DONE
from runner.rehearsal.store import GIVEN, kept_in_remote
from tests.rehearsal.conftest import Stage
from tests.rehearsal.watching import leaks
from trainer.checkpoints.complete import newest_complete

RCLONE_PASSWORD = re.compile(r"^pass = (\S+)$", re.M)
SESSION_S = 20.0
"""A quarter of it is over when keys are renewed."""
HELD = "publishing.tags=[steps=9, gate=/nowhere]"
"""A machine holds after its sixth step, until it is killed: the next one, which goes on from there, does not."""


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
    assert {one["who"] for one in stage.stored()} == {f"douse-{run.run_id}"}, "with keys of the run's folder alone"
    assert leaks(stage.folder) == []


@pytest.mark.usefixtures("rclone")
def test_a_machine_that_is_given_a_remote_sends_its_checkpoints_there_itself(stage: Stage) -> None:
    verdict = stage.rehearse("runpod", "box_deleted_after_store", HELD, "compute.recoveries=1", "budget.max_usd=5",
                             store=GIVEN)  # fmt: skip

    said, run = stage.said(), stage.run()
    password = RCLONE_PASSWORD.findall((stage.folder / "r1" / "store" / "rclone.conf").read_text())[0]
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert said.count("store: the machine has your rclone's webdav in its memory") == 2
    assert "came home: checkpoint-" not in said
    assert "fetched: rclone://webdav/" in said
    assert (run.adapter / "adapter_model.safetensors").read_text() == "trained 9 steps"
    assert verdict.receipt is not None
    assert password not in said
    assert not any(password in path.read_text(errors="replace") for path in run.path.rglob("*") if path.is_file())


@pytest.mark.usefixtures("rclone")
@pytest.mark.parametrize(("remote", "cloud"), [("webdav", "runpod"), ("local", "lambda")])
def test_what_is_lost_with_the_machine_and_at_home_comes_back_from_the_remote(
    remote: str, cloud: str, stage: Stage
) -> None:
    verdict = stage.rehearse(cloud, "box_deleted_after_store,kill_runner@store,checkpoints_lost", HELD,
                             "budget.max_usd=5", afterwards="resume", store=remote)  # fmt: skip

    said, run = stage.said("resume"), stage.run()
    first, second = verdict.machines
    kept = kept_in_remote(stage.folder / "r1", run.run_id)
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert (first["ended_by"], first["ended_at"] < second["started_at"]) == ("deleted in the console", True)
    assert f"fetched: rclone://{remote}/" in said
    assert (run.adapter / "adapter_model.safetensors").read_text() == "trained 9 steps"
    assert verdict.receipt is not None
    assert (kept / "adapter" / "SHA256SUMS").read_bytes() == (run.adapter / "SHA256SUMS").read_bytes()
    assert newest_complete(kept / "checkpoints")[0] is not None


def test_a_machine_whose_runner_is_gone_brings_its_last_checkpoint_to_the_store(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_LAB_ROLES", "base_system,lease")

    verdict = stage.rehearse("runpod", "kill_runner@store", "publishing.tags=[steps=100, step_s=0.3]",
                             "budget.lease_minutes=0.2", afterwards="nothing,resume", store="strict")  # fmt: skip

    said, run = stage.said("resume"), stage.run()
    first, second = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert first["ended_at"] < second["started_at"]
    assert "exit.json" in {one["path"].rpartition("/")[2] for one in stage.stored()}, "its lease brings all there is"
    assert "fetched: s3://" in said
    assert "going on from step 6 " not in said, "the last checkpoint there is newer than the first"
    assert (run.adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"
    assert verdict.receipt is not None


@pytest.mark.shown_by(
    "unit/runner/lifecycle/test_stored_work.py::"
    "test_what_a_machine_has_stored_before_its_end_comes_home_without_another_one"
)
def test_what_a_machine_that_was_left_alone_has_stored_comes_home_when_it_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_LAB_ROLES", "base_system,lease")

    verdict = stage.rehearse("runpod", "detached_and_done", "budget.keep_idle_minutes=0.1", "budget.guard=false",
                             afterwards="nothing,resume", store="strict")  # fmt: skip

    said, run = stage.said("resume"), stage.run()
    (machine,) = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert machine["ended_by"] == "request"
    assert "the machine had brought what run" in said
    assert "fetched: s3://" in said
    assert (run.adapter / "adapter_model.safetensors").read_text() == "trained 6 steps"
    assert verdict.receipt is not None


@pytest.mark.shown_by("unit/runner/store/test_arming.py::test_a_runner_renews_them_while_it_is_there")
def test_a_runner_renews_the_keys_of_a_machine_before_they_end(stage: Stage) -> None:
    verdict = stage.rehearse("lambda", "", "publishing.tags=[steps=120, step_s=0.3]", store="strict",
                             clouds=[f"aws.session_s={SESSION_S:g}"])  # fmt: skip

    checkpoints = [one for one in stage.stored() if "/checkpoints/" in one["path"]]
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert len({one["key_id"] for one in checkpoints}) >= 3, "half a minute of training, keys for 20 s, renewed after 5"
    assert "ExpiredToken" not in stage.said()
