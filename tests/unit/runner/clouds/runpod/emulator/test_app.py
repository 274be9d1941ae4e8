from __future__ import annotations

import json
from typing import Any

import pytest

from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY
from runner.emulation.emulator import NEIGHBOUR
from tests.unit.runner.emulation.emulated import KEY_LINE, POD, Lab

NO_MORE = {"hasNextPage": False, "nextCursor": None}


@pytest.fixture
def lab() -> Lab:
    return Lab()


def get(lab: Lab, pod: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = lab.runpod.get(f"/pods/{pod['id']}").json()
    return shown


def own_key(lab: Lab, number: int = 0) -> dict[str, str]:
    env = list(lab.yard.boxes.values())[number].order["env"]
    return {"authorization": f"Bearer {env['RUNPOD_API_KEY']}"}


def test_request_without_key_is_a_problem_document(lab: Lab) -> None:
    answer = lab.runpod.get("/pods", headers={"authorization": ""})

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "ratelimit" not in answer.headers
    assert answer.json()["title"] == "Unauthorized"


def test_every_answer_reports_the_rest_of_the_quota_and_over_it_when_to_come_again() -> None:
    lab = Lab(settings={"runpod.per_minute": "2"})

    answers = [lab.runpod.get("/pods") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["ratelimit"].startswith('"minute";r=1;t=60')
    assert answers[0].headers["ratelimit-policy"] == '"minute";q=2;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400'
    assert answers[2].headers["retry-after"] == "60"
    lab.clock.advance(60.0)
    assert lab.runpod.get("/pods").status_code == 200


def test_wrong_method_reports_the_right_ones(lab: Lab) -> None:
    answer = lab.runpod.put("/pods", json={})

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    "changes",
    [
        {"bogus": 1},
        {"name": ""},
        {"name": None},
        {"image": None},
        {"disk": "50"},
        {"disk": 0},
        {"cloud": "ALL"},
        {"ports": "22/tcp"},
        {"env": {"A": 1}},
        {"gpu": {"id": "NVIDIA L4", "interruptible": True}},
        {"gpu": {"id": "NVIDIA L4", "minCudaVersion": "12"}},
        {"mounts": {"network": [{"volumeId": "a", "path": "/a"}, {"volumeId": "b", "path": "/b"}]}},
        {"terminateAfter": "2026-11-21T18:00:00Z"},
        {"interruptible": True},
    ],
)
def test_body_that_the_vendor_would_not_take_is_unprocessable(lab: Lab, changes: dict[str, Any]) -> None:
    answer = lab.runpod.post("/pods", json={**POD, **changes})

    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert lab.machines() == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"cpu": {"id": "cpu3c"}}, 400),
        ({"gpu": {"id": "NVIDIA L4", "allowedCudaVersions": ["12.8"], "minCudaVersion": "12.1"}}, 400),
        ({"templateId": "nothing"}, 404),
        ({"mounts": {"network": [{"volumeId": "nothing", "path": "/workspace"}]}}, 404),
        ({"gpu": {"id": "NVIDIA B200"}}, 400),
        ({"gpu": {"id": "NVIDIA L4", "minCudaVersion": "13.4"}}, 400),
        ({"gpu": {"id": "NVIDIA L4"}, "cloud": "COMMUNITY"}, 400),
        ({"dataCenterIds": ["us-ks-2"]}, 400),
    ],
)
def test_what_concerns_more_than_the_schema_is_refused(lab: Lab, changes: dict[str, Any], status: int) -> None:
    answer = lab.runpod.post("/pods", json={**POD, **changes})

    assert answer.status_code == status
    assert lab.machines() == []


@pytest.mark.parametrize(("least", "got"), [(None, "12.4"), ("12.5", "12.8"), ("13.0", "13.0")])
def test_the_host_has_at_least_the_cuda_version_that_was_asked_for(lab: Lab, least: str | None, got: str) -> None:
    gpu = {"id": "NVIDIA L4"} | ({"minCudaVersion": least} if least else {})

    pod = lab.runpod.post("/pods", json={**POD, "gpu": gpu}).json()

    assert pod["cudaVersion"] == got


