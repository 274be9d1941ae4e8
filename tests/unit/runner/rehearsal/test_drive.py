"""What a rehearsal refuses before anything starts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.emulation.boxes import loopback_yard
from runner.errors import UsageError
from runner.rehearsal import drive
from runner.rehearsal.drive import Rehearsal, rehearse
from runner.rehearsal.services import emulated_clouds
from runner.rehearsal.twin import runs_of_twin
from runner.run.run_dir import create_run, write_json
from runner.world import RealWorld


def ask(
    folder: Path,
    cloud: str = "lambda",
    *,
    faults: str = "",
    afterwards: str = "down",
    verb: str = "train",
    store: str | None = None,
) -> None:
    rehearsal = Rehearsal(cloud, [], faults, afterwards, folder, verb=verb, store=store)
    rehearse(rehearsal, SilentView(), Stop(RealWorld()))


@pytest.mark.parametrize(
    ("cloud", "path", "why"), [("lambda", "/nowhere", "there is no sshd here"), ("aws", None, "must not")]
)
def test_a_machine_that_has_neither_boxes_nor_logins_says_why(
    cloud: str, path: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "supported", lambda: "no namespaces")
    if path is not None:
        monkeypatch.setattr(loopback_yard, "search_path", lambda: path)

    with pytest.raises(UsageError, match=f"cannot boot machines of its own: no namespaces; and .*{why}"):
        ask(tmp_path, cloud)


@pytest.mark.parametrize("word", ["dance", "", "down,dance"])
def test_an_unknown_afterwards_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rehearse: AFTERWARDS has"):
        ask(tmp_path, afterwards=word)


def test_a_store_of_no_known_manner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no store 'ftp'") as caught:
        ask(tmp_path, store="ftp")

    assert caught.value.resolution == "write STORE=amazon|strict|gateway|local|webdav|webdav-given"


@pytest.mark.parametrize("fault", ["box_deleted_after_store", "kill_runner@store"])
def test_what_waits_for_a_store_is_refused_where_there_is_none(fault: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{fault} waits for a checkpoint in the store") as caught:
        ask(tmp_path, faults=fault)

    assert caught.value.resolution == "serve one with STORE=amazon|strict|gateway|local|webdav|webdav-given"


@pytest.mark.parametrize(
    ("cloud", "store", "stuck", "beside"),
    [
        ("lambda", None, [], []),
        ("lambda", "strict", [], ["aws"]),
        ("aws", "strict", [], []),
        ("runpod", "gateway", ["lambda"], ["aws", "lambda"]),
        ("runpod", "webdav", [], []),
    ],
)
def test_beside_a_cloud_is_the_account_that_the_store_is_in(
    cloud: str, store: str | None, stuck: list[str], beside: list[str], tmp_path: Path
) -> None:
    assert drive._beside(Rehearsal(cloud, [], "", "down", tmp_path, store=store), stuck) == beside


def test_an_unknown_fault_of_the_runner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no fault kill_runner@lunch"):
        ask(tmp_path, faults="kill_runner@lunch")


@pytest.mark.parametrize(
    ("cloud", "fault", "why"),
    [
        ("lambda", "container_restarted", "its machines are no containers"),
        ("aws", "container_restarted", "its machines are no containers"),
        ("runpod", "box_rebooted", "a container does not boot"),
        ("lambda", "box_stopped_outside@step:step=3", "its machines cannot be stopped"),
    ],
)
def test_what_cannot_happen_to_a_machine_of_the_cloud_is_refused_with_the_reason(
    cloud: str, fault: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "supported", lambda: None)

    with pytest.raises(UsageError, match=f"{fault.partition('@')[0]} does not happen on {cloud}: {why}"):
        ask(tmp_path, cloud, faults=fault)


def test_a_login_of_this_machine_cannot_be_rebooted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "supported", lambda: "no namespaces")
    monkeypatch.setattr(drive, "why_no_logins", lambda: None)

    with pytest.raises(UsageError, match="box_rebooted needs machines with a network and a disk of their own"):
        ask(tmp_path, faults="box_rebooted")


def test_only_training_can_be_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody can leave `make rebuild` alone"):
        ask(tmp_path, faults="detached_and_done", verb="rebuild")


@pytest.mark.parametrize("faults", ["same_second_twins,no_capacity", "kill_runner@train, same_second_twins"])
def test_a_second_run_of_the_same_second_goes_with_no_other_fault(faults: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same_second_twins goes with no other fault"):
        ask(tmp_path, faults=faults)


def test_only_a_training_has_a_twin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same_second_twins goes with no other fault, and with `train` alone"):
        ask(tmp_path, faults="same_second_twins", verb="rebuild")


@pytest.mark.parametrize(
    ("faults", "afterwards"),
    [
        ("stuck_thing", "sweep"),
        ("kill_runner@train,stuck_thing", "down"),
        ("kill_runner@train,stuck_thing", "sweep,down"),
    ],
)
def test_what_is_stuck_needs_a_sweep_at_the_end(faults: str, afterwards: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stuck_thing is for a sweep"):
        ask(tmp_path, faults=faults, afterwards=afterwards)


def test_what_is_stuck_is_on_the_first_other_cloud() -> None:
    first, second, *_ = emulated_clouds()

    assert [drive._another_cloud(name, []) for name in emulated_clouds()] == [second, first, first]


def test_what_is_stuck_is_on_no_cloud_that_the_run_may_use() -> None:
    first, second, third, *_ = emulated_clouds()

    assert drive._another_cloud(first, [second]) == third
    with pytest.raises(UsageError, match="stuck_thing needs a cloud of its own") as caught:
        drive._another_cloud(first, list(emulated_clouds()))
    assert "SET=compute.recover_on" in str(caught.value.resolution)


def test_a_login_cannot_stand_for_a_machine_of_another_cloud_that_powers_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "supported", lambda: "no namespaces")
    monkeypatch.setattr(drive, "why_no_logins", lambda: None)

    with pytest.raises(UsageError, match=r"machines of its own: no namespaces; and .*must not"):
        rehearse(Rehearsal("runpod", [], "", "down", tmp_path, others=["aws"]), SilentView(), Stop(RealWorld()))


def test_guards_of_a_twin_end_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [create_run(runs, "tiny", datetime(2026, 11, 29, tzinfo=UTC), RealWorld()) for runs in
            (tmp_path / "runs", runs_of_twin(tmp_path))]  # fmt: skip
    for run in made:
        write_json(run.config, {})
    ended: list[str] = []
    monkeypatch.setattr(drive, "end_guard", lambda run_id, world, ends_itself: ended.append(run_id))

    with drive._without_guards(tmp_path):
        assert ended == []

    assert ended == [run.run_id for run in made]
