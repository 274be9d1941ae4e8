"""Termination: what is there is terminated and looked after until it is gone; what cannot be read is never nothing."""

from __future__ import annotations

import pytest

from runner.errors import AccessDeniedError, CloudUnavailableError, NotFoundError, UnreadableAnswerError, UsageError
from runner.safety.patience import Patience, patience_of
from runner.safety.terminate import of_run, terminate_all, terminate_run
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing

TROUBLE = CloudUnavailableError("lambda: 500", resolution="wait")
UNREADABLE = UnreadableAnswerError("lambda: no list", resolution="look")


class Clock:
    """Counts the pauses instead of making them."""

    def __init__(self) -> None:
        self.waited_s = 0.0

    def __call__(self, seconds: float) -> None:
        self.waited_s += seconds


def test_only_what_is_of_the_run_is_shown() -> None:
    mine, other = thing(), thing(resource_id="i-2", run_id="20261121-015501-other")

    assert of_run(FakeCloud([mine, other]), RUN_ID).whole() == [mine]


def test_everything_of_the_run_is_ended_machines_first() -> None:
    cloud = FakeCloud([thing("key", "k"), thing("volume", "v"), thing(), thing(resource_id="i-2", run_id=None)])

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert cloud.asked_to_end == ["i-1", "v", "k"]
    assert ([found.id for found in seen.ended], seen.left) == (["i-1", "v", "k"], [])
    assert [found.id for found in cloud.there] == ["i-2"]


def test_a_schedule_stays_as_long_as_the_machine_that_it_would_terminate() -> None:
    refused = AccessDeniedError("aws: no", resolution="-")
    cloud = FakeCloud([thing("schedule", "s"), thing()], end_troubles=[refused, None])

    terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert cloud.asked_to_end == ["i-1", "i-1", "s"]


def test_a_schedule_whose_machine_is_gone_is_deleted_beside_another_runs_machine() -> None:
    other = thing(resource_id="i-2", run_id="20261121-015501-other", status="ending")
    cloud = FakeCloud([thing("schedule", "s"), other])

    terminate_all(cloud, lambda _: True, wait=Clock(), patience=Patience(longest_s=0.0))

    assert cloud.asked_to_end == ["s"]


def test_a_second_sweep_finds_nothing_and_asks_for_nothing() -> None:
    cloud = FakeCloud([thing()])
    terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert (seen.ended, seen.left, cloud.asked_to_end) == ([], [], ["i-1"])


def test_a_machine_that_takes_its_time_is_asked_once_and_looked_after() -> None:
    cloud, clock = FakeCloud([thing()], ends_slowly=3), Clock()

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=clock)

    assert (cloud.asked_to_end, seen.left, clock.waited_s) == (["i-1"], [], 4 * Patience().pause_s)


def test_a_machine_that_does_not_go_is_reported() -> None:
    cloud = FakeCloud([thing()], ends_slowly=1000)

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock(), patience=Patience(longest_s=60.0))

    assert [found.id for found in seen.left] == ["i-1"]


def test_an_unanswered_create_is_looked_for_longer_than_the_listing_lags() -> None:
    cloud, clock = FakeCloud(appears_at_look={4: thing()}), Clock()

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=True, wait=clock)

    assert [found.id for found in seen.ended] == ["i-1"]
    assert seen.looked_for_s == clock.waited_s >= 120.0


def test_an_unanswered_create_that_never_shows_is_looked_for_four_times() -> None:
    cloud, clock = FakeCloud(), Clock()

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=True, wait=clock)

    assert (cloud.looks, clock.waited_s, seen.looked_for_s, seen.is_proved) == (4, 120.0, 120.0, True)


def test_patience_is_shortened_by_one_number() -> None:
    clock, patience = Clock(), patience_of({"DOUSE_PATIENCE": "0.1"})

    seen = terminate_run(FakeCloud(), RUN_ID, outcome_unknown=True, wait=clock, patience=patience)

    assert seen.looked_for_s == pytest.approx(12.0)
    assert patience.longest_s == pytest.approx(60.0)


@pytest.mark.parametrize("given", ["0", "-1", "2", "nan", "soon"])
def test_a_patience_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=f"DOUSE_PATIENCE is {given}"):
        patience_of({"DOUSE_PATIENCE": given})


def test_what_cannot_be_read_hides_nothing_that_is_ours() -> None:
    cloud = FakeCloud([thing()], unread=[UNREADABLE])

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert ([found.id for found in seen.ended], seen.unread, seen.is_proved) == (["i-1"], [UNREADABLE], False)


def test_a_part_that_is_out_of_reach_for_a_while_is_asked_again() -> None:
    cloud, clock = FakeCloud(unread=[TROUBLE]), Clock()

    with pytest.raises(CloudUnavailableError):
        terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=clock, patience=Patience(longest_s=30.0))

    assert cloud.looks > 3


def test_an_answered_create_costs_no_wait() -> None:
    clock = Clock()

    terminate_run(FakeCloud(), RUN_ID, outcome_unknown=False, wait=clock)

    assert clock.waited_s == 0.0


@pytest.mark.parametrize("times", [1, 3])
def test_a_cloud_in_trouble_is_asked_again(times: int) -> None:
    cloud = FakeCloud([thing()], listing_troubles=[TROUBLE] * times, end_troubles=[TROUBLE])

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert (seen.left, cloud.asked_to_end) == ([], ["i-1", "i-1"])


def test_trouble_without_end_is_an_error_and_never_nothing_left() -> None:
    cloud, brief = FakeCloud(listing_troubles=[TROUBLE] * 100), Patience(longest_s=60.0)

    with pytest.raises(CloudUnavailableError):
        terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock(), patience=brief)


def test_an_answer_that_cannot_be_read_is_reported_at_once() -> None:
    clock = Clock()

    with pytest.raises(UnreadableAnswerError):
        terminate_run(FakeCloud(listing_troubles=[UNREADABLE]), RUN_ID, outcome_unknown=False, wait=clock)

    assert clock.waited_s == 0.0


def test_a_thing_that_went_by_itself_is_fine() -> None:
    cloud = FakeCloud([thing()], end_troubles=[NotFoundError("gone", resolution="-")])
    cloud._ending["i-1"] = 1

    assert terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock()).left == []


def test_what_cannot_be_terminated_is_named_with_the_clouds_reason() -> None:
    refusal = AccessDeniedError("lambda: may not", resolution="-")
    cloud = FakeCloud([thing()], end_troubles=[refusal] * 1000)

    seen = terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=lambda seconds: None)

    assert seen.problems("lambda") == ["lambda still has instance i-1 (lambda: may not)"]
