"""Lambda's client: what it asks, what it makes of the answers, and what it never does."""

from __future__ import annotations

import email.utils
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from runner.cloud_api.labels import without_lease
from runner.cloud_api.models import Account, Offer, Resource
from runner.clouds.lambda_cloud.api import LambdaCloud
from runner.clouds.lambda_cloud.messages import LaunchRequest
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudUnavailableError,
    NoCapacityError,
    NotFoundError,
    RunnerError,
    UnreadableAnswerError,
)
from tests.unit.runner.cloud_api.over_http import FakeCloud, FakeTime, Reply, answer, new_key, text

RUN_ID = "20261121-073000-tiny"
PUBLIC_KEY = "ssh-ed25519 AAAAC3Nza douse"
REQUEST = LaunchRequest(
    region_name="us-west-1", instance_type_name="gpu_1x_a10", ssh_key_name="douse-k", name=f"douse-{RUN_ID}"
)
A10 = {
    "name": "gpu_1x_a10",
    "description": "1x A10 (24 GB PCIe)",
    "gpu_description": "A10 (24 GB PCIe)",
    "price_cents_per_hour": 75,
    "specs": {"vcpus": 30, "memory_gib": 200, "storage_gib": 1400, "gpus": 1},
}
OURS = Resource("lambda", "instance", "i1", f"douse-{RUN_ID}", "us-west-1", RUN_ID, None, "running")
LIST, ONE, LAUNCH = "/api/v1/instances", "/api/v1/instances/i1", "/api/v1/instance-operations/launch"
END, KEYS, DISKS = "/api/v1/instance-operations/terminate", "/api/v1/ssh-keys", "/api/v1/file-systems"
TYPES = "/api/v1/instance-types"


def machine(**changes: Any) -> dict[str, Any]:
    found = {
        "id": "i1",
        "name": f"douse-{RUN_ID}",
        "status": "active",
        "ip": "198.51.100.2",
        "ssh_key_names": ["douse-k"],
        "file_system_names": [],
        "region": {"name": "us-west-1", "description": "California, USA"},
        "instance_type": A10,
        "actions": {},
        "tags": [
            {"key": "douse-run", "value": RUN_ID},
            {"key": "douse-expires", "value": "2026-11-21T12:00:00Z"},
        ],
    } | changes
    return {name: value for name, value in found.items() if value is not None}


def key(name: str = "douse-k", public_key: str = PUBLIC_KEY, key_id: str = "k1") -> dict[str, str]:
    return {"id": key_id, "name": name, "public_key": public_key}


def disk(name: str = "douse-disk") -> dict[str, Any]:
    return {
        "id": "f1",
        "name": name,
        "mount_point": "/lambda/nfs/x",
        "created": "2026-11-21T07:00:00Z",
        "created_by": {"id": "u", "email": "e", "status": "active"},
        "is_in_use": False,
        "region": {"name": "us-west-1", "description": "California, USA"},
    }


def data(content: Any) -> httpx2.Response:
    return answer({"data": content})


def refused(code: str, status: int = 400) -> httpx2.Response:
    return answer({"error": {"code": code, "message": "Said so."}}, status)


class Bench:
    """The client, the cloud at its other end, and its time."""

    def __init__(self) -> None:
        self.fake, self.time, self.key = FakeCloud(), FakeTime(), new_key()
        self.cloud = self.open()

    def open(self) -> LambdaCloud:
        return LambdaCloud(self.key, timer=self.time.timer, transport=self.fake.transport)

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self.fake.on(method, path, *replies)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.cloud.close()
    assert made.fake.left == []


def test_a_launch_gives_the_id_of_the_machine(bench: Bench) -> None:
    bench.on("POST", LAUNCH, data({"instance_ids": ["i1"]}))

    assert bench.cloud.launch(REQUEST) == "i1"
    assert bench.fake.body() == REQUEST.body()


def test_a_launch_without_capacity_says_so(bench: Bench) -> None:
    bench.on("POST", LAUNCH, refused("instance-operations/launch/insufficient-capacity"))

    with pytest.raises(NoCapacityError) as caught:
        bench.cloud.launch(REQUEST)

    assert caught.value.message == (
        "lambda: cannot launch gpu_1x_a10 in us-west-1: Said so (400 instance-operations/launch/insufficient-capacity)"
    )


