"""Who keeps a machine, and who ends it: each rule finds what is planted for it, and nothing in lives as they are."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.cloud_api.environment import MachineOrder
from runner.errors import ToolError
from runner.guard.guard import Guard
from runner.lifecycle import drive, finish, guarding
from runner.safety import account_sweep
from runner.safety.account_sweep import Finding
from runner.simulation import keepers, rules
from runner.simulation.box_lease import BoxLease
from runner.simulation.boxes import SimulatedBox
from runner.simulation.flaws import FLAW, SLOW
from runner.simulation.keepers import boots_for_ever, guards_follow, kept_beside, kept_too_dear, taken_away
from runner.simulation.life import Life, end_s
from runner.simulation.more_acts import GUARD_OFF
from runner.simulation.process import KILLED
from runner.simulation.promises import down_takes_down, held_is_kept, lost_checkpoints, sweep_is_thorough
from runner.simulation.rules import judge
from runner.simulation.script import Act, Script
from runner.simulation.stories_of_kills import STORIES_OF_KILLS
from runner.simulation.telling import AFAR, RESUME, SWEEP
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

IS_SLOW = Act(FLAW, words=(SLOW,))
KILLS = (Act("kill", 320.0), Act("kill guard", 320.0))
SWEPT = Act("sweep beside", 600.0)
HASTY = Act("setting", words=("compute.teardown_timeout_minutes=0.5",))
STOPPED = (IS_SLOW, Act("stop", 420.0, 36000.0), Act("kill guard", 420.0), Act("sweep beside", 7200.0))
Story = Callable[[random.Random], Script]
Plant = Callable[[pytest.MonkeyPatch], None]


def hasty_guard(patch: pytest.MonkeyPatch) -> None:
    """Let a guard terminate the machine after five minutes, whatever its runner says."""
    patch.setattr(Guard, "_due_s", lambda self: 300.0)
    patch.setattr(Guard, "_keeper", lambda self: "")


def greedy_sweep(patch: pytest.MonkeyPatch) -> None:
    """Let a sweep take everything for abandoned."""
    patch.setattr(account_sweep, "_judge", lambda found, *words: Finding(found, "abandoned", abandoned=True))


def deaf_lease(patch: pytest.MonkeyPatch) -> None:
    """Let a machine's lease hear nobody."""
    patch.setattr(BoxLease, "hear", lambda self, text: None)


def short_boot_lease(patch: pytest.MonkeyPatch) -> None:
    """Let a machine end itself a second after its boot unless it is set up by then."""
    patch.setattr(MachineOrder, "boot_lease_s", 1)


@pytest.mark.parametrize(
    ("plant", "cloud", "acts", "by"),
    [
        (hasty_guard, "lambda", (), "guard"),
        (greedy_sweep, "lambda", (SWEPT,), "sweep"),
        (greedy_sweep, "runpod", (dataclasses.replace(SWEPT, words=("sweep", "--apply", *AFAR)),), "sweep"),
        (deaf_lease, "runpod", (), "its own lease"),
        (deaf_lease, "aws", (), "its own lease"),
        (short_boot_lease, "aws", (), "its own lease"),
    ],
    ids=["guard", "sweep", "sweep from afar", "lease", "lease by shutdown", "lease of the boot"],
)
def test_a_machine_is_not_taken_from_a_runner_that_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant, cloud: str, acts: tuple[Act, ...], by: str
) -> None:
    assert judge(lived(tmp_path, IS_SLOW, *acts, cloud=cloud)) == []

    plant(monkeypatch)
    life = lived(tmp_path, IS_SLOW, *acts, cloud=cloud)

    assert [why.partition(" while ")[0].partition(" ")[2] for why in taken_away(life)] == [f"was terminated by {by}"]


def test_a_lease_ends_a_machine_whose_computer_was_away_for_long(tmp_path: Path) -> None:
    life = lived(tmp_path, IS_SLOW, Act("cut", 400.0, 3000.0), cloud="runpod")

    assert [machine.ended_by for machine in life.ours] == ["its own lease (not_renewed)"]
    assert judge(life) == []


@pytest.mark.parametrize(
    ("rule", "fault"), [(boots_for_ever, "boot_never_active"), (kept_too_dear, "price_differs")], ids=["boots", "dear"]
)
def test_a_machine_that_is_no_good_is_not_kept(tmp_path: Path, rule: Callable[[Life], list[str]], fault: str) -> None:
    life = lived(tmp_path, Act("fault", words=(fault,)))
    (machine,) = life.ours

    assert (list(rule(life)), judge(life)) == ([], [])
    machine.ended_at = (machine.ended_at or 0.0) + 2000.0
    assert len(list(rule(life))) == 1
    assert list(rule(dataclasses.replace(life, script=(*life.script, Act("kill", 3.0))))) == []


