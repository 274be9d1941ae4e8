"""The spend clock: from the intent to the answer of destroy, by phase."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.run import spend
from runner.run.rentals import Rental, rentals_in
from runner.run.run_dir import RunDir, create_run, write_json
from runner.run.spend import DISK, EARLIER, WAY_HOME_H, by_phase_usd, dollars_left, hours_left, spend_of
from runner.world import Entry, RealWorld

BEGUN = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
HOST = {"price_usd_per_h": 3.6}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    created = create_run(tmp_path, "tiny", BEGUN, RealWorld())
    write_json(created.host, HOST)
    return created


def journal(run: RunDir, *lines: tuple[float, str, str]) -> None:
    entries = [{"time": at(second), "kind": kind, "action": action} for second, kind, action in lines]
    run.file("journal.jsonl").path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def at(second: float) -> str:
    return (BEGUN + timedelta(seconds=second)).isoformat()


def steps(run: RunDir, **times: tuple[float, float | None]) -> None:
    found: dict[str, Any] = {
        name: {"status": "done", "started_at": at(start)} | ({} if end is None else {"ended_at": at(end)})
        for name, (start, end) in times.items()
    }
    write_json(run.file("state.json"), {"format": 1, "steps": found, "outcome": None})


def test_a_run_that_never_rented_costs_nothing(run: RunDir) -> None:
    assert spend_of(run).total_usd == 0.0


def test_the_clock_runs_while_the_machine_is_up(run: RunDir) -> None:
    journal(run, (0, "intent", "provision"), (60, "answer", "provision"))

    spend = spend_of(run, BEGUN + timedelta(hours=1))

    assert (spend.total_usd, spend.billed_s) == (3.6, 3600.0)


def test_the_clock_stops_with_the_answer_of_destroy(run: RunDir) -> None:
    journal(run, (0, "intent", "provision"), (1000, "intent", "destroy"), (1010, "answer", "destroy"))

    assert spend_of(run, BEGUN + timedelta(hours=9)).billed_s == 1010.0


def test_what_is_written_while_a_journal_is_read_is_never_left_out_afterwards(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks at a cloud are written beside whoever asks what the run costs."""
    begun, ended = (0, "intent", "provision"), (1010, "answer", "destroy")
    journal(run, begun)
    read = Entry.read_or_nothing

    def read_before_somebody_writes(self: Entry) -> bytes:
        content = read(self)
        journal(run, begun, ended)
        return content

    with monkeypatch.context() as patch:
        patch.setattr(Entry, "read_or_nothing", read_before_somebody_writes)
        spend_of(run, BEGUN + timedelta(hours=1))

    assert spend_of(run, BEGUN + timedelta(hours=9)).billed_s == 1010.0


def test_a_destroy_of_an_earlier_try_does_not_stop_the_next(run: RunDir) -> None:
    journal(run, (0, "intent", "provision"), (50, "answer", "destroy"), (100, "intent", "provision"))

    spend = spend_of(run, BEGUN + timedelta(seconds=200))

    assert spend.earlier_h * 3600 == pytest.approx(50)
    assert spend.billed_s == 150.0


def test_the_phases_add_up_to_the_whole(run: RunDir) -> None:
    journal(run, (0, "intent", "provision"), (1000, "answer", "destroy"))
    steps(run, plan=(-50, -1), provision=(-1, 100), configure=(110, 200), train=(200, 900), destroy=(950, None))

    phases = by_phase_usd(run, spend_of(run))

    assert phases == {"boot": 0.1, "build": 0.09, "train": 0.7, "upload": 0.0, "teardown": 0.05, "idle": 0.06}
    assert sum(phases.values()) == pytest.approx(spend_of(run).total_usd)


