from __future__ import annotations

import base64
from typing import Any

import pytest

from runner.emulation.cloud_state import REHEARSAL_KEY
from tests.unit.runner.emulation.emulated import KEY_LINE, Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def status_of(lab: Lab, instance: str) -> str:
    return str(lab.lambda_.get(f"/instances/{instance}").json()["data"]["status"])


def code(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Token x", f"bearer{REHEARSAL_KEY}"])
def test_wrong_key_is_refused_and_recorded_as_such(lab: Lab, header: str) -> None:
    answer = lab.lambda_.get("/instances", headers={"authorization": header})

    assert answer.status_code == 401
    assert code(answer) == "global/invalid-api-key"
    assert lab.state.requests.all()[0].is_authorised is False


@pytest.mark.parametrize("given", [REHEARSAL_KEY, base64.b64encode(f"{REHEARSAL_KEY}:".encode()).decode()])
def test_basic_key_is_taken_in_both_spellings(lab: Lab, given: str) -> None:
    answer = lab.lambda_.get("/instances", headers={"authorization": f"Basic {given}"})

    assert answer.json() == {"data": []}


def test_unknown_path_is_not_found(lab: Lab) -> None:
    assert code(lab.lambda_.get("/machines")) == "global/not-found"


def test_faster_than_one_request_a_second_is_refused() -> None:
    lab = Lab(settings={"lambda.pace_s": "1"})

    statuses = [lab.lambda_.get("/instances").status_code for _ in range(3)]
    lab.clock.advance(1.0)
    statuses.append(lab.lambda_.get("/instances").status_code)

    assert statuses == [200, 200, 429, 200]


def test_second_launch_within_twelve_seconds_is_refused() -> None:
    lab = Lab(settings={"lambda.pace_s": "1"})
    lab.lambda_.post("/ssh-keys", json={"name": "k", "public_key": KEY_LINE})
    order = {"region_name": "us-west-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["k"]}
    statuses = []

    for wait_s in (2.0, 5.0, 8.0):
        lab.clock.advance(wait_s)
        statuses.append(lab.lambda_.post("/instance-operations/launch", json=order).status_code)

    assert statuses == [200, 429, 200]


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": 1},
        {"ssh_key_names": []},
        {"ssh_key_names": ["a", "b"]},
        {"ssh_key_names": "douse-key"},
        {"name": None},
        {"name": "x" * 65},
        {"hostname": "Upper"},
        {"tags": [{"key": "Douse", "value": "x"}]},
        {"tags": [{"key": "douse-run", "value": "x" * 129}]},
        {"tags": {"douse-run": "x"}},
        {"user_data": "x" * 1_000_001},
        {"file_system_mounts": [{"mount_point": "/etc", "file_system_id": "x"}]},
        {"region_name": "moon-1"},
        {"instance_type_name": "gpu_1x_moon"},
    ],
)
def test_launch_that_the_vendor_would_not_take_is_refused(lab: Lab, changes: dict[str, Any]) -> None:
    answer = lab.launch(**changes)

    assert (answer.status_code, code(answer)) == (400, "global/invalid-parameters")
    assert lab.machines() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ssh_key_names": ["nobody"]},
        {"file_system_names": ["nothing"]},
        {"image": {"family": "windows"}},
        {"image": {"id": "x"}},
        {"firewall_rulesets": [{"id": "x"}]},
    ],
)
def test_launch_with_what_there_is_not_is_refused(lab: Lab, changes: dict[str, Any]) -> None:
    answer = lab.launch(**changes)

    assert code(answer) == "global/object-does-not-exist"
    assert lab.machines() == []


def test_type_that_is_not_listed_in_the_region_has_no_capacity(lab: Lab) -> None:
    answer = lab.launch(region_name="europe-central-1")

    assert code(answer) == "instance-operations/launch/insufficient-capacity"


def test_instance_boots_without_address_then_gets_one_then_is_active(lab: Lab) -> None:
    instance = lab.launched()
    booting = lab.lambda_.get(f"/instances/{instance}").json()["data"]
    lab.clock.advance(0.6)
    addressed = lab.lambda_.get(f"/instances/{instance}").json()["data"]
    lab.clock.advance(0.5)
    active = lab.lambda_.get("/instances").json()["data"][0]

    assert (booting["status"], "ip" in booting) == ("booting", False)
    assert (addressed["status"], addressed["ip"]) == ("booting", "192.0.2.2")
    assert (active["status"], active["tags"]) == (
        "active",
        [{"key": "douse-run", "value": "20261121-015500-tiny"}],
    )
    assert "user_data" not in active