@pytest.mark.parametrize("status", [400, 404])
def test_a_launch_with_an_unknown_key_or_type_is_a_bad_request(bench: Bench, status: int) -> None:
    bench.on("POST", LAUNCH, refused("global/object-does-not-exist", status))

    with pytest.raises(BadRequestError) as caught:
        bench.cloud.launch(REQUEST)

    assert caught.value.code == "global/object-does-not-exist"


@pytest.mark.parametrize(
    "reply",
    [
        text(""),
        text("<html>"),
        data({}),
        data({"instance_ids": []}),
        data({"instance_ids": ["i1", "i2"]}),
        data({"instance_ids": [""]}),
        data({"instance_ids": "i1"}),
        text("", 500),
        httpx2.ReadTimeout("slow"),
        refused("provider/internal-unavailable", 400),
        refused("global/internal-error", 409),
    ],
)
def test_a_launch_that_nobody_can_read_may_have_happened_and_is_not_repeated(bench: Bench, reply: Reply) -> None:
    bench.on("POST", LAUNCH, reply)

    with pytest.raises(CloudUnavailableError):
        bench.cloud.launch(REQUEST)

    assert bench.fake.calls == [("POST", LAUNCH)]


def test_launches_are_twelve_seconds_apart_and_other_requests_one(bench: Bench) -> None:
    bench.on("POST", LAUNCH, *[data({"instance_ids": ["i1"]}) for _ in range(2)])
    bench.on("GET", ONE, *[data(machine()) for _ in range(2)])

    bench.cloud.launch(REQUEST)
    bench.cloud.instance("i1")
    bench.cloud.instance("i1")
    assert bench.time.sleeps_s == [1.0, 1.0]
    bench.cloud.launch(REQUEST)

    assert sum(bench.time.sleeps_s) == 12.0


def test_two_clients_of_one_account_keep_one_pace(bench: Bench) -> None:
    other = bench.open()
    bench.on("GET", ONE, data(machine()), data(machine()))

    bench.cloud.instance("i1")
    other.instance("i1")

    other.close()
    assert bench.time.sleeps_s == [1.0]


def test_ten_parallel_launches_queue_up(bench: Bench) -> None:
    bench.on("POST", LAUNCH, *[data({"instance_ids": [f"i{number}"]}) for number in range(10)])
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(bench.cloud.launch(REQUEST))) for _ in range(10)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)

    assert sorted(ids) == [f"i{number}" for number in range(10)]
    assert sum(bench.time.sleeps_s) >= 9 * 12.0


def test_too_many_requests_without_a_word_wait_ten_times_the_pace(bench: Bench) -> None:
    bench.on("GET", LIST, text("", 429), data([]))

    bench.cloud.machines_named("douse-x")

    assert bench.time.sleeps_s == [10.0]


def test_a_machine_may_lack_name_address_and_tags(bench: Bench) -> None:
    bench.on("GET", ONE, data(machine(name=None, ip=None, tags=None, status="booting")))

    found = bench.cloud.instance("i1")

    assert (found.name, found.ip, found.marks, found.status) == (None, None, {}, "booting")
    assert found.price_usd_per_h == 0.75


@pytest.mark.parametrize("reply", [refused("global/object-does-not-exist", 404), refused("global/not-found", 404)])
def test_a_machine_that_is_not_there_is_not_found(bench: Bench, reply: httpx2.Response) -> None:
    bench.on("GET", ONE, reply)

    with pytest.raises(NotFoundError):
        bench.cloud.instance("i1")


@pytest.mark.parametrize(
    ("status", "is_ending"),
    [
        ("booting", False),
        ("active", False),
        ("unhealthy", False),
        ("terminating", True),
        ("terminated", True),
        ("preempted", True),
        ("brand-new", False),
    ],
)
def test_a_state_says_whether_a_machine_is_ending(bench: Bench, status: str, is_ending: bool) -> None:
    bench.on("GET", ONE, data(machine(status=status)))

    assert bench.cloud.instance("i1").is_ending == is_ending


