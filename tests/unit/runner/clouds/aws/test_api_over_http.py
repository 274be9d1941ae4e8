"""AwsCloud against a server on loopback that answers with given bytes: what a listing must never be taken for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from runner.clouds.aws.api import AwsCloud, open_aws
from runner.clouds.aws.listing import entries
from runner.errors import (
    AccessDeniedError,
    AccountError,
    CloudError,
    CloudUnavailableError,
    RateLimitedError,
    UnreadableAnswerError,
)
from runner.world import RealWorld

HERE, THERE = "us-east-1", "eu-west-1"
Answer = tuple[int, str]
XMLNS = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
SETS = {
    "DescribeInstances": "reservationSet",
    "DescribeSpotInstanceRequests": "spotInstanceRequestSet",
    "DescribeVolumes": "volumeSet",
    "DescribeAddresses": "addressesSet",
    "DescribeSecurityGroups": "securityGroupInfo",
    "DescribeKeyPairs": "keySet",
}

PRICES = "GetProducts"
"""Asked with a body of another kind."""
SCHEDULES = "ListSchedules"
"""Asked of another server, in another way."""


def listing(action: str, *items: str, token: str = "") -> Answer:
    inner = "".join(f"<item>{item}</item>" for item in items)
    more = f"<nextToken>{token}</nextToken>" if token else ""
    if action == PRICES:
        return 400, '{"__type": "AccessDeniedException"}'
    if action == SCHEDULES:
        return 200, '{"Schedules": []}'
    name = SETS[action]
    return 200, f"<{action}Response {XMLNS}><requestId>r</requestId><{name}>{inner}</{name}>{more}</{action}Response>"


def instance(instance_id: str, *, state: str = "<instanceState><name>running</name></instanceState>") -> str:
    tags = "<tagSet><item><key>douse-run</key><value>20261121-073000-tiny</value></item></tagSet>"
    return f"<instancesSet><item><instanceId>{instance_id}</instanceId>{state}{tags}</item></instancesSet>"


def failure(status: int, code: str) -> Answer:
    return status, f"<Response><Errors><Error><Code>{code}</Code><Message>no</Message></Error></Errors></Response>"


class Ec2:
    """An EC2 that answers every listing with nothing, and what is scripted with what is scripted."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._script: dict[tuple[str, str], Callable[[dict[str, str]], Answer]] = {}

    def on(self, action: str, answer: Answer | Callable[[dict[str, str]], Answer], region: str = HERE) -> None:
        self._script[action, region] = answer if callable(answer) else lambda _: answer

    def answer(self, region: str, form: dict[str, str]) -> Answer:
        action = form["Action"]
        self.asked.append((action, region, form))
        scripted = self._script.get((action, region))
        return scripted(form) if scripted else listing(action)

    def calls(self, action: str) -> int:
        return sum(1 for asked, _, _ in self.asked if asked == action)


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            of_prices = {"Action": PRICES} if body.startswith("{") else {}
            self._answer({name: values[0] for name, values in parse_qs(body).items()} | of_prices)

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            assert path == "/schedules"
            self._answer({"Action": SCHEDULES, **{name: values[0] for name, values in parse_qs(query).items()}})

        def _answer(self, form: dict[str, str]) -> None:
            region = self.headers["Authorization"].split("/")[2]
            status, text = self.server.ec2.answer(region, form)  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join(10)
    found.server_close()


@pytest.fixture
def ec2(server: ThreadingHTTPServer) -> Ec2:
    found = Ec2()
    server.ec2 = found  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="module")
def opened(url: str) -> AwsCloud:
    return open_at(url)


@pytest.fixture
def cloud(opened: AwsCloud, pauses_s: list[float]) -> AwsCloud:
    """The same for every test: making boto3's clients takes longer than most tests."""
    return opened


@pytest.fixture
def pauses_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stand in for the pauses between boto3's tries."""
    slept: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", slept.append)
    return slept


def open_at(url: str, regions: str = f"{HERE},{THERE}") -> AwsCloud:
    keys = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    return open_aws(
        {**keys, "AWS_REGION": HERE, "AWS_ENDPOINT_URL": url, "DOUSE_AWS_REGIONS": regions}, now=RealWorld().now
    )


