"""How often what happens: all of it often enough, and little time is spent on waiting for what never changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from runner.emulation.fault_table import FAULTS
from runner.rehearsal.services import known_faults
from runner.simulation.happenings import HAPPENINGS
from runner.simulation.living import BROUGHT_ABOUT, KEYS, drawn
from runner.simulation.more_acts import SETTING, SETTINGS
from runner.simulation.process import Process
from runner.simulation.rates import HARSH
from runner.simulation.stage import Stage
from runner.simulation.terraform import NEIGHBOUR
from tests.unit.runner.simulation.lived import FAIR, lived
from tests.unit.runner.simulation.test_terraform import SETTINGS as CLOUD_SETTINGS

SEEDS = 4000


@pytest.mark.parametrize("cloud", ["lambda", "runpod", "aws"])
def test_each_kind_of_act_and_each_fault_has_lives_enough(cloud: str) -> None:
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        counts.update({word for act in drawn(seed, cloud) for word in (act.kind, *act.words)})

    simulated = {name for name in known_faults()[cloud].possible if not FAULTS[name].needs_real_box}
    wanted = {*HAPPENINGS, *KEYS, *(name for name in simulated if not name.startswith(BROUGHT_ABOUT))}
    assert {word: counts[word] for word in wanted if counts[word] < SEEDS / 400} == {}
    assert min(counts[setting] for setting in SETTINGS) >= SEEDS / 400


def test_most_machines_boot_soon_and_some_take_minutes(tmp_path: Path) -> None:
    stage = Stage("lambda", 1, tmp_path, HARSH, {"lambda": CLOUD_SETTINGS})
    stage.turns.adopt("user", Process(stage.laptop, {}, name="user"))
    fates = [stage._fate() for _ in range(2000)]
    boots_s = sorted(fate.boot_s for fate in fates)

    assert boots_s[0] >= 10.0
    assert boots_s[1000] < 60.0
    assert 0.15 < sum(boot_s > 120.0 for boot_s in boots_s) / 2000 < 0.3
    assert {fate.course.steps for fate in fates} == set(HARSH.steps)
    assert {fate.course.step_s for fate in fates} == set(HARSH.step_s)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_neighbour_has_a_machine_at_once(tmp_path: Path, rate: float) -> None:
    life = lived(tmp_path, rates=replace(FAIR, neighbour=rate))

    theirs = [machine for machine in life.machines if NEIGHBOUR in machine.name]
    assert len(theirs) == rate
    assert sum("neighbour GET" in line for line in life.history) < 12 * rate + 1


def test_a_life_is_the_same_whether_or_not_douse_was_used_before_in_its_room(tmp_path: Path) -> None:
    first, second = lived(tmp_path), lived(tmp_path)

    assert first.history == second.history
    assert not [path for path in (tmp_path / "life" / "home" / ".cache").rglob("*") if path.is_file()]


def test_some_lives_have_a_setting_that_only_their_cloud_has() -> None:
    own = [act for seed in range(60) for act in drawn(seed, "aws") if act.words == ("compute.spot_enabled=true",)]

    assert 5 < len(own) < 30
    assert all(act.kind == SETTING for act in own)
    assert drawn(16, "lambda") == tuple(act for act in drawn(16, "lambda") if act not in own)
