"""What goes wrong while a machine trains: a trainer that stands still, runs short or fails; a machine out of reach.

Where the supervisor has a part in it, it is the product's own. The trainer is a stand-in; that the losses of a run that
went on with less memory are those of an undisturbed one is judged where a real one trains
(``tests/unit/trainer/training/test_phases_out_of_memory.py``).
"""

from __future__ import annotations

import re

import pytest

from runner.errors import EXIT_DONE, EXIT_FAILED
from runner.run.run_dir import read_json
from tests.rehearsal.conftest import Stage, three_lines
from trainer.events import read_events


@pytest.fixture
def own_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the product's supervisor start the stand-in."""
    monkeypatch.setenv("DOUSE_LAB_SUPERVISOR", "1")


def events_of(stage: Stage, name: str) -> list[dict[str, object]]:
    return [event for event in read_events(stage.run().path / "events.jsonl") if event["event"] == name]


@pytest.mark.usefixtures("own_supervisor")
def test_a_loop_that_stands_still_is_started_again_from_its_checkpoint(stage: Stage) -> None:
    verdict = stage.rehearse("lambda", "", "publishing.tags=[steps=12, step_s=0.1, stall_at=8]")

    (stall,) = events_of(stage, "stalled")
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert (stall["step"], stall["again"]) == (8, True)
    assert [event["resumed_from_step"] for event in events_of(stage, "run_started")] == [0, 6]
    assert [event["step"] for event in events_of(stage, "step")] == [*range(1, 9), *range(7, 13)]
    assert "in stand_still" in (stage.run().path / "logs" / "trainer.log").read_text()
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 12 steps"


@pytest.mark.usefixtures("own_supervisor")
@pytest.mark.shown_by(
    "unit/trainer/supervisor/test_supervise.py::test_a_trainer_that_stands_still_is_started_once_more"
)
def test_a_loop_that_stands_still_again_ends_with_its_checkpoint_at_home(stage: Stage) -> None:
    verdict = stage.rehearse("runpod", "", "publishing.tags=[steps=12, step_s=0.1, stall_at=8, stall_again]")

    lines = three_lines(stage.said())
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert [event["again"] for event in events_of(stage, "stalled")] == [True, False]
    assert "the loop stood still 2 times, now after step 8" in lines[0]
    assert "make resume" in lines[1]
    assert len(lines) == 3
    assert read_json(stage.run().checkpoints / "checkpoint-6" / "manifest.json")["step"] == 6
    assert verdict.receipt is not None


@pytest.mark.usefixtures("own_supervisor")
def test_a_run_that_is_short_of_memory_late_goes_on_with_less_to_its_last_step(stage: Stage) -> None:
    verdict = stage.rehearse("lambda", "", "publishing.tags=[steps=12, step_s=0.1, short_at=8]")

    losses = {event["step"]: event["loss"] for event in events_of(stage, "step")}
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert [event["resumed_from_step"] for event in events_of(stage, "run_started")] == [0, 6]
    assert losses == pytest.approx({step: 2.0 / step for step in range(1, 13)}, abs=1e-4)
    assert "micro-batches of 1 row instead of 2" in stage.said()
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 12 steps"


ALONE_S = "publishing.tags=[steps=100, step_s=0.5]"
"""A training that goes on longer than anybody is away."""
RECOVERS = ("publishing.tags=[steps=100, step_s=0.3]", "compute.recoveries=2", "budget.max_usd=5")


@pytest.mark.parametrize(
    ("cloud", "fault"),
    [("lambda", "network_partition"), ("runpod", "ssh_dropped"), ("lambda", "laptop_sleeps@train")],
)
def test_a_machine_out_of_reach_for_a_while_trains_on_and_is_followed_again(
    cloud: str, fault: str, stage: Stage
) -> None:
    verdict = stage.rehearse(cloud, fault, ALONE_S)

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert len(verdict.machines) == 1
    assert [event["resumed_from_step"] for event in events_of(stage, "run_started")] == [0]
    assert [event["step"] for event in events_of(stage, "step")] == [*range(1, 101)]
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"


@pytest.mark.parametrize(
    ("cloud", "lost"),
    [("runpod", "no longer exists on runpod|had no word from here for 0.2 min"), ("lambda", "had no word from here")],
    ids=["ends itself", "waits for its runner"],
)
def test_a_machine_that_is_cut_off_for_longer_than_its_lease_is_followed_by_another_one(
    cloud: str, lost: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends itself may still be there when its runner is back, or not; one that cannot is."""
    monkeypatch.setenv("DOUSE_LAB_ROLES", "base_system,lease")

    verdict = stage.rehearse(cloud, "network_partition", *RECOVERS, "budget.lease_minutes=0.2")

    first, second = verdict.machines
    said = stage.said()
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), said
    assert first["ended_at"] < second["started_at"], "two machines billed at once"
    assert re.search(f"({lost}).*; recovery 1 of 2", said), said
    at_home = [int(word) for word in re.findall(r"checkpoint-(\d+)", said.partition("; recovery 1 of 2")[0])]
    assert events_of(stage, "run_started")[-1]["resumed_from_step"] == max(at_home, default=0)
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"


@pytest.mark.parametrize(
    ("cloud", "fault", "words"),
    [
        ("lambda", "network_lost", "no route leads there; recovery 1 of 2"),
        ("runpod", "box_killed:after_s=20", "no route leads there; recovery 1 of 2"),
        ("runpod", "box_stopped_outside:after_s=20", "is stopped; recovery 1 of 2"),
        ("runpod", "spot_notice:after_s=20", "is stopped; recovery 1 of 2"),
    ],
)
def test_a_machine_that_is_lost_without_a_word_is_followed_by_another_one(
    cloud: str, fault: str, words: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_LAB_PATIENCE_S", "15")

    verdict = stage.rehearse(cloud, fault, *RECOVERS)

    first, second = verdict.machines
    before, _, _ = stage.said().partition("recovery 1 of 2")
    at_home = [int(word) for word in re.findall(r"came home: checkpoint-(\d+)", before)]
    begun = events_of(stage, "run_started")[-1]
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert first["ended_at"] < second["started_at"], "two machines billed at once"
    assert words in stage.said()
    assert "Socket exception" not in stage.said()
    assert begun["resumed_from_step"] == max(at_home, default=0), "what was at home was trained again"
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"


def test_a_training_that_fails_ends_with_its_words_its_checkpoint_and_no_machine(stage: Stage) -> None:
    verdict = stage.rehearse("runpod", "", "publishing.tags=[fail]")

    lines = three_lines(stage.said())
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert (lines[0], lines[1]) == ("error: train: loss is NaN", "hint:  lower it")
    assert len(lines) == 3
    assert read_json(stage.run().checkpoints / "checkpoint-6" / "manifest.json")["step"] == 6
    assert not stage.run().adapter.exists()
