"""Kills at every moment on every cloud, and users who come back to damaged folders, without a key, or with another's.

The trainer and Ansible are stand-ins, as in ``test_faults.py``.
"""

from __future__ import annotations

import pytest

from runner.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LEFTOVERS
from runner.run.events import MOST_BYTES
from tests.rehearsal.conftest import Stage, three_lines
from tests.rehearsal.test_faults import SLOW

CLOUDS = ("lambda", "runpod", "aws")
FILES = (
    "config.json",
    "plan.json",
    "state.json",
    "journal.jsonl",
    "host.json",
    "known_hosts",
    "terraform/run.auto.tfvars.json",
    "terraform/terraform.tfstate",
)
LEASE = (*SLOW, "budget.lease_minutes=0.5")
OUTLASTS_A_GUARD = ("publishing.tags=[steps=1300, step_s=0.1]", "budget.lease_minutes=0.5")
"""A training that goes on longer than a guard waits that hears no runner: the lease, and a minute to save the work."""
chosen = pytest.mark.chosen


@pytest.mark.parametrize(
    ("cloud", "moment"),
    [
        pytest.param(cloud, moment, marks=[chosen] if moment == "boot" else [])
        for cloud in CLOUDS
        for moment in ("before_create", "after_create", "boot", "configure", "stage", "train", "collect", "destroy")
        if (cloud, moment) not in {("lambda", known) for known in ("before_create", "after_create", "configure")}
    ],
)
def test_after_a_kill_at_any_moment_down_ends_everything(cloud: str, moment: str, stage: Stage) -> None:
    settings = () if moment in ("collect", "destroy") else SLOW

    verdict = stage.rehearse(cloud, f"kill_runner@{moment}", *settings)

    assert verdict.broken == [], stage.said()
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize("moment", ["create", "boot", "destroy"])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_terraform_that_is_killed_keeps_no_machine(cloud: str, moment: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, f"kill_terraform@{moment}")

    assert verdict.broken == [], stage.said()
    assert verdict.receipt is not None
    assert verdict.exit_code == (EXIT_DONE if moment == "destroy" else EXIT_FAILED)
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize("damage", ["empty", "cut", "lost"])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_keeps_no_machine(file: str, damage: str, stage: Stage) -> None:
    verdict = stage.rehearse("runpod", f"kill_runner@train,state_file_{damage}:file={file}", *SLOW)

    assert verdict.broken == [], stage.said("down")
    assert not any(machine["is_billing"] for machine in verdict.machines)
    assert "Traceback" not in stage.said("down")


@pytest.mark.parametrize(
    ("cloud", "fault", "verb"),
    [
        ("runpod", "no_key", "sweep"),
        ("lambda", "no_key", "down"),
        ("aws", "no_key", "status"),
        pytest.param("lambda", "other_account", "sweep", marks=chosen),
        ("runpod", "other_account", "resume"),
        ("runpod", "lock_changed_offline", "down"),
        ("aws", "other_account", "down"),
        pytest.param("lambda", "other_version", "down", marks=chosen),
    ],
)
def test_who_comes_back_with_less_than_he_had_hears_it(cloud: str, fault: str, verb: str, stage: Stage) -> None:
    afterwards = f"{verb},down" if verb in ("sweep", "status") else verb

    verdict = stage.rehearse(cloud, f"kill_runner@train,{fault}@{verb}", *LEASE, afterwards=afterwards)

    assert verdict.broken == [], stage.said(verb)
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize(
    ("fault", "settings", "statuses"),
    [
        ("terminal_closed@provision", (), {EXIT_INTERRUPTED}),
        pytest.param("terminal_closed@train", (), {EXIT_DONE}, marks=chosen),
        ("stdout_gone@train", (), {EXIT_DONE}),
        ("runs_deleted@configure", (), {EXIT_FAILED}),
        ("box_rebooted", SLOW, {EXIT_FAILED}),
        ("disk_full_on_box", SLOW, {EXIT_FAILED}),
    ],
)
def test_what_the_runner_loses_costs_no_machine(
    fault: str, settings: tuple[str, ...], statuses: set[int], stage: Stage
) -> None:
    verdict = stage.rehearse("lambda", fault, *settings)

    assert verdict.broken == [], stage.said()
    assert verdict.exit_code in statuses
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize(
    ("cloud", "faults", "settings", "afterwards", "stays"),
    [
        ("runpod", "same_second_twins", (), "down", []),
        ("lambda", "same_second_twins", (), "down", []),
        ("aws", "same_second_twins", (), "down", []),
        ("runpod", "kill_runner@train,stuck_thing", LEASE, "sweep", ["lambda"]),
        ("lambda", "kill_runner@train,two_guards", OUTLASTS_A_GUARD, "resume", []),
    ],
)
def test_other_runs_of_the_same_user_keep_no_machine_and_terminate_none(
    cloud: str, faults: str, settings: tuple[str, ...], afterwards: str, stays: list[str], stage: Stage
) -> None:
    verdict = stage.rehearse(cloud, faults, *settings, afterwards=afterwards)

    assert verdict.broken == [], stage.said()
    assert [machine["cloud"] for machine in verdict.machines if machine["is_billing"]] == stays
    assert verdict.exit_code == (EXIT_LEFTOVERS if stays else EXIT_DONE)
    if "two_guards" in faults:
        assert "another runner keeps the machine" in (stage.run().logs / "guard.log").read_text()


def test_settings_of_the_users_own_reach_neither_terraform_nor_ansible(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_LAB_ROLES", "base_system,lease")

    verdict = stage.rehearse("runpod", "dirty_environment")

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert stage.run().file("lease.json").exists()


def test_a_locked_machine_is_named_with_status_3(stage: Stage) -> None:
    verdict = stage.rehearse("runpod", "pod_locked:1000", "compute.teardown_timeout_minutes=0.3")

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_LEFTOVERS), stage.said()
    assert verdict.machines[0]["id"] in three_lines(stage.said())[0]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_lost_answer_for_a_machine_that_is_listed_late_is_looked_for(cloud: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, "launch_500_after_create:lost=true,listing_lags:seconds=8")

    assert verdict.broken == [], stage.said()
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize(
    ("cloud", "fault"),
    [
        ("lambda", "odd_neighbour"),
        ("runpod", "odd_neighbour"),
        ("runpod", "listing_pages:1000"),
        ("aws", "listing_pages:1000"),
        ("lambda", "api_down:when=ended;seconds=10"),
        ("runpod", "api_down:when=ended;seconds=10"),
        ("aws", "api_down:when=ended;seconds=10"),
        ("runpod", "clock_off:hours=2"),
        ("runpod", "clock_off:hours=-2"),
    ],
)
def test_what_a_cloud_shows_badly_keeps_no_machine(cloud: str, fault: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, fault)

    assert verdict.broken == [], stage.said()
    assert "Traceback" not in stage.said()
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize("kind", ["escapes", "template", "names", "links", "deep", "flood", "huge", "endless_events"])
def test_a_hostile_machine_harms_nobody_and_goes(kind: str, stage: Stage) -> None:
    verdict = stage.rehearse("runpod", f"hostile_host:{kind}", "publishing.tags=[steps=60, step_s=0.1]")

    assert verdict.broken == [], stage.said()
    assert "Traceback" not in stage.said()
    assert "\x1b" not in stage.said()
    assert stage.run().events.size_bytes() <= MOST_BYTES
    assert not any(machine["is_billing"] for machine in verdict.machines)