def test_an_id_cannot_lead_to_another_address(bench: Bench) -> None:
    bench.on("DELETE", "/api/v1/ssh-keys/../instances?x=", data({}))

    bench.cloud.delete_key("../instances?x=")

    assert bench.fake.asked[0].url.raw_path == b"/api/v1/ssh-keys/..%2Finstances%3Fx%3D"


def test_terminate_asks_once_for_one_machine(bench: Bench) -> None:
    bench.on("POST", END, data({"terminated_instances": [machine(status="terminating")]}))

    bench.cloud.terminate("i1")

    assert bench.fake.body() == {"instance_ids": ["i1"]}


def test_terminate_is_repeated_after_trouble(bench: Bench) -> None:
    bench.on("POST", END, text("", 500), httpx2.ReadTimeout("slow"), data({"terminated_instances": [machine()]}))

    bench.cloud.terminate("i1")

    assert len(bench.fake.asked) == 3


def test_terminate_is_quiet_when_the_machine_is_gone(bench: Bench) -> None:
    bench.on("POST", END, refused("global/object-does-not-exist", 404))

    bench.cloud.terminate("i1")


@pytest.mark.parametrize("state", ["terminating", "terminated"])
def test_terminate_is_quiet_when_the_machine_is_ending(bench: Bench, state: str) -> None:
    bench.on("POST", END, *[refused("global/unknown") for _ in range(5)])
    bench.on("GET", ONE, data(machine(status=state)))

    bench.cloud.terminate("i1")


def test_terminate_is_quiet_when_an_unknown_error_hides_that_the_machine_is_gone(bench: Bench) -> None:
    bench.on("POST", END, *[refused("global/unknown") for _ in range(5)])
    bench.on("GET", ONE, refused("global/object-does-not-exist", 404))

    bench.cloud.terminate("i1")


def test_terminate_is_quiet_when_only_the_answers_were_lost(bench: Bench) -> None:
    bench.on("POST", END, *[httpx2.ReadTimeout("slow") for _ in range(5)])
    bench.on("GET", ONE, data(machine(status="terminating")))

    bench.cloud.terminate("i1")


def test_terminate_is_loud_when_the_machine_lives_on(bench: Bench) -> None:
    bench.on("POST", END, *[refused("global/unknown") for _ in range(5)])
    bench.on("GET", ONE, data(machine()))

    with pytest.raises(CloudUnavailableError):
        bench.cloud.terminate("i1")


def test_terminate_is_loud_when_the_answer_speaks_of_another_machine(bench: Bench) -> None:
    bench.on("POST", END, data({"terminated_instances": [machine(id="i2")]}))
    bench.on("GET", ONE, data(machine()))

    with pytest.raises(CloudUnavailableError, match="the answer does not confirm it"):
        bench.cloud.terminate("i1")


def test_terminate_with_a_wrong_key_is_an_account_fault(bench: Bench) -> None:
    bench.on("POST", END, refused("global/invalid-api-key", 401))

    with pytest.raises(AccountError):
        bench.cloud.terminate("i1")


def test_terminate_at_a_wrong_address_is_not_success(bench: Bench) -> None:
    bench.on("POST", END, text("<html>404 page not found</html>", 404))

    with pytest.raises(UnreadableAnswerError):
        bench.cloud.terminate("i1")


def test_a_key_is_registered(bench: Bench) -> None:
    bench.on("POST", KEYS, data(key()))

    assert bench.cloud.add_key("douse-k", PUBLIC_KEY).id == "k1"
    assert bench.fake.body() == {"name": "douse-k", "public_key": PUBLIC_KEY}


@pytest.mark.parametrize(
    "reply",
    [
        refused("global/duplicate"),
        refused("global/invalid-parameters"),
        text("", 500),
        httpx2.ReadTimeout("slow"),
        text("<html>"),
    ],
)
def test_a_key_that_is_there_already_will_do(bench: Bench, reply: Reply) -> None:
    bench.on("POST", KEYS, reply)
    bench.on("GET", KEYS, data([key("other"), key(public_key="ssh-ed25519 AAAAC3Nza another comment")]))

    assert bench.cloud.add_key("douse-k", PUBLIC_KEY).id == "k1"
    assert bench.fake.calls.count(("POST", KEYS)) == 1