@pytest.mark.parametrize(
    ("answer", "unread"),
    [
        ((403, '{"__type": "AccessDeniedException", "Message": "not authorized: scheduler:ListSchedules"}'), []),
        ((500, '{"__type": "InternalServerException", "Message": "oops"}'), [CloudUnavailableError] * 2),
        ((200, '{"Schedules": [{"State": "ENABLED"}]}'), [UnreadableAnswerError] * 2),
    ],
    ids=["denied", "in trouble", "nameless"],
)
def test_only_who_may_not_list_schedules_is_told_of_nothing_unread(
    ec2: Ec2, cloud: AwsCloud, pauses_s: list[float], answer: Answer, unread: list[type[CloudError]]
) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-1")))
    for region in (HERE, THERE):
        ec2.on(SCHEDULES, answer, region)

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-1"]
    assert [type(err) for err in found.unread] == unread


def test_nothing_anywhere_is_an_empty_list_after_every_listing_in_every_region(ec2: Ec2, cloud: AwsCloud) -> None:
    assert cloud.listing().whole() == []
    assert {(action, region) for action, region, _ in ec2.asked} == {
        (action, region) for action in (*SETS, SCHEDULES) for region in (HERE, THERE)
    }
    for action, _, form in ec2.asked:
        if action == SCHEDULES:
            assert form["NamePrefix"] == "douse-"
        else:
            assert (form["Filter.1.Name"], form["Filter.1.Value.1"]) == ("tag-key", "douse-run")


def test_pages_are_read_to_the_last(ec2: Ec2, cloud: AwsCloud) -> None:
    def pages(form: dict[str, str]) -> Answer:
        number = int(form.get("NextToken", "0"))
        return listing("DescribeInstances", instance(f"i-{number}"), token=str(number + 1) if number < 3 else "")

    ec2.on("DescribeInstances", pages, THERE)
    assert [found.id for found in cloud.listing().whole()] == ["i-0", "i-1", "i-2", "i-3"]


def test_pages_that_boto3_does_not_follow_are_refused_after_what_is_there() -> None:
    class Client:
        def can_paginate(self, operation: str) -> bool:
            return False

        def describe_addresses(self) -> dict[str, object]:
            return {"Addresses": [{"AllocationId": "eipalloc-1"}], "NextToken": "2"}

    found = entries(Client(), "describe_addresses", "Addresses", "list elastic addresses")

    assert next(found)["AllocationId"] == "eipalloc-1"
    with pytest.raises(UnreadableAnswerError):
        next(found)


def test_a_token_that_comes_back_is_no_end_of_a_listing(ec2: Ec2, cloud: AwsCloud) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", token="again"))
    with pytest.raises(UnreadableAnswerError):
        cloud.listing().whole()


def without_a_last_page(form: dict[str, str]) -> Answer:
    if "NextToken" in form:
        return failure(403, "UnauthorizedOperation")
    return listing("DescribeInstances", instance("i-0"), token="1")


def test_a_last_page_that_fails_fails_the_listing(ec2: Ec2, cloud: AwsCloud) -> None:
    ec2.on("DescribeInstances", without_a_last_page)
    with pytest.raises(AccessDeniedError):
        cloud.listing().whole()


def test_without_bounds_every_enabled_region_is_looked_at(ec2: Ec2, url: str, pauses_s: list[float]) -> None:
    names = "".join(f"<item><regionName>{name}</regionName></item>" for name in (HERE, THERE, "sa-east-1"))
    ec2.on("DescribeRegions", (200, f"<R {XMLNS}><regionInfo>{names}</regionInfo></R>"))
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-9")), "sa-east-1")
    (found,) = open_at(url, regions="").listing().whole()
    assert (found.id, found.region) == ("i-9", "sa-east-1")
    assert {region for action, region, _ in ec2.asked if action == "DescribeVolumes"} == {HERE, THERE, "sa-east-1"}


@pytest.mark.parametrize("text", [f"<R {XMLNS}><regionInfo/></R>", f"<R {XMLNS}/>"])
def test_an_account_without_regions_cannot_be(ec2: Ec2, url: str, pauses_s: list[float], text: str) -> None:
    ec2.on("DescribeRegions", (200, text))
    with pytest.raises(UnreadableAnswerError):
        open_at(url, regions="").listing().whole()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not XML",
        f"<DescribeInstancesResponse {XMLNS}/>",
        f"<DescribeInstancesResponse {XMLNS}><machines/></DescribeInstancesResponse>",
        listing("DescribeInstances", instance("i-0"))[1][:-60],
        "{}",
    ],
    ids=["empty", "no XML", "no set", "another set", "cut off", "JSON"],
)
@pytest.mark.parametrize("region", [HERE, THERE])
def test_an_answer_that_is_no_listing_is_never_nothing_there(ec2: Ec2, cloud: AwsCloud, text: str, region: str) -> None:
    ec2.on("DescribeInstances", (200, text), region)
    with pytest.raises(UnreadableAnswerError, match=f"list instances in {region}"):
        cloud.listing().whole()


