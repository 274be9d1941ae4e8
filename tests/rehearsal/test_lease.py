"""The runner is killed and never comes back: the machine ends itself, or the guard or a scheduled sweep ends it.

The lease is the real one: its role and the one before it are carried out on the machine by Ansible.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from runner.errors import EXIT_DONE
from runner.run.run_dir import read_json
from runner.safety.lease_word import last_word
from tests.rehearsal.conftest import Stage, three_lines

FOR_EVER = "publishing.tags=[steps=4000, step_s=0.1]"
LEASE_S = 30.0
SAVING_S = 45.0
"""What the machine may take to stop the trainer with a checkpoint and to end itself."""

SHOWN_S = LEASE_S / 3 + 60.0
"""How much later a lease ends that the cloud shows: a third of a lease, and then its name goes by whole minutes."""
LAST_WORD_S = 300.0
"""When a shutdown that hangs is cut short."""
GUARD_S = 120.0
"""What the guard may take after the lease to terminate a machine."""


@pytest.fixture(autouse=True)
def real_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stand-in command line carry out the real roles up to the lease."""
    monkeypatch.setenv("DOUSE_LAB_ROLES", "base_system,lease")


@pytest.mark.parametrize(("cloud", "ended_by"), [("aws", "shut itself down"), ("runpod", "request")])
def test_a_machine_without_its_runner_ends_itself_within_its_lease(cloud: str, ended_by: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, "kill_runner@train", FOR_EVER, f"budget.lease_minutes={LEASE_S / 60}",
                             afterwards="nothing")  # fmt: skip

    (machine,) = verdict.machines
    assert verdict.broken == [], stage.said()
    assert machine["ended_by"] == ended_by
    assert LEASE_S - 1 <= seconds_without_a_word(stage, machine) <= LEASE_S + SAVING_S
    assert verdict.receipt is None
    assert billed_usd(machine) == pytest.approx(machine["billed_usd"], abs=1e-4)


def test_the_guard_ends_what_cannot_end_itself_when_all_else_of_its_runner_is_killed(stage: Stage) -> None:
    verdict = stage.rehearse("lambda", "kill_runner@train", FOR_EVER, f"budget.lease_minutes={LEASE_S / 60}",
                             afterwards="nothing")  # fmt: skip

    (machine,) = verdict.machines
    assert (verdict.broken, verdict.leftovers) == ([], []), stage.said()
    assert machine["ended_by"] == "request"
    assert LEASE_S - 1 <= seconds_without_a_word(stage, machine) <= LEASE_S + GUARD_S
    assert not (stage.folder / "r1" / "sweep.log").exists()
    assert "the runner is gone: no word for 1.5 minutes" in (stage.run().path / "guard.json").read_text()


@pytest.mark.parametrize("clock", ["", "clock_off:hours=2", "clock_off:hours=-2"])
def test_the_scheduled_sweep_ends_what_cannot_end_itself(clock: str, stage: Stage) -> None:
    verdict = stage.rehearse("lambda", f"kill_runner@train,{clock}", FOR_EVER, f"budget.lease_minutes={LEASE_S / 60}",
                             "budget.guard=false", afterwards="sweep")  # fmt: skip

    (machine,) = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said("sweep")
    assert "has no runner; its lease runs out at" in stage.said("sweep")
    assert "has no runner, and its lease ran out at" in stage.said("sweep")
    assert ("clock" in stage.said("sweep")) is bool(clock)
    assert LEASE_S - 1 <= seconds_without_a_word(stage, machine) <= LEASE_S + SHOWN_S + SAVING_S
    assert verdict.receipt is None


@pytest.mark.shown_by("unit/runner/guard/test_guard.py::test_a_runner_that_is_stopped_or_hangs_counts_by_its_last_word")
@pytest.mark.parametrize(("cloud", "afterwards"), [("lambda", "sweep"), ("runpod", "nothing")])
def test_a_runner_that_is_stopped_keeps_no_machine_past_its_lease(cloud: str, afterwards: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, "runner_stopped@train", FOR_EVER, f"budget.lease_minutes={LEASE_S / 60}",
                             afterwards=afterwards)  # fmt: skip

    (machine,) = verdict.machines
    assert verdict.broken == [], stage.said()
    later_s = SHOWN_S if afterwards == "sweep" else 0.0
    assert LEASE_S - 1 <= seconds_without_a_word(stage, machine) <= LEASE_S + later_s + SAVING_S


