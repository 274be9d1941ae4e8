from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runner.clouds.runpod.emulator.catalog import GPU_TYPES
from runner.clouds.runpod.emulator.graphql_text import GraphqlError, parse_request, project
from tests.unit.runner.emulation.emulated import KEY_LINE, Lab

RENT = (
    "mutation Rent($input: PodRentInterruptableInput!) "
    "{ podRentInterruptable(input: $input) { id desiredStatus costPerHr } }"
)
DEPLOY = "mutation ($input: PodFindAndDeployOnDemandInput) { podFindAndDeployOnDemand(input: $input) { id } }"
WANTED = {
    "name": "douse-20261121-015500-tiny",
    "imageName": "runpod/pytorch:1.0.2",
    "gpuTypeId": "NVIDIA GeForce RTX 4090",
    "gpuCount": 1,
    "cloudType": "SECURE",
    "containerDiskInGb": 40,
    "ports": "22/tcp",
    "env": [{"key": "PUBLIC_KEY", "value": KEY_LINE}, {"key": "HF_TOKEN", "value": "hf_secret"}],
}


@pytest.fixture
def lab() -> Lab:
    return Lab()


def ask(lab: Lab, query: str, given: dict[str, Any] | None = None, **headers: str) -> Any:
    body: dict[str, Any] = {"query": query}
    if given is not None:
        body["variables"] = {"input": given}
    return lab.graphql.post("/graphql", json=body, headers=headers)


def test_spot_pod_is_rented_at_its_bid(lab: Lab) -> None:
    answer = ask(lab, RENT, {**WANTED, "bidPerGpu": 0.35}).json()["data"]["podRentInterruptable"]

    assert (answer["desiredStatus"], answer["costPerHr"]) == ("RUNNING", 0.35)
    (machine,) = lab.machines()
    assert (machine["spot"], machine["price_usd_per_h"], machine["id"]) == (True, 0.35, answer["id"])
    assert lab.runpod.get("/pods").json()["pods"][0]["env"]["PUBLIC_KEY"] == KEY_LINE


@pytest.mark.parametrize("cloud", ["SECURE", "COMMUNITY"])
def test_pod_bills_the_price_of_the_cloud_that_was_asked_for(lab: Lab, cloud: str) -> None:
    gpu = GPU_TYPES["NVIDIA GeForce RTX 4090"]

    ask(lab, DEPLOY, {**WANTED, "gpuTypeId": gpu.id, "cloudType": cloud, "dataCenterId": None})

    assert lab.machines()[0]["price_usd_per_h"] == gpu.price_usd_per_h(cloud)
    assert lab.runpod.get("/pods").json()["pods"][0]["cloud"] == cloud


def test_bid_below_the_lowest_is_null_without_an_error(lab: Lab) -> None:
    answer = ask(lab, RENT, {**WANTED, "bidPerGpu": 0.01})

    assert answer.json() == {"data": {"podRentInterruptable": None}}
    assert lab.machines() == []