@pytest.mark.parametrize(
    ("max_usd", "hours"),
    [(None, 24.0), (1000.0, 24.0), (7.2, 7.2 / 3.6 - 0.1), (0.01, 0.01)],
)
def test_money_that_does_not_last_shortens_the_training(run: RunDir, max_usd: float | None, hours: float) -> None:
    journal(run, (0, "intent", "provision"), (0, "answer", "destroy"), (0, "intent", "provision"))
    journal(run, (0, "intent", "provision"), (0.001, "answer", "destroy"))

    assert hours_left(run, max_hours=24.0, max_usd=max_usd) == pytest.approx(hours, abs=1e-3)


def rented(run: RunDir, *lines: dict[str, Any]) -> None:
    run.file("journal.jsonl").path.write_text("".join(json.dumps(entry) + "\n" for entry in lines))


def asked(second: float, ceiling: float = 7.2) -> dict[str, Any]:
    candidates = [{"max_price_usd_per_h": ceiling}]
    facts = {"environment": "lambda", "candidates": candidates}
    return {"time": at(second), "kind": "intent", "action": "provision", **facts}


def handed(second: float, machine_id: str) -> dict[str, Any]:
    facts = {"instance_id": machine_id, "price_usd_per_h": 3.6}
    return {"time": at(second), "kind": "answer", "action": "provision", **facts}


def destroyed(second: float) -> dict[str, Any]:
    return {"time": at(second), "kind": "answer", "action": "destroy", "left": []}


TWO_TRIES = (asked(0), handed(100, "i-1"), destroyed(3600), asked(9000), handed(9100, "i-2"))


def test_all_tries_count(run: RunDir) -> None:
    rented(run, *TWO_TRIES)

    spend = spend_of(run, BEGUN + timedelta(seconds=9000 + 1800))

    assert [one.machine_id for one in spend.machines] == ["i-1", "i-2"]
    assert (spend.total_usd, spend.billed_s) == (5.4, 5400.0)
    assert by_phase_usd(run, spend)[EARLIER] == 3.6
    assert sum(by_phase_usd(run, spend).values()) == pytest.approx(5.4)


def test_a_second_try_has_what_the_first_has_left(run: RunDir) -> None:
    rented(run, *TWO_TRIES, destroyed(9001))

    assert hours_left(run, max_hours=3.0, max_usd=None) == pytest.approx(2.0, abs=1e-3)
    assert hours_left(run, max_hours=24.0, max_usd=7.2) == pytest.approx(1.0 - WAY_HOME_H, abs=1e-3)
    assert dollars_left(run, 7.2) == pytest.approx(3.6, abs=2e-3)


def test_what_a_lost_request_may_have_cost_is_kept_back_of_the_money(run: RunDir) -> None:
    rented(run, asked(0), destroyed(1800))
    run.host.unlink()

    spend = spend_of(run)

    assert (spend.range_usd, spend.total_usd, spend.price_usd_per_h) == ([0.0, 3.6], 3.6, None)
    assert spend.unknown == ("lambda was asked for a machine at 2026-11-21 02:00:00 UTC, and has shown none",)
    assert dollars_left(run, 5.0) == pytest.approx(1.4)


def test_a_lost_request_may_have_cost_the_disk_that_was_planned_as_well(run: RunDir) -> None:
    """The dearest of each: which of the candidates the cloud made nobody knows."""
    request = asked(0)
    request["candidates"] = [
        {"max_price_usd_per_h": 7.2, "disk_usd_per_h": 0.18},
        {"max_price_usd_per_h": 3.6, "disk_usd_per_h": 0.36},
        {"max_price_usd_per_h": 3.6, "disk_usd_per_h": None},
    ]
    rented(run, request, destroyed(1800))
    run.host.unlink()

    spend = spend_of(run)

    assert (spend.range_usd, spend.total_usd) == (pytest.approx([0.0, 3.78], abs=2e-6), 3.78)
    assert (by_phase_usd(run, spend)[DISK], spend.lines[0]["disk_usd_per_h"]) == (0.18, 0.36)
    assert dollars_left(run, 5.0) == pytest.approx(1.22)