def test_a_name_that_belongs_to_another_key_is_refused(bench: Bench) -> None:
    bench.on("POST", KEYS, refused("global/duplicate"))
    bench.on("GET", KEYS, data([key(public_key="ssh-ed25519 BBBB")]))

    with pytest.raises(BadRequestError, match=r"the name belongs to another key \(k1\)"):
        bench.cloud.add_key("douse-k", PUBLIC_KEY)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refused("global/invalid-parameters"), BadRequestError),
        (text("", 500), CloudUnavailableError),
        (text(""), UnreadableAnswerError),
    ],
)
def test_a_key_that_was_not_registered_is_an_error(bench: Bench, reply: Reply, error: type[RunnerError]) -> None:
    bench.on("POST", KEYS, reply)
    bench.on("GET", KEYS, data([]))

    with pytest.raises(error):
        bench.cloud.add_key("douse-k", PUBLIC_KEY)


def test_a_key_that_is_gone_need_not_be_deleted(bench: Bench) -> None:
    bench.on("DELETE", f"{KEYS}/k1", refused("global/not-found", 404))

    bench.cloud.delete_key("k1")


def test_offers_are_sorted_by_price_and_report_the_gpu(bench: Bench) -> None:
    h100 = A10 | {
        "name": "gpu_8x_h100_sxm5",
        "gpu_description": "H100 (80 GB SXM5)",
        "price_cents_per_hour": 2392,
        "specs": {"vcpus": 208, "memory_gib": 1800, "storage_gib": 22528, "gpus": 8},
    }
    cpu = A10 | {"name": "cpu_4x", "gpu_description": "N/A", "specs": A10["specs"] | {"gpus": 0}}  # type: ignore[operator]
    here, there = {"name": "us-west-1", "description": "x"}, {"name": "us-east-1", "description": "x"}
    bench.on(
        "GET",
        TYPES,
        data(
            {
                "gpu_8x_h100_sxm5": {"instance_type": h100, "regions_with_capacity_available": []},
                "gpu_1x_a10": {"instance_type": A10, "regions_with_capacity_available": [here, there]},
                "cpu_4x": {"instance_type": cpu, "regions_with_capacity_available": [here]},
            }
        ),
    )

    assert bench.cloud.offers() == [
        Offer("gpu_1x_a10", "us-east-1", False, 0.75, "A10", 1, 24.0, 200.0, 1400.0, True),
        Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, 200.0, 1400.0, True),
        Offer("gpu_8x_h100_sxm5", "any", False, 23.92, "H100", 8, 80.0, 1800.0, 22528.0, False),
    ]


@pytest.mark.parametrize(
    ("gpu_description", "description", "expected_gib"),
    [("GH200 (96 GB)", "", 96.0), ("RTX 6000 (24 GB)", "", 24.0), ("Mystery", "1x Mystery (40GB PCIe)", 40.0)],
)
def test_gpu_memory_is_read_from_the_descriptions(
    bench: Bench, gpu_description: str, description: str, expected_gib: float
) -> None:
    kind = A10 | {"gpu_description": gpu_description, "description": description}
    bench.on("GET", TYPES, data({"x": {"instance_type": kind, "regions_with_capacity_available": []}}))

    assert [offer.gpu_memory_gib for offer in bench.cloud.offers()] == [expected_gib]


def test_a_gpu_without_a_memory_is_no_offer(bench: Bench) -> None:
    kind = A10 | {"gpu_description": "Mystery", "description": "1x Mystery"}
    bench.on("GET", TYPES, data({"x": {"instance_type": kind, "regions_with_capacity_available": []}}))

    assert bench.cloud.offers() == []


