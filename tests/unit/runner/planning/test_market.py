"""What a cloud says before anything is rented, and the price list where it does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from runner.cloud_api.models import Listing, Offer, TrustWanted
from runner.clouds.registry import CLOUDS, endpoint_of
from runner.errors import AccountError, CloudUnavailableError, NoCapacityError, UnreadableAnswerError
from runner.planning import market
from runner.planning.candidates import Wanted, choose_offers
from runner.planning.market import MarketCall, ask, ask_or_look_up, is_reachable
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing

OFFER = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)
KEY = {"LAMBDA_API_KEY": "secret-key-0123456789"}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """A cloud that answers."""
    found = FakeCloud([thing()])
    monkeypatch.setattr(found, "offers", lambda trust: [OFFER])
    monkeypatch.setattr(market, "open_cloud", lambda name, environ: found)
    monkeypatch.setattr(market, "is_reachable", lambda url, environ: True)
    return found


@pytest.fixture
def server() -> Iterator[str]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_cloud_that_answers_is_believed(cloud: FakeCloud) -> None:
    found = ask_or_look_up("lambda", RealWorld(KEY))

    assert found == ask(cloud)
    assert (found.offers, found.remark, len(found.listing.resources)) == ([OFFER], None, 1)
    assert found.account is not None


def test_a_cloud_is_asked_for_the_machines_that_will_do(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(cloud, "offers", lambda trust: asked.append(trust) or [OFFER])

    MarketCall("lambda", RealWorld(KEY), is_dry=False).get()
    MarketCall("lambda", RealWorld(KEY), is_dry=False, trust="any").get()
    MarketCall("lambda", RealWorld(KEY), is_dry=True, trust="any").get()

    assert asked == ["secure", "any", "any"]


@pytest.mark.parametrize(("trust", "whose"), [("secure", {"secure"}), ("any", {"secure", "community"})])
def test_the_price_list_has_strangers_machines_where_they_will_do(trust: TrustWanted, whose: set[str]) -> None:
    assert {offer.trust for offer in ask_or_look_up("runpod", RealWorld({}), trust).offers} == whose


def test_what_the_price_list_has_everywhere_is_in_the_wanted_regions_too() -> None:
    found = ask_or_look_up("lambda", RealWorld({}), regions=["us-west-1", "us-east-1"]).offers

    assert {offer.region for offer in found} == {"us-west-1", "us-east-1"}
    assert choose_offers(found, Wanted(regions=("us-west-1",)))
    assert {offer.region for offer in ask_or_look_up("lambda", RealWorld({})).offers} == {"any"}


def test_without_a_key_the_price_list_is_taken() -> None:
    found = ask_or_look_up("lambda", RealWorld({}))

    assert found.offers
    assert all(offer.available is None for offer in found.offers)
    assert found.account is None
    assert "prices are those of the list of 2026-" in str(found.remark)


def test_without_a_network_the_price_list_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/api/v1"

    found = ask_or_look_up("lambda", RealWorld(KEY | {"DOUSE_LAMBDA_ENDPOINT": address}))

    assert str(found.remark).startswith("lambda cannot be reached; prices are those of the list")


def test_a_cloud_that_does_not_answer_in_time_is_left_alone(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(cloud, "offers", lambda trust: [OFFER] if never.wait(20) else [])

    found = ask_or_look_up("lambda", RealWorld(KEY), patience_s=0.05)
    never.set()

    assert str(found.remark).startswith("lambda did not answer within 0.05 s")
    assert found.offers


def test_a_cloud_whose_answer_is_lost_is_looked_up(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(trust: str) -> list[Offer]:
        raise CloudUnavailableError("lambda: cannot list: no answer", resolution="-")

    monkeypatch.setattr(cloud, "offers", lose)

    assert str(ask_or_look_up("lambda", RealWorld(KEY)).remark).startswith("lambda: cannot list: no answer; prices are")


def test_a_wrong_key_is_no_matter_of_the_network(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(trust: str) -> list[Offer]:
        raise AccountError("lambda: the key is not valid", resolution="-")

    monkeypatch.setattr(cloud, "offers", refuse)

    with pytest.raises(AccountError):
        ask_or_look_up("lambda", RealWorld(KEY))


def test_without_a_price_list_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "listed_offers", lambda name: [])

    with pytest.raises(NoCapacityError, match="there is no price list"):
        ask_or_look_up("lambda", RealWorld({}))


@pytest.mark.parametrize("url", ["http://[bad", "http://127.0.0.1:99999"])
def test_what_is_no_address_is_not_reachable(url: str) -> None:
    assert not is_reachable(url, RealWorld({"HTTPS_PROXY": "http://proxy:3128"}))


def test_a_server_that_takes_a_connection_is_reachable(server: str) -> None:
    assert is_reachable(server, RealWorld({}))


@pytest.mark.parametrize("name", market.PROXIES)
def test_what_is_behind_a_proxy_is_taken_to_be_reachable(name: str) -> None:
    assert is_reachable("http://127.0.0.1:1", RealWorld({name: "http://proxy:3128"}))
    assert not is_reachable("http://127.0.0.1:1", RealWorld({}))


@pytest.mark.parametrize(
    ("name", "environ", "address"),
    [
        ("lambda", {}, "https://cloud.lambda.ai/api/v1"),
        ("lambda", {"DOUSE_LAMBDA_ENDPOINT": "http://here"}, "http://here"),
        ("runpod", {"DOUSE_RUNPOD_ENDPOINT": "http://here"}, "http://here"),
        ("aws", {}, "https://sts.us-east-1.amazonaws.com"),
        ("aws", {"AWS_REGION": "eu-west-1"}, "https://sts.eu-west-1.amazonaws.com"),
        ("aws", {"AWS_ENDPOINT_URL": "http://here"}, "http://here"),
    ],
)
def test_each_cloud_has_an_address(name: str, environ: dict[str, Any], address: str) -> None:
    assert name in CLOUDS
    assert endpoint_of(name, environ) == address


def test_who_asks_again_gets_the_same_answer(cloud: FakeCloud) -> None:
    call = MarketCall("lambda", RealWorld(KEY), is_dry=False)

    assert call.get() is call.get()
    assert (call.account().cloud, call.listing()) == ("lambda", Listing([thing()]))
    assert cloud.looks == 1


def test_nothing_is_rented_in_an_account_that_does_not_say(cloud: FakeCloud) -> None:
    cloud.listing_troubles = [UnreadableAnswerError("lambda: no list", resolution="look")]
    call = MarketCall("lambda", RealWorld(KEY), is_dry=False)

    for ask_it in (call.get, call.account, call.listing):
        with pytest.raises(UnreadableAnswerError):
            ask_it()


def test_a_price_list_shows_no_account() -> None:
    call = MarketCall("lambda", RealWorld({}), is_dry=True)

    assert call.get().offers
    with pytest.raises(CloudUnavailableError, match="there is no API key"):
        call.listing()