@pytest.mark.parametrize(("seen", "usd_per_h"), [(0.1, 0.1), (0.0, 0.0), (None, None)])
def test_the_disk_that_a_look_shows_counts_in_place_of_the_planned_one(
    run: RunDir, seen: float | None, usd_per_h: float | None
) -> None:
    request = asked(0)
    request["candidates"][0]["disk_usd_per_h"] = 0.36
    rented(run, request, handed(0, "i-1"), shown(100, "i-1", seen))

    assert spend_of(run).lines[0]["disk_usd_per_h"] == usd_per_h


def test_the_last_word_that_reached_a_machine_says_that_it_was_there(run: RunDir) -> None:
    rented(run, asked(0), handed(100, "i-1"), destroyed(5000))
    write_json(run.file("lease.json"), {"word": "renew", "said_at": at(1100)})

    assert spend_of(run).range_usd[0] == pytest.approx(1.0)


def test_a_word_to_an_earlier_machine_says_nothing_of_this_one(run: RunDir) -> None:
    rented(run, *TWO_TRIES)
    write_json(run.file("lease.json"), {"word": "renew", "said_at": at(3500)})

    assert spend_of(run, BEGUN + timedelta(seconds=9500)).range_usd[0] == 0.0


def test_the_machine_of_an_earlier_try_lends_its_price_to_no_other(run: RunDir) -> None:
    write_json(run.host, {"instance_id": "i-1", "price_usd_per_h": 3.6})
    rented(run, asked(0), handed(100, "i-1"), destroyed(200), asked(300))

    assert spend_of(run, BEGUN + timedelta(seconds=400)).price_usd_per_h is None


def test_a_clock_that_was_set_back_leaves_no_upper_bound(run: RunDir) -> None:
    """Two hours billed; by this computer's clock the machine was gone before it was asked for."""
    rented(run, asked(7200), handed(7300, "i-1"), destroyed(7200))

    spend = spend_of(run, BEGUN + timedelta(seconds=7200))

    reason = "the clock of this computer was set back while machine i-1 may have billed"
    assert (spend.total_usd, spend.range_usd, spend.unknown) == (None, [0.0, None], (reason,))
    assert [(line["cost_range_usd"], line["unknown"]) for line in spend.lines] == [([0.0, None], reason)]


@pytest.mark.parametrize("second", [7299.0, 7300.0])
def test_two_lines_that_were_written_at_once_set_no_clock_back(second: float, run: RunDir) -> None:
    rented(run, asked(7200), handed(7300, "i-1"), destroyed(second))

    assert spend_of(run).unknown == ()


def counted(line: dict[str, Any], up_s: float, boot: str = "b-1") -> dict[str, Any]:
    """Return a line of a computer that has counted so many seconds since its start."""
    return {**line, "clock": {"boot": boot, "up_s": up_s}}


@pytest.mark.parametrize("off_s", [7200, -7200, 30])
def test_a_clock_that_was_set_while_a_machine_billed_moves_its_moments_along(off_s: float, run: RunDir) -> None:
    """An hour and a half billed, whatever the time of day is by then."""
    lines = (asked(10_000), 50.0), (handed(10_100, "i-1"), 150.0), (destroyed(15_400 + off_s), 5450.0)
    rented(run, *(counted(line, up_s) for line, up_s in lines))

    spend = spend_of(run, BEGUN + timedelta(seconds=20_000 + off_s))

    within_s = 0 if abs(off_s) > 60 else off_s
    assert (spend.billed_s, spend.unknown) == (5400.0 + within_s, ())


