"""The way to the clouds: what of a request arrives, and what of its answer comes back."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from urllib.parse import parse_qsl

import httpx2
import pytest

from runner.cloud_api import answers
from runner.cloud_api.wire import TOTAL_S, HttpWire, Request
from runner.emulation.calls import Answer, Call
from runner.simulation.network import READ_S, CloudWire, Network, as_call
from runner.simulation.rates import HARSH
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld


class Scene:
    """One process, one cloud, and weather of one kind alone."""

    def __init__(self, world: VirtualWorld, weather: str = "") -> None:
        self.world, self.arrived, self.noted = world, list[Call](), list[str]()
        rates = replace(HARSH, requests=((weather, 1.0),) if weather else ())
        self.network = Network({"cloud.simulated": self._serve}, lambda: 1e9, random.Random(1), rates)
        self._wire = CloudWire(self.network, world, self.noted.append, {"Authorization": "Bearer key"})

    def _serve(self, call: Call) -> Answer:
        self.arrived.append(call)
        return Answer(200, {"path": call.path, "page": call.query.get("page")})

    def ask(self) -> answers.Answer:
        return self._wire.send(Request("POST", "https://cloud.simulated/v1/things", {"page": 2}, {"name": "one"}))


def test_a_request_arrives_whole_and_its_answer_comes_back() -> None:
    with VirtualWorld() as world:
        scene = Scene(world)

        answer = scene.ask()

        assert json.loads(answer.body) == {"path": "/v1/things", "page": "2"}
        assert [(call.method, call.json()) for call in scene.arrived] == [("POST", {"name": "one"})]
        assert scene.arrived[0].headers["authorization"] == "Bearer key"
        assert 0.0 < world.monotonic_s() < 1.0
        assert scene.noted == ["main POST /v1/things 200"]
        assert answer.headers["date"] == "Sun, 09 Sep 2001 01:46:40 GMT"


@pytest.mark.parametrize(
    ("weather", "error", "arrives"),
    [
        ("unsent", httpx2.ConnectTimeout, 0),
        ("lost", httpx2.ReadTimeout, 0),
        ("answer lost", httpx2.ReadError, 1),
    ],
)
def test_what_is_lost_is_an_error_whether_or_not_it_arrived(weather: str, error: type[Exception], arrives: int) -> None:
    with VirtualWorld() as world:
        scene = Scene(world, weather)

        with pytest.raises(error):
            scene.ask()

        assert len(scene.arrived) == arrives
        assert scene.network.faults == 1


@pytest.mark.parametrize("status", ["429", "500", "503"])
def test_somebody_before_the_cloud_may_answer_in_its_place(status: str) -> None:
    with VirtualWorld() as world:
        scene = Scene(world, status)

        assert scene.ask().status == int(status)
        assert scene.arrived == []


def test_a_late_answer_is_one_that_the_client_still_waits_for() -> None:
    with VirtualWorld() as world:
        assert Scene(world, "late").ask().status == 200
        assert READ_S / 2 < world.monotonic_s() < READ_S


def test_an_answer_that_came_while_its_process_was_stopped_is_given_up() -> None:
    with VirtualWorld() as world:
        scene = Scene(world)
        world.computer.turns.at(0.01, world.freeze)
        world.computer.turns.at(TOTAL_S + 1.0, world.thaw)

        with pytest.raises(httpx2.ReadTimeout):
            scene.ask()

        assert len(scene.arrived) == 1


def test_a_challenge_is_a_page() -> None:
    with VirtualWorld() as world:
        scene = Scene(world, "challenge")

        assert scene.ask().headers["content-type"] == "text/html"
        assert scene.arrived == []


def test_a_network_that_is_down_carries_nothing() -> None:
    with VirtualWorld() as world:
        scene = Scene(world)
        scene.network.cut_until_s = 100.0

        with pytest.raises(httpx2.ConnectError):
            scene.ask()
        world.sleep(100.0)

        assert scene.ask().status == 200


def test_a_storm_goes_on_for_some_requests() -> None:
    rates = replace(HARSH, requests=(("500", 0.5),))
    rows = set()
    for seed in range(30):
        network = Network({}, lambda: 0.0, random.Random(seed), rates)
        drawn = [network.fault() for _ in range(40)]
        rows.add(max(map(len, "".join("x" if one else " " for one in drawn).split())))

    assert len(rows) > 3


def test_fair_weather_is_the_rule() -> None:
    network = Network({}, lambda: 0.0, random.Random(1), HARSH)

    drawn = [network.fault() for _ in range(4000)]

    assert 0.9 < drawn.count("") / 4000 < 0.99
    assert set(drawn) == {"", *(name for name, _ in HARSH.requests)}


@pytest.mark.parametrize(
    ("path", "params", "body"),
    [
        ("/v1/things", None, None),
        ("/v1/things", {}, {}),
        ("/v1/things/a%2Fb%20c", {"page": 2, "all": True, "none": None, "empty": "", "text": "a b&c=d+e"}, None),
        ("/graphql", None, {"query": "{ a }", "variables": {"ä": [1, 2.5, None, True], "nested": {"x": "\u2028"}}}),
    ],
    ids=["plain", "empty", "query", "body"],
)
def test_what_arrives_is_what_http_would_have_carried(
    path: str, params: dict[str, object] | None, body: dict[str, object] | None
) -> None:
    request, headers = Request("POST", f"https://cloud.simulated{path}", params, body), {"Authorization": "Bearer key"}
    carried: list[httpx2.Request] = []

    def carry(one: httpx2.Request) -> httpx2.Response:
        carried.append(one)
        return httpx2.Response(200)

    HttpWire(RealWorld(), headers, is_here=False, transport=httpx2.MockTransport(carry)).send(request)
    host, call = as_call(request, {name.lower(): value for name, value in headers.items()})

    (sent,) = carried
    assert (host, call.method, call.path) == (sent.url.host, sent.method, sent.url.path)
    assert call.query == dict(parse_qsl(sent.url.query.decode()))
    assert call.body == sent.content
    assert call.headers["authorization"] == sent.headers["authorization"]