def test_a_spot_request_of_an_unknown_state_is_there(ec2: Ec2, cloud: AwsCloud) -> None:
    tags = "<tagSet><item><key>douse-run</key><value>20261121-073000-tiny</value></item></tagSet>"
    states = ("open", "active", "disabled", "waiting", "closed", "cancelled", "failed")
    requests = [
        f"<spotInstanceRequestId>sir-{state}</spotInstanceRequestId><state>{state}</state>{tags}" for state in states
    ]
    ec2.on("DescribeSpotInstanceRequests", listing("DescribeSpotInstanceRequests", *requests))

    assert [found.id for found in cloud.listing().whole()] == [f"sir-{state}" for state in states[:4]]


ODD_SCHEDULES = (
    '{"Schedules": ["x"]}',
    '{"Schedules": [null]}',
    '{"Schedules": "x"}',
    '{"Schedules": [{"Name": "x", "CreationDate": "yesterday"}]}',
    '{"Schedules": [{"Name": "x", "CreationDate": 1e400}]}',
    "[]",
    "null",
    "[" * 100_000,
)
"""What botocore's parsers do not expect: they raise whatever Python does then."""


@pytest.mark.parametrize("text", ODD_SCHEDULES)
def test_an_answer_that_botocore_stumbles_over_is_unread_and_hides_nothing(
    ec2: Ec2, cloud: AwsCloud, text: str
) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-1")))
    ec2.on(SCHEDULES, (200, text))

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-1"]
    assert [type(err) for err in found.unread] == [UnreadableAnswerError]


@pytest.mark.parametrize("odd", ["<launchTime>x</launchTime>", "<amiLaunchIndex>x</amiLaunchIndex>"])
def test_a_value_of_another_type_in_a_region_is_unread_and_hides_no_other_region(
    ec2: Ec2, cloud: AwsCloud, odd: str
) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0", state=odd)))
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-1")), THERE)

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-1"]
    assert [type(err) for err in found.unread] == [UnreadableAnswerError]


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("text", ["<html><body>Sign in</body></html>", "<!DOCTYPE html><html><br>"])
def test_a_web_page_is_named_as_such_and_hides_no_other_kind(ec2: Ec2, cloud: AwsCloud, status: int, text: str) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0")))
    ec2.on("DescribeVolumes", (status, text))

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-0"]
    assert [type(err) for err in found.unread] == [CloudUnavailableError]
    assert "cannot carry out DescribeVolumes: the answer is a web page" in found.unread[0].message


@pytest.mark.parametrize("action", [name for name in SETS if name != "DescribeInstances"])
def test_each_kind_of_listing_is_read_as_strictly(ec2: Ec2, cloud: AwsCloud, action: str) -> None:
    ec2.on(action, (200, f"<{action}Response {XMLNS}><other/></{action}Response>"))
    with pytest.raises(UnreadableAnswerError):
        cloud.listing().whole()


@pytest.mark.parametrize("action", [name for name in SETS if name != "DescribeInstances"])
def test_an_entry_without_its_id_is_unreadable(ec2: Ec2, cloud: AwsCloud, action: str) -> None:
    ec2.on(action, listing(action, "<state>open</state>"))
    with pytest.raises(UnreadableAnswerError, match="cannot be read"):
        cloud.listing().whole()


@pytest.mark.parametrize(
    "item",
    [instance("", state="<instanceState><name>running</name></instanceState>"), "<reservationId>r-1</reservationId>"],
    ids=["no id", "no instances"],
)
def test_an_instance_without_its_id_is_unread_and_hides_no_other(ec2: Ec2, cloud: AwsCloud, item: str) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0"), item, instance("i-1")))

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-0", "i-1"]
    assert [type(err) for err in found.unread] == [UnreadableAnswerError]
    with pytest.raises(UnreadableAnswerError):
        cloud.listing().whole()


@pytest.mark.parametrize("state", ["", "<instanceState><code>16</code></instanceState>"], ids=["none", "no name"])
def test_an_instance_whose_state_cannot_be_read_is_there(ec2: Ec2, cloud: AwsCloud, state: str) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0", state=state)))
    (found,) = cloud.listing().whole()
    assert (found.id, found.status, found.price_usd_per_h) == ("i-0", "unknown", None)


