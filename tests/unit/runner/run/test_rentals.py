"""What a journal says of the machines of a run: each one between its request and the look that missed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.run.rentals import Rental, rentals_in

BEGUN = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
LATER = BEGUN + timedelta(hours=10)
CANDIDATES = [
    {"instance_type": "a10", "max_price_usd_per_h": 0.75},
    {"instance_type": "a100", "max_price_usd_per_h": 2},
]


def at(second: float) -> datetime:
    return BEGUN + timedelta(seconds=second)


def line(second: float, kind: str, action: str, **facts: Any) -> dict[str, Any]:
    return {"time": at(second).isoformat(), "kind": kind, "action": action, **facts}


def asked(second: float = 0, cloud: str = "lambda") -> dict[str, Any]:
    return line(second, "intent", "provision", environment=cloud, candidates=CANDIDATES)


def handed(second: float, machine_id: str = "i-1", price: float = 3.6) -> dict[str, Any]:
    return line(second, "answer", "provision", instance_id=machine_id, price_usd_per_h=price)


def shown(second: float, *ids: str, cloud: str = "lambda", price: float | None = 3.6, **more: Any) -> dict[str, Any]:
    """Return a look that began a second before it was written down."""
    machines = [{"id": one, "status": "running", "price_usd_per_h": price, **more} for one in ids]
    return line(second, "answer", "look", cloud=cloud, began=at(second - 1).isoformat(), machines=machines)


def missed(second: float, machine_id: str = "i-1", *, seen: float | None) -> dict[str, Any]:
    gone = {"id": machine_id, "seen_at": None if seen is None else at(seen).isoformat()}
    return line(second, "answer", "look", cloud="lambda", began=at(second - 1).isoformat(), gone=[gone])


def destroyed(second: float, left: list[str] | None = None) -> dict[str, Any]:
    return line(second, "answer", "destroy", left=left or [])


def only(*lines: dict[str, Any]) -> Rental:
    (rental,) = rentals_in(lines)
    return rental


def test_a_machine_bills_from_its_request_at_most_and_from_the_look_that_shows_it_at_least() -> None:
    found = only(asked(), shown(10, "i-1"), handed(200), missed(1005, seen=1000), destroyed(1050))

    assert (found.asked_at, found.there_at, found.seen_at, found.gone_at) == (at(0), at(10), at(1000), at(1005))
    assert found.low_usd() == pytest.approx(0.99)
    assert found.high_usd(LATER) == pytest.approx(1.005)


def test_terraform_asks_for_nothing_before_it_begins() -> None:
    began = line(6, "intent", "create", began=at(5).isoformat())

    assert only(asked(), began, shown(10, "i-1")).asked_at == at(5)
    assert only(asked(), line(6, "intent", "create", began="no time"), handed(9)).asked_at == at(6)
    assert only(asked(), shown(4, "i-1"), began).asked_at == at(0)  # a look knows better


def test_a_machine_that_is_up_bills_until_now_at_most() -> None:
    found = only(asked(), handed(200))

    assert (found.low_usd(), found.high_usd(at(1000))) == (0.0, pytest.approx(1.0))


def test_a_request_that_nobody_answered_may_have_cost_what_the_dearest_candidate_may() -> None:
    found = only(asked(), destroyed(3600))

    assert found.is_request
    assert (found.price_usd_per_h, found.low_usd(), found.high_usd(LATER)) == (None, 0.0, 2.0)


def test_a_request_without_candidates_has_no_bound() -> None:
    assert only(line(0, "intent", "provision", environment="aws")).high_usd(LATER) is None


def test_a_definite_no_is_no_machine() -> None:
    assert rentals_in([asked(), line(9, "answer", "provision", failed="no capacity")]) == []


def test_a_machine_that_was_shown_stays_in_the_account_whatever_terraform_says() -> None:
    found = rentals_in([asked(), shown(5, "i-1"), line(9, "answer", "provision", failed="reclaimed"), asked(20)])

    assert [one.machine_id for one in found] == ["i-1", None]


def test_a_machine_that_shows_after_a_no_bills_from_that_request() -> None:
    found = only(asked(), line(9, "answer", "provision", failed="already there"), shown(30, "i-1"), destroyed(3600))

    assert (found.machine_id, found.asked_at, found.gone_at) == ("i-1", at(0), at(3600))


def test_the_machine_after_one_that_was_gone_at_birth_is_none_of_its_requests() -> None:
    gone = line(40, "answer", "reclaimed", why="the machine was shut down while it booted")

    unseen = rentals_in([asked(), gone, asked(60), shown(70, "i-2"), destroyed(100)])
    seen = rentals_in([asked(), shown(9, "i-1"), gone, asked(60), shown(70, "i-2"), destroyed(100)])

    assert [(one.machine_id, one.asked_at, one.gone_at) for one in unseen] == [
        (None, at(0), at(40)),
        ("i-2", at(60), at(100)),
    ]
    assert [(one.machine_id, one.gone_at) for one in seen] == [("i-1", at(40)), ("i-2", at(100))]
    assert rentals_in([gone]) == []


def test_each_try_has_its_own_machine() -> None:
    found = rentals_in([asked(), handed(100), destroyed(200), asked(300), handed(400, "i-2"), destroyed(500)])

    assert [(one.machine_id, one.asked_at, one.gone_at) for one in found] == [
        ("i-1", at(0), at(200)),
        ("i-2", at(300), at(500)),
    ]


def test_a_machine_of_another_cloud_is_counted_there() -> None:
    lines = [asked(), asked(50, "runpod"), shown(60, "pod-1", cloud="runpod"), shown(70, "i-1")]

    assert [(one.cloud, one.machine_id) for one in rentals_in(lines)] == [("lambda", "i-1"), ("runpod", "pod-1")]


def test_two_machines_of_one_request_are_two() -> None:
    found = rentals_in([asked(), shown(10, "i-1", "i-2"), destroyed(3600)])

    assert [(one.machine_id, one.asked_at) for one in found] == [("i-1", at(0)), ("i-2", at(0))]


def test_a_machine_that_was_there_already_is_not_rented_twice() -> None:
    found = rentals_in([asked(), handed(100), asked(200), handed(210)])

    assert [one.asked_at for one in found] == [at(0)]


def created(second: float) -> dict[str, Any]:
    return line(second, "intent", "create", began=at(second - 1).isoformat())


def test_a_machine_that_a_terraform_without_its_runner_has_made_bills_from_the_request_of_that_one() -> None:
    """The runner was killed while Terraform created, the listing lagged, and the next try finds the machine made."""
    first = [asked(), created(3), destroyed(100)]

    found = only(*first, asked(200), handed(210), shown(500, "i-1"), missed(505, seen=502), destroyed(510))

    assert (found.asked_at, found.there_at, found.gone_at, found.machine_id) == (at(2), at(210), at(505), "i-1")
    began_anew = rentals_in([*first, asked(200), created(205), handed(210)])
    assert [(one.machine_id, one.asked_at) for one in began_anew] == [(None, at(2)), ("i-1", at(204))]
    elsewhere = rentals_in([*first, asked(200, "runpod"), handed(210)])
    assert [(one.cloud, one.asked_at) for one in elsewhere] == [("lambda", at(2)), ("runpod", at(200))]


def test_a_machine_that_terraform_knew_before_it_was_asked_is_the_one_of_an_earlier_request() -> None:
    """The runner was killed before it wrote that Terraform began; the next try begins anew with the key alone."""
    first, known = [asked(), destroyed(100)], handed(210) | {"was_there": True}

    found = only(*first, asked(200), created(205), known, shown(500, "i-1"), missed(505, seen=502), destroyed(510))

    assert (found.asked_at, found.there_at, found.gone_at, found.machine_id) == (at(0), at(210), at(505), "i-1")
    begun = rentals_in([asked(), created(3), destroyed(50), asked(60), destroyed(100), asked(200), created(205), known])
    assert [(one.machine_id, one.asked_at) for one in begun] == [(None, at(60)), ("i-1", at(2))]


def test_what_destroy_leaves_goes_on_billing() -> None:
    assert only(asked(), handed(100), destroyed(200, ["instance i-1 on lambda"])).gone_at is None


def test_a_look_that_hung_until_the_machine_was_gone_brings_it_back_in_no_case() -> None:
    hung = shown(300, "i-1") | {"began": at(90).isoformat()}

    assert only(asked(), shown(10, "i-1"), missed(100, seen=90), hung).gone_at == at(100)
    assert only(asked(), shown(10, "i-1"), missed(100, seen=90), shown(300, "i-1")).gone_at is None


def test_a_stopped_machine_that_is_terminated_at_last_has_not_run_meanwhile() -> None:
    stopped = shown(100, "i-1", status="stopped", price=0.0)
    found = only(
        asked(), shown(10, "i-1"), stopped, shown(3000, "i-1", status="ending", price=None), missed(3010, seen=99)
    )

    assert (found.seen_at, found.gone_at) == (at(99), at(3010))
    assert found.low_usd() == pytest.approx(0.089)


def test_a_stopped_machine_bills_its_disk_at_least_and_its_price_at_most() -> None:
    found = only(asked(), shown(10, "i-1"), shown(100, "i-1", status="stopped", price=0.0), missed(3600, seen=None))

    assert (found.price_usd_per_h, found.seen_at, found.gone_at) == (3.6, at(9), at(3600))


def test_the_clouds_own_price_counts_for_more_than_terraforms() -> None:
    assert only(asked(), shown(10, "i-1", price=7.2), handed(100)).price_usd_per_h == 7.2


def test_a_machine_without_a_price_is_worth_its_ceiling_at_most() -> None:
    found = only(asked(), shown(10, "i-1", price=None), missed(1800, seen=1799))

    assert (found.price_usd_per_h, found.low_usd(), found.high_usd(LATER)) == (None, 0.0, 1.0)


def test_lines_of_older_versions_bound_it_by_request_and_destroy() -> None:
    found = only(line(0, "intent", "provision", environment="lambda"), handed(100), destroyed(1000))

    assert (found.low_usd(), found.high_usd(LATER)) == (0.0, pytest.approx(1.0))


def test_a_machine_of_ones_own_is_given_before_it_is_handed_over_too() -> None:
    request = line(0, "intent", "provision", environment="local", candidates=[{"max_price_usd_per_h": 0.0}])

    assert only(request).is_given
    assert only(request, handed(1, "this-machine", price=0.0)).is_given


def test_a_disk_is_billed_beside_its_machine() -> None:
    found = only(asked(), shown(10, "i-1", disk_usd_per_h=0.36), handed(200), missed(1005, seen=1000), destroyed(1050))

    assert (found.low_usd(), found.high_usd(LATER)) == (pytest.approx(1.089), pytest.approx(1.1055))
    assert found.limit_usd_per_h == pytest.approx(3.96)


def test_a_disk_of_unknown_price_leaves_no_upper_end_and_is_left_out_of_the_lower() -> None:
    found = only(asked(), shown(10, "i-1", disk_usd_per_h=None), handed(200), missed(1005, seen=1000), destroyed(1050))

    assert (found.low_usd(), found.high_usd(LATER)) == (pytest.approx(0.99), None)
    assert found.known_usd(LATER) == pytest.approx(1.005)


@pytest.mark.parametrize("prices", [(None, 0.36), (0.36, None)], ids=["known later", "known before"])
def test_one_look_that_knows_the_price_of_a_disk_is_enough(prices: tuple[float | None, ...]) -> None:
    first, second = prices

    found = only(asked(), shown(10, "i-1", disk_usd_per_h=first), shown(20, "i-1", disk_usd_per_h=second))

    assert found.disk_usd_per_h == 0.36


def test_a_journal_of_before_counts_the_machine_alone() -> None:
    found = only(asked(), shown(10, "i-1"), handed(200), missed(1005, seen=1000), destroyed(1050))

    assert (found.disk_usd_per_h, found.high_usd(LATER)) == (0.0, pytest.approx(1.005))


@pytest.mark.parametrize("number", [10**400, float("inf"), float("nan"), -1.0])
def test_a_number_that_no_machine_has_is_as_good_as_none(number: float) -> None:
    found = only(asked(), shown(10, "i-1", price=number, disk_usd_per_h=number), handed(20, price=number))

    assert (found.price_usd_per_h, found.disk_usd_per_h) == (None, None)


def counting(second: float, up_s: float, **more: Any) -> dict[str, Any]:
    return shown(second, "i-1") | {"clock": {"boot": "one", "up_s": up_s}} | more


@pytest.mark.parametrize("up_s", [1e300, 1e12, float("inf"), float("nan"), 10**400])
def test_a_count_that_no_computer_has_reached_says_nothing_of_a_clock(up_s: float) -> None:
    found = only(asked(), counting(10, 5.0), counting(20, up_s))

    assert (found.asked_at, found.there_at, found.is_set_back) == (at(0), at(10), False)


def test_no_moment_of_a_look_is_later_than_its_line() -> None:
    """A release before wrote them by a clock that was set back until the line was written."""
    late = shown(20, "i-1") | {"began": at(7200).isoformat()}

    assert only(asked(), late).seen_at == at(20)
    assert only(asked(), shown(10, "i-1"), missed(100, seen=7200)).seen_at == at(100)


def test_moments_that_no_calendar_has_leave_a_machine_without_a_known_end() -> None:
    late = counting(20, 5.0, time="9999-12-31T23:00:00+00:00", began=at(19).isoformat())

    found = only(asked(), counting(10, 5.0), late, counting(30, 5.0, time="9999-12-31T23:59:00+00:00"))

    assert found.machine_id == "i-1"
    assert only(asked(), counting(10, 5.0), counting(20, 9e8, time="0001-01-02T00:00:00+00:00")).is_set_back