def test_pod_goes_from_provisioning_to_mapped_ports(lab: Lab) -> None:
    pod = lab.pod()
    seen = [(pod["status"], pod["runtime"], pod["ssh"]["direct"])]

    for _ in range(3):
        lab.clock.advance(0.45)
        shown = get(lab, pod)
        seen.append((shown["status"], shown["runtime"] and shown["runtime"]["ports"], shown["ssh"]["direct"]))

    assert [status for status, _, _ in seen] == ["PROVISIONING", "STARTING", "RUNNING", "RUNNING"]
    assert seen[2][1:] == ([], None)
    assert seen[3][1] == [{"private": 22, "public": 20001, "type": "tcp", "ip": "192.0.2.2"}]
    assert seen[3][2]["command"] == "ssh root@192.0.2.2 -p 20001"


def test_pod_without_port_22_is_never_mapped(lab: Lab) -> None:
    pod = lab.pod(ports=["8888/http"])
    lab.clock.advance(10.0)

    assert get(lab, pod)["ssh"]["direct"] is None


def test_box_gets_the_key_its_own_id_and_a_key_for_itself(lab: Lab) -> None:
    pod = lab.pod()

    (box,) = lab.yard.boxes.values()
    assert (box.order["kind"], box.order["user"], box.order["public_keys"]) == ("pod", "root", [KEY_LINE])
    assert box.order["env"]["RUNPOD_POD_ID"] == pod["id"]
    assert box.order["env"]["HF_TOKEN"] == "hf_secret"
    assert "RUNPOD_API_KEY" not in get(lab, pod)["env"]


def test_box_is_started_with_the_command_of_its_pod(lab: Lab) -> None:
    lab.pod(args="bash -c 'exec /start.sh'")
    lab.pod()

    assert [box.order["command"] for box in lab.yard.boxes.values()] == ["bash -c 'exec /start.sh'", ""]


def test_account_keys_are_put_in_when_ssh_is_to_start(lab: Lab) -> None:
    lab.runpod.put("/account/ssh-keys", json={"keys": [KEY_LINE]})
    lab.pod(env={}, startSsh=True)

    assert [box.order["public_keys"] for box in lab.yard.boxes.values()] == [[KEY_LINE]]


def test_pods_own_key_ends_its_own_pod_and_touches_no_other(lab: Lab) -> None:
    first, second = lab.pod(), lab.pod()
    key = own_key(lab)

    refused = [
        lab.runpod.get("/pods", headers=key).status_code,
        lab.runpod.get(f"/pods/{second['id']}", headers=key).status_code,
        lab.runpod.delete(f"/pods/{second['id']}", headers=key).status_code,
        lab.runpod.post("/pods", json=POD, headers=key).status_code,
    ]
    ended = lab.runpod.delete(f"/pods/{first['id']}", headers=key)

    assert refused == [403, 403, 403, 403]
    assert ended.status_code == 204
    assert lab.billing() == [second["id"]]
    assert lab.runpod.get(f"/pods/{first['id']}", headers=key).status_code == 401


def test_deleted_pod_is_gone_from_the_list_and_bills_no_more_after_its_time_and_its_disk(lab: Lab) -> None:
    pod = lab.pod()
    lab.clock.advance(3600.0)

    answer = lab.runpod.delete(f"/pods/{pod['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert lab.runpod.get(f"/pods/{pod['id']}").status_code == 404
    assert lab.runpod.get("/pods").json() == {"pods": [], "pagination": NO_MORE}
    assert lab.machines()[0]["billed_usd"] == pytest.approx(0.69 + 50 * 0.10 / 730, abs=1e-6)
    assert lab.billing() == []
    assert lab.yard.boxes == {}


def test_stopped_pod_bills_its_disk(lab: Lab) -> None:
    pod = lab.pod()
    lab.clock.advance(10.0)

    shown = lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "stop"}).json()

    assert (shown["status"], shown["cost"], shown["actions"]) == ("EXITED", 0.0, ["start", "terminate"])
    assert lab.billing() == [pod["id"]]
    assert lab.machines()[0]["price_usd_per_h"] == pytest.approx(50 * 0.20 / 730)


