"""What the benchmark of two clouds reads from a run: lost steps, and the time to the next one by its parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.two_clouds import COUNTING, PHASES, Blow, Found, choose, lost_steps, phases, read, show
from runner.rehearsal.faults import parse_faults
from runner.rehearsal.verdict import Verdict
from runner.run.run_dir import create_run
from runner.world import RealWorld

HIT_S = 1_800_000_000.0


def at(later_s: float, **values: Any) -> dict[str, Any]:
    return {"time": datetime.fromtimestamp(HIT_S + later_s, UTC).isoformat(), **values}


def step(number: int, later_s: float = 0.0) -> dict[str, Any]:
    return at(later_s, event="step", step=number)


def start(number: int, later_s: float = 0.0) -> dict[str, Any]:
    return at(later_s, event="run_started", resumed_from_step=number)


def saved(number: int) -> dict[str, Any]:
    return at(0, event="checkpoint_saved", step=number)


def test_a_seed_hits_at_the_same_step_each_time_and_leaves_something_to_train() -> None:
    first, again = choose(COUNTING, range(1, 200)), choose(COUNTING, range(1, 200))

    assert first == again
    assert {blow.steps[0] for blow in first} <= set(range(1, COUNTING.steps - 5))
    assert len({blow.steps for blow in first}) > 50
    assert max(blow.steps for blow in choose(COUNTING, range(1, 200), notice_s=120)) <= (COUNTING.steps // 2,)


def test_a_blow_is_one_that_a_rehearsal_takes() -> None:
    of_cloud, of_machine, _ = parse_faults(Blow(1, (3, 9), 120).faults())

    assert [fault.name for fault in of_cloud] == ["no_capacity"]
    assert [fault.args for fault in of_machine] == [{"step": 3, "notice_s": 120}, {"step": 9, "notice_s": 120}]
    assert Blow().faults() == ""


def test_steps_since_the_checkpoint_that_came_along_are_lost() -> None:
    events = [start(0), step(1), step(2), saved(2), step(3), step(4), saved(4), step(5), start(2), step(3), start(2)]

    assert lost_steps(events) == ([3, 1], [1, 1])


def test_a_run_that_saved_at_its_notice_loses_nothing() -> None:
    assert lost_steps([start(0), step(1), step(2), saved(2), start(2), step(3)]) == ([0], [0])


def test_a_run_that_lost_its_machine_before_the_first_step_has_lost_no_step() -> None:
    assert lost_steps([start(0), start(0), step(1)]) == ([], [])


MACHINES = [{"id": "i-1", "ended_at": HIT_S}, {"id": "pod", "started_at": HIT_S + 60}]
JOURNAL = [
    at(-40, kind="answer", action="provision", instance_id="i-1"),
    at(20, kind="intent", action="destroy"),
    at(30, kind="answer", action="destroy"),
    at(50, kind="intent", action="destroy"),
    at(55, kind="answer", action="destroy"),
    at(70, kind="answer", action="provision", instance_id="pod"),
    at(200, kind="intent", action="destroy"),
]
STATE = {"steps": {"train": at(85)}}
STATE["steps"]["train"]["started_at"] = STATE["steps"]["train"]["time"]


def test_the_time_to_the_next_step_has_its_parts() -> None:
    events = [start(0, -20), step(1, -10), start(0, 86), step(1, 90)]

    found = phases(MACHINES, events, JOURNAL, STATE)

    assert tuple(found) == PHASES
    assert list(found.values()) == [20, 10, 30, 10, 15, 5]


def test_with_a_notice_the_time_begins_there() -> None:
    events = [start(0, -20), step(1, -10), at(-5, event="reclaimed"), start(1, 86), step(2, 90)]

    assert phases(MACHINES, events, JOURNAL, STATE)["noticed"] == 25


def test_a_run_is_read_with_the_events_of_a_try_that_left_no_checkpoint(tmp_path: Path) -> None:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 30, tzinfo=UTC), RealWorld())
    rows = {
        "logs/events-1.jsonl": [start(0, -20), step(1, -10), step(2, -5)],
        "events.jsonl": [start(0, 86), step(1, 90)],
        "journal.jsonl": JOURNAL,
    }
    (run.path / "logs").mkdir(exist_ok=True)
    for name, lines in rows.items():
        (run.path / name).write_text("".join(json.dumps(row) + "\n" for row in lines))
    (run.path / "state.json").write_text(json.dumps(STATE))
    (run.path / "adapter").mkdir()
    (run.path / "adapter" / "learned.txt").write_text("everything")
    ends = ({"started_at": HIT_S - 90, "cloud": "aws"}, {"ended_at": HIT_S + 210, "cloud": "runpod"})
    machines = [{"billed_usd": 0.25, **machine, **end} for machine, end in zip(MACHINES, ends, strict=True)]

    found = read(Blow(1, (2,)), Verdict(1, machines, [], None, [], [], ""), run)

    assert (found.lost, found.unsaved, found.clouds, found.usd) == ([2], [2], ["aws", "runpod"], 0.5)
    assert (found.took_s, found.booted_s, sum(found.phases_s.values())) == (300, 10, 90)
    assert (len(found.sha256), found.broken) == (64, ["exit status 1"])


def test_an_adapter_that_differs_is_counted_and_what_broke_is_named() -> None:
    parts = dict.fromkeys(PHASES, 1.0)
    found = [
        Found(Blow(), sha256="a", took_s=50),
        Found(Blow(1, (9,)), sha256="a", lost=[3], unsaved=[3], phases_s=parts),
        Found(Blow(2, (7,)), sha256="b", lost=[1], unsaved=[1], phases_s=parts, broken=["a pod bills"]),
        Found(Blow(3, (8,)), sha256="a", broken=["exit status 3"]),
    ]

    said = show(found, COUNTING)

    assert "2 of 3 adapters are the undisturbed run's" in said
    assert "BROKEN: seed 2: a pod bills" in said
    assert [line.count("|") for line in said.splitlines() if line.startswith("| 1 ")] == [14]
    assert "BROKEN: seed 3: exit status 3" in said
