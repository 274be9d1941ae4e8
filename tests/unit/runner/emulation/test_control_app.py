from __future__ import annotations

from typing import Any

import pytest

from tests.unit.runner.emulation.emulated import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_health_reports_what_is_served(lab: Lab) -> None:
    assert lab.control.get("/health").json() == {
        "status": "ok",
        "clouds": ["lambda", "runpod", "aws"],
        "machines": 0,
    }


def test_a_rehearsal_calls_from_an_address_of_nobodys(lab: Lab) -> None:
    assert lab.control.get("/address").text == "203.0.113.7\n"


def test_machine_is_shown_with_its_meter(lab: Lab) -> None:
    instance = lab.launched()
    lab.clock.advance(1800.0)

    (shown,) = lab.machines()

    assert shown | {"box": ""} == {
        "id": instance,
        "cloud": "lambda",
        "name": "douse-20261121-015500-tiny",
        "instance_type": "gpu_1x_a10",
        "region": "us-west-1",
        "spot": False,
        "status": "active",
        "started_at": 1_795_000_000.0,
        "ended_at": None,
        "ended_by": "",
        "price_usd_per_h": 0.75,
        "disk_usd_per_h": 0.0,
        "billed_usd": 0.375,
        "is_billing": True,
        "address": {"host": "192.0.2.2", "port": 22},
        "box": "",
        "is_box_dead": False,
    }


def test_user_data_can_be_looked_at(lab: Lab) -> None:
    instance = lab.launched()

    assert "ssh_keys" in lab.control.get(f"/machines/{instance}/user_data").json()["user_data"]
    assert lab.control.get("/machines/none/user_data").status_code == 404


def test_killed_machine_bills_on(lab: Lab) -> None:
    instance = lab.launched()

    assert lab.control.post(f"/machines/{instance}/kill").status_code == 200
    assert lab.billing() == [instance]
    assert [box.is_alive for box in lab.yard.boxes.values()] == [False]


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_restarted_machine_boots_again_as_it_was(cloud: str, lab: Lab) -> None:
    machine = lab.launched() if cloud == "lambda" else lab.pod()["id"]
    (name, before), *_ = lab.yard.boxes.items()

    assert lab.control.post(f"/machines/{machine}/restart").status_code == 200

    (again,) = lab.yard.boxes.items()
    assert again[0] == name, "the same box, so that it has the same disk"
    assert again[1] is not before, "it was booted anew"
    assert (again[1].order, again[1].is_alive) == (before.order, True)
    assert before.is_alive is False
    assert lab.billing() == [machine]


@pytest.mark.parametrize("action", ["delete", "preempt"])
def test_machine_that_is_ended_from_outside_bills_no_more(lab: Lab, action: str) -> None:
    instance = lab.launched()

    assert lab.control.post(f"/machines/{instance}/{action}").status_code == 200
    assert lab.billing() == []
    assert lab.control.post(f"/machines/{instance}/{action}").status_code == 409


@pytest.mark.parametrize("action", ["delete", "preempt"])
def test_a_machine_that_is_ending_already_is_gone_at_once_where_it_is_ended_from_outside(lab: Lab, action: str) -> None:
    instance = lab.launched()
    asked = lab.terminate(instance)
    assert (asked.status_code, lab.billing()) == (200, [instance])

    assert lab.control.post(f"/machines/{instance}/{action}").status_code == 200

    assert lab.billing() == []


def test_a_machine_that_gets_a_notice_is_reclaimed_when_that_is_over(lab: Lab) -> None:
    instance = lab.launched()

    assert lab.control.post(f"/machines/{instance}/notice", json={"preempt_after_s": 30}).status_code == 200
    assert lab.billing() == [instance]
    lab.clock.advance(31.0)
    assert lab.billing() == []
    assert [machine["ended_by"] for machine in lab.machines()] == ["reclaimed by the cloud"]


def test_machine_is_cut_off_and_let_back(lab: Lab) -> None:
    instance = lab.launched()
    (box,) = lab.yard.boxes.values()
    cut_off = []

    for on in (True, False):
        assert lab.control.post(f"/machines/{instance}/partition", json={"on": on}).status_code == 200
        cut_off.append(box.is_cut_off)

    assert cut_off == [True, False]


def test_lambda_cannot_stop_and_runpod_can(lab: Lab) -> None:
    instance, pod = lab.launched(), lab.pod()

    assert lab.control.post(f"/machines/{instance}/stop").status_code == 409
    assert lab.control.post(f"/machines/{pod['id']}/stop").status_code == 200
    assert [m["status"] for m in lab.machines()] == ["booting", "EXITED"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/faults", {"name": "nothing"}, 422),
        ("/faults", {"name": "terminate_500", "times": 3}, 422),
        ("/faults", {"name": "terminate_500", "count": "often"}, 422),
        ("/faults", {}, 422),
        ("/runner", {"pid": 1}, 422),
        ("/runner", {"pid": "x"}, 422),
        ("/machines/none/kill", {}, 404),
        ("/nothing", {}, 404),
        ("/health", {}, 405),
    ],
)
def test_request_that_makes_no_sense_is_refused_with_a_hint(
    lab: Lab, path: str, body: dict[str, Any], status: int
) -> None:
    answer = lab.control.post(path, json=body)

    assert answer.status_code == status
    assert set(answer.json()) == {"error", "hint"}


def test_broken_text_is_refused(lab: Lab) -> None:
    assert lab.control.post("/faults", content=b"{").status_code == 422


def test_unknown_action_on_a_machine_is_refused(lab: Lab) -> None:
    assert lab.control.post(f"/machines/{lab.launched()}/explode").status_code == 404


def test_faults_can_be_forgotten(lab: Lab) -> None:
    lab.fault("terminate_500")

    lab.control.delete("/faults")

    report = lab.control.get("/faults").json()
    assert (report["queued"], report["never_fired"]) == ([], [])
    assert report["known"]["terminate_slow"]["args"] == {"seconds": 15.0}


def test_requests_can_be_looked_at_by_cloud(lab: Lab) -> None:
    lab.lambda_.get("/instances")
    lab.runpod.get("/pods")

    (recorded,) = lab.control.get("/requests?cloud=runpod").json()["requests"]

    assert (recorded["method"], recorded["path"], recorded["status"]) == ("GET", "/v2/pods", 200)
    assert "authorization" not in recorded["headers"]


def test_box_that_cannot_be_made_is_no_machine(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.errors import ToolError

    def fail(*_: object, **__: object) -> None:
        raise ToolError("boxes: no room", resolution="make room")

    monkeypatch.setattr(lab.yard, "boot", fail)

    assert lab.launch().status_code == 500
    assert lab.machines() == []