def test_resources_are_all_of_ours_and_nothing_else(bench: Bench) -> None:
    theirs = machine(id="i2", name="my-own", tags=None)
    tagged = machine(id="i3", name="renamed", status="terminating", ip=None)
    untagged = machine(id="i4", tags=None, status="unhealthy")
    gone = [machine(id="i5", status="terminated"), machine(id="i6", status="preempted")]
    strange = machine(id="i7", status="brand-new", tags=[{"key": "douse-run", "value": "no run id"}])
    bench.on("GET", LIST, data([machine(), theirs, tagged, untagged, *gone, strange]))
    bench.on("GET", KEYS, data([key(f"douse-{RUN_ID}"), key("mine", key_id="k2")]))
    bench.on("GET", DISKS, data([disk(), disk("mine")]))

    found = bench.cloud.listing().whole()

    expires = datetime(2026, 11, 21, 12, tzinfo=UTC)
    name, region = f"douse-{RUN_ID}", "us-west-1"
    assert found == [
        Resource("lambda", "instance", "i1", name, region, RUN_ID, expires, "running", "198.51.100.2", 0.75),
        Resource("lambda", "instance", "i3", "renamed", region, RUN_ID, expires, "ending", None, 0.75),
        Resource("lambda", "instance", "i4", name, region, RUN_ID, None, "running", "198.51.100.2", 0.75),
        Resource("lambda", "instance", "i7", name, region, None, None, "unknown", "198.51.100.2", 0.75),
        Resource("lambda", "key", "k1", name, None, RUN_ID, None, None, None, 0.0),
        Resource("lambda", "volume", "f1", "douse-disk", region, None, None),
    ]


@pytest.mark.parametrize("path", [LIST, KEYS, DISKS])
@pytest.mark.parametrize("reply", [text(""), data(None), answer({}), data([{"id": "x"}])])
def test_a_list_that_cannot_be_read_is_never_nothing(bench: Bench, path: str, reply: httpx2.Response) -> None:
    for where in (LIST, KEYS, DISKS):
        bench.on("GET", where, reply if where == path else data([]))

    with pytest.raises(UnreadableAnswerError):
        bench.cloud.listing().whole()


def listed(bench: Bench, machines: Any = (), keys: Any = (), disks: Any = ()) -> None:
    for path, rows in ((LIST, machines), (KEYS, keys), (DISKS, disks)):
        bench.on("GET", path, data(list(rows)))


@pytest.mark.parametrize(
    ("odd", "status", "price"),
    [
        ({"instance_type": A10 | {"price_cents_per_hour": -5}}, "running", None),
        ({"instance_type": 7, "region": "us-west-1", "ssh_key_names": "k"}, "running", None),
        ({"status": 7, "ip": 7}, "unknown", 0.75),
        ({"name": 7}, "running", 0.75),
        ({"tags": {"douse-run": "x"}}, "running", 0.75),
        ({"name": "renamed", "tags": [7, {"key": "douse-run", "value": RUN_ID}]}, "running", 0.75),
    ],
)
def test_an_odd_machine_of_ours_can_be_ended(bench: Bench, odd: Any, status: str, price: float | None) -> None:
    listed(bench, [machine(**odd)])

    (found,) = bench.cloud.listing().whole()

    assert (found.id, found.run_id, found.status, found.price_usd_per_h) == ("i1", RUN_ID, status, price)


@pytest.mark.parametrize("odd", [{"instance_type": 7}, {"status": 7}, {"region": 7}, {"file_system_names": 7}])
def test_an_odd_neighbour_is_no_concern_of_ours(bench: Bench, odd: Any) -> None:
    theirs = machine(id="i2", name="mine", tags=None) | odd
    key, disk = {"id": "k2", "name": "mine", "public_key": 7}, {"id": "f2", "name": "mine", "region": 7}
    listed(bench, [theirs, machine()], [key], [disk])

    assert [found.id for found in bench.cloud.listing().whole()] == ["i1"]


def test_a_strangers_machine_may_have_a_tag_twice(bench: Bench) -> None:
    twice = [{"key": "team", "value": "a"}, {"key": "team", "value": "b"}]
    listed(bench, [machine(id="i2", name="mine", tags=twice), machine()])

    assert [found.id for found in bench.cloud.listing().whole()] == ["i1"]


def test_a_machine_may_have_no_name_and_no_tags(bench: Bench) -> None:
    listed(bench, [machine(id="i2", name=None, tags=None), machine()])

    assert [found.id for found in bench.cloud.listing().whole()] == ["i1"]


@pytest.mark.parametrize("odd", [{"id": 7}, {"name": 7}, {"tags": 7}, {"tags": [7]}, {"name": None, "region": 7}])
def test_a_machine_that_may_be_ours_is_unread_and_hides_no_other(bench: Bench, odd: Any) -> None:
    strange = machine(id="i2", name="mine", tags=None) | odd
    listed(bench, [strange, machine()], [{"id": "k2"}], ["disk"])

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["i1"]
    assert [type(err) for err in found.unread] == [UnreadableAnswerError] * 3