def test_box_gets_the_registered_key_and_the_user_data(lab: Lab) -> None:
    lab.launched()

    (box,) = lab.yard.boxes.values()
    assert box.order["kind"] == "vm"
    assert box.order["user"] == "ubuntu"
    assert box.order["public_keys"] == [KEY_LINE]
    assert "ed25519_public: x" in box.order["user_data"]


def test_terminated_instance_bills_until_it_is_gone_and_is_not_found_later(lab: Lab) -> None:
    instance = lab.launched()
    lab.clock.advance(3600.0)

    answer = lab.terminate(instance)
    assert answer.json()["data"]["terminated_instances"][0]["status"] == "terminating"
    assert lab.billing() == [instance]
    lab.clock.advance(1.1)
    assert (status_of(lab, instance), lab.billing()) == ("terminated", [])
    lab.clock.advance(2.0)

    assert lab.lambda_.get(f"/instances/{instance}").status_code == 404
    assert lab.machines()[0]["billed_usd"] == pytest.approx(0.75 * 3601 / 3600, abs=1e-6)
    assert lab.yard.boxes == {}


def test_terminate_twice_is_an_unknown_error(lab: Lab) -> None:
    instance = lab.launched()
    lab.terminate(instance)

    assert code(lab.terminate(instance)) == "global/unknown"


def test_terminate_of_what_there_is_not_is_not_found(lab: Lab) -> None:
    answer = lab.terminate("0" * 32)

    assert (answer.status_code, code(answer)) == (404, "global/object-does-not-exist")


def test_key_of_the_same_name_is_refused_and_a_deleted_one_is_gone(lab: Lab) -> None:
    key = lab.lambda_.post("/ssh-keys", json={"name": "douse-k", "public_key": KEY_LINE}).json()["data"]

    assert lab.lambda_.post("/ssh-keys", json={"name": "douse-k", "public_key": KEY_LINE}).status_code == 400
    assert [row["name"] for row in lab.leftovers("key")] == ["douse-k"]
    assert lab.lambda_.delete(f"/ssh-keys/{key['id']}").json() == {"data": {}}
    assert lab.lambda_.delete(f"/ssh-keys/{key['id']}").status_code == 404
    assert lab.leftovers("key") == []


def test_private_key_is_given_once_and_recorded_nowhere(lab: Lab) -> None:
    made = lab.lambda_.post("/ssh-keys", json={"name": "made"}).json()["data"]

    assert made["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert lab.lambda_.get("/ssh-keys").json()["data"] == [
        {"id": made["id"], "name": "made", "public_key": made["public_key"]}
    ]
    assert "OPENSSH PRIVATE" not in lab.control.get("/requests").text


def test_record_holds_no_key_and_no_user_data(lab: Lab) -> None:
    lab.launched()

    text = lab.control.get("/requests").text
    assert REHEARSAL_KEY not in text
    assert "ssh_deletekeys" not in text
    assert '"is_authorised": true' in text


def test_filesystem_in_use_cannot_be_deleted(lab: Lab) -> None:
    made = lab.lambda_.post("/filesystems", json={"name": "data", "region": "us-west-1"}).json()["data"]
    instance = lab.launched(file_system_names=["data"])

    assert code(lab.lambda_.delete(f"/filesystems/{made['id']}")) == "filesystems/filesystem-in-use"
    lab.terminate(instance)
    lab.clock.advance(2.0)
    assert lab.lambda_.delete(f"/filesystems/{made['id']}").json() == {"data": {"deleted_ids": [made["id"]]}}


def test_shutdown_inside_ends_no_bill_on_lambda(lab: Lab) -> None:
    instance = lab.launched()
    lab.clock.advance(2.0)
    (box,) = lab.yard.boxes.values()
    assert box.on_exit is not None

    box.on_exit()

    assert status_of(lab, instance) == "unhealthy"
    assert lab.billing() == [instance]


def test_a_living_instance_is_renamed_and_lists_show_it(lab: Lab) -> None:
    instance = lab.launched()

    renamed = lab.lambda_.post(f"/instances/{instance}", json={"name": "n" * 64}).json()["data"]

    assert (renamed["id"], renamed["name"]) == (instance, "n" * 64)
    assert [row["name"] for row in lab.lambda_.get("/instances").json()["data"]] == ["n" * 64]


@pytest.mark.parametrize("body", [{}, {"name": "n" * 65}, {"name": "n", "tags": []}])
def test_nothing_but_a_name_of_64_characters_is_taken(lab: Lab, body: dict[str, Any]) -> None:
    assert code(lab.lambda_.post(f"/instances/{lab.launched()}", json=body)) == "global/invalid-parameters"


def test_what_there_is_not_is_not_renamed_and_renaming_is_paced() -> None:
    lab = Lab(settings={"lambda.pace_s": "1"})

    answers = [lab.lambda_.post("/instances/i-0", json={"name": "n"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 429]