def test_a_machine_that_is_up_is_counted_by_the_clock_of_now(run: RunDir) -> None:
    shown = {"kind": "answer", "action": "look", "cloud": "lambda", "machines": [{"id": "i-1", "price_usd_per_h": 3.6}]}
    lines = (asked(0), 50.0), (handed(100, "i-1"), 150.0), ({"time": at(9100), **shown}, 1950.0)
    rented(run, *(counted(line, up_s) for line, up_s in lines))

    spend = spend_of(run, BEGUN + timedelta(seconds=9100))

    assert spend.billed_s == 1900.0
    assert spend.range_usd == pytest.approx([1.8, 1.9], abs=2e-6)


def test_a_clock_that_was_set_since_the_last_line_is_known(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine came ten minutes ago by what this computer has counted, and two hours ago by its clock."""
    monkeypatch.setattr(RealWorld, "boot_id", "b-1")
    monkeypatch.setattr(RealWorld, "boottime_s", lambda self: 1000.0)
    monkeypatch.setattr(RealWorld, "now", lambda self: BEGUN + timedelta(seconds=7200))
    rented(run, counted(asked(0), 400.0), counted(handed(0, "i-1"), 400.0))

    assert spend_of(run).billed_s == 600.0


def test_a_journal_is_gone_through_once_and_again_when_there_is_another_line(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def counting(lines: list[dict[str, Any]]) -> list[Rental]:
        taken.append(len(lines))
        return rentals_in(lines)

    monkeypatch.setattr(spend, "rentals_in", counting)
    rented(run, asked(0), handed(101, "i-once"))
    found = [spend_of(run, BEGUN + timedelta(seconds=seconds)).billed_s for seconds in (200, 300)]
    rented(run, asked(0), handed(101, "i-once"), destroyed(3600))

    assert (*found, spend_of(run).billed_s) == (200.0, 300.0, 3600.0)
    assert taken == [2, 3]


@pytest.mark.parametrize(("boot", "up_s"), [("b-2", 5450.0), ("b-1", 20.0), ("", 5450.0)])
def test_what_another_start_has_counted_says_nothing(boot: str, up_s: float, run: RunDir) -> None:
    first = "" if not boot else "b-1"
    rented(run, counted(asked(7200), 50.0, first), counted(handed(7300, "i-1"), 150.0, first),
           counted(destroyed(7100), up_s, boot))  # fmt: skip

    assert spend_of(run).total_usd is None
    assert "was set back" in spend_of(run).unknown[0]


def test_a_clock_that_was_set_back_later_moves_no_machine_that_was_gone(run: RunDir) -> None:
    rented(run, asked(7200), handed(7300, "i-1"), destroyed(9000), asked(0), handed(100, "i-2"), destroyed(3600))

    assert spend_of(run).unknown == ()


def shown(second: float, machine_id: str, disk_usd_per_h: float | None) -> dict[str, Any]:
    machines = [
        {"id": machine_id, "status": "running", "price_usd_per_h": 3.6, "disk_usd_per_h": disk_usd_per_h},
    ]
    facts = {"cloud": "lambda", "began": at(second), "machines": machines}
    return {"time": at(second), "kind": "answer", "action": "look", **facts}


def test_the_disk_counts_in_the_whole_and_against_the_limit_in_dollars(run: RunDir) -> None:
    rented(run, asked(0), shown(60, "i-1", 0.36), handed(100, "i-1"), destroyed(3600))

    spend = spend_of(run)

    assert (spend.total_usd, spend.limit_usd_per_h) == (3.96, pytest.approx(3.96))
    assert by_phase_usd(run, spend)[DISK] == 0.36
    assert sum(by_phase_usd(run, spend).values()) == pytest.approx(3.96)
    assert spend.lines[0]["disk_usd_per_h"] == 0.36
    assert dollars_left(run, 5.0) == pytest.approx(1.04)


def test_a_range_in_whole_millionths_is_never_narrower_than_it_was() -> None:
    assert spend._outwards(1.4e-6, 1.4e-6) == [1e-6, 2e-6]
    assert spend._outwards(0.0, None) == [0.0, None]


def test_a_disk_without_a_sourced_price_is_said_and_the_rest_counts_against_the_limit(run: RunDir) -> None:
    rented(run, asked(0), shown(60, "i-1", None), handed(100, "i-1"), destroyed(3600))

    spend = spend_of(run)

    assert (spend.total_usd, spend.range_usd[1]) == (None, None)
    assert spend.unknown == ("the price of the disk of machine i-1 on lambda has no source",)
    assert dollars_left(run, 5.0) == pytest.approx(1.4)


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"[]",
        b'{"steps": []}',
        b'{"steps": {"train": null}}',
        b'{"steps": {"train": {}}}',
        b'{"steps": {"train": {"started_at": "2026-11-21T02:00:00"}}}',
        b'{"steps": {"train": {"started_at": "2026-11-21T02:00:00+00:00", "ended_at": "soon"}}}',
    ],
)
def test_a_state_that_cannot_be_read_keeps_nobody_from_counting(run: RunDir, state: bytes) -> None:
    journal(run, (0, "intent", "provision"), (60, "answer", "provision"))
    run.file("state.json").write_bytes(state)

    spend = spend_of(run, BEGUN + timedelta(hours=1))

    assert spend.total_usd == 3.6
    assert sum(by_phase_usd(run, spend).values()) == pytest.approx(3.6)


@pytest.mark.parametrize("price", ["3.6", 10**400, -1, [1], True])
def test_a_price_that_is_none_is_unknown(run: RunDir, price: object) -> None:
    write_json(run.host, {"price_usd_per_h": price})
    journal(run, (0, "intent", "provision"), (60, "answer", "provision"))

    assert spend_of(run, BEGUN + timedelta(hours=1)).total_usd is None


LOOKED = {"cloud": "lambda", "machines": [{"id": "i-1", "price_usd_per_h": 3.6, "disk_usd_per_h": 0.0}], "gone": []}
GONE = {"cloud": "lambda", "machines": [], "gone": [{"id": "i-1"}]}


def damaged(run: RunDir, *lines: tuple[float, str, str, dict[str, Any]]) -> spend.Spend:
    """Return the spend of a journal whose first line was cut, an hour after its second."""
    found = [json.dumps({"time": at(s), "kind": kind, "action": action, **facts}) for s, kind, action, facts in lines]
    run.file("journal.jsonl").path.write_text("\n".join(['{"time": "2026-11-2', *found]) + "\n")
    return spend_of(run, BEGUN + timedelta(hours=1))


def test_where_the_line_that_asked_for_a_machine_may_be_the_damaged_one_it_has_no_upper_bound(run: RunDir) -> None:
    (line,) = damaged(run, (600, "answer", "look", LOOKED), (660, "answer", "look", GONE)).lines

    assert line["cost_range_usd"] == [0.0, None]
    assert line["unknown"] == "a damaged line of the journal may have asked for it"


def test_a_machine_whose_request_was_lost_is_not_bounded_by_the_next_one(run: RunDir) -> None:
    asked = {"environment": "lambda", "candidates": [{"max_price_usd_per_h": 3.6}]}

    (line,) = damaged(run, (590, "intent", "provision", asked), (600, "answer", "look", LOOKED)).lines

    assert line["cost_range_usd"][1] is None


def test_a_machine_whose_request_and_answer_can_be_read_keeps_its_bounds(run: RunDir) -> None:
    asked = {"environment": "lambda", "candidates": [{"max_price_usd_per_h": 3.6}]}
    answered = {"instance_id": "i-1", "price_usd_per_h": 3.6}
    lines = ((0, "intent", "provision", asked), (10, "answer", "provision", answered), (1000, "answer", "look", GONE))

    found = damaged(run, *lines)

    assert found.total_usd is None
    assert found.lines[0]["cost_range_usd"] == [0.0, 1.0]
    assert found.lines[0]["unknown"] is None
