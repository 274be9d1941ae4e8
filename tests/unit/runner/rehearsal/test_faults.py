"""FAULTS=: what is written there is what happens, and nothing else."""

from __future__ import annotations

import pytest

from runner.errors import UsageError
from runner.rehearsal.faults import CloudFault, HomeFault, RunnerFault, parse_faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("no_capacity", CloudFault("no_capacity")),
        ("terminate_500:3", CloudFault("terminate_500", 3)),
        ("no_capacity:candidates=all", CloudFault("no_capacity", None, {"candidates": "all"})),
        (
            "launch_500_after_create:2:lost=true;after=1",
            CloudFault("launch_500_after_create", 2, {"lost": True, "after": 1}),
        ),
        ("listing_lags:lag_s=2.5", CloudFault("listing_lags", None, {"lag_s": 2.5})),
        ("kill_runner@after_create", CloudFault("kill_runner@after_create")),
    ],
)
def test_a_fault_of_the_cloud(text: str, fault: CloudFault) -> None:
    assert parse_faults(text) == ([fault], [], [])


@pytest.mark.parametrize(
    ("text", "step", "action"),
    [
        ("kill_runner@train", "train", "kill_runner"),
        ("kill_runner@boot", "boot", "kill_runner"),
        ("kill_terraform@destroy", "destroy", "kill_terraform"),
        ("runner_stopped@train", "train", "runner_stopped"),
        ("terminal_closed@configure", "configure", "terminal_closed"),
        ("runs_deleted@stage", "stage", "runs_deleted"),
        ("hostile_host:template", "configure", "template"),
        ("hostile_host:links", "train", "links"),
        ("lease_killed", "train", "lease_killed"),
        ("box_rebooted", "train", "box_rebooted"),
        ("container_restarted", "train", "container_restarted"),
        ("disk_full_on_box", "train", "disk_full_on_box"),
        ("network_partition", "train", "network_partition"),
        ("network_lost", "train", "network_lost"),
        ("ssh_dropped", "train", "ssh_dropped"),
        ("laptop_sleeps@train", "train", "laptop_sleeps"),
        ("same_second_twins", "provision", "same_second_twins"),
    ],
)
def test_a_fault_of_the_runner(text: str, step: str, action: str) -> None:
    assert parse_faults(text) == ([], [RunnerFault(text, step, action)], [])


@pytest.mark.parametrize(
    ("text", "action", "at"),
    [
        ("no_key@sweep", "no_key", "sweep"),
        ("other_account@down", "other_account", "down"),
        ("other_version@resume", "other_version", "resume"),
        ("state_file_lost", "state_file_lost", "state.json"),
        ("checkpoints_lost", "checkpoints_lost", ""),
        ("dirty_environment", "dirty_environment", ""),
        ("detached_and_done", "detached_and_done", ""),
        ("stuck_thing", "stuck_thing", ""),
        ("two_guards", "two_guards", "resume"),
        ("lock_changed_offline@down", "lock_changed_offline", "down"),
        ("state_file_cut:file=terraform/terraform.tfstate", "state_file_cut", "terraform/terraform.tfstate"),
    ],
)
def test_a_fault_of_the_users_own_machine(text: str, action: str, at: str) -> None:
    assert parse_faults(text) == ([], [], [HomeFault(text, action, at)])


@pytest.mark.parametrize(
    ("text", "action", "args"),
    [
        ("spot_notice@step:step=40", "spot_notice@step", {"step": 40, "notice_s": 0.0}),
        ("spot_notice@step:step=40;notice_s=120", "spot_notice@step", {"step": 40, "notice_s": 120}),
        ("box_killed@step:step=3", "box_killed@step", {"step": 3}),
        ("box_stopped_outside@step:step=3", "box_stopped_outside@step", {"step": 3}),
        ("box_deleted_in_console@step:step=3", "box_deleted_in_console@step", {"step": 3}),
    ],
)
def test_a_fault_of_the_machine_at_a_step_of_its_training(text: str, action: str, args: dict[str, float]) -> None:
    assert parse_faults(text) == ([], [RunnerFault(text, "train", action, args)], [])


@pytest.mark.parametrize(
    "text",
    [
        "spot_notice@step",
        "spot_notice@step:3",
        "spot_notice@step:step=soon",
        "spot_notice@step:step=true",
        "spot_notice@step:step=-1",
        "spot_notice@step:step=3;notice_s=long",
        "box_killed@step:step=3;notice_s=120",
    ],
)
def test_a_fault_at_a_step_needs_its_number_and_takes_nothing_unknown(text: str) -> None:
    with pytest.raises(UsageError, match=f"rehearse: {text} names no step of the training") as caught:
        parse_faults(text)
    assert "@step:step=40" in str(caught.value.resolution)


def test_several_faults_keep_their_order() -> None:
    found = parse_faults("no_capacity, no_key@down,terminate_500 ,ctrl_c@train,state_file_cut,")

    assert [[fault.name for fault in kind] for kind in found] == [
        ["no_capacity", "terminate_500"],
        ["ctrl_c@train"],
        ["no_key@down", "state_file_cut"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill_runner@lunch", "there is no fault kill_runner@lunch"),
        ("explode@train", "there is no fault explode@train"),
        ("hostile_host:smiles", "there is no fault hostile_host:smiles"),
        ("no_key@train", "there is no fault no_key@train"),
        ("two_guards@down", "there is no fault two_guards@down"),
        ("lock_changed_offline@resume", "there is no fault lock_changed_offline@resume"),
        ("lease_killed@stage", "there is no fault lease_killed@stage"),
        ("lease_killed:2", "lease_killed takes neither a count nor arguments"),
        ("box_rebooted:after=3", "box_rebooted takes neither a count nor arguments"),
        ("state_file_cut:file=../../.ssh/id", "names no file of a run's folder"),
        ("state_file_cut:file=/etc/passwd", "names no file of a run's folder"),
        ("state_file_cut:path=x", "names no file of a run's folder"),
        ("no_capacity:all", "'all' in no_capacity:all is neither a count nor key=value"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_faults(text)
