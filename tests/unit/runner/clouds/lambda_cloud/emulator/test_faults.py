from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.adapters import process
from runner.emulation.box_data import with_dead_gpu, with_hanging_shutdown, without_host_key
from runner.emulation.cloud_state import OTHER_KEY
from runner.emulation.emulator import NEIGHBOUR
from runner.errors import ToolError
from tests.unit.runner.emulation.emulated import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def code(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


def status_of(lab: Lab, instance: str) -> str:
    return str(lab.lambda_.get(f"/instances/{instance}").json()["data"]["status"])


def test_launch_500_after_create_leaves_a_machine_that_bills(lab: Lab) -> None:
    lab.fault("launch_500_after_create")

    answer = lab.launch()

    assert answer.status_code == 500
    assert len(lab.billing()) == 1
    assert lab.lambda_.get("/instances").json()["data"][0]["name"] == "douse-20261121-015500-tiny"


def test_lost_answer_leaves_a_machine_that_bills(lab: Lab) -> None:
    lab.fault("launch_500_after_create", lost=True)

    lab.launch()

    assert len(lab.billing()) == 1
    assert lab.state.requests.all()[-1].is_lost


def test_rate_limited_launch_refuses_a_poll_of_the_machine_as_well(lab: Lab) -> None:
    lab.fault("launch_rate_limited")

    assert lab.launch().status_code == 429
    assert lab.machines() == []
    instance = lab.launched()
    assert [lab.lambda_.get(f"/instances/{instance}").status_code for _ in range(2)] == [429, 200]


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ("key_invalid", 401, "global/invalid-api-key"),
        ("quota_exceeded", 400, "global/quota-exceeded"),
        ("balance_empty", 403, "global/account-inactive"),
        ("no_capacity", 400, "instance-operations/launch/insufficient-capacity"),
    ],
)
def test_fault_of_the_account_refuses_the_launch(lab: Lab, fault: str, status: int, expected: str) -> None:
    lab.fault(fault)

    answer = lab.launch()

    assert (answer.status_code, code(answer)) == (status, expected)
    assert lab.machines() == []
    assert lab.fired() == [fault]


def test_key_that_is_invalid_from_now_on_refuses_everything(lab: Lab) -> None:
    lab.fault("key_invalid", count="always", at="any")

    assert [lab.lambda_.get(path).status_code for path in ("/instances", "/ssh-keys")] == [401, 401]


def test_forbidden_key_may_not_list(lab: Lab) -> None:
    lab.fault("key_forbidden")

    assert code(lab.lambda_.get("/instances")) == "global/forbidden"


def test_machine_that_never_gets_active_bills(lab: Lab) -> None:
    lab.fault("boot_never_active")
    instance = lab.launched()
    lab.clock.advance(36000.0)

    shown = lab.lambda_.get(f"/instances/{instance}").json()["data"]

    assert (shown["status"], "ip" in shown) == ("booting", False)
    assert lab.machines()[0]["billed_usd"] == pytest.approx(7.5)


def test_unhealthy_spell_passes(lab: Lab) -> None:
    lab.fault("boot_unhealthy_spell", seconds=5)
    instance = lab.launched()

    seen = []
    for wait_s in (0.1, 1.5, 5.0):
        lab.clock.advance(wait_s)
        seen.append(status_of(lab, instance))

    assert seen == ["booting", "unhealthy", "active"]


def test_ssh_that_never_answers_is_a_box_cut_off(lab: Lab) -> None:
    lab.fault("ssh_never_answers")
    instance = lab.launched()
    lab.clock.advance(2.0)

    assert status_of(lab, instance) == "active"
    assert [box.is_cut_off for box in lab.yard.boxes.values()] == [True]


def test_box_that_is_too_young_to_be_cut_off_is_cut_off_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_off = lab.yard.partition

    def too_young(box: str, on: bool) -> None:
        raise ToolError("boxes: no network yet", resolution="wait")

    monkeypatch.setattr(lab.yard, "partition", too_young)
    lab.fault("ssh_never_answers")
    lab.launched()
    assert [box.is_cut_off for box in lab.yard.boxes.values()] == [False]

    monkeypatch.setattr(lab.yard, "partition", cut_off)
    lab.machines()

    assert [box.is_cut_off for box in lab.yard.boxes.values()] == [True]