def test_stopped_pod_starts_anew(lab: Lab) -> None:
    pod = lab.pod()
    lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "stop"})

    shown = lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "start"}).json()
    lab.clock.advance(2.0)

    assert shown["status"] == "PROVISIONING"
    assert get(lab, pod)["ssh"]["direct"]["port"] == 20002
    (row,) = lab.machines()
    assert (row["price_usd_per_h"], row["disk_usd_per_h"]) == pytest.approx((0.69, 50 * 0.10 / 730))
    lab.clock.advance(3600.0)
    assert lab.machines()[0]["billed_usd"] - row["billed_usd"] == pytest.approx(0.69 + 50 * 0.10 / 730, abs=1e-5)


def test_action_that_the_status_does_not_allow_is_a_conflict(lab: Lab) -> None:
    pod = lab.pod()

    assert lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "start"}).status_code == 409
    assert lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "pause"}).status_code == 422


def test_locked_pod_cannot_be_stopped(lab: Lab) -> None:
    pod = lab.pod()
    lab.runpod.patch(f"/pods/{pod['id']}", json={"locked": True, "name": "renamed"})

    answer = lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "stop"})

    assert (answer.status_code, answer.json()["detail"]) == (409, "pod is locked")
    assert get(lab, pod)["name"] == "renamed"


def test_container_that_ends_by_itself_is_exited_and_bills_its_disk(lab: Lab) -> None:
    pod = lab.pod()
    (box,) = lab.yard.boxes.values()
    assert box.on_exit is not None

    box.on_exit()

    assert get(lab, pod)["status"] == "EXITED"
    assert lab.billing() == [pod["id"]]


def test_volume_bills_until_it_is_deleted(lab: Lab) -> None:
    volume = lab.runpod.post("/network-volumes", json={"name": "v", "size": 10, "dataCenter": "US-KS-2"}).json()

    assert lab.leftovers("volume")[0]["is_billing"]
    assert lab.runpod.patch(f"/network-volumes/{volume['id']}", json={"size": 20}).json()["size"] == 20
    assert lab.runpod.patch(f"/network-volumes/{volume['id']}", json={"size": 10}).status_code == 400
    assert lab.runpod.patch(f"/network-volumes/{volume['id']}", json={}).status_code == 422
    assert lab.runpod.delete(f"/network-volumes/{volume['id']}").status_code == 204
    assert lab.runpod.get(f"/network-volumes/{volume['id']}").status_code == 404
    assert lab.leftovers("volume") == []


def test_catalogue_reports_availability_only_for_a_product(lab: Lab) -> None:
    assert "availability" not in lab.runpod.get("/catalog/gpus").json()["gpus"][0]
    assert lab.runpod.get("/catalog/gpus?include=AVAILABILITY").status_code == 400
    rows = lab.runpod.get("/catalog/gpus?include=AVAILABILITY&product=POD").json()["gpus"]
    assert {row["availability"] for row in rows} == {"NONE", "LOW", "MEDIUM", "HIGH"}
    assert lab.runpod.get("/catalog/gpus?include=EVERYTHING").status_code == 400
    assert lab.runpod.get("/catalog/gpus/NVIDIA L4").json()["memory"] == 24


def test_record_shows_no_variable_that_may_be_a_secret(lab: Lab) -> None:
    lab.pod()

    text = lab.control.get("/requests").text
    assert "hf_secret" not in text
    assert REHEARSAL_KEY not in text
    assert "20261121-015500-tiny" in text


@pytest.mark.parametrize(
    ("fault", "status"),
    [("key_invalid", 401), ("key_forbidden", 403), ("balance_empty", 402), ("no_capacity", 400)],
)
def test_fault_of_the_account_refuses_the_launch(lab: Lab, fault: str, status: int) -> None:
    lab.fault(fault, cloud="runpod")

    assert lab.runpod.post("/pods", json=POD).status_code == status
    assert lab.machines() == []
    assert lab.fired() == [fault]


def test_rate_limited_launch_refuses_a_poll_as_well(lab: Lab) -> None:
    lab.fault("launch_rate_limited", cloud="runpod")

    refused = lab.runpod.post("/pods", json=POD)
    pod = lab.pod()

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert [lab.runpod.get(f"/pods/{pod['id']}").status_code for _ in range(2)] == [429, 200]


def test_launch_500_after_create_leaves_a_pod_that_bills(lab: Lab) -> None:
    lab.fault("launch_500_after_create", cloud="runpod")

    assert lab.runpod.post("/pods", json=POD).status_code == 500
    assert [pod["name"] for pod in lab.runpod.get("/pods").json()["pods"]] == [POD["name"]]
    assert len(lab.billing()) == 1