def test_a_last_page_that_fails_hides_nothing_of_the_first(ec2: Ec2, cloud: AwsCloud) -> None:
    ec2.on("DescribeInstances", without_a_last_page)

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-0"]
    assert [type(err) for err in found.unread] == [AccessDeniedError]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("pending", "pending"),
        ("running", "running"),
        ("shutting-down", "ending"),
        ("stopping", "stopped"),
        ("stopped", "stopped"),
        ("terminated", None),
        ("melting", "unknown"),
    ],
)
def test_each_state_has_its_status_and_only_terminated_is_gone(
    ec2: Ec2, cloud: AwsCloud, state: str, status: str | None
) -> None:
    named = f"<instanceState><name>{state}</name></instanceState>"
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0", state=named)))
    assert [found.status for found in cloud.listing().whole()] == ([status] if status else [])


ATTACHED = "attachment.instance-id"


def test_disks_that_cannot_be_read_hide_no_machine(ec2: Ec2, cloud: AwsCloud) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0")))
    denied = failure(403, "UnauthorizedOperation")
    ec2.on("DescribeVolumes", lambda form: denied if ATTACHED in form.values() else listing("DescribeVolumes"))

    found = cloud.listing()

    assert [(one.id, one.disk_usd_per_h) for one in found.resources] == [("i-0", None)]
    assert found.unread == []


def test_a_spot_machine_does_not_get_the_on_demand_price(ec2: Ec2, cloud: AwsCloud) -> None:
    extra = "<instanceType>g5.xlarge</instanceType>"
    demand, spot = instance("i-0"), instance("i-1")
    demand = demand.replace("<instanceState>", f"{extra}<instanceState>")
    spot = spot.replace("<instanceState>", f"{extra}<instanceLifecycle>spot</instanceLifecycle><instanceState>")
    ec2.on("DescribeInstances", listing("DescribeInstances", demand, spot))
    assert [found.price_usd_per_h for found in cloud.listing().whole()] == [1.006, None]


@pytest.mark.parametrize(
    ("answer", "kind", "tries"),
    [
        (failure(500, "InternalError"), CloudUnavailableError, 5),
        (failure(503, "RequestLimitExceeded"), RateLimitedError, 5),
        (failure(401, "AuthFailure"), AccountError, 1),
        (failure(403, "UnauthorizedOperation"), AccessDeniedError, 1),
        (failure(401, "OptInRequired"), AccountError, 1),
    ],
)
def test_a_region_that_fails_fails_the_sweep_after_a_bounded_number_of_tries(
    ec2: Ec2, cloud: AwsCloud, pauses_s: list[float], answer: Answer, kind: type[CloudError], tries: int
) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0")))
    ec2.on("DescribeInstances", answer, THERE)
    with pytest.raises(CloudError) as caught:
        cloud.listing().whole()
    assert type(caught.value) is kind
    assert THERE in caught.value.message
    assert ec2.calls("DescribeInstances") == 1 + tries
    assert len(pauses_s) == tries - 1


def test_a_region_that_policy_denies_hides_nothing_in_another(ec2: Ec2, cloud: AwsCloud) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0")))
    for action in SETS:
        ec2.on(action, failure(403, "UnauthorizedOperation"), THERE)

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-0"]
    assert [type(err) for err in found.unread] == [AccessDeniedError]
    assert f"in {THERE}" in found.unread[0].message


def test_a_kind_that_policy_denies_hides_no_other_kind(ec2: Ec2, cloud: AwsCloud) -> None:
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0")), THERE)
    ec2.on("DescribeVolumes", failure(403, "UnauthorizedOperation"), THERE)

    found = cloud.listing()

    assert [one.id for one in found.resources] == ["i-0"]
    assert [err.message for err in found.unread] == [f"aws: cannot list volumes in {THERE}: UnauthorizedOperation"]


def test_regions_that_may_not_be_listed_hide_nothing_at_home(ec2: Ec2, url: str, pauses_s: list[float]) -> None:
    ec2.on("DescribeRegions", failure(403, "UnauthorizedOperation"))
    ec2.on("DescribeInstances", listing("DescribeInstances", instance("i-0")))

    found = open_at(url, regions="").listing()

    assert [(one.id, one.region) for one in found.resources] == [("i-0", HERE)]
    assert [err.message for err in found.unread] == ["aws: cannot list the enabled regions: UnauthorizedOperation"]


def test_one_error_of_the_clouds_is_waited_out(ec2: Ec2, cloud: AwsCloud, pauses_s: list[float]) -> None:
    answers = iter([failure(503, "Unavailable"), failure(400, "Throttling")])
    ec2.on("DescribeInstances", lambda _: next(answers, listing("DescribeInstances", instance("i-0"))))
    assert [found.id for found in cloud.listing().whole()] == ["i-0"]
    assert len(pauses_s) == 2