def test_dead_gpu_is_shown_by_the_boxs_nvidia_smi(lab: Lab, tmp_path: Path) -> None:
    lab.fault("dead_gpu")
    lab.launched()

    (box,) = lab.yard.boxes.values()
    told = yaml.safe_load(box.order["user_data"])
    (file,) = told["write_files"]
    program = tmp_path / "nvidia-smi"
    program.write_text(file["content"])
    query = ["--query-gpu=name,driver_version,compute_cap,memory.total", "--format=csv,noheader,nounits"]
    shown = process.run(["/bin/sh", str(program), *query], timeout_s=20)

    assert (file["path"], file["permissions"]) == ("/usr/local/bin/nvidia-smi", "0755")
    assert shown.stdout == "NVIDIA A10, 580.95.05, 8.6, 23028\n"
    assert told["ssh_keys"] == {"ed25519_public": "x"}


def test_a_shutdown_hangs_by_a_service_that_starts_with_the_machine_beside_its_own_commands() -> None:
    said = yaml.safe_load(with_hanging_shutdown("#cloud-config\nruncmd: [first]\nwrite_files: [{path: /a}]\n") or "")

    assert [file["path"] for file in said["write_files"]] == ["/a", "/etc/systemd/system/hangs.service"]
    assert "ExecStop=sleep infinity" in said["write_files"][1]["content"]
    assert said["runcmd"][0] == "first"
    assert "systemctl start --no-block hangs.service" in said["runcmd"][1]
    assert with_hanging_shutdown("{") == "{"


def test_user_data_that_is_none_is_left_to_the_box_to_refuse() -> None:
    assert with_dead_gpu("#cloud-config\n- a list\n") == "#cloud-config\n- a list\n"
    assert without_host_key("{") == "{"
    assert without_host_key(None) is None


def test_price_that_differs_is_billed_and_reported(lab: Lab) -> None:
    lab.fault("price_differs", factor=3)
    instance = lab.launched()

    shown = lab.lambda_.get(f"/instances/{instance}").json()["data"]

    assert shown["instance_type"]["price_cents_per_hour"] == 225
    assert lab.machines()[0]["price_usd_per_h"] == pytest.approx(2.25)


def test_wrong_host_key_is_a_box_that_was_not_given_its_key(lab: Lab) -> None:
    lab.fault("wrong_host_key")
    lab.launched()

    (box,) = lab.yard.boxes.values()
    assert box.order["user_data"] == "#cloud-config\nssh_deletekeys: true\n"


def test_new_machine_is_absent_from_a_lagging_list(lab: Lab) -> None:
    lab.fault("listing_lags", seconds=5)
    instance = lab.launched()

    assert lab.lambda_.get("/instances").json() == {"data": []}
    assert status_of(lab, instance) == "booting"
    lab.clock.advance(5.0)
    assert [row["id"] for row in lab.lambda_.get("/instances").json()["data"]] == [instance]


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("listing_500", 500, None),
        ("listing_empty_body", 200, ""),
        ("listing_partial_page", 200, '{"data'),
        ("listing_schema_changed", 200, '{"data_v2": []}'),
    ],
)
def test_list_is_not_what_it_should_be(lab: Lab, fault: str, status: int, text: str | None) -> None:
    lab.fault(fault)

    answer = lab.lambda_.get("/instances")

    assert answer.status_code == status
    assert text is None or answer.text == text
    assert lab.lambda_.get("/instances").json() == {"data": []}


def test_list_fault_can_wait_until_a_machine_is_there(lab: Lab) -> None:
    lab.fault("listing_500", when="machine")

    assert lab.lambda_.get("/instances").status_code == 200
    lab.launched()
    assert lab.lambda_.get("/instances").status_code == 500


@pytest.mark.parametrize(("fault", "status"), [("terminate_500", 500), ("terminate_rate_limited", 429)])
def test_refused_end_leaves_the_machine_and_the_next_one_ends_it(lab: Lab, fault: str, status: int) -> None:
    lab.fault(fault)
    instance = lab.launched()

    assert lab.terminate(instance).status_code == status
    lab.clock.advance(10.0)
    assert lab.billing() == [instance]
    assert lab.terminate(instance).status_code == 200
    lab.clock.advance(10.0)
    assert lab.billing() == []


