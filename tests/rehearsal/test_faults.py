"""Rows of the fault catalogue: whatever happens, the meters stand still at the end, and what is said is true.

The trainer and Ansible are stand-ins here: these faults have to do with neither. Machines, Terraform, our provider,
SSH, signals and the clouds' answers are real, or as strict as the vendors' own.
"""

from __future__ import annotations

import pytest

from runner.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_LEFTOVERS
from tests.rehearsal.conftest import Stage, three_lines

SLOW = ("publishing.tags=[steps=400, step_s=0.1]",)
"""A training that goes on until somebody ends it."""
FEW = {"aws": ("compute.instance_types=[g4dn.xlarge,g6.xlarge]",)}
"""Fewer machines to try, where each is an apply and a destroy of its own."""
IMPATIENT = ("compute.boot_timeout_minutes=0.25",)


@pytest.mark.parametrize(
    ("cloud", "fault"),
    [
        ("lambda", "launch_500_after_create"),
        ("lambda", "launch_500_after_create:lost=true"),
        ("runpod", "launch_500_after_create"),
        ("lambda", "launch_rate_limited"),
        ("runpod", "launch_rate_limited"),
        ("lambda", "no_capacity"),
        ("runpod", "no_capacity"),
        ("aws", "no_capacity,leftover_key"),  # and the next candidate finds the name of its key taken
        ("lambda", "boot_unhealthy_spell"),
        ("lambda", "listing_lags"),
        ("runpod", "listing_lags"),
        ("runpod", "key_forbidden"),
        ("lambda", "terminate_500"),
        ("runpod", "terminate_500"),
        ("lambda", "terminate_slow"),
        ("lambda", "already_gone"),
        ("runpod", "already_gone"),
        ("lambda", "terminate_rate_limited"),
    ],
)
def test_what_passes_is_waited_for_and_the_run_is_done(cloud: str, fault: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, fault)

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_DONE), stage.said()
    assert (stage.run().adapter / "adapter_model.safetensors").read_text() == "trained 6 steps"


@pytest.mark.parametrize(
    ("cloud", "fault", "words"),
    [
        ("lambda", "no_capacity:candidates=all", "capacity"),
        ("runpod", "no_capacity:candidates=all", ""),
        ("aws", "no_capacity:candidates=all", "capacity"),
        ("lambda", "quota_exceeded", "quota"),
        ("lambda", "key_invalid", "key"),
        ("runpod", "balance_empty", "balance"),
        ("aws", "quota_exceeded", "imit"),
    ],
)
def test_what_no_waiting_cures_is_reported_in_three_lines(cloud: str, fault: str, words: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, fault, *FEW.get(cloud, ()))

    lines = three_lines(stage.said())
    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert len(lines) == 3
    assert words in lines[0].lower() + stage.said().lower()
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize(
    "fault", ["listing_500", "listing_empty_body", "listing_schema_changed", "listing_partial_page"]
)
def test_a_listing_that_does_not_say_is_never_taken_for_nothing(fault: str, stage: Stage) -> None:
    verdict = stage.rehearse("lambda", f"{fault}:when=ended")

    assert verdict.broken == [], stage.said()
    assert verdict.exit_code in (EXIT_DONE, EXIT_LEFTOVERS)
    assert (verdict.receipt is None) == (verdict.exit_code == EXIT_LEFTOVERS)


@pytest.mark.parametrize(
    "fault",
    ["kill_runner@before_create", "kill_runner@after_create", "kill_runner@configure", "kill_runner@train",
     "kill_runner@destroy"],
)  # fmt: skip
def test_after_a_kill_down_ends_everything(fault: str, stage: Stage) -> None:
    verdict = stage.rehearse("lambda", fault, *SLOW)

    assert verdict.broken == [], stage.said()
    assert verdict.receipt is not None
    assert not any(machine["is_billing"] for machine in verdict.machines)


@pytest.mark.parametrize("step", ["provision", "configure", "stage", "train", "collect", "destroy"])
@pytest.mark.parametrize("action", ["ctrl_c", "ctrl_c_twice"])
def test_ctrl_c_at_any_step_ends_everything(action: str, step: str, stage: Stage) -> None:
    settings = SLOW if step in ("provision", "configure", "stage", "train") else ()

    verdict = stage.rehearse("lambda", f"{action}@{step}", *settings)

    assert verdict.broken == [], stage.said()
    assert verdict.exit_code in (EXIT_DONE, EXIT_INTERRUPTED)
    assert verdict.receipt is not None


def test_a_machine_that_will_not_end_is_named_with_what_to_do(stage: Stage) -> None:
    verdict = stage.rehearse("lambda", "terminate_ignored:1000", "compute.teardown_timeout_minutes=0.3")

    lines = three_lines(stage.said())
    machine = verdict.machines[0]
    assert (verdict.exit_code, verdict.receipt) == (EXIT_LEFTOVERS, None)
    assert machine["is_billing"]
    assert machine["id"] in lines[0]
    assert "make down" in lines[1]


@pytest.mark.parametrize(
    ("cloud", "fault"), [("lambda", "leftover_key"), ("runpod", "leftover_volume"), ("aws", "leftover_address")]
)
def test_the_sweep_finds_what_terraform_does_not_know(cloud: str, fault: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, fault)

    assert verdict.broken == [], stage.said()
    assert verdict.receipt is not None
    assert len(verdict.receipt["ended_by_the_sweep"]) >= 1


def test_another_machine_at_the_address_gets_nothing(stage: Stage) -> None:
    verdict = stage.rehearse("lambda", "wrong_host_key")

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert "shows another host key" in three_lines(stage.said())[0]


@pytest.mark.parametrize(
    ("cloud", "fault"),
    [
        ("lambda", "boot_never_active"),
        ("lambda", "ssh_never_answers"),
        ("runpod", "boot_never_active"),
        ("runpod", "ssh_port_unmapped"),
        ("runpod", "runtime_null"),
    ],
)
def test_a_machine_that_does_not_come_up_is_given_back(cloud: str, fault: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, fault, *IMPATIENT)

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert len(three_lines(stage.said())) == 3


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_a_machine_that_bills_more_than_it_was_listed_for_is_given_back(cloud: str, stage: Stage) -> None:
    verdict = stage.rehearse(cloud, "price_differs")

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert "/h" in three_lines(stage.said())[0]


def test_a_gpu_that_cannot_compute_is_found_before_anything_is_downloaded(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_LAB_ROLES", "base_system,nvidia_driver")

    verdict = stage.rehearse("lambda", "dead_gpu", "compute.gpu_required=true")

    assert (verdict.broken, verdict.exit_code) == ([], EXIT_FAILED), stage.said()
    assert "dead GPU" in three_lines(stage.said())[0]