def test_a_list_that_says_that_there_is_more_is_unread_and_hides_nothing(bench: Bench) -> None:
    bench.on("GET", LIST, answer({"data": [machine()], "meta": {"page": {"next_token": "abc"}}}))
    bench.on("GET", KEYS, answer({"data": []}, headers={"Link": '<https://x/ssh-keys?page=2>; rel="next"'}))
    bench.on("GET", DISKS, data([]))

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["i1"]
    assert ["it is only a part" in err.message for err in found.unread] == [True, True]


def test_a_machine_is_found_by_its_name_beside_what_cannot_be_read(bench: Bench) -> None:
    odd, ending = machine(id="i2", name=7), machine(id="i3", name="box", status="terminating")
    bench.on("GET", LIST, data([odd, ending, machine(name="box", tags=None)]), data([ending]), data([odd, ending]))

    assert bench.cloud.machines_named("box") == ["i1"]
    assert bench.cloud.machines_named("box") == []
    with pytest.raises(UnreadableAnswerError):
        bench.cloud.machines_named("box")


def test_an_odd_key_of_somebody_else_is_not_in_the_way_of_ours(bench: Bench) -> None:
    bench.on("POST", KEYS, refused("global/duplicate"))
    bench.on("GET", KEYS, data([{"id": "k2", "name": "odd", "public_key": None}, key()]))

    assert bench.cloud.add_key("douse-k", PUBLIC_KEY).id == "k1"


def test_one_odd_kind_of_machine_costs_that_kind_not_the_catalogue(bench: Bench) -> None:
    good = {"instance_type": A10, "regions_with_capacity_available": []}
    bench.on("GET", TYPES, data({"odd": {"instance_type": None}, "gpu_1x_a10": good}))

    assert [offer.instance_type for offer in bench.cloud.offers()] == ["gpu_1x_a10"]


def test_kinds_that_may_not_be_listed_hide_no_machine(bench: Bench) -> None:
    bench.on("GET", LIST, data([machine()]))
    bench.on("GET", KEYS, refused("global/forbidden", 403))
    bench.on("GET", DISKS, text("", 500), text("", 500), text("", 500), text("", 500), text("", 500))

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["i1"]
    assert [type(err) for err in found.unread] == [AccessDeniedError, CloudUnavailableError]


def test_a_cloud_that_does_not_answer_is_not_asked_for_what_else_there_is(bench: Bench) -> None:
    bench.on("GET", LIST, data([machine()]))
    bench.on("GET", KEYS, *[httpx2.ReadTimeout("slow") for _ in range(5)])

    found = bench.cloud.listing()

    assert [one.id for one in found.resources] == ["i1"]
    assert [err.message for err in found.unread] == [
        "lambda: cannot list the SSH keys: no answer from cloud.lambda.ai (ReadTimeout)"
    ]


@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("instance", "POST", END),
        ("key", "DELETE", f"{KEYS}/i1"),
        ("volume", "DELETE", "/api/v1/filesystems/i1"),
    ],
)
def test_each_kind_of_thing_can_be_ended(bench: Bench, kind: Any, method: str, path: str) -> None:
    bench.on(method, path, data({"terminated_instances": [machine()]}))

    bench.cloud.end(Resource("lambda", kind, "i1", "douse-x", None, None, None))

    assert bench.fake.calls == [(method, path)]


def test_a_file_system_in_use_cannot_be_ended(bench: Bench) -> None:
    bench.on("DELETE", "/api/v1/filesystems/f1", refused("filesystems/filesystem-in-use"))

    with pytest.raises(BadRequestError) as caught:
        bench.cloud.end(Resource("lambda", "volume", "f1", "douse-x", None, None, None))

    assert caught.value.resolution == "terminate the machines that use the file system first"


def test_a_kind_that_lambda_does_not_have_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequestError):
        bench.cloud.end(Resource("lambda", "address", "a1", "douse-x", None, None, None))