@pytest.mark.shown_by("unit/playbooks/test_lease.py::test_any_change_of_the_beat_renews")
def test_a_machine_lives_longer_than_one_lease_while_its_runner_does(stage: Stage) -> None:
    lease_s = 12.0

    verdict = stage.rehearse("runpod", "kill_runner@train", "publishing.tags=[steps=400, step_s=20]",
                             f"budget.lease_minutes={lease_s / 60}", afterwards="nothing")  # fmt: skip

    (machine,) = verdict.machines
    began = datetime.fromisoformat(read_json(stage.run().file("state.json"))["steps"]["train"]["started_at"])
    assert verdict.broken == [], stage.said()
    assert last_word_at(stage) - began.timestamp() > 1.4 * lease_s
    assert lease_s - 1 <= seconds_without_a_word(stage, machine) <= lease_s + SAVING_S


@pytest.mark.shown_by(
    "rehearsal/test_store.py::test_a_machine_whose_runner_is_gone_brings_its_last_checkpoint_to_the_store"
)
def test_a_run_whose_machine_ended_itself_goes_on_with_a_new_one(stage: Stage) -> None:
    verdict = stage.rehearse("runpod", "kill_runner@train", "publishing.tags=[steps=100, step_s=0.3]",
                             "budget.lease_minutes=0.2", afterwards="nothing,watch,resume")  # fmt: skip

    first, second = verdict.machines
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said("resume")
    assert first["ended_at"] < second["started_at"]
    assert f"machine {first['id']} no longer exists on runpod" in three_lines(stage.said("watch"))[0]
    assert "make resume" in three_lines(stage.said("watch"))[1]
    assert verdict.receipt is not None
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 100 steps"


def test_a_machine_that_was_left_alone_ends_itself_when_its_trainer_has_ended(stage: Stage) -> None:
    verdict = stage.rehearse("runpod", "detached_and_done", "budget.keep_idle_minutes=0.1", "budget.guard=false",
                             afterwards="nothing")  # fmt: skip

    (machine,) = verdict.machines
    said, word = stage.said(), last_word(stage.run())
    assert verdict.broken == [], said
    assert "left up      " in said, said
    assert "it shuts down when nothing has trained for 0.1 min" in said
    assert machine["ended_by"] == "request"
    assert word is not None
    assert word[0] == "hold"
    assert float(machine["ended_at"]) > word[1].timestamp(), "the machine was there when the runner left"


@pytest.mark.parametrize(
    ("cloud", "fault", "ended_by", "cut_short_s"),
    [
        ("runpod", "lease_killed", "request", 0.0),
        ("aws", "lease_killed", "shut itself down", 0.0),
        ("runpod", "container_restarted", "request", 0.0),
        ("aws", "box_rebooted", "shut itself down", 0.0),
        ("runpod", "disk_full_on_box", "request", 0.0),
        ("aws", "disk_full_on_box", "shut itself down", 0.0),
        ("aws", "poweroff_hangs", "shut itself down", LAST_WORD_S),
    ],
)
def test_a_lease_survives_what_befalls_its_machine(
    cloud: str, fault: str, ended_by: str, cut_short_s: float, stage: Stage
) -> None:
    verdict = stage.rehearse(cloud, f"{fault},kill_runner@train", FOR_EVER, f"budget.lease_minutes={LEASE_S / 60}",
                             "budget.guard=false", afterwards="nothing")  # fmt: skip

    (machine,) = verdict.machines
    assert verdict.broken == [], stage.said()
    assert machine["ended_by"] == ended_by
    lasted_s = seconds_without_a_word(stage, machine) - cut_short_s
    assert LEASE_S - 1 <= lasted_s <= LEASE_S + SAVING_S


def seconds_without_a_word(stage: Stage, machine: dict[str, Any]) -> float:
    """Return how long a machine billed after the last word of its runner."""
    return float(machine["ended_at"]) - last_word_at(stage)


def last_word_at(stage: Stage) -> float:
    word = last_word(stage.run())
    assert word is not None
    assert word[0] == "renew"
    return word[1].timestamp()


def billed_usd(machine: dict[str, Any]) -> float:
    usd_per_h = machine["price_usd_per_h"] + machine["disk_usd_per_h"]
    return float((machine["ended_at"] - machine["started_at"]) / 3600 * usd_per_h)