@pytest.mark.parametrize(
    ("fault", "status", "has_runtime"),
    [
        ("boot_never_active", "PROVISIONING", False),
        ("runtime_null", "RUNNING", False),
        ("ssh_port_unmapped", "RUNNING", True),
    ],
)
def test_pod_is_stuck_and_bills(lab: Lab, fault: str, status: str, has_runtime: bool) -> None:
    lab.fault(fault, cloud="runpod")
    pod = lab.pod()
    lab.clock.advance(3600.0)

    shown = get(lab, pod)

    assert (shown["status"], shown["runtime"] is not None, shown["ssh"]["direct"]) == (status, has_runtime, None)
    assert lab.billing() == [pod["id"]]


def test_price_that_differs_is_reported_and_billed(lab: Lab) -> None:
    lab.fault("price_differs", cloud="runpod")

    assert lab.pod()["cost"] == pytest.approx(1.38)


@pytest.mark.parametrize(("fault", "status"), [("terminate_500", 500), ("terminate_rate_limited", 429)])
def test_refused_end_leaves_the_pod(lab: Lab, fault: str, status: int) -> None:
    lab.fault(fault, cloud="runpod")
    pod = lab.pod()

    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == status
    assert lab.billing() == [pod["id"]]
    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 204
    assert lab.billing() == []


def test_ignored_end_is_a_yes_and_nothing_happens(lab: Lab) -> None:
    lab.fault("terminate_ignored", cloud="runpod")
    pod = lab.pod()

    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 204
    lab.clock.advance(60.0)
    assert lab.billing() == [pod["id"]]


def test_slow_end_is_seen_and_billed_until_it_comes(lab: Lab) -> None:
    lab.fault("terminate_slow", cloud="runpod", seconds=20)
    pod = lab.pod()
    lab.runpod.delete(f"/pods/{pod['id']}")

    lab.clock.advance(19.0)
    assert (len(lab.runpod.get("/pods").json()["pods"]), lab.billing()) == (1, [pod["id"]])
    lab.clock.advance(2.0)
    assert (lab.runpod.get("/pods").json()["pods"], lab.billing()) == ([], [])


def test_end_that_only_stops_leaves_a_disk_that_bills(lab: Lab) -> None:
    lab.fault("stopped_disk_bills")
    pod = lab.pod()

    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 204
    assert get(lab, pod)["status"] == "EXITED"
    assert lab.billing() == [pod["id"]]
    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 204
    assert lab.billing() == []


def test_pod_that_somebody_else_ended_is_not_found(lab: Lab) -> None:
    lab.fault("already_gone", cloud="runpod")
    pod = lab.pod()

    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 404
    assert lab.billing() == []


def test_pod_stopped_in_the_console_is_exited(lab: Lab) -> None:
    lab.fault("box_stopped_outside", after_s=3, cloud="runpod")
    pod = lab.pod()
    lab.clock.advance(4.0)

    assert get(lab, pod)["status"] == "EXITED"


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("listing_500", 500, None),
        ("listing_empty_body", 200, ""),
        ("listing_partial_page", 200, '{"pods": [], "pagination": {"hasNex'),
        ("listing_schema_changed", 200, json.dumps({"pods_v2": [], "pagination": NO_MORE})),
    ],
)
def test_list_is_not_what_it_should_be(lab: Lab, fault: str, status: int, text: str | None) -> None:
    lab.fault(fault, cloud="runpod")

    answer = lab.runpod.get("/pods")

    assert answer.status_code == status
    assert text is None or answer.text == text
    assert lab.runpod.get("/pods").json() == {"pods": [], "pagination": NO_MORE}


def test_pods_come_in_pages(lab: Lab) -> None:
    pods = [lab.pod()["id"] for _ in range(3)]

    first = lab.runpod.get("/pods").json()
    rest = lab.runpod.get("/pods", params={"cursor": first["pagination"]["nextCursor"]}).json()

    assert first["pagination"] == {"hasNextPage": True, "nextCursor": pods[1]}
    assert [pod["id"] for pod in first["pods"] + rest["pods"]] == pods
    assert rest["pagination"] == NO_MORE


