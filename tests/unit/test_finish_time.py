"""What the benchmark of finish times draws, and what it makes of two runs."""

from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.finish_time import MOST_TIMES_AS_LONG, several, show, times_as_long, training_for, wrong
from benchmarks.two_clouds import STEP_S, Blow, Found


def test_a_run_trains_for_ten_minutes_to_each_hit() -> None:
    training = training_for(4, 10)

    assert training.steps * STEP_S == pytest.approx(40 * 60)
    assert training.save_steps * STEP_S == pytest.approx(30)
    assert f"steps={training.steps}, step_s={STEP_S}, save_steps={training.save_steps}" in training.settings[0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_part_of_the_training_is_hit_once(count: int) -> None:
    training = training_for(count, 10)
    part = training.steps // count

    drawn = [several(training, count, seed).steps for seed in range(100)]

    assert all([(step - 1) // part for step in steps] == list(range(count)) for steps in drawn)
    assert all(later - earlier > part // 12 for steps in drawn for earlier, later in pairwise(steps))
    assert max(steps[-1] for steps in drawn) <= training.steps - part // 12
    assert several(training, count, 5) == several(training, count, 5)
    assert len(set(drawn)) > 50


ALONE = Found(Blow(), sha256="a", took_s=600)


def test_boots_do_not_count() -> None:
    hit = Found(Blow(1, (9,)), sha256="a", took_s=700, booted_s=40, lost=[3])

    assert times_as_long((ALONE, hit)) == pytest.approx(1.1)
    assert times_as_long((ALONE, ALONE)) <= MOST_TIMES_AS_LONG
    assert "| 1     |         600 |            600 |    700 |                     40 | 1.10 |          3 |" in show(
        [(ALONE, hit)], [training_for(1, 10)]
    )


def test_what_did_not_hold_is_said() -> None:
    hit = Found(Blow(1, (9, 12)), sha256="b", took_s=700, broken=["a pod bills"])

    assert wrong((ALONE, hit)) == ["another adapter", "a pod bills"]
    assert "BROKEN: 2 hits: a pod bills" in show([(ALONE, hit)], [training_for(2, 10)])
    assert wrong((ALONE, ALONE)) == []
