"""What the plan says of a machine that nobody watches any more."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from runner.planning.checks.ends import UNSEEN, check_end
from runner.safety.sweeps_seen import SWEPT_NAME, note_sweep
from runner.simulation.world import VirtualWorld

RUNS = Path("/home/user/runs")


def test_a_machine_that_ends_itself_is_as_it_should_be() -> None:
    found = check_end("aws", RUNS, VirtualWorld())

    assert (found.status, "a timer of the machine's own" in found.value) == ("pass", True)


def test_an_end_that_the_vendor_takes_away_is_a_warning() -> None:
    found = check_end("runpod", RUNS, VirtualWorld())

    assert (found.status, "early 2027" in found.value) == ("warn", True)
    assert "make sweep APPLY=1" in found.remedy


@pytest.mark.parametrize(("hours", "status"), [(0.0, "pass"), (1.0, "pass"), (1.01, "warn")])
def test_where_only_sweeps_terminate_a_recent_one_counts(hours: float, status: str) -> None:
    world = VirtualWorld()
    note_sweep(RUNS, ["lambda"], world)
    world.sleep(timedelta(hours=hours).total_seconds())

    assert check_end("lambda", RUNS, world).status == status


@pytest.mark.parametrize("content", [None, b"", b"[]", b"7", b'{"lambda": 7}', b'{"lambda": "2026-11-28"}', b"{}"])
def test_what_cannot_be_read_is_no_sweep(content: bytes | None) -> None:
    world = VirtualWorld()
    if content is not None:
        world.disk.write(RUNS / SWEPT_NAME, content)

    found = check_end("lambda", RUNS, world)

    assert (found.status, UNSEEN in found.value) == ("warn", True)


def test_the_plan_says_that_a_sweep_on_another_computer_cannot_be_seen() -> None:
    assert check_end("lambda", RUNS, VirtualWorld()).value.endswith(
        "no sweep has run here in the last hour, and one on another computer cannot be seen from here"
    )


def test_a_sweep_of_another_cloud_is_none_of_this_one() -> None:
    world = VirtualWorld()
    note_sweep(RUNS, ["runpod"], world)

    assert check_end("lambda", RUNS, world).status == "warn"
    note_sweep(RUNS, ["lambda"], world)
    assert check_end("lambda", RUNS, world).status == "pass"