def test_a_guard_that_is_killed_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = (IS_SLOW, Act("kill guard", 320.0))
    assert judge(lived(tmp_path, *killed)) == []

    monkeypatch.setattr(guarding._Guarding, "_begin_again", lambda *words: None)
    life = lived(tmp_path, *killed)

    assert len(list(guards_follow(life))) == 1
    assert list(guards_follow(dataclasses.replace(life, script=(Act("lid", 3.0, 5.0),)))) == []


def test_a_volume_goes_though_the_machine_beside_it_is_locked(tmp_path: Path) -> None:
    faults = (Act("fault", words=("pod_locked", "60")), Act("fault", words=("leftover_volume",)))

    life = lived(tmp_path, HASTY, *faults, *KILLS, DOWN, cloud="runpod")

    assert (statuses(life)[1], judge(life)) == (("down", 3), [])
    kept = [line for line in life.history if "volumes/" not in line]
    assert len(list(kept_beside(dataclasses.replace(life, history=kept)))) == 1


def test_a_machine_that_trains_was_promised_a_lease_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedBox, "begin_lease", lambda *words: None)

    life = lived(tmp_path, *KILLS, cloud="runpod")

    assert "time to end" in {one.rule for one in judge(life)}
    assert keepers.has_own_end(life, life.ours[0], math.inf)
    assert not keepers.has_own_end(dataclasses.replace(life, script=(Act("kill lease", 3.0),)), life.ours[0], math.inf)


def test_a_lease_that_began_later_excuses_nobody_before(tmp_path: Path) -> None:
    """A runner was stopped while its machine booted, and then computer and guard slept: the lease came hours later."""
    life = lived(tmp_path, Act("stop", 47.0, 3600.0), Act("lid", 495.0, 14400.0), cloud="runpod")
    (machine,) = life.ours

    assert end_s(machine) > 14000
    assert machine.id in life.leased
    assert not keepers.has_own_end(life, machine, by_s=14000)
    assert judge(life) == []


def test_what_a_runner_could_not_terminate_is_left_to_its_guard(tmp_path: Path) -> None:
    refused = Act("fault", words=("terminate_ignored", "250"))

    life = lived(tmp_path, refused, Act(FLAW, words=("trainer fails",)))

    (machine,) = life.ours
    assert (statuses(life), machine.is_ended, judge(life)) == ([("train", 3)], True, [])
    machine.ended_at = None
    assert "time to end" in {one.rule for one in judge(life)}


def test_a_cloud_that_refuses_again_and_again_keeps_down_from_its_work(tmp_path: Path) -> None:
    refused = Act("fault", words=("terminate_rate_limited", "300"))

    life = lived(tmp_path, HASTY, refused, Act("kill", 296.0), DOWN)

    assert (statuses(life)[1], life.ended[1].billing != ()) == (("down", 3), True)
    assert judge(life) == []
    assert len(list(down_takes_down(dataclasses.replace(life, script=())))) == 1


def test_what_went_on_before_a_down_excuses_nothing(tmp_path: Path) -> None:
    life = lived(tmp_path, *KILLS, DOWN)
    train, down = life.ended
    failed = [train, dataclasses.replace(down, status=1, billing=(life.ours[0].id,))]
    rule = lambda *acts: list(down_takes_down(dataclasses.replace(life, ended=failed, script=acts)))  # noqa: E731

    assert len(rule(Act("cut", 100.0, 20.0))) == 1
    assert rule(Act("cut", 100.0, down.began_s)) == []
    assert len(rule(Act("fault", words=("terminate_500", "30")))) == 1  # it did not say that something may bill


def test_a_machine_whose_trainer_goes_on_is_not_terminated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = (IS_SLOW, Act("interrupt", 800.0))
    assert judge(lived(tmp_path, *interrupted)) == []

    monkeypatch.setattr(finish.train, "stop_trainer", lambda *words: None)
    life = lived(tmp_path, *interrupted)

    assert ["was terminated while it trained" in why for why in lost_checkpoints(life)] == [True]


@pytest.mark.parametrize(
    ("name", "plant", "at_s", "words"),
    [
        ("_hold_if_possible", lambda ctx: True, 500.0, "its trainer was stopped"),
        ("_may_be_left", lambda ctx: True, 100.0, "and nothing trains"),
    ],
)
def test_who_says_that_a_run_continues_lets_it_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, plant: object, at_s: float, words: str
) -> None:
    closed = (IS_SLOW, Act("hang up", at_s))
    assert judge(lived(tmp_path, *closed)) == []

    monkeypatch.setattr(drive, name, plant)
    life = lived(tmp_path, *closed)

    assert [words in why for why in held_is_kept(life)] == [True]