def test_nobody_at_the_endpoint_is_reported_as_out_of_reach(pauses_s: list[float]) -> None:
    with pytest.raises(CloudUnavailableError, match="AWS cannot be reached") as caught:
        open_at("http://127.0.0.1:1").listing().whole()
    assert "AWS_ENDPOINT_URL" in caught.value.resolution


def test_spot_prices_are_those_of_the_dearest_zone(ec2: Ec2, url: str, pauses_s: list[float]) -> None:
    script_one_machine(ec2)
    prices = "".join(
        f"<item><instanceType>g5.xlarge</instanceType><spotPrice>{price}</spotPrice></item>"
        for price in ("0.41", "0.52", "0.38")
    )
    ec2.on("DescribeSpotPriceHistory", (200, f"<R {XMLNS}><spotPriceHistorySet>{prices}</spotPriceHistorySet></R>"))
    spot, on_demand = open_at(url, regions=HERE).offers()
    assert (spot.spot, spot.price_usd_per_h) == (True, 0.52)
    assert (on_demand.spot, on_demand.price_usd_per_h) == (False, 1.006)
    assert (on_demand.gpu_name, on_demand.gpu_memory_gib, on_demand.memory_gib) == ("A10G", 24, 16)


@pytest.mark.parametrize("odd", ["cheap", "nan", "0"])
def test_a_machine_with_one_odd_spot_price_is_not_offered_as_spot(
    ec2: Ec2, url: str, pauses_s: list[float], odd: str
) -> None:
    script_one_machine(ec2)
    prices = "".join(
        f"<item><instanceType>g5.xlarge</instanceType><spotPrice>{price}</spotPrice></item>" for price in ("0.3", odd)
    )
    ec2.on("DescribeSpotPriceHistory", (200, f"<R {XMLNS}><spotPriceHistorySet>{prices}</spotPriceHistorySet></R>"))
    assert [(offer.instance_type, offer.spot) for offer in open_at(url, regions=HERE).offers()] == [
        ("g5.xlarge", False)
    ]


def test_one_odd_kind_of_machine_costs_that_kind_not_the_catalogue(ec2: Ec2, url: str, pauses_s: list[float]) -> None:
    script_one_machine(ec2)
    (status, text) = ec2.answer(HERE, {"Action": "DescribeInstanceTypes"})
    odd = text.replace("g5.xlarge", "g6.xlarge").replace("<sizeInMiB>22888</sizeInMiB>", "")
    inner = odd.partition("<instanceTypeSet>")[2].partition("</instanceTypeSet>")[0]
    ec2.on("DescribeInstanceTypes", (status, text.replace("<instanceTypeSet>", f"<instanceTypeSet>{inner}")))
    ec2.on("DescribeSpotPriceHistory", (200, f"<R {XMLNS}><spotPriceHistorySet/></R>"))
    assert [offer.instance_type for offer in open_at(url, regions=HERE).offers()] == ["g5.xlarge"]


def script_one_machine(ec2: Ec2) -> None:
    """Let one region sell one kind of machine."""
    gpu = (
        "<gpuInfo><gpus><item><name>A10G</name><manufacturer>NVIDIA</manufacturer><count>1</count>"
        "<memoryInfo><sizeInMiB>22888</sizeInMiB></memoryInfo></item></gpus></gpuInfo>"
    )
    machine = (
        "<item><instanceType>g5.xlarge</instanceType><bareMetal>false</bareMetal>"
        "<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>"
        f"<memoryInfo><sizeInMiB>16384</sizeInMiB></memoryInfo>{gpu}</item>"
    )
    ec2.on("DescribeInstanceTypes", (200, f"<R {XMLNS}><instanceTypeSet>{machine}</instanceTypeSet></R>"))
    sold = "<item><instanceType>g5.xlarge</instanceType></item>"
    ec2.on(
        "DescribeInstanceTypeOfferings",
        (200, f"<R {XMLNS}><instanceTypeOfferingSet>{sold}</instanceTypeOfferingSet></R>"),
    )


def test_a_listing_says_how_far_awss_clock_is_off(cloud: AwsCloud, ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "_now", lambda: RealWorld().now() - timedelta(hours=2))
    assert abs(cloud.listing().clock_off - timedelta(hours=2)) < timedelta(minutes=30)

    monkeypatch.setattr(cloud, "_now", RealWorld().now)
    assert cloud.listing().clock_off == timedelta()
