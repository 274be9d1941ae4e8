"""Looks at a cloud: what changes between two of them is in the journal, with the moments that bound it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.cloud_api.models import Listing
from runner.errors import CloudUnavailableError
from runner.run.journal import Journal
from runner.run.rentals import Rental, rentals_in
from runner.run.run_dir import RunDir
from runner.safety.looks import Looks
from runner.safety.patience import Patience
from runner.safety.terminate import terminate_run
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing

BEGUN = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
LOST = CloudUnavailableError("lambda: no answer", resolution="wait")


@pytest.fixture
def run() -> RunDir:
    world = VirtualWorld(now=BEGUN)
    made = RunDir(Path("/runs") / RUN_ID, world)
    world.disk.make_folder(made.path)
    Journal(made).intent("provision", environment="lambda", candidates=[{"max_price_usd_per_h": 2.0}])
    return made


def rentals(run: RunDir) -> list[Rental]:
    return rentals_in(Journal(run).entries())


def lines(run: RunDir) -> int:
    return len(Journal(run).entries())


def after(seconds: float) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


def test_a_machine_is_bounded_by_the_looks_around_its_beginning_and_its_end(run: RunDir) -> None:
    cloud = FakeCloud(appears_at_look={2: thing()})
    looks = Looks(run, cloud)
    looks.look()
    run.world.sleep(4)
    looks.look()
    run.world.sleep(100)
    looks.look()
    cloud.there.clear()
    run.world.sleep(5)
    looks.look()

    (found,) = rentals(run)

    assert (found.machine_id, found.price_usd_per_h) == ("i-1", 1.0)
    assert (found.asked_at, found.there_at, found.seen_at, found.gone_at) == (BEGUN, after(4), after(104), after(109))


def set_back(run: RunDir, seconds: float) -> None:
    assert isinstance(run.world, VirtualWorld)
    run.world.computer.clock_off_s -= seconds


def test_a_clock_that_is_set_back_while_a_look_goes_on_makes_no_hours(run: RunDir) -> None:
    class Slow(FakeCloud):
        def listing(self) -> Listing:
            run.world.sleep(3)
            set_back(run, 7200)
            return super().listing()

    Looks(run, Slow([thing()])).look()

    (found,) = rentals(run)
    assert (found.there_at, found.seen_at) == (after(3 - 7200), after(-7200))
    assert found.low_usd() == 0.0


def test_a_machine_is_missed_also_once_the_clock_was_set_back(run: RunDir) -> None:
    cloud = FakeCloud([thing()])
    looks = Looks(run, cloud)
    looks.look()
    run.world.sleep(60)
    looks.look()
    set_back(run, 30)
    cloud.there.clear()
    run.world.sleep(5)

    looks.look()

    (found,) = rentals(run)
    assert (found.seen_at, found.gone_at) == (after(30), after(35))


def test_a_look_that_shows_nothing_new_writes_nothing(run: RunDir) -> None:
    looks = Looks(run, FakeCloud([thing(), thing("key", "k"), thing(resource_id="i-9", run_id="20261121-015501-x")]))
    looks.look()
    before = lines(run)

    looks.look()

    assert lines(run) == before == 2


def test_the_looks_of_a_termination_bound_the_end_to_their_pause(run: RunDir) -> None:
    cloud = FakeCloud([thing()], ends_slowly=2)
    run.world.sleep(60)

    terminate_run(cloud, RUN_ID, outcome_unknown=False, wait=run.world.sleep, look=Looks(run, cloud).look)

    (found,) = rentals(run)
    assert found.gone_at is not None
    assert found.seen_at == found.gone_at - timedelta(seconds=Patience().pause_s)


def test_a_look_of_which_a_part_is_unread_misses_nothing(run: RunDir) -> None:
    cloud = FakeCloud([thing()])
    looks = Looks(run, cloud)
    looks.look()
    cloud.there.clear()
    cloud.unread.append(LOST)

    looks.look()

    assert rentals(run)[0].gone_at is None


def test_the_next_process_goes_on_from_the_journal(run: RunDir) -> None:
    cloud = FakeCloud([thing()])
    Looks(run, cloud).look()
    cloud.there.clear()
    run.world.sleep(3600)

    Looks(run, cloud).look()

    (found,) = rentals(run)
    assert (found.seen_at, found.gone_at) == (after(0), after(3600))


def test_a_machine_that_a_listing_missed_for_a_moment_bills_on(run: RunDir) -> None:
    cloud = FakeCloud([thing()])
    looks = Looks(run, cloud)
    looks.look()
    cloud.there.clear()
    looks.look()
    cloud.there.append(thing())
    looks.look()

    (found,) = rentals(run)
    assert (found.asked_at, found.gone_at) == (BEGUN, None)


def test_a_machine_that_no_look_has_shown_yet_is_missed_by_none(run: RunDir) -> None:
    Journal(run).answer("provision", instance_id="i-1", price_usd_per_h=1.0)

    Looks(run, FakeCloud()).look()

    assert rentals(run)[0].gone_at is None


def test_a_stopped_machine_was_last_seen_running_before(run: RunDir) -> None:
    cloud = FakeCloud([thing()])
    looks = Looks(run, cloud)
    looks.look()
    run.world.sleep(10)
    cloud.there = [replace(thing(), status="stopped", price_usd_per_h=0.0)]
    looks.look()
    run.world.sleep(10)
    cloud.there.clear()
    looks.look()

    (found,) = rentals(run)
    assert (found.price_usd_per_h, found.seen_at, found.gone_at) == (1.0, after(0), after(20))


def test_a_stopped_machine_that_ends_at_last_was_last_seen_running_before(run: RunDir) -> None:
    cloud = FakeCloud([thing()])
    Looks(run, cloud).look()
    run.world.sleep(10)
    cloud.there = [replace(thing(), status="stopped", price_usd_per_h=0.0)]
    Looks(run, cloud).look()
    later = Looks(run, cloud)  # another process, which has not seen it run
    cloud.there = [replace(thing(), status="ending")]
    for _ in range(2):
        run.world.sleep(10)
        later.look()
    cloud.there.clear()
    later.look()

    assert rentals(run)[0].seen_at == after(0)


def test_a_disk_that_takes_no_line_keeps_nobody_from_looking(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **facts: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "answer", full)

    assert Looks(run, FakeCloud([thing()])).look().resources == [thing()]


def test_a_damaged_journal_keeps_nobody_from_looking(run: RunDir) -> None:
    odd = b'{"time": "2026-11-21T01:55:00+00:00", "kind": "answer", "action": "look", "machines": [7]}\n'
    run.file("journal.jsonl").append(odd)

    assert Looks(run, FakeCloud([thing()])).look().resources == [thing()]


def test_a_look_that_hung_says_nothing_of_what_is_known_by_then(run: RunDir) -> None:
    class Hangs(FakeCloud):
        def listing(self) -> Listing:
            found = super().listing()
            if self.looks == 2:  # while it hangs the machine goes, and others see that
                self.there.clear()
                run.world.sleep(60)
                looks.look()
            return found

    looks = Looks(run, Hangs([thing()]))
    looks.look()
    run.world.sleep(10)

    looks.look()

    assert rentals(run)[0].gone_at == after(70)
    assert not looks.shows_machine


def test_a_look_with_another_account_ends_no_machine_of_the_run(run: RunDir) -> None:
    Journal(run).intent("provision", environment="lambda", account="of another key", salt="0")
    cloud = FakeCloud(appears_at_look={1: thing()})
    looks = Looks(run, cloud)
    looks.look()
    cloud.there.clear()
    run.world.sleep(100)
    looks.look()

    assert [one.gone_at for one in rentals(run) if one.machine_id == "i-1"] == [None]
    assert looks.shows_machine
