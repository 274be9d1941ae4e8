"""The picture of a life: pauses are short, bars are as long as what they show, dollars are the meter's."""

from __future__ import annotations

import json

import pytest

from runner.simulation.life import Life
from runner.simulation.life_figure import LONGEST_PAUSE_S, Axis, end_of, life_figure, usd_at
from runner.simulation.moments import moments
from runner.simulation.trainer import EPOCH
from tests.unit.runner.simulation.lived import DOWN, lived
from tests.unit.runner.simulation.test_moments import KILL


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return lived(tmp_path_factory.mktemp("life"), KILL, DOWN)


def test_a_long_pause_is_a_short_gap() -> None:
    axis = Axis([0.0, 60.0, 7260.0, 7270.0])

    assert [axis.x(at_s) for at_s in (0.0, 30.0, 60.0, 7260.0, 7265.0, 9000.0)] == [
        0.0, 30.0, 60.0, 60.0 + LONGEST_PAUSE_S, 65.0 + LONGEST_PAUSE_S, 70.0 + LONGEST_PAUSE_S,
    ]  # fmt: skip
    assert axis.gaps() == [(60.0, 60.0 + LONGEST_PAUSE_S, 7200.0)]
    assert axis.ticks()[1][0] == "0.0 s"
    assert axis.ticks()[1][-1] == "2 h 01 min"


def test_each_lane_has_its_bars_and_the_meter_ends_at_what_was_billed(life: Life) -> None:
    drawn = json.loads(life_figure(life, moments(life), Axis([0.0, end_of(life)])).spec)

    lanes = drawn["layout"]["yaxis"]["categoryarray"]
    bars = [trace for trace in drawn["data"] if trace["type"] == "bar"]
    meter = drawn["data"][-1]
    assert lanes[-2:] == ["runner", "you"]
    assert lanes[0] == "cloud"
    assert {trace["y"][0] for trace in bars} == set(lanes) - {"you", "cloud"}
    assert meter["y"][0] == 0.0
    assert meter["y"][-1] == pytest.approx(sum(one.meter.billed_usd(EPOCH + 1e9) for one in life.ours))


def test_dollars_grow_with_time(life: Life) -> None:
    machines = life.ours
    (machine,) = machines
    made_s, ended_s = machine.created_at - EPOCH, (machine.ended_at or 0.0) - EPOCH

    assert usd_at(machines, made_s) == 0.0
    assert usd_at(machines, (made_s + ended_s) / 2) == pytest.approx(usd_at(machines, ended_s) / 2)
    assert usd_at(machines, ended_s + 3600) == usd_at(machines, ended_s) > 0
