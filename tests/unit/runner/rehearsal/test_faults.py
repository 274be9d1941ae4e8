"""FAULTS=: what is written there is what happens, and nothing else."""

from __future__ import annotations

import signal

import pytest

from runner.errors import UsageError
from runner.rehearsal.faults import CloudFault, RunnerFault, parse_faults


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
    assert parse_faults(text) == ([fault], [])


@pytest.mark.parametrize(
    ("text", "step", "signals"),
    [
        ("kill_runner@train", "train", (signal.SIGKILL,)),
        ("ctrl_c@configure", "configure", (signal.SIGINT,)),
        ("ctrl_c_twice@destroy", "destroy", (signal.SIGINT, signal.SIGINT)),
        ("sigterm@stage", "stage", (signal.SIGTERM,)),
    ],
)
def test_a_fault_of_the_runner(text: str, step: str, signals: tuple[signal.Signals, ...]) -> None:
    assert parse_faults(text) == ([], [RunnerFault(text, step, signals)])


def test_several_faults_keep_their_order() -> None:
    clouds, runner = parse_faults("no_capacity, terminate_500 ,ctrl_c@train,")

    assert ([fault.name for fault in clouds], [fault.name for fault in runner]) == (
        ["no_capacity", "terminate_500"],
        ["ctrl_c@train"],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill_runner@lunch", "there is no fault kill_runner@lunch"),
        ("explode@train", "there is no fault explode@train"),
        ("no_capacity:all", "'all' in no_capacity:all is neither a count nor key=value"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_faults(text)
