"""RunPod's client: what it asks, what it makes of the answers, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx2
import pytest

from runner.cloud_api.models import Account, Offer, Resource
from runner.clouds.runpod.api import RunPodCloud
from runner.clouds.runpod.messages import CreatePod
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudUnavailableError,
    NoCapacityError,
    NotFoundError,
    RateLimitedError,
    RunnerError,
    UnreadableAnswerError,
)
from tests.unit.runner.cloud_api.over_http import FakeCloud, FakeTime, Reply, answer, new_key, text

RUN_ID = "20261121-073000-tiny"
RTX = "NVIDIA GeForce RTX 4090"
POD = CreatePod(name=f"douse-{RUN_ID}", image="runpod/pytorch:1", gpu_id=RTX, disk_gb=50, data_center_ids=("US-KS-2",))
PODS, ONE, VOLUMES, GPUS, GRAPHQL = "/v2/pods", "/v2/pods/p1", "/v2/network-volumes", "/v2/catalog/gpus", "/graphql"
DIRECT = {"host": "195.26.233.3", "port": 34446, "username": "root", "command": "ssh root@195.26.233.3 -p 34446"}
WHEN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def a_pod(**changes: Any) -> dict[str, Any]:
    return {
        "id": "p1",
        "name": f"douse-{RUN_ID}",
        "image": "runpod/pytorch:1",
        "args": "",
        "disk": 50,
        "ports": ["22/tcp"],
        "env": {"DOUSE_RUN": RUN_ID, "DOUSE_EXPIRES": "2026-11-21T12:00:00Z", "HF_TOKEN": "top-secret"},
        "registry": None,
        "status": "RUNNING",
        "actions": ["stop", "restart", "terminate"],
        "mounts": {},
        "gpu": {"id": RTX, "count": 1},
        "cloud": "SECURE",
        "dataCenterId": "US-KS-2",
        "cudaVersion": "12.8",
        "ssh": {"proxy": None, "direct": DIRECT},
        "template": None,
        "cost": 0.44,
        "locked": False,
        "globalNetworking": {"enabled": False},
        "runtime": {},
        "createdAt": "2026-11-21T07:00:00Z",
        "startedAt": None,
    } | changes


def gpu(**changes: Any) -> dict[str, Any]:
    return {
        "id": RTX,
        "name": "RTX 4090",
        "pool": "ADA_24",
        "manufacturer": "NVIDIA",
        "memory": 24,
        "secure": True,
        "community": True,
        "price": {"secure": 0.44, "community": 0.31},
        "maxCount": {"secure": 8, "community": 4},
        "availability": "HIGH",
        "dataCenters": [
            {"id": "US-KS-2", "name": "US Kansas 2", "availability": "LOW"},
            {"id": "EU-RO-1", "name": "EU Romania 1", "availability": "NONE"},
        ],
    } | changes


def problem(status: int, detail: str = "said so") -> httpx2.Response:
    return answer({"title": "No", "status": status, "detail": detail}, status)


def result(field: str, content: Any) -> httpx2.Response:
    return answer({"data": {field: content}})


def fault(message: str, code: str | None = None, data: Any = None) -> httpx2.Response:
    return answer({"errors": [{"message": message, "extensions": {"code": code}}], "data": data})


class Bench:
    """The client, the cloud at its other end, and its time."""

    def __init__(self) -> None:
        self.fake, self.time, self.key = FakeCloud(), FakeTime(), new_key()
        self.cloud = RunPodCloud(self.key, timer=self.time.timer, transport=self.fake.transport)

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self.fake.on(method, path, *replies)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.cloud.close()
    assert made.fake.left == []


def test_a_pod_is_rented(bench: Bench) -> None:
    bench.on("POST", PODS, answer(a_pod(status="PROVISIONING"), 201))

    rented = bench.cloud.create_pod(POD)

    assert (rented.id, rented.price_usd_per_h) == ("p1", 0.44)
    assert bench.fake.body() == POD.body()


def test_a_rented_pod_is_known_by_its_id_however_else_the_answer_has_changed(bench: Bench) -> None:
    bench.on("POST", PODS, answer({"id": "p1", "status": 7, "cost": "a lot", "ssh": []}, 201))

    assert bench.cloud.create_pod(POD).id == "p1"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (
            problem(400, "There are no longer any instances available with the requested specifications."),
            NoCapacityError,
        ),
        (problem(400, "request could not be processed"), BadRequestError),
        (problem(401), AccountError),
        (problem(402, "insufficient balance"), AccountError),
        (problem(403), AccessDeniedError),
        (problem(404, "volume not found"), BadRequestError),
        (problem(409), BadRequestError),
        (problem(422), BadRequestError),
    ],
)
def test_a_refused_pod_is_not_asked_for_again(bench: Bench, reply: httpx2.Response, error: type[RunnerError]) -> None:
    bench.on("POST", PODS, reply)

    with pytest.raises(RunnerError) as caught:
        bench.cloud.create_pod(POD)

    assert type(caught.value) is error
    assert bench.time.sleeps_s == []


@pytest.mark.parametrize(
    "reply",
    [
        text("", 201),
        text("<html>", 200),
        answer({}, 201),
        answer({"id": ""}, 201),
        answer([], 201),
        problem(500),
        problem(503),
        text("<html>", 404),
        httpx2.ReadTimeout("slow"),
    ],
)
def test_a_pod_that_nobody_can_show_is_not_asked_for_again(bench: Bench, reply: Reply) -> None:
    bench.on("POST", PODS, reply)

    with pytest.raises(CloudUnavailableError):
        bench.cloud.create_pod(POD)

    assert bench.fake.calls == [("POST", PODS)]


def test_a_pod_refused_for_too_many_requests_is_asked_for_when_runpod_says(bench: Bench) -> None:
    bench.on("POST", PODS, answer({}, 429, {"Retry-After": "12"}), answer(a_pod(), 201))

    bench.cloud.create_pod(POD)

    assert bench.time.sleeps_s == [12.0]


def test_rest_and_graphql_share_the_pace(bench: Bench) -> None:
    spent = {"RateLimit": '"minute";r=0;t=30'}
    bench.on("GET", ONE, answer(a_pod(), headers=spent))
    bench.on("POST", GRAPHQL, result("podRentInterruptable", {"id": "p2"}))

    bench.cloud.pod("p1")
    bench.cloud.rent_spot(POD, bid_usd_per_gpu_h=0.2)

    assert bench.time.sleeps_s == [30.0]


def test_an_hour_of_waiting_is_left_to_the_caller(bench: Bench) -> None:
    bench.on("GET", PODS, answer({}, 429, {"Retry-After": "3000"}))

    with pytest.raises(RateLimitedError):
        bench.cloud.pods_named("douse-x")


@pytest.mark.parametrize("status", ["PROVISIONING", "STARTING", "EXITED", "ERROR", "TERMINATED"])
def test_only_a_running_pod_has_an_address(bench: Bench, status: str) -> None:
    bench.on("GET", ONE, answer(a_pod(status=status)))

    assert bench.cloud.pod("p1").ssh_address is None


def test_a_running_pod_has_an_address_as_soon_as_its_port_is_mapped(bench: Bench) -> None:
    bench.on("GET", ONE, answer(a_pod(ssh={"proxy": None, "direct": None})), answer(a_pod()))

    assert bench.cloud.pod("p1").ssh_address is None
    address = bench.cloud.pod("p1").ssh_address

    assert address is not None
    assert (address.username, address.host, address.port) == ("root", "195.26.233.3", 34446)


@pytest.mark.parametrize("runtime", [None, {}, {"ports": None}])
def test_a_pod_may_have_no_runtime_yet(bench: Bench, runtime: Any) -> None:
    bench.on("GET", ONE, answer(a_pod(runtime=runtime, dataCenterId=None, status="STARTING")))

    assert bench.cloud.pod("p1").data_center_id is None


def test_a_pod_that_is_not_there_is_not_found(bench: Bench) -> None:
    bench.on("GET", ONE, problem(404))

    with pytest.raises(NotFoundError):
        bench.cloud.pod("p1")


def test_variables_of_a_pod_are_not_shown(bench: Bench) -> None:
    bench.on("GET", ONE, answer(a_pod()))

    assert "top-secret" not in repr(bench.cloud.pod("p1"))


def test_a_pod_is_deleted_and_a_lost_answer_does_no_harm(bench: Bench) -> None:
    bench.on("DELETE", ONE, httpx2.ReadTimeout("slow"), problem(404))

    bench.cloud.delete_pod("p1")


def test_a_pod_of_a_cluster_cannot_be_deleted(bench: Bench) -> None:
    bench.on("DELETE", ONE, problem(409, "pod belongs to a cluster"))

    with pytest.raises(BadRequestError):
        bench.cloud.delete_pod("p1")


def test_a_page_that_answers_a_deletion_is_no_success(bench: Bench) -> None:
    bench.on("DELETE", ONE, *[text("<html>Sign in</html>") for _ in range(5)])

    with pytest.raises(CloudUnavailableError, match="web page"):
        bench.cloud.delete_pod("p1")


def test_deleting_at_a_wrong_address_is_not_success(bench: Bench) -> None:
    bench.on("DELETE", ONE, text("404 page not found", 404))

    with pytest.raises(UnreadableAnswerError):
        bench.cloud.delete_pod("p1")


def test_spot_is_rented_with_a_bid_and_an_end(bench: Bench) -> None:
    bench.on("POST", GRAPHQL, result("podRentInterruptable", {"id": "p1", "costPerHr": 0.2}))
    summer = timezone(timedelta(hours=2))

    rented = bench.cloud.rent_spot(POD, bid_usd_per_gpu_h=0.2, terminate_at=WHEN.astimezone(summer))

    sent = bench.fake.body()
    assert (rented.id, rented.price_usd_per_h) == ("p1", 0.2)
    assert "podRentInterruptable" in sent["query"]
    assert sent["variables"]["input"] == POD.graphql_input() | {
        "bidPerGpu": 0.2,
        "terminateAfter": "2026-11-21T12:00:00Z",
    }
    assert bench.key not in str(bench.fake.asked[0].url)


def test_a_pod_with_an_end_is_rented_by_graphql(bench: Bench) -> None:
    bench.on("POST", GRAPHQL, result("podFindAndDeployOnDemand", {"id": "p1", "costPerHr": 0.44}))

    rented = bench.cloud.create_until(POD, terminate_at=WHEN)

    assert rented.id == "p1"
    assert bench.fake.body()["variables"]["input"] == POD.graphql_input() | {"terminateAfter": "2026-11-21T12:00:00Z"}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (result("podFindAndDeployOnDemand", None), NoCapacityError),
        (fault("There are no longer any instances available with enough disk space."), NoCapacityError),
        (fault("This machine does not have the resources to deploy your pod", "RUNPOD"), NoCapacityError),
        (fault("who", "UNAUTHENTICATED"), AccountError),
        (fault("balance too low", "RUNPOD"), AccountError),
        (fault("Cannot query field", "GRAPHQL_VALIDATION_FAILED"), BadRequestError),
        (text("", 401), AccountError),
        (text("", 403), AccessDeniedError),
        (text("<html>", 404), BadRequestError),
        (text("", 410), BadRequestError),
    ],
)
def test_graphqls_refusals_are_the_same_errors(bench: Bench, reply: Reply, error: type[RunnerError]) -> None:
    bench.on("POST", GRAPHQL, reply)

    with pytest.raises(RunnerError) as caught:
        bench.cloud.create_until(POD, terminate_at=WHEN)

    assert type(caught.value) is error


@pytest.mark.parametrize(
    "reply",
    [
        text(""),
        text("<html>"),
        answer({}),
        answer({"data": {}}),
        answer({"data": None}),
        answer({"data": {"podFindAndDeployOnDemand": {}}}),
        answer({"data": {"podFindAndDeployOnDemand": "p1"}}),
        fault("Something went wrong. Please try again later or contact support.", "INTERNAL_SERVER_ERROR"),
        fault("who knows"),
        text("", 500),
        httpx2.ReadTimeout("slow"),
    ],
)
def test_a_pod_that_graphql_cannot_show_is_not_asked_for_again(bench: Bench, reply: Reply) -> None:
    bench.on("POST", GRAPHQL, reply)

    with pytest.raises(CloudUnavailableError):
        bench.cloud.create_until(POD, terminate_at=WHEN)

    assert bench.fake.calls == [("POST", GRAPHQL)]


def test_a_pod_that_stands_beside_an_error_is_there(bench: Bench) -> None:
    bench.on("POST", GRAPHQL, fault("machine: oops", None, {"podFindAndDeployOnDemand": {"id": "p1"}}))

    assert bench.cloud.create_until(POD, terminate_at=WHEN).id == "p1"


def test_graphql_takes_one_data_centre_only(bench: Bench) -> None:
    pod = POD.model_copy(update={"data_center_ids": ("US-KS-2", "EU-RO-1")})

    with pytest.raises(BadRequestError, match="GraphQL takes one data centre, not US-KS-2, EU-RO-1"):
        bench.cloud.create_until(pod, terminate_at=WHEN)

    assert bench.fake.asked == []


def bids(*rows: Any) -> httpx2.Response:
    return result("gpuTypes", [{"id": name, "lowestPrice": price} for name, price in rows])


def test_offers_are_on_demand_for_each_place_and_spot_anywhere(bench: Bench) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu()]}))
    bench.on(
        "POST",
        GRAPHQL,
        bids((RTX, {"minimumBidPrice": 0.2, "stockStatus": "High"}), ("Unknown", {"minimumBidPrice": 0.1})),
    )

    found = bench.cloud.offers()

    assert found == [
        Offer(RTX, "any", True, 0.2, "RTX 4090", 1, 24.0, None, None, True),
        Offer(RTX, "EU-RO-1", False, 0.44, "RTX 4090", 1, 24.0, None, None, False),
        Offer(RTX, "US-KS-2", False, 0.44, "RTX 4090", 1, 24.0, None, None, True),
        Offer(RTX, "any", False, 0.44, "RTX 4090", 1, 24.0, None, None, True),
    ]
    assert dict(bench.fake.asked[0].url.params) == {
        "include": "AVAILABILITY",
        "product": "POD",
        "count": "1",
        "cloud": "SECURE",
    }
    assert bench.fake.body()["variables"] == {"input": {"gpuCount": 1, "secureCloud": True}}


def test_strangers_machines_have_their_own_prices_and_bids(bench: Bench) -> None:
    catalogue = answer({"gpus": [gpu(dataCenters=[]), gpu(id="X", dataCenters=[], community=False)]})
    had = {"minimumBidPrice": 0.2, "stockStatus": "Low"}
    bench.on("GET", GPUS, catalogue, catalogue)
    bench.on("POST", GRAPHQL, bids(), bids((RTX, had), ("X", had)))

    found = bench.cloud.offers("any")

    assert [(offer.instance_type, offer.trust, offer.spot, offer.price_usd_per_h) for offer in found] == [
        (RTX, "community", True, 0.2),
        (RTX, "community", False, 0.31),
        (RTX, "secure", False, 0.44),
        ("X", "secure", False, 0.44),
    ]
    asked = [dict(request.url.params).get("cloud") for request in bench.fake.asked]
    assert [cloud for cloud in asked if cloud] == ["SECURE", "COMMUNITY"]
    assert bench.fake.body()["variables"] == {"input": {"gpuCount": 1, "secureCloud": False}}


def test_strangers_machines_are_not_even_asked_for_unless_they_will_do(bench: Bench) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu(dataCenters=[])]}))
    bench.on("POST", GRAPHQL, bids())

    assert {offer.trust for offer in bench.cloud.offers()} == {"secure"}


def test_a_gpu_without_a_price_is_no_offer(bench: Bench) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu(price={"secure": 0, "community": 0})]}))
    bench.on("POST", GRAPHQL, bids())

    assert bench.cloud.offers() == []


@pytest.mark.parametrize(
    ("gpu_id", "usable_gib"),
    [
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb", 23.1),
        ("NVIDIA H100 80GB HBM3 mig 1g.24gb", 23.1),
        (RTX, 24.0),
    ],
)
def test_a_slice_is_offered_with_the_memory_that_it_has(bench: Bench, gpu_id: str, usable_gib: float) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu(id=gpu_id, dataCenters=[])]}))
    bench.on("POST", GRAPHQL, bids())

    assert {offer.gpu_memory_gib for offer in bench.cloud.offers()} == {usable_gib}


def test_what_is_not_reported_is_not_known(bench: Bench) -> None:
    row = gpu()
    del row["availability"], row["dataCenters"]
    bench.on("GET", GPUS, answer({"gpus": [row]}))
    bench.on("POST", GRAPHQL, bids())

    assert [offer.available for offer in bench.cloud.offers()] == [None]


@pytest.mark.parametrize(
    "price", [None, {"minimumBidPrice": None, "stockStatus": "Low"}, {"minimumBidPrice": 0.2, "stockStatus": None}]
)
def test_a_gpu_that_cannot_be_had_as_spot_has_no_bid(bench: Bench, price: Any) -> None:
    bench.on("POST", GRAPHQL, bids((RTX, price)))

    assert bench.cloud.minimum_bids() == {}


@pytest.mark.parametrize(
    "gone",
    [
        text("<html>", 404),
        text("", 410),
        text("", 301),
        fault("no", "GRAPHQL_VALIDATION_FAILED"),
        text("bye"),
        answer({}),
    ],
)
def test_without_graphql_there_is_just_no_spot(bench: Bench, gone: Reply) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu(dataCenters=[])]}))
    bench.on("POST", GRAPHQL, gone)

    assert [offer.spot for offer in bench.cloud.offers()] == [False]


def test_a_wrong_key_is_not_mistaken_for_the_end_of_graphql(bench: Bench) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu()]}))
    bench.on("POST", GRAPHQL, text("", 401))

    with pytest.raises(AccountError):
        bench.cloud.offers()


def test_resources_are_all_of_ours_and_nothing_else(bench: Bench) -> None:
    pods = [
        a_pod(),
        a_pod(id="p2", name="mine", env={}),
        a_pod(id="p3", name="renamed", status="EXITED", cost=0.0),
        a_pod(id="p4", env={}, status="ERROR", dataCenterId=None),
        a_pod(id="p5", status="TERMINATED"),
        a_pod(id="p6", status="BRAND_NEW"),
        a_pod(id="p7", status="STARTING"),
    ]
    volume = {"id": "v1", "name": "douse-disk", "size": 50, "dataCenter": "US-KS-2", "type": "STANDARD"}
    bench.on("GET", PODS, answer({"pods": pods}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": [volume, volume | {"id": "v2", "name": "mine"}]}))

    found = bench.cloud.listing().whole()

    name, place, disk = f"douse-{RUN_ID}", "US-KS-2", {"disk_usd_per_h": pytest.approx(50 * 0.10 / 730)}
    assert found == [
        Resource("runpod", "instance", "p1", name, place, RUN_ID, WHEN, "running", "195.26.233.3", 0.44, **disk),
        Resource("runpod", "instance", "p3", "renamed", place, RUN_ID, WHEN, "stopped", None, 0.0, **disk),
        Resource("runpod", "instance", "p4", name, None, RUN_ID, None, "unknown", None, 0.44, **disk),
        Resource("runpod", "instance", "p6", name, place, RUN_ID, WHEN, "unknown", None, 0.44, **disk),
        Resource("runpod", "instance", "p7", name, place, RUN_ID, WHEN, "pending", None, 0.44, **disk),
        Resource("runpod", "volume", "v1", "douse-disk", place, None, None),
    ]


LISTS = {PODS: {"pods": []}, VOLUMES: {"networkVolumes": []}}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("reply", [text(""), answer([]), answer({}), answer({"pods": None, "networkVolumes": None})])
def test_a_list_that_cannot_be_read_is_never_nothing(bench: Bench, path: str, reply: httpx2.Response) -> None:
    for where, empty in LISTS.items():
        bench.on("GET", where, reply if where == path else answer(empty))

    with pytest.raises(UnreadableAnswerError):
        bench.cloud.listing().whole()


def test_volumes_that_may_not_be_listed_hide_no_pod(bench: Bench) -> None:
    bench.on("GET", PODS, answer({"pods": [a_pod()]}))
    bench.on("GET", VOLUMES, problem(403, "this key may not see volumes"))

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["p1"]
    assert [type(err) for err in found.unread] == [AccessDeniedError]
    assert "list the network volumes" in found.unread[0].message
    with pytest.raises(AccessDeniedError):
        found.whole()


def test_an_account_of_which_nothing_can_be_read_has_no_listing(bench: Bench) -> None:
    bench.on("GET", PODS, problem(401))
    bench.on("GET", VOLUMES, problem(401))

    with pytest.raises(AccountError):
        bench.cloud.listing()


def page(*pods: Any, following: Any = None, field: str = "pods") -> httpx2.Response:
    return answer({field: list(pods), "pagination": {"hasNextPage": following is not None, "nextCursor": following}})


def test_the_pages_of_a_list_are_read_to_the_last(bench: Bench) -> None:
    bench.on("GET", PODS, page(a_pod(), following="2"), page(following="3"), page(a_pod(id="p3")))
    disk = {"id": "v1", "name": "douse-disk", "size": 50, "dataCenter": "US-KS-2"}
    bench.on("GET", VOLUMES, page(disk, following="x", field="networkVolumes"))
    bench.on("GET", VOLUMES, page(disk | {"id": "v2"}, field="networkVolumes"))

    assert [found.id for found in bench.cloud.listing().whole()] == ["p1", "p3", "v1", "v2"]
    assert [dict(request.url.params) for request in bench.fake.asked] == [
        {},
        {"cursor": "2"},
        {"cursor": "3"},
        {},
        {"cursor": "x"},
    ]


def test_the_pages_of_the_catalogue_are_read_to_the_last(bench: Bench) -> None:
    bench.on("GET", GPUS, page(gpu(), following="2", field="gpus"), page(gpu(id="X"), field="gpus"))

    assert [found.id for found in bench.cloud.gpus()] == [RTX, "X"]
    assert dict(bench.fake.asked[1].url.params) == dict(bench.fake.asked[0].url.params) | {"cursor": "2"}


@pytest.mark.parametrize(
    "more",
    [
        {"pagination": None},
        {"pagination": {}},
        {"pagination": {"hasNextPage": True}},
        {"pagination": {"hasNextPage": True, "nextCursor": ""}},
        {"pagination": {"hasNextPage": True, "nextCursor": None}},
        {"pagination": {"hasNextPage": False, "nextCursor": "abc"}},
        {"pagination": {"hasNextPage": "no", "nextCursor": None}},
        {"pagination": {"nextCursor": None}},
        {"meta": {"paging": {"next": "abc"}}},
        {"nextCursor": "abc"},
    ],
)
def test_a_list_without_an_explicit_end_is_unread_and_hides_nothing(bench: Bench, more: Any) -> None:
    bench.on("GET", PODS, answer({"pods": [a_pod()]} | more))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["p1"]
    assert [type(err) for err in found.unread] == [UnreadableAnswerError]


def test_pages_that_lead_in_a_circle_end(bench: Bench) -> None:
    bench.on("GET", PODS, page(a_pod(), following="2"), page(following="3"), page(following="2"))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["p1"]
    assert ["circle" in err.message for err in found.unread] == [True]


@pytest.mark.parametrize(
    ("odd", "status", "price"),
    [
        ({"cost": None}, "running", None),
        ({"cost": -1}, "running", None),
        ({"status": 7}, "unknown", 0.44),
        ({"status": None, "cost": "0.44", "ssh": [], "dataCenterId": 7, "locked": "x"}, "unknown", None),
        ({"ssh": {"direct": None}}, "running", 0.44),
        ({"name": None}, "running", 0.44),
        ({"env": None}, "running", 0.44),
    ],
)
def test_an_odd_pod_of_ours_can_be_ended(bench: Bench, odd: Any, status: str, price: float | None) -> None:
    bench.on("GET", PODS, answer({"pods": [a_pod(**odd)]}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    (found,) = bench.cloud.listing().whole()

    assert (found.id, found.run_id, found.status, found.price_usd_per_h) == ("p1", RUN_ID, status, price)


@pytest.mark.parametrize(("disk", "usd_per_h"), [(73, 0.01), (None, None), ("73", None)])
def test_a_pods_disk_is_billed_besides_as_far_as_its_size_can_be_read(
    bench: Bench, disk: Any, usd_per_h: float | None
) -> None:
    bench.on("GET", PODS, answer({"pods": [a_pod(disk=disk)]}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    (found,) = bench.cloud.listing().whole()

    assert found.disk_usd_per_h == (None if usd_per_h is None else pytest.approx(usd_per_h))


def test_an_odd_pod_of_ours_that_is_gone_is_left_out(bench: Bench) -> None:
    bench.on("GET", PODS, answer({"pods": [a_pod(status="TERMINATED", cost=None, env=None)]}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    assert bench.cloud.listing().whole() == []


@pytest.mark.parametrize(
    "odd", [{"cost": None}, {"status": None}, {"ssh": None}, {"dataCenterId": 7}, {"gpu": 7}, {"createdAt": None}]
)
def test_an_odd_neighbour_is_no_concern_of_ours(bench: Bench, odd: Any) -> None:
    theirs = a_pod(id="p2", name="mine", env={"HF_TOKEN": "x"}) | odd
    bench.on("GET", PODS, answer({"pods": [theirs, a_pod()]}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    assert [found.id for found in bench.cloud.listing().whole()] == ["p1"]


@pytest.mark.parametrize(
    "odd", [{"id": None}, {"id": ""}, {"name": None}, {"env": None}, {"env": ["DOUSE_RUN"]}, None, "pod", []]
)
def test_a_pod_that_may_be_ours_is_unread_and_hides_no_other(bench: Bench, odd: Any) -> None:
    strange = a_pod(id="p2", name="mine", env={}) | odd if isinstance(odd, dict) else odd
    bench.on("GET", PODS, answer({"pods": [strange, a_pod()]}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": [{"id": "v1"}]}))

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["p1"]
    assert [type(err) for err in found.unread] == [UnreadableAnswerError, UnreadableAnswerError]
    assert "v1" in found.unread[1].message
    with pytest.raises(UnreadableAnswerError):
        found.whole()


def test_a_pod_is_found_by_its_name_beside_what_cannot_be_read(bench: Bench) -> None:
    odd, gone = a_pod(id="p2", name=None), a_pod(id="p3", name="box", status="TERMINATED")
    bench.on("GET", PODS, answer({"pods": [odd, gone, a_pod(name="box", env={})]}), answer({"pods": [odd]}))

    assert bench.cloud.pods_named("box") == ["p1"]
    with pytest.raises(UnreadableAnswerError):
        bench.cloud.pods_named("box")


def test_one_odd_gpu_costs_that_gpu_not_the_catalogue(bench: Bench) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu(id="X", price=None), gpu(dataCenters=[])]}))
    bench.on("POST", GRAPHQL, result("gpuTypes", [{"id": RTX, "lowestPrice": "none"}, {"id": "Y"}]))

    assert [offer.instance_type for offer in bench.cloud.offers()] == [RTX]


def test_a_catalogue_of_which_nothing_can_be_read_is_no_empty_one(bench: Bench) -> None:
    bench.on("GET", GPUS, answer({"gpus": [gpu(price=None)]}))

    with pytest.raises(UnreadableAnswerError, match=r"price: input should be an object"):
        bench.cloud.offers()


def test_bids_of_which_there_are_more_are_not_taken_for_all(bench: Bench) -> None:
    bench.on("POST", GRAPHQL, answer({"data": {"gpuTypes": [], "pageInfo": {"hasNextPage": True}}}))

    with pytest.raises(UnreadableAnswerError, match="hasNextPage"):
        bench.cloud.minimum_bids()


@pytest.mark.parametrize(("kind", "path"), [("instance", "/v2/pods/x1"), ("volume", "/v2/network-volumes/x1")])
def test_each_kind_of_thing_can_be_ended(bench: Bench, kind: Any, path: str) -> None:
    bench.on("DELETE", path, httpx2.Response(204))

    bench.cloud.end(Resource("runpod", kind, "x1", "douse-x", None, None, None))

    assert bench.fake.calls == [("DELETE", path)]


@pytest.mark.parametrize(("text", "odd"), [("20261121t120000z", None), ("soon", "soon")])
def test_an_end_is_read_or_shown_as_it_stands(bench: Bench, text: str, odd: str | None) -> None:
    bench.on("GET", PODS, answer({"pods": [a_pod(env={"DOUSE_RUN": RUN_ID, "DOUSE_EXPIRES": text})]}))
    bench.on("GET", VOLUMES, answer({"networkVolumes": []}))

    (found,) = bench.cloud.listing().whole()

    assert (found.expires_at is None, found.odd_expiry) == (odd is not None, odd)


def test_a_living_pod_has_no_lease_to_move(bench: Bench) -> None:
    pod = Resource("runpod", "instance", "p1", f"douse-{RUN_ID}", None, RUN_ID, None, "running")

    bench.cloud.move_lease(pod, datetime(2026, 11, 21, 12, tzinfo=UTC))

    assert bench.fake.calls == []


def test_a_kind_that_runpod_does_not_have_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequestError):
        bench.cloud.end(Resource("runpod", "key", "k1", "douse-x", None, None, None))


def test_the_account_has_a_balance_as_long_as_graphql_reports(bench: Bench) -> None:
    bench.on("GET", PODS, answer({"pods": []}), answer({"pods": []}))
    bench.on("POST", GRAPHQL, result("myself", {"clientBalance": 12.5}), text("", 410))
    label = f"key …{bench.key[-4:]}"

    assert bench.cloud.account() == Account("runpod", label, 12.5)
    assert bench.cloud.account() == Account("runpod", label, None)


def test_a_bill_is_read_by_the_hour(bench: Bench) -> None:
    row = {
        "startTime": "2026-11-21T11:00:00Z",
        "endTime": "2026-11-21T12:00:00Z",
        "podId": "p1",
        "totalAmount": 0.5,
        "gpuAmount": 0.44,
        "cpuAmount": 0,
        "diskAmount": 0.06,
    }
    bench.on("GET", "/v2/billing/pods", answer({"records": [row], "metadata": {}}))

    bills = bench.cloud.bills("p1", WHEN - timedelta(hours=1), WHEN)

    assert [(bill.pod_id, bill.total_usd, bill.end_time) for bill in bills] == [("p1", 0.5, WHEN)]
    assert dict(bench.fake.asked[0].url.params) == {
        "podId": "p1",
        "startTime": "2026-11-21T11:00:00Z",
        "endTime": "2026-11-21T12:00:00Z",
        "bucketSize": "hour",
    }


def test_the_key_is_not_shown(bench: Bench) -> None:
    assert bench.key not in repr(bench.cloud) + str(vars(bench.cloud))