def test_ignored_end_is_a_yes_and_nothing_happens(lab: Lab) -> None:
    lab.fault("terminate_ignored")
    instance = lab.launched()

    assert lab.terminate(instance).status_code == 200
    lab.clock.advance(100.0)

    assert status_of(lab, instance) == "active"
    assert lab.billing() == [instance]


def test_slow_end_bills_until_it_comes(lab: Lab) -> None:
    lab.fault("terminate_slow", seconds=60)
    instance = lab.launched()
    lab.terminate(instance)

    lab.clock.advance(59.0)
    assert (status_of(lab, instance), lab.billing()) == ("terminating", [instance])
    lab.clock.advance(2.0)

    assert lab.billing() == []
    assert lab.machines()[0]["ended_at"] == lab.machines()[0]["started_at"] + 60.0


def test_end_of_a_machine_that_somebody_else_ended_is_not_found(lab: Lab) -> None:
    lab.fault("already_gone")
    instance = lab.launched()

    answer = lab.terminate(instance)

    assert (answer.status_code, code(answer)) == (404, "global/object-does-not-exist")
    assert lab.lambda_.get(f"/instances/{instance}").status_code == 404
    assert lab.billing() == []


def test_leftovers_stay_behind(lab: Lab) -> None:
    lab.fault("leftover_volume")
    lab.fault("leftover_key")
    instance = lab.launched()
    lab.terminate(instance)
    key = lab.lambda_.get("/ssh-keys").json()["data"][0]["id"]

    assert lab.lambda_.delete(f"/ssh-keys/{key}").status_code == 200
    lab.clock.advance(3600.0)

    assert [(row["name"], row["is_billing"]) for row in lab.leftovers("volume")] == [
        ("douse-20261121-015500-tiny", True)
    ]
    assert [row["id"] for row in lab.leftovers("key")] == [key]
    assert lab.lambda_.delete(f"/ssh-keys/{key}").status_code == 200
    assert lab.leftovers("key") == []


def test_killed_box_bills_on(lab: Lab) -> None:
    lab.fault("box_killed", after_s=5)
    instance = lab.launched()
    lab.clock.advance(7.0)

    assert status_of(lab, instance) == "unhealthy"
    assert lab.billing() == [instance]
    assert [box.is_alive for box in lab.yard.boxes.values()] == [False]


def test_preempted_machine_is_gone(lab: Lab) -> None:
    lab.fault("spot_notice")
    instance = lab.launched()
    lab.clock.advance(2.0)

    assert status_of(lab, instance) == "preempted"
    assert lab.billing() == []


def test_machine_ended_in_the_console_is_gone(lab: Lab) -> None:
    lab.fault("box_deleted_in_console", after_s=1)
    lab.launched()
    lab.clock.advance(2.5)

    assert lab.billing() == []
    assert lab.machines()[0]["ended_by"] == "deleted in the console"


def test_the_key_of_another_account_is_good_and_shows_nothing(lab: Lab) -> None:
    lab.launched()
    other = {"authorization": f"Bearer {OTHER_KEY}"}

    assert lab.lambda_.get("/instances", headers=other).json()["data"] == []
    assert len(lab.lambda_.get("/instances").json()["data"]) == 1


def test_an_odd_neighbour_is_in_every_list_with_nothing_but_an_id(lab: Lab) -> None:
    lab.fault("odd_neighbour")

    lists = [lab.lambda_.get("/instances").json()["data"] for _ in range(3)]

    assert lists == [[{"id": NEIGHBOUR}]] * 3
    assert set(lab.fired()) == {"odd_neighbour"}


def test_a_cloud_that_is_down_answers_nothing_until_it_is_up_again(lab: Lab) -> None:
    lab.fault("api_down", seconds=60)

    assert {lab.lambda_.get(path).status_code for path in ("/instances", "/ssh-keys", "/instances")} == {503}
    lab.clock.advance(61)
    assert lab.lambda_.get("/instances").status_code == 200
    assert lab.fired() == ["api_down"]


def test_terraform_alone_is_killed_once_the_machine_is_made(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(lab.state.runner, "kill_terraform", lambda: killed.append(len(lab.state.machines)))
    lab.fault("kill_terraform@create")

    lab.launched()

    assert killed == [1]
