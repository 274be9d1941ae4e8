"""The wire to a cloud: HTTP, unless a world was made with something else."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from runner.cloud_api.answers import Answer
from runner.cloud_api.http import Api
from runner.cloud_api.pacing import Pace, Timer
from runner.cloud_api.wire import HttpWire, Request, wire_of
from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.world import RealWorld, World


def test_an_answer_has_its_headers_in_small_letters_and_its_content_whole() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(201, headers={"Retry-After": "3"}, content=b"{}")

    wire = HttpWire(RealWorld(), {"X-Key": "k"}, is_here=False, transport=httpx2.MockTransport(answer))
    found = wire.send(Request("POST", "https://cloud.example/v1/things", {"page": 2}, {"name": "one"}))
    wire.close()

    assert (found.status, found.headers["retry-after"], found.body) == (201, "3", b"{}")
    assert (asked[0].headers["x-key"], str(asked[0].url)) == ("k", "https://cloud.example/v1/things?page=2")
    assert asked[0].content == b'{"name":"one"}'


class _Pigeon:
    """Carries requests in its own way."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers, self.sent = headers, list[Request]()

    def send(self, request: Request) -> Answer:
        self.sent.append(request)
        return Answer(200, {}, b"[]")

    def close(self) -> None:
        self.sent.clear()


def test_a_world_may_be_made_with_another_wire() -> None:
    pigeons: list[_Pigeon] = []

    def open_pigeon(world: World, headers: Mapping[str, str], **_: object) -> _Pigeon:
        assert world is here
        pigeons.append(_Pigeon(headers))
        return pigeons[0]

    here = RealWorld()
    here.shared(wire_of, lambda: open_pigeon)
    api = Api(
        "lambda", "https://cloud.example/v1", "a-key", refusal=lambda_refusal, pace=Pace(here, 0.0), timer=Timer(here)
    )

    answer = api.ask("GET", "/things", doing="list things", repeatable=True, params={"page": 2})

    assert answer.body == b"[]"
    assert pigeons[0].sent == [Request("GET", "https://cloud.example/v1/things", {"page": 2})]
    assert pigeons[0].headers["Authorization"] == "Bearer a-key"
    api.close()
    assert pigeons[0].sent == []
    assert wire_of(RealWorld()) is HttpWire
