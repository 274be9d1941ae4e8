"""The way to the clouds: what of a request arrives, and what of its answer comes back."""

from __future__ import annotations

import random
from dataclasses import replace

import httpx2
import pytest

from runner.emulation.calls import Answer, Call
from runner.simulation.network import READ_S, CloudTransport, Network
from runner.simulation.rates import HARSH
from runner.simulation.world import VirtualWorld


class Scene:
    """One process, one cloud, and weather of one kind alone."""

    def __init__(self, world: VirtualWorld, weather: str = "") -> None:
        self.world, self.arrived, self.noted = world, list[Call](), list[str]()
        rates = replace(HARSH, requests=((weather, 1.0),) if weather else ())
        self.network = Network({"cloud.simulated": self._serve}, lambda: 1e9, random.Random(1), rates)
        self._client = httpx2.Client(transport=CloudTransport(self.network, lambda: world, self.noted.append))

    def _serve(self, call: Call) -> Answer:
        self.arrived.append(call)
        return Answer(200, {"path": call.path, "page": call.query.get("page")})

    def ask(self) -> httpx2.Response:
        return self._client.post("https://cloud.simulated/v1/things?page=2", json={"name": "one"})


def test_a_request_arrives_whole_and_its_answer_comes_back() -> None:
    with VirtualWorld() as world:
        scene = Scene(world)

        answer = scene.ask()

        assert answer.json() == {"path": "/v1/things", "page": "2"}
        assert [(call.method, call.json()) for call in scene.arrived] == [("POST", {"name": "one"})]
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

        assert scene.ask().status_code == int(status)
        assert scene.arrived == []


def test_a_late_answer_is_one_that_the_client_still_waits_for() -> None:
    with VirtualWorld() as world:
        assert Scene(world, "late").ask().status_code == 200
        assert READ_S / 2 < world.monotonic_s() < READ_S


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

        assert scene.ask().status_code == 200


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