def test_pod_ends_by_itself_at_terminate_after(lab: Lab) -> None:
    at = datetime.fromtimestamp(lab.clock.now + 600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ask(lab, DEPLOY, {**WANTED, "terminateAfter": at})

    lab.clock.advance(599.0)
    assert len(lab.billing()) == 1
    lab.clock.advance(1.0)

    assert lab.billing() == []
    assert lab.machines()[0]["ended_by"] == "terminateAfter"


@pytest.mark.parametrize("hours", [2, -2])
def test_pod_ends_by_the_clouds_own_clock(hours: int, lab: Lab) -> None:
    lab.fault("clock_off", cloud="runpod", hours=hours)
    lab.runpod.get("/pods")
    at = datetime.fromtimestamp(lab.clock.now + 3 * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ask(lab, DEPLOY, {**WANTED, "terminateAfter": at})
    created_at = lab.runpod.get("/pods").json()["pods"][0]["createdAt"]

    lab.clock.advance((3 - hours) * 3600 - 1)
    assert len(lab.billing()) == 1
    lab.clock.advance(1.0)

    assert lab.billing() == []
    assert datetime.fromisoformat(created_at).timestamp() == lab.clock.now + (2 * hours - 3) * 3600


def test_pod_stops_by_itself_at_stop_after(lab: Lab) -> None:
    at = datetime.fromtimestamp(lab.clock.now + 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ask(lab, DEPLOY, {**WANTED, "stopAfter": at})
    lab.clock.advance(61.0)

    assert lab.runpod.get("/pods").json()["pods"][0]["status"] == "EXITED"


def test_a_stopped_pod_ends_by_itself_all_the_same(lab: Lab) -> None:
    times = [datetime.fromtimestamp(lab.clock.now + after, UTC) for after in (60, 90)]
    stop, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in times)
    ask(lab, DEPLOY, {**WANTED, "stopAfter": stop, "terminateAfter": end})
    lab.clock.advance(61.0)
    assert len(lab.billing()) == 1  # its disk

    lab.clock.advance(30.0)

    assert lab.billing() == []
    assert lab.machines()[0]["ended_by"] == "terminateAfter"


def test_no_capacity_on_demand_is_an_error_with_status_200(lab: Lab) -> None:
    lab.fault("no_capacity", cloud="runpod")

    answer = ask(lab, DEPLOY, WANTED)

    assert answer.status_code == 200
    assert answer.json()["errors"][0]["message"].startswith("There are no longer any instances available")


def test_pods_own_key_terminates_its_own_pod_alone(lab: Lab) -> None:
    first = ask(lab, DEPLOY, WANTED).json()["data"]["podFindAndDeployOnDemand"]["id"]
    second = ask(lab, DEPLOY, WANTED).json()["data"]["podFindAndDeployOnDemand"]["id"]
    key = next(iter(lab.yard.boxes.values())).order["env"]["RUNPOD_API_KEY"]

    refused = ask(lab, f'mutation {{ podTerminate(input: {{podId: "{second}"}}) }}', authorization=f"Bearer {key}")
    listed = ask(lab, "query { myself { id } }", authorization=f"Bearer {key}")
    ended = ask(lab, f'mutation {{ podTerminate(input: {{podId: "{first}"}}) }}', authorization=f"Bearer {key}")

    assert (refused.status_code, listed.status_code) == (403, 403)
    assert ended.json() == {"data": {"podTerminate": None}}
    assert lab.billing() == [second]


def test_terminate_twice_says_that_there_is_no_such_pod(lab: Lab) -> None:
    answer = ask(lab, 'mutation { podTerminate(input: {podId: "abc"}) }')

    assert answer.json()["errors"][0]["message"] == "pod not found to terminate"


def test_key_in_the_query_is_taken_and_not_recorded(lab: Lab) -> None:
    answer = lab.graphql.post(
        "/graphql?api_key=rehearsal-key-0123456789abcdef",
        json={"query": "{ myself { id } }"},
        headers={"authorization": ""},
    )

    assert answer.status_code == 200
    assert "rehearsal-key" not in lab.control.get("/requests").text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("query { podz { id } }", 'Cannot query field "podz"'),
        ("mutation { myself { id } }", 'Cannot query field "myself"'),
        ("query { myself { id secret } }", 'Cannot query field "secret"'),
        ("query { myself }", "must have a selection"),
        ("query { myself { id { x } } }", "must not have a selection"),
        ("query { myself { id }", "Unexpected <EOF>"),
        ("query { myself { id } } }", "Unexpected"),
        ('mutation { podTerminate(input: {pod: "x"}) }', "podId"),
        ("query { pod(input: $x) { id } }", 'Variable "$x" is not defined'),
        ("query ? { x }", "Unexpected character"),
    ],
)
def test_request_that_makes_no_sense_is_refused(lab: Lab, query: str, words: str) -> None:
    answer = ask(lab, query)

    assert answer.status_code == 400
    assert words in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("changes", [{"bogus": 1}, {"bidPerGpu": 0}, {"gpuCount": "1"}, {"terminateAfter": "soon"}])
def test_input_that_the_vendor_would_not_take_is_refused(lab: Lab, changes: dict[str, Any]) -> None:
    answer = ask(lab, RENT, {**WANTED, "bidPerGpu": 0.5, **changes})

    assert answer.status_code == 400
    assert lab.machines() == []


def test_null_is_the_same_as_left_out(lab: Lab) -> None:
    assert ask(lab, DEPLOY, {**WANTED, "dataCenterId": None, "stopAfter": None}).json()["data"]


def test_values_in_the_text_are_not_recorded(lab: Lab) -> None:
    ask(
        lab,
        'mutation { podFindAndDeployOnDemand(input: {name: "x", imageName: "y", gpuTypeId: "NVIDIA L4", '
        'env: [{key: "HF_TOKEN", value: "hf_secret"}]}) { id } }',
    )
    ask(lab, DEPLOY, WANTED)

    assert len(lab.machines()) == 2
    assert "hf_secret" not in lab.control.get("/requests").text


def test_lost_create_leaves_a_pod_that_bills(lab: Lab) -> None:
    lab.fault("launch_500_after_create", cloud="runpod")

    assert ask(lab, DEPLOY, WANTED).status_code == 500
    assert len(lab.billing()) == 1


def test_aliases_defaults_lists_and_comments_are_read() -> None:
    kind, (field,) = parse_request(
        "query Q($n: Int = 3, $ids: [String!]!) { # what\n"
        ' all: pods(first: $n, ids: $ids, on: {a: [1, -2.5, true, null, RED, "x\\"y"]}) { id } }',
        {"ids": ["a"]},
    )

    assert kind == "query"
    assert (field.alias, field.name) == ("all", "pods")
    assert field.arguments == {"first": 3, "ids": ["a"], "on": {"a": [1, -2.5, True, None, "RED", 'x"y']}}


@pytest.mark.parametrize(
    ("text", "variables"),
    [("query ($a: String!) { x }", {}), ("query { x }", {"a": 1}), ("query { x(a: ]) }", {}), ("{ x(: 1) }", {})],
)
def test_text_that_is_no_graphql_is_refused(text: str, variables: dict[str, Any]) -> None:
    with pytest.raises(GraphqlError):
        parse_request(text, variables)


def test_answer_is_cut_down_to_what_was_asked_for() -> None:
    _, fields = parse_request("{ pods { name: id } }", {})

    assert project({"pods": [{"id": 1, "x": 2}, None]}, fields, "q") == {"pods": [{"name": 1}, None]}
