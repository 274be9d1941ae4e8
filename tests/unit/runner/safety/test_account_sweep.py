"""The sweep: what is there is ended and looked after until it is gone; what cannot be read is never nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.errors import (
    CloudUnavailableError,
    NotFoundError,
    TeardownError,
    UnreadableAnswerError,
    UsageError,
)
from runner.run.run_dir import RunDir, create_run, write_json
from runner.run.state import RunState, locked
from runner.safety import account_sweep as sweeping
from runner.safety.sweep import LISTING_LAG_S, PAUSE_S, end_run, of_run
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
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

    assert of_run(FakeCloud([mine, other]), RUN_ID) == [mine]


def test_everything_of_the_run_is_ended_machines_first() -> None:
    cloud = FakeCloud([thing("key", "k"), thing("volume", "v"), thing(), thing(resource_id="i-2", run_id=None)])

    swept = end_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert cloud.asked_to_end == ["i-1", "v", "k"]
    assert ([found.id for found in swept.ended], swept.left) == (["i-1", "v", "k"], [])
    assert [found.id for found in cloud.there] == ["i-2"]


def test_a_second_sweep_finds_nothing_and_asks_for_nothing() -> None:
    cloud = FakeCloud([thing()])
    end_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    swept = end_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert (swept.ended, swept.left, cloud.asked_to_end) == ([], [], ["i-1"])


def test_a_machine_that_takes_its_time_is_asked_once_and_looked_after() -> None:
    cloud, clock = FakeCloud([thing()], ends_slowly=3), Clock()

    swept = end_run(cloud, RUN_ID, outcome_unknown=False, wait=clock)

    assert (cloud.asked_to_end, swept.left, clock.waited_s) == (["i-1"], [], 4 * PAUSE_S)


def test_a_machine_that_does_not_go_is_reported() -> None:
    cloud = FakeCloud([thing()], ends_slowly=1000)

    swept = end_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock(), patience_s=60.0)

    assert [found.id for found in swept.left] == ["i-1"]


def test_an_unanswered_create_is_looked_for_longer_than_the_listing_lags() -> None:
    cloud, clock = FakeCloud(appears_at_look={5: thing()}), Clock()

    swept = end_run(cloud, RUN_ID, outcome_unknown=True, wait=clock)

    assert [found.id for found in swept.ended] == ["i-1"]
    assert clock.waited_s >= LISTING_LAG_S


def test_an_answered_create_costs_no_wait() -> None:
    clock = Clock()

    end_run(FakeCloud(), RUN_ID, outcome_unknown=False, wait=clock)

    assert clock.waited_s == 0.0


@pytest.mark.parametrize("times", [1, 3])
def test_a_cloud_in_trouble_is_asked_again(times: int) -> None:
    cloud = FakeCloud([thing()], listing_troubles=[TROUBLE] * times, end_troubles=[TROUBLE])

    swept = end_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock())

    assert (swept.left, cloud.asked_to_end) == ([], ["i-1", "i-1"])


def test_trouble_without_end_is_an_error_and_never_nothing_left() -> None:
    with pytest.raises(CloudUnavailableError):
        end_run(FakeCloud(listing_troubles=[TROUBLE] * 100), RUN_ID, outcome_unknown=False, wait=Clock(), patience_s=60)


def test_an_answer_that_cannot_be_read_is_reported_at_once() -> None:
    clock = Clock()

    with pytest.raises(UnreadableAnswerError):
        end_run(FakeCloud(listing_troubles=[UNREADABLE]), RUN_ID, outcome_unknown=False, wait=clock)

    assert clock.waited_s == 0.0


def test_a_thing_that_went_by_itself_is_fine() -> None:
    cloud = FakeCloud([thing()], end_troubles=[NotFoundError("gone", resolution="-")])
    cloud._ending["i-1"] = 1

    assert end_run(cloud, RUN_ID, outcome_unknown=False, wait=Clock()).left == []


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    created = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 21, 1, 55, tzinfo=UTC), RealWorld())
    write_json(created.config, {"budget": {"lease_minutes": 15.0}})
    return created


def said(run: RunDir, word: str, minutes_ago: float) -> None:
    write_json(run.file("lease.json"), {"word": word, "said_at": (NOW - timedelta(minutes=minutes_ago)).isoformat()})


def judged(run: RunDir, **facts: object) -> sweeping.Finding:
    return sweeping.judge(thing(**facts), {run.run_id: run}, NOW)  # type: ignore[arg-type]


def test_what_is_past_its_end_is_abandoned_whoever_drives_it(run: RunDir) -> None:
    with locked(run):
        assert judged(run, expires_at=NOW - timedelta(seconds=1)).abandoned
        assert not judged(run, expires_at=NOW + timedelta(seconds=1)).abandoned


def test_a_run_of_another_machine_stays(run: RunDir) -> None:
    finding = judged(run, run_id="20261121-015501-other")

    assert (finding.abandoned, finding.reason) == (False, "run 20261121-015501-other is not in this runs folder")


@pytest.mark.parametrize(
    ("word", "minutes_ago", "abandoned"),
    [("renew", 16.0, True), ("renew", 14.0, False), ("hold", 16.0, False)],
)
def test_without_a_runner_the_lease_decides(run: RunDir, word: str, minutes_ago: float, abandoned: bool) -> None:
    said(run, word, minutes_ago)

    assert judged(run).abandoned is abandoned


def test_what_a_finished_run_left_is_abandoned(run: RunDir) -> None:
    state = RunState(run)
    state.begin("destroy")
    state.end("destroy", "done", 1.0)

    assert judged(run).reason == f"run {RUN_ID} is down, and this is left"
    assert judged(run).abandoned


def test_a_cloud_that_does_not_say_is_named_and_the_others_are_looked_at(tmp_path: Path) -> None:
    silent = FakeCloud(name="runpod", listing_troubles=[UNREADABLE])

    found = sweeping.survey([silent, FakeCloud([thing()])], [], NOW)

    assert (dict(found.unread), len(found.findings)) == ({"runpod": "lambda: no list"}, 1)


def test_without_a_configured_cloud_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cloud is configured"):
        sweeping.survey([], [], NOW)


def test_the_sweep_ends_what_has_to_go_and_nothing_else() -> None:
    doomed, other = thing(), thing(resource_id="i-2")
    cloud = FakeCloud([doomed, other])

    ended = sweeping.end([cloud], [sweeping.Finding(doomed, "", True)], Clock())

    assert ([found.id for found in ended], cloud.there) == (["i-1"], [other])


def test_a_sweep_that_cannot_look_is_exit_three() -> None:
    with pytest.raises(TeardownError, match="cannot check what is left on lambda") as caught:
        sweeping.end(
            [FakeCloud([thing()], listing_troubles=[UNREADABLE])], [sweeping.Finding(thing(), "", True)], Clock()
        )

    assert caught.value.exit_code == 3