def test_a_sweep_ends_what_a_stopped_runner_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(lived(tmp_path, *STOPPED)) == []

    monkeypatch.setattr(account_sweep, "_judge", lambda found, *words: Finding(found, "in use", abandoned=False))

    assert len(list(sweep_is_thorough(lived(tmp_path, *STOPPED)))) == 1


def test_a_sweep_beside_a_resume_leaves_what_that_drives(tmp_path: Path) -> None:
    """Lambda seed 887: the judge asked of it what is asked where the last command is over."""
    long = Act("setting", words=("training.max_steps=40",))
    again = Act("type", 300.0, words=RESUME)
    life = lived(tmp_path, long, IS_SLOW, Act("interrupt", 150.0), again, Act("sweep beside", 3600.0))

    assert [one.words[0] for one in life.ended] == ["train", "sweep", "resume"]
    assert list(sweep_is_thorough(life)) == []


def test_a_command_that_was_killed_while_its_computer_slept_drove_nothing(tmp_path: Path) -> None:
    long, left = Act("setting", words=("training.max_steps=40",)), Act("first", words=("train", "--detach"))
    again, kill, lid = Act("type", 300.0, words=RESUME), Act("kill", 900.0), Act("lid", 400.0, 4000.0)
    life = lived(tmp_path, long, IS_SLOW, left, again, kill, lid, Act("sweep beside", 4500.0))

    assert [(one.words[0], one.status) for one in life.ended] == [("train", 0), ("resume", KILLED), ("sweep", 0)]
    assert list(sweep_is_thorough(life)) == []
    assert list(sweep_is_thorough(dataclasses.replace(life, script=()))) != []


def test_a_run_without_a_lease_is_as_old_as_its_config(tmp_path: Path) -> None:
    unguarded, kill, lid = Act("setting", words=(GUARD_OFF,)), Act("kill", 40.0), Act("lid", 30.0, 40000.0)
    odd = Act("damage", words=("config.json", "odd"), number=0.5)
    late = Act("type", 41000.0, words=("runs",))
    lost = Act("fault", 0.0, 500.0, ("spot_notice",))
    life = lived(tmp_path, lost, unguarded, kill, lid, late, odd, Act("type", 5.0, words=SWEEP), cloud="runpod")

    assert [one.words[0] for one in life.ended] == ["train", "runs", "sweep"]
    assert list(sweep_is_thorough(life)) == []
    lines = [line for line in life.history if "happens: damage" not in line]
    assert list(sweep_is_thorough(dataclasses.replace(life, history=lines))) != []


def test_a_run_to_which_nothing_happens_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object) -> None:
        raise ToolError("train: it failed", resolution="see `make logs`")

    monkeypatch.setattr(drive, "_launch_and_follow", fail)
    life = lived(tmp_path)

    assert [why for why in rules.work_is_whole(life) if "and nothing had gone wrong" in why] != []
    assert list(rules.work_is_whole(dataclasses.replace(life, faults=1))) == []


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
@pytest.mark.parametrize("story", STORIES_OF_KILLS, ids=lambda story: story.__name__)
def test_every_rule_holds_in_stories_of_kills(
    tmp_path: Path, story: Callable[..., tuple[Act, ...]], cloud: str
) -> None:
    for number in range(2):
        life = lived(tmp_path, *story(random.Random(number)), Act("type", 3600.0, words=("down",)), cloud=cloud)

        assert judge(life) == []


def test_a_step_by_hand_that_a_damaged_file_refuses_takes_nobody_s_place(tmp_path: Path) -> None:
    left = (Act("first", words=("train", "--detach")), IS_SLOW)
    refused = (Act("damage", 0.0, 0.9, words=("host.json", "empty")), Act("type", 60.0, words=("configure",)))
    swept = Act("sweep beside", 2600.0)

    life = lived(tmp_path, *left, *refused, swept)

    assert [(one.words[0], bool(one.billing)) for one in life.ended][-1] == ("sweep", True)
    assert judge(life) == []


def test_a_finished_run_that_kept_no_checkpoint_is_not_made_longer_and_nothing_is_wrong_with_that(
    tmp_path: Path,
) -> None:
    longer = Act("type", 300.0, words=("resume", "--yes", "--set", "training.max_steps=24"))

    life = lived(tmp_path, longer)

    assert statuses(life) == [("train", 0), ("resume", 2)]
    assert judge(life) == []