@pytest.mark.parametrize("off_min", [0, 120, -120])
def test_a_lease_is_moved_by_a_new_name_in_the_clouds_time(bench: Bench, off_min: int) -> None:
    there = bench.time.now() + timedelta(minutes=off_min)
    dated = {"date": email.utils.format_datetime(there, usegmt=True)}
    bench.on("GET", ONE, answer({"data": machine()}, headers=dated))
    bench.on("POST", ONE, data(machine()), data(machine()))

    for _ in range(2):
        bench.cloud.move_lease(OURS, datetime(2026, 11, 21, 12, tzinfo=UTC))

    assert bench.fake.calls == [("GET", ONE), ("POST", ONE), ("POST", ONE)]
    body = bench.fake.body()
    assert list(body) == ["name"]
    plain, deadline = without_lease(body["name"], {})
    assert deadline is not None
    wanted = datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(minutes=off_min)
    assert plain == f"douse-{RUN_ID}"
    assert timedelta() <= deadline - wanted + timedelta(minutes=1) <= timedelta(minutes=2)


def test_a_listing_says_how_far_the_clouds_clock_is_off(bench: Bench) -> None:
    there = bench.time.now() + timedelta(hours=2)
    listed(bench, machines=[machine()])
    dated = {"date": email.utils.format_datetime(there, usegmt=True)}
    bench.on("GET", ONE, answer({"data": machine()}, headers=dated))
    assert bench.cloud.listing().clock_off == timedelta()

    listed(bench, machines=[machine()])
    bench.cloud.instance("i1")

    assert abs(bench.cloud.listing().clock_off - timedelta(hours=2)) < timedelta(minutes=1)


@pytest.mark.parametrize("run_id", [None, f"20261121-073000-{'a' * 44}"])
def test_a_machine_without_room_for_a_deadline_keeps_its_name(bench: Bench, run_id: str | None) -> None:
    bench.cloud.move_lease(replace(OURS, run_id=run_id), datetime(2026, 11, 21, 12, tzinfo=UTC))

    assert bench.fake.calls == []


def test_a_listing_shows_the_plain_name_and_the_lease(bench: Bench) -> None:
    listed(bench, machines=[machine(name=f"douse-{RUN_ID}--htb80")])

    (found,) = bench.cloud.listing().whole()

    assert (found.name, found.run_id) == (f"douse-{RUN_ID}", RUN_ID)
    assert found.lease_until == datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_machine_is_found_by_its_plain_name_whatever_its_lease(bench: Bench) -> None:
    there = [machine(name=f"douse-{RUN_ID}--htb80"), machine(id="i2", name=f"douse-{RUN_ID}-2--htb80", tags=[])]
    bench.on("GET", LIST, data(there))

    assert bench.cloud.machines_named(f"douse-{RUN_ID}") == ["i1"]


@pytest.mark.parametrize(("text", "odd"), [("20261121t120000z", None), ("soon", "soon")])
def test_an_end_is_read_or_shown_as_it_stands(bench: Bench, text: str, odd: str | None) -> None:
    listed(
        bench, machines=[machine(tags=[{"key": "douse-run", "value": RUN_ID}, {"key": "douse-expires", "value": text}])]
    )

    (found,) = bench.cloud.listing().whole()

    assert (found.expires_at is None, found.odd_expiry) == (odd is not None, odd)


def test_the_lease_of_a_machine_that_is_gone_cannot_be_moved(bench: Bench) -> None:
    bench.on("GET", ONE, refused("global/object-does-not-exist", 404))

    with pytest.raises(NotFoundError):
        bench.cloud.move_lease(OURS, datetime(2026, 11, 21, 12, tzinfo=UTC))


def test_the_account_is_reported_by_the_end_of_its_key(bench: Bench) -> None:
    bench.on("GET", KEYS, data([]))

    assert bench.cloud.account() == Account("lambda", f"key …{bench.key[-4:]}", None)


def test_a_wrong_key_is_an_account_fault(bench: Bench) -> None:
    bench.on("GET", KEYS, refused("global/invalid-api-key", 401))

    with pytest.raises(AccountError):
        bench.cloud.account()


def test_the_key_is_not_shown(bench: Bench) -> None:
    assert bench.key not in repr(bench.cloud) + str(vars(bench.cloud))
