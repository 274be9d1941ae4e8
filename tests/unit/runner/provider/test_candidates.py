"""The candidates' rule where only a made-up market shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from runner.cloud_api.models import Offer
from runner.errors import (
    NONE_NOW,
    NOTHING_RENTED,
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    RateLimitedError,
    RunInterruptedError,
    UnreadableAnswerError,
)
from runner.provider import machine
from runner.provider.candidates import LOOK_FOR_S, CandidateInput, rent
from runner.provider.resource import Ctx, ProblemError
from runner.simulation.world import VirtualWorld

FIRST = CandidateInput("a10", "west", False, 2.0)
LOST = CloudUnavailableError("cloud: no answer", resolution="ask again")


@pytest.mark.parametrize(
    ("expires_at", "ahead_h", "shown"),
    [
        ("2026-11-21T23:00:00Z", 2, "2026-11-22T01:00:00Z"),
        ("2026-11-21T23:00:00Z", -2, "2026-11-21T21:00:00Z"),
        ("2026-11-21T23:00:00Z", 0, "2026-11-21T23:00:00Z"),
        (None, 2, None),
        ("tomorrow", 2, "tomorrow"),
    ],
)
def test_an_end_is_shown_by_the_clouds_clock(expires_at: str | None, ahead_h: int, shown: str | None) -> None:
    found = replace(FIRST, expires_at=expires_at).by_clock(timedelta(hours=ahead_h))

    assert found == replace(FIRST, expires_at=shown)


def offer(price_usd_per_h: float, region: str = "west") -> Offer:
    return Offer("a10", region, False, price_usd_per_h, "A10", 1, 24.0)


@dataclass
class MadeUp:
    """A market that does what it is told."""

    finds: list[Callable[[], list[str]]] = field(default_factory=list)
    listed: list[Offer] = field(default_factory=lambda: [offer(1.0)])
    cloud: str = "cloud"
    bad_request_is_final: bool = True
    launches: int = 0
    looks: int = 0

    def offers(self) -> list[Offer]:
        return self.listed

    def launch(self, candidate: CandidateInput, price_usd_per_h: float) -> str:
        self.launches += 1
        raise LOST

    def find(self) -> list[str]:
        self.looks += 1
        return self.finds.pop(0)() if self.looks > 1 and self.finds else []


def failing(error: Exception) -> Callable[[], list[str]]:
    def fail() -> list[str]:
        raise error

    return fail


def rented(market: MadeUp, world: VirtualWorld | None = None) -> str:
    world = world or VirtualWorld()
    return rent(Ctx(world.event()), market, "box", [FIRST], world).machine_id


def test_a_lost_machine_is_looked_for_through_trouble() -> None:
    trouble = [failing(RateLimitedError("busy", resolution="wait")), failing(LOST), list]

    assert rented(MadeUp([*trouble, lambda: ["m1"]])) == "m1"


def test_a_lost_machine_is_looked_for_with_an_end() -> None:
    market, world = MadeUp(), VirtualWorld()

    with pytest.raises(ProblemError, match="a machine named box may exist and bill"):
        rented(market, world)

    assert world.monotonic_s() == pytest.approx(LOOK_FOR_S)
    assert market.launches == 1


@pytest.mark.parametrize(
    "error", [AccountError("cloud: key", resolution="x"), RunInterruptedError("stopped", resolution="x")]
)
def test_a_look_that_cannot_go_on_says_that_one_may_exist(error: Exception) -> None:
    with pytest.raises(ProblemError, match="may exist and bill") as caught:
        rented(MadeUp([failing(error)]))

    assert str(error) in (caught.value.details or "")


def test_several_machines_of_one_name_are_all_reported() -> None:
    with pytest.raises(ProblemError) as caught:
        rented(MadeUp([lambda: ["m1", "m2"]]))

    assert "several were found: m1, m2" in (caught.value.details or "")


def test_terraform_asked_to_stop_ends_the_look() -> None:
    world, market = VirtualWorld(), MadeUp()
    stop = world.event()
    market.finds = [lambda: stop.set() or []]  # type: ignore[func-returns-value, list-item]

    with pytest.raises(ProblemError) as caught:
        rent(Ctx(stop), market, "box", [FIRST], world)

    assert "interrupted while looking for it" in (caught.value.details or "")


@pytest.mark.parametrize(
    ("errors", "kind", "words"),
    [
        ((AccessDeniedError, AccessDeniedError), AccessDeniedError, "allowed with this key: may not write"),
        ((BadRequestError, BadRequestError), BadRequestError, "accepted: may not write"),
        ((AccessDeniedError, NoCapacityError), NoCapacityError, "available"),
    ],
    ids=["a key that may only read", "a bad request", "a machine that is not for this key, and one that is taken"],
)
def test_what_every_candidate_gets_is_the_fault_of_key_or_request(
    errors: tuple[type[CloudError], ...], kind: type[CloudError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, given = MadeUp(bad_request_is_final=False), iter(errors)

    def refuse(candidate: CandidateInput, price_usd_per_h: float) -> str:
        raise next(given)("cloud: no", resolution="see the key", details="may not write", status=400)

    monkeypatch.setattr(market, "launch", refuse)

    with pytest.raises(kind, match=f"none of 2 candidates is {words}"):
        rent(Ctx(VirtualWorld().event()), market, "box", [FIRST, FIRST], VirtualWorld())


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ([offer(1.0, "east"), offer(1.0, "west")], ["east", "west"]),
        ([replace(offer(1.0, "east"), available=False), offer(1.0, "west")], ["west"]),
        ([offer(1.0, "any"), offer(1.0, "west")], ["any"]),
        ([replace(offer(1.0, "any"), available=False)], ["any"]),
        ([offer(3.0, "east"), offer(1.0, "west")], ["west"]),
    ],
    ids=["each region that has it", "not where there is none", "the cloud chooses", "listed nowhere", "not where dear"],
)
def test_a_machine_that_may_be_anywhere_is_asked_for_where_the_cloud_has_it(
    listed: list[Offer], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    market, regions = MadeUp(listed=listed), list[str]()

    def refuse(candidate: CandidateInput, price_usd_per_h: float) -> str:
        regions.append(candidate.region)
        raise NoCapacityError("cloud: none", resolution="-")

    monkeypatch.setattr(market, "launch", refuse)

    with pytest.raises(NoCapacityError):
        rent(Ctx(VirtualWorld().event()), market, "box", [replace(FIRST, region="any")], VirtualWorld())
    assert regions == asked


def test_the_price_of_the_candidates_own_region_counts() -> None:
    market = MadeUp(listed=[offer(1.0, "east"), offer(3.0, "west")])

    with pytest.raises(Exception, match="none of 1 candidates is available") as caught:
        rented(market)

    assert "costs $3/h, more than $2/h" in str(getattr(caught.value, "details", ""))
    assert market.launches == 0


@pytest.mark.parametrize("kind", [NoCapacityError, AccountError, AccessDeniedError, BadRequestError, RateLimitedError])
def test_a_definite_no_says_that_nothing_was_rented(kind: type[CloudError]) -> None:
    with pytest.raises(kind) as caught, machine._a_no_is_said():
        raise kind("lambda: no", resolution="-", details="all are taken")

    no = NONE_NOW if kind is NoCapacityError else NOTHING_RENTED
    assert caught.value.details == f"all are taken\n{no}"
    assert NOTHING_RENTED in no


@pytest.mark.parametrize("kind", [CloudUnavailableError, UnreadableAnswerError])
def test_a_lost_answer_does_not(kind: type[CloudError]) -> None:
    with pytest.raises(kind) as caught, machine._a_no_is_said():
        raise kind("lambda: 500", resolution="-")

    assert caught.value.details is None
