"""One request: its turn, its bounded repeats, and one error for each way it can fail."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from runner.cloud_api.answers import Answer
from runner.cloud_api.http import LOST_SLEEPS_S, Api
from runner.cloud_api.pacing import Pace, Timer
from runner.cloud_api.turns import Turns
from runner.cloud_api.wire import HttpWire
from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.errors import (
    AccountError,
    BadRequestError,
    CloudUnavailableError,
    NoCapacityError,
    RateLimitedError,
    UsageError,
)
from runner.world import RealWorld
from tests.unit.runner.cloud_api.over_http import FakeCloud, FakeTime, answer, new_key, text

LAUNCH = "/v1/launch"
CAPACITY = {"error": {"code": "instance-operations/launch/insufficient-capacity", "message": "Not enough capacity."}}


class Bench:
    """A client, the cloud at its other end, and its time."""

    def __init__(
        self, key: str | None = None, account: Pace | None = None, pause: Callable[[float], None] | None = None
    ) -> None:
        self.cloud, self.time, self.key = FakeCloud(), FakeTime(), key or new_key()
        self.account = account or Pace(RealWorld(), 0.0)
        self.api = Api(
            "lambda",
            "https://cloud.example/v1",
            self.key,
            refusal=lambda_refusal,
            pace=self.account,
            timer=Timer(self.time, pause),
            transport=self.cloud.transport,
        )

    def get(self) -> Answer:
        return self.api.ask("GET", "/things", doing="list things", repeatable=True)

    def launch(self, *lanes: Pace) -> Answer:
        return self.api.ask("POST", "/launch", doing="launch it", repeatable=False, body={"a": 1}, lanes=lanes)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.api.close()
    assert made.cloud.left == []


def test_an_answer_comes_back_whole_and_the_key_goes_in_the_header(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", answer({"data": []}))

    found = bench.get()

    assert (found.status, found.body) == (200, b'{"data":[]}')
    assert bench.cloud.asked[0].headers["authorization"] == f"Bearer {bench.key}"
    assert bench.key not in str(bench.cloud.asked[0].url)


@pytest.mark.parametrize("trouble", [text("", 500), text("<html>", 502), httpx2.ReadTimeout("slow"), answer({}, 503)])
def test_a_list_is_asked_for_again_after_trouble(bench: Bench, trouble: httpx2.Response | Exception) -> None:
    bench.cloud.on("GET", "/v1/things", trouble, answer({"data": []}))

    bench.get()

    assert bench.time.sleeps_s == [0.5]


def test_the_repeats_have_an_end(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", *[text("", 500) for _ in range(len(LOST_SLEEPS_S) + 1)])

    with pytest.raises(CloudUnavailableError) as caught:
        bench.get()

    assert bench.time.sleeps_s == list(LOST_SLEEPS_S)
    assert caught.value.status == 500


def test_the_repeats_after_lost_connections_have_an_end(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", *[httpx2.ReadError("gone") for _ in range(len(LOST_SLEEPS_S) + 1)])

    with pytest.raises(CloudUnavailableError, match=r"no answer from cloud.example \(ReadError\)"):
        bench.get()


def test_a_cloud_that_never_answers_is_not_waited_for_five_times(bench: Bench) -> None:
    def hang(request: httpx2.Request) -> httpx2.Response:
        bench.time.now_s += 60.0
        raise httpx2.ReadTimeout("slow")

    bench.cloud.on("GET", "/v1/things", hang, hang)

    with pytest.raises(CloudUnavailableError):
        bench.get()

    assert bench.time.sleeps_s == [0.5]


@pytest.mark.parametrize(
    "trouble",
    [
        text("", 500),
        text("", 504),
        answer({"error": {"code": "provider/internal-unavailable", "message": "Provider unavailable"}}, 400),
        httpx2.ReadTimeout("slow"),
        httpx2.WriteTimeout("slow"),
        httpx2.RemoteProtocolError("Server disconnected without sending a response."),
        httpx2.ReadError("reset"),
    ],
)
def test_a_launch_whose_outcome_is_unknown_is_never_sent_again(
    bench: Bench, trouble: httpx2.Response | Exception
) -> None:
    bench.cloud.on("POST", LAUNCH, trouble)

    with pytest.raises(CloudUnavailableError):
        bench.launch()

    assert bench.cloud.calls == [("POST", LAUNCH)]
    assert bench.time.sleeps_s == []


@pytest.mark.parametrize("trouble", [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow")])
def test_a_launch_that_was_never_sent_is_sent(bench: Bench, trouble: Exception) -> None:
    bench.cloud.on("POST", LAUNCH, trouble, answer({"data": {}}))

    bench.launch()

    assert len(bench.cloud.asked) == 2


def test_a_launch_that_was_refused_is_not_sent_again(bench: Bench) -> None:
    bench.cloud.on("POST", LAUNCH, answer(CAPACITY, 400))

    with pytest.raises(NoCapacityError):
        bench.launch()


def test_a_launch_refused_for_too_many_requests_is_sent_again_when_the_cloud_says(bench: Bench) -> None:
    bench.cloud.on("POST", LAUNCH, text("slow down", 429, {"Retry-After": "7"}), answer({"data": {}}))

    bench.launch()

    assert bench.time.sleeps_s == [7.0]


def test_without_retry_after_the_pauses_double(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", text("", 429), text("", 429), text("", 429), answer({"data": []}))

    bench.get()

    assert bench.time.sleeps_s == [5.0, 10.0, 20.0]


def test_too_many_requests_have_an_end(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", *[text("", 429) for _ in range(5)])

    with pytest.raises(RateLimitedError) as caught:
        bench.get()

    assert bench.time.sleeps_s == [5.0, 10.0, 20.0, 40.0]
    assert (caught.value.code, caught.value.status) == ("429", 429)


def test_an_hour_of_waiting_is_not_waited(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", text("", 429, {"Retry-After": "3600"}))

    with pytest.raises(RateLimitedError) as caught:
        bench.get()

    assert bench.time.sleeps_s == []
    assert "3600 s" in caught.value.resolution


def test_a_cloud_that_always_says_at_once_is_asked_slowly_and_not_for_ever(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", *[text("", 429, {"Retry-After": "0"}) for _ in range(151)])

    with pytest.raises(RateLimitedError):
        bench.get()

    assert bench.time.sleeps_s == [1.0] * 150


@pytest.mark.parametrize("reply", [answer({"data": {}}), httpx2.ReadTimeout("no answer")])
def test_the_next_launch_of_another_process_is_counted_from_the_last_ones_answer(
    bench: Bench, tmp_path: Path, reply: httpx2.Response | Exception
) -> None:
    def slowly(_: httpx2.Request) -> httpx2.Response:
        bench.time.now_s += 0.4
        if isinstance(reply, Exception):
            raise reply
        return reply

    lane, others_lane = (Pace(bench.time, 12.0, Turns(bench.time, tmp_path / "launches")) for _ in range(2))
    bench.account.hold(bench.time.timer, 8.0)  # so many requests of other runs come first
    bench.cloud.on("POST", "/v1/launch", slowly)

    with contextlib.suppress(CloudUnavailableError):
        bench.launch(lane)

    assert bench.time.sleeps_s == [8.0]
    assert others_lane.wait_s(bench.time.now_s) == pytest.approx(12.0)


def test_a_launch_that_still_waits_for_the_account_leaves_its_lane_to_others(tmp_path: Path) -> None:
    left_s = list[float]()

    def look() -> None:
        left_s.append(others_lane.wait_s(bench.time.now_s))

    def wait(pause_s: float) -> None:
        look()
        bench.time.sleep(pause_s)

    def there(_: httpx2.Request) -> httpx2.Response:
        look()
        return answer({"data": {}})

    bench = Bench(pause=wait)
    lane, others_lane = (Pace(bench.time, 12.0, Turns(bench.time, tmp_path / "launches")) for _ in range(2))
    bench.account.hold(bench.time.timer, 8.0)
    bench.cloud.on("POST", "/v1/launch", there)

    bench.launch(lane)
    bench.api.close()

    assert left_s == [0.0, 12.0]


class LookedAt(Pace):
    """A pace that another process looks at just before the answer ends a turn."""

    def __init__(self, time: FakeTime, path: Path) -> None:
        super().__init__(time, 1.0, Turns(time, path))
        self._others, self.seen_s = Pace(time, 1.0, Turns(time, path)), list[float]()

    def land(self, went_s: float, now_s: float) -> None:
        self.seen_s.append(self._others.wait_s(now_s))
        super().land(went_s, now_s)


def test_nobody_goes_between_a_429_and_its_pause(tmp_path: Path) -> None:
    account = LookedAt(FakeTime(), tmp_path / "all")
    bench = Bench(account=account)
    bench.cloud.on("GET", "/v1/things", text("slow down", 429, {"Retry-After": "30"}), answer({"data": []}))

    bench.get()
    bench.api.close()

    assert account.seen_s == [30.0, 1.0]


def test_a_spent_window_is_waited_out_before_the_next_request(bench: Bench) -> None:
    spent = {"RateLimit": '"minute";r=0;t=12, "hour";r=2900;t=1800'}
    bench.cloud.on("GET", "/v1/things", answer({"data": []}, headers=spent), answer({"data": []}))

    bench.get()
    assert bench.time.sleeps_s == []
    bench.get()

    assert bench.time.sleeps_s == [12.0]


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_request_is_never_led_elsewhere(bench: Bench, status: int) -> None:
    bench.cloud.on("POST", LAUNCH, text("", status, {"Location": "https://elsewhere.example/"}))

    with pytest.raises(BadRequestError) as caught:
        bench.launch()

    assert caught.value.resolution == "check the endpoint: it sends us elsewhere"


def test_an_answer_that_does_not_end_is_given_up(bench: Bench) -> None:
    def drip(request: httpx2.Request) -> httpx2.Response:
        def chunks() -> Iterator[bytes]:
            while True:
                bench.time.now_s += 10.0
                yield b" "

        return httpx2.Response(200, content=chunks())

    bench.cloud.on("POST", LAUNCH, drip)

    with pytest.raises(CloudUnavailableError, match="ReadTimeout"):
        bench.launch()


def test_a_huge_answer_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.cloud_api.wire.MAX_BYTES", 1000)
    bench.cloud.on("POST", LAUNCH, text("x" * 1001))

    with pytest.raises(CloudUnavailableError, match="ReadError"):
        bench.launch()


def test_the_key_is_nowhere_to_be_seen(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = {"error": {"code": "global/invalid-api-key", "message": f"no such key: {bench.key}"}}
    bench.cloud.on("GET", "/v1/things", answer(echo, 401))

    with pytest.raises(AccountError) as caught:
        bench.get()

    shown = [caught.value.message, caught.value.details, caught.value.resolution, repr(caught.value), repr(bench.api)]
    assert bench.key not in " ".join(str(part) for part in shown) + caplog.text
    assert "no such key: ***" in caught.value.message


def test_a_key_with_strange_characters_is_refused_without_being_shown() -> None:
    with pytest.raises(AccountError) as caught:
        Bench(key="abc\nX-Evil: yes")

    assert caught.value.message == "lambda: the API key is empty or has characters that no key has (15 characters)"


@pytest.mark.parametrize("endpoint", ["http://cloud.example/v1", "cloud.example", "ftp://cloud.example", "https://"])
def test_the_key_does_not_travel_unencrypted(endpoint: str) -> None:
    with pytest.raises(UsageError, match="is no https:// address"):
        Api(
            "lambda",
            endpoint,
            "some-key",
            refusal=lambda_refusal,
            pace=Pace(RealWorld(), 0.0),
            timer=Timer(RealWorld()),
        )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080/v1", "http://localhost:1", "http://[::1]:80"])
def test_an_emulator_on_this_machine_needs_no_encryption(endpoint: str) -> None:
    Api(
        "lambda", endpoint, "some-key", refusal=lambda_refusal, pace=Pace(RealWorld(), 0.0), timer=Timer(RealWorld())
    ).close()


def test_the_emulator_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    fake = FakeTime()
    api = Api(
        "lambda", "http://127.0.0.1:1", "a-key", refusal=lambda_refusal, pace=Pace(RealWorld(), 0.0), timer=fake.timer
    )

    assert isinstance(api._wire, HttpWire)
    assert not any(pool for pool in api._wire._client._mounts.values())
    api.close()


class _Peer:
    """A server on this machine that answers each connection once, in words that are given to it, and may keep it."""

    def __init__(self, *replies: bytes, keeps: bool = False) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(30.0)
        self._replies, self._keeps, self.connections = replies, keeps, 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.ExitStack() as open_ones:
            for reply in self._replies:
                try:
                    connection, _ = self._socket.accept()
                except TimeoutError:
                    return
                self.connections += 1
                connection.recv(65536)
                connection.sendall(reply)
                if self._keeps:
                    open_ones.enter_context(connection)
                else:
                    connection.close()

    def close(self) -> None:
        self._thread.join(timeout=240)
        self._socket.close()


def _over_the_wire(peer: _Peer) -> Api:
    return Api(
        "lambda", peer.endpoint, new_key(), refusal=lambda_refusal, pace=Pace(RealWorld(), 0.0), timer=FakeTime().timer
    )


def test_no_connection_is_used_twice() -> None:
    peer = _Peer(*[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"] * 2, keeps=True)
    api = _over_the_wire(peer)

    for _ in range(2):
        api.ask("POST", "/launch", doing="launch it", repeatable=False, body={})

    api.close()
    peer.close()
    assert peer.connections == 2


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"nonsense\r\n\r\n"])
def test_a_launch_whose_answer_is_cut_off_is_unknown_over_the_wire_too(reply: bytes) -> None:
    peer = _Peer(reply)
    api = _over_the_wire(peer)

    with pytest.raises(CloudUnavailableError):
        api.ask("POST", "/launch", doing="launch it", repeatable=False, body={})

    api.close()
    peer.close()


def _account(key: str, endpoint: str = "https://cloud.example/v1") -> Api:
    return Api("lambda", endpoint, key, refusal=lambda_refusal, pace=Pace(RealWorld(), 0.0), timer=FakeTime().timer)


def test_a_fingerprint_distinguishes_keys_and_addresses_and_holds_neither() -> None:
    one = _account("a-long-secret").fingerprint("salt")

    assert one == _account("a-long-secret").fingerprint("salt")
    assert one != _account("another-secret").fingerprint("salt")
    assert one != _account("a-long-secret", "https://other.example/v1").fingerprint("salt")
    assert one != _account("a-long-secret").fingerprint("pepper")
    assert "secret" not in one


PAGE = "<!DOCTYPE html><html><title>Sign in to this network</title></html>"


@pytest.mark.parametrize("status", [200, 302, 403, 511])
def test_a_web_page_in_place_of_the_api_is_waited_out(bench: Bench, status: int) -> None:
    bench.cloud.on("GET", "/v1/things", text(PAGE, status), text(PAGE, status), answer({"data": []}))

    assert bench.get().body == b'{"data":[]}'
    assert bench.time.sleeps_s == list(LOST_SLEEPS_S[:2])


def test_a_web_page_that_stays_is_named_as_such(bench: Bench) -> None:
    bench.cloud.on("GET", "/v1/things", *[text(PAGE) for _ in range(5)])

    with pytest.raises(CloudUnavailableError, match="cannot list things: the answer is a web page, not the API"):
        bench.get()


def test_a_launch_that_a_web_page_answers_may_have_happened_and_is_not_repeated(bench: Bench) -> None:
    bench.cloud.on("POST", LAUNCH, text(PAGE))

    with pytest.raises(CloudUnavailableError, match="web page"):
        bench.launch()

    assert len(bench.cloud.asked) == 1