def test_a_page_begins_after_a_pod_that_has_gone_meanwhile(lab: Lab) -> None:
    pods = [lab.pod()["id"] for _ in range(3)]
    lab.runpod.delete(f"/pods/{pods[1]}")

    rest = lab.runpod.get("/pods", params={"cursor": pods[1]}).json()

    assert [pod["id"] for pod in rest["pods"]] == [pods[2]]


def test_pages_may_be_of_one(lab: Lab) -> None:
    lab.fault("listing_pages", cloud="runpod")
    lab.pod()
    lab.pod()

    assert [len(lab.runpod.get("/pods", params=query).json()["pods"]) for query in ({}, {}, {"limit": 1})] == [1, 2, 1]


@pytest.mark.parametrize("query", [{"cursor": "nobody"}, {"limit": 0}, {"limit": 1001}, {"limit": "all"}])
def test_a_page_that_cannot_be_is_refused(lab: Lab, query: dict[str, str]) -> None:
    assert lab.runpod.get("/pods", params=query).status_code == 400


def test_a_slice_of_a_gpu_is_sold_as_a_kind_of_its_own(lab: Lab) -> None:
    name = "NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb"

    pod = lab.pod(gpu={"id": name, "count": 1})

    assert (pod["gpu"]["id"], pod["cost"]) == (name, 0.59)
    assert lab.runpod.get(f"/catalog/gpus/{name}").json()["memory"] == 24


def test_bill_of_a_pod_is_the_meters(lab: Lab) -> None:
    pod = lab.pod()
    lab.pod()
    lab.clock.advance(3600.0)

    bill = lab.runpod.get(f"/billing/pods?podId={pod['id']}&bucketSize=hour").json()

    assert [(row["podId"], row["totalAmount"]) for row in bill["records"]] == [
        (pod["id"], pytest.approx(0.69 + 50 * 0.10 / 730, abs=1e-6))
    ]
    assert bill["metadata"]["uniquePodCount"] == 1
    row, totals = bill["records"][0], bill["metadata"]["totals"]
    assert (row["gpuAmount"], row["diskAmount"]) == pytest.approx((0.69, 50 * 0.10 / 730), abs=1e-6)
    assert totals == {name: row[name] for name in ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")}


def test_bill_of_a_stopped_pod_goes_on_for_its_disk_alone(lab: Lab) -> None:
    pod = lab.pod()
    lab.runpod.post(f"/pods/{pod['id']}/action", json={"action": "stop"})
    lab.clock.advance(3600.0)

    (row,) = lab.runpod.get("/billing/pods").json()["records"]

    assert (row["gpuAmount"], row["diskAmount"]) == pytest.approx((0.0, 50 * 0.20 / 730), abs=1e-6)


@pytest.mark.parametrize("query", ["bucketSize=second", "startTime=soon"])
def test_question_for_bills_that_makes_no_sense_is_refused(lab: Lab, query: str) -> None:
    assert lab.runpod.get(f"/billing/pods?{query}").status_code == 400


def test_the_key_of_another_account_is_good_and_shows_nothing(lab: Lab) -> None:
    lab.pod()
    other = {"authorization": f"Bearer {OTHER_KEY}"}

    assert lab.runpod.get("/pods", headers=other).json()["pods"] == []
    asked = lab.graphql.post("/graphql", json={"query": "query { myself { pods { id } } }"}, headers=other)
    assert asked.json()["data"]["myself"]["pods"] == []
    assert len(lab.runpod.get("/pods").json()["pods"]) == 1


def test_both_apis_of_a_cloud_are_down_together(lab: Lab) -> None:
    lab.fault("api_down", seconds=60, cloud="runpod")

    assert lab.runpod.get("/pods").status_code == 503
    assert lab.graphql.post("/graphql", json={"query": "query { myself { pods { id } } }"}).status_code == 503


def test_an_odd_neighbour_is_in_the_list(lab: Lab) -> None:
    lab.fault("odd_neighbour", cloud="runpod")

    assert lab.runpod.get("/pods").json()["pods"] == [{"id": NEIGHBOUR}]


def test_a_locked_pod_refuses_its_end_and_bills(lab: Lab) -> None:
    pod = lab.pod()
    lab.fault("pod_locked")

    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 409
    assert lab.billing() == [pod["id"]]
    assert lab.runpod.delete(f"/pods/{pod['id']}").status_code == 204
