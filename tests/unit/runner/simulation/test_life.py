"""Whole lives: what a kill, a closed lid or Ctrl-C comes to, by the cloud's own book, with the product's own code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runner.errors import EXIT_LEFTOVERS
from runner.run.run_dir import PROJECT
from runner.simulation.process import KILLED
from runner.simulation.rules import judge, worst_cases
from runner.simulation.script import Act
from runner.simulation.trainer import EPOCH
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

CLOUDS = ("lambda", "runpod", "aws")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_quiet_life_ends_with_an_adapter_a_receipt_and_no_machine(tmp_path: Path, cloud: str) -> None:
    before = threading.active_count()

    life = lived(tmp_path, cloud=cloud)

    assert statuses(life) == [("train", 0)]
    assert judge(life) == []
    assert life.receipts[-1][0]["checks"]["clouds"][cloud] == 0
    assert [row["is_billing"] for row in life.rows if row["id"] not in life.foreign] == [False]
    assert (life.alive, life.leftovers and [name for _, _, name in life.leftovers if "sim" in name]) == ([], [])
    assert threading.active_count() == before


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_guard_terminates_the_machine_of_a_killed_runner(tmp_path: Path, cloud: str) -> None:
    life = lived(tmp_path, Act("kill", 320.0), cloud=cloud)

    assert statuses(life) == [("train", KILLED)]
    assert judge(life) == []
    ours = [machine for machine in life.machines if machine.id not in life.foreign]
    assert [machine.is_ended for machine in ours] == [True]
    assert 320.0 < (ours[0].ended_at or 0.0) - EPOCH < 3600.0


def test_without_runner_and_guard_a_machine_bills_on_where_nothing_else_ends_it(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("kill", 320.0), Act("kill guard", 320.0))

    assert (judge(life), worst_cases(life)) == ([], 1)


@pytest.mark.parametrize("cloud", ["runpod", "aws"])
def test_a_machine_with_an_end_of_its_own_needs_neither(tmp_path: Path, cloud: str) -> None:
    life = lived(tmp_path, Act("kill", 320.0), Act("kill guard", 320.0), cloud=cloud)

    assert (judge(life), worst_cases(life)) == ([], 0)
    assert all(machine.is_ended for machine in life.machines if machine.id not in life.foreign)


def test_down_after_a_kill_writes_a_receipt(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("kill", 200.0), Act("kill guard", 200.0), DOWN)

    assert statuses(life) == [("train", KILLED), ("down", 0)]
    assert judge(life) == []
    assert len(life.receipts) == 1


def test_down_with_another_accounts_key_promises_nothing(tmp_path: Path) -> None:
    other = Act("type with another key", 60.0, words=("down",))

    life = lived(tmp_path, Act("kill", 200.0), Act("kill guard", 200.0), other, DOWN)

    assert statuses(life) == [("train", KILLED), ("down", 3), ("down", 0)]
    assert judge(life) == []


def test_ctrl_c_brings_a_checkpoint_home_and_ends_the_machine(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("interrupt", 400.0))

    assert statuses(life) == [("train", 130)]
    assert judge(life) == []
    assert "checkpoints" in life.ended[0].printed


def test_a_lid_that_is_closed_over_a_run_ends_in_words_that_hold(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("lid", 300.0, 4 * 3600.0), DOWN)

    assert judge(life) == []
    assert life.ended[0].ended_s > 4 * 3600.0


def test_a_crash_at_any_call_leaves_nothing_that_down_does_not_find(tmp_path: Path) -> None:
    for number in (5, 40, 200, 400):
        life = lived(tmp_path, Act("crash", number=float(number)), DOWN)

        assert statuses(life)[0] == ("train", KILLED)
        assert judge(life) == []
        assert all(machine.is_ended for machine in life.machines if machine.id not in life.foreign)


def test_terraform_killed_alone_leaves_no_machine(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("kill terraform", 60.0))

    assert judge(life) == []
    assert all(machine.is_ended for machine in life.machines if machine.id not in life.foreign)


def test_the_guard_terminates_the_machine_of_a_runner_that_was_stopped(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("stop", 320.0, 10 * 3600.0))

    assert judge(life) == []
    assert life.ended[0].ended_s > 10 * 3600.0
    ours = [machine for machine in life.machines if machine.id not in life.foreign]
    assert 320.0 < (ours[0].ended_at or 0.0) - EPOCH < 3600.0


@pytest.mark.parametrize("verb", [("sweep", "--apply"), ("status",), ("down",)])
def test_without_a_key_nothing_is_promised(tmp_path: Path, verb: tuple[str, ...]) -> None:
    life = lived(tmp_path, Act("kill", 320.0), Act("kill guard", 320.0), Act("type without a key", 60.0, words=verb))

    assert statuses(life)[1] == (verb[0], 3)
    assert judge(life) == []


def test_a_life_is_the_same_in_any_process(tmp_path: Path) -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "runner.cli.simulate", "--seed", "5"],
            cwd=PROJECT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=240,
        )
        found = re.match(r"seed 5 on \w+, history ([0-9a-f]{64})", done.stdout)
        assert found is not None, done.stderr
        digests.add(found[1])

    assert len(digests) == 1


def test_what_is_rented_in_another_account_is_in_the_book_as_well(tmp_path: Path) -> None:
    refused = Act("fault", 0.0, 1.0, ("quota_exceeded",))

    life = lived(tmp_path, refused, Act("type with another key", 60.0, words=("resume", "--yes")))

    assert statuses(life) == [("train", 1), ("resume", 0)]
    assert [machine.is_ended for machine in life.machines] == [True]
    assert judge(life) == []


def test_a_journal_that_was_lost_leaves_the_cost_unknown(tmp_path: Path) -> None:
    lost = Act("damage", words=("journal.jsonl", "lost"))

    life = lived(tmp_path, Act("interrupt", 400.0), lost, Act("type", 30.0, words=("resume", "--yes")))

    receipt = life.receipts[-1][0]
    assert (statuses(life), judge(life)) == ([("train", 130), ("resume", 0)], [])
    assert receipt["cost_range_usd"][1] is None
    assert "journal" in receipt["cost_unknown"][0]


def test_a_run_whose_state_is_empty_is_resumed(tmp_path: Path) -> None:
    kills = (Act("kill", 60.0), Act("kill terraform", 61.0))

    life = lived(tmp_path, *kills, Act("type", 7200.0, words=("resume", "--yes")), cloud="runpod")

    assert (statuses(life), judge(life)) == ([("train", KILLED), ("resume", 0)], [])


def test_a_journal_that_was_emptied_leaves_the_cost_unknown(tmp_path: Path) -> None:
    emptied = Act("damage", words=("journal.jsonl", "empty"))

    life = lived(tmp_path, Act("kill", 320.0), emptied, DOWN)

    assert (statuses(life), judge(life)) == ([("train", KILLED), ("down", 0)], [])
    assert life.receipts[-1][0]["cost_range_usd"][1] is None


def test_an_odd_neighbour_stays_and_keeps_nothing_of_ours(tmp_path: Path) -> None:
    odd = Act("fault", 10.0, words=("odd_neighbour",))

    life = lived(tmp_path, odd, Act("kill", 320.0))

    assert sum("GET /api/v1/instances 200" in line for line in life.history) > 10
    assert [machine.is_ended for machine in life.ours] == [True]
    assert (life.receipts, judge(life)) == ([], [])


def typed(*words: str, after_s: float = 300.0) -> Act:
    return Act("type", after_s, words=words)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_machine_that_was_set_up_by_hand_and_never_trained_on_goes(tmp_path: Path, cloud: str) -> None:
    life = lived(tmp_path, Act("first", words=("up",)), typed("configure"), cloud=cloud)

    (machine,) = life.ours
    assert statuses(life) == [("up", 0), ("configure", 0)]
    assert machine.ended_at is not None
    assert 3600.0 < machine.ended_at - EPOCH - life.ended[-1].ended_s < 3600.0 + 600.0


def test_nothing_trains_on_a_machine_that_is_not_set_up(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("first", words=("up",)), typed("launch"), DOWN)

    assert statuses(life) == [("up", 0), ("launch", 3), ("down", 0)]
    assert "is not set up" in life.ended[1].printed
    assert judge(life) == []


@pytest.mark.parametrize("after_s", [3597.0, 3599.0])
def test_a_guard_hears_that_somebody_launches_on_a_machine_that_has_idled(tmp_path: Path, after_s: float) -> None:
    """Its hour is over while the data go onto the machine: it ended with them, for only the end of a launch told it."""
    life = lived(tmp_path, Act("first", words=("up",)), typed("configure"), typed("launch", after_s=after_s))

    (machine,) = life.ours
    assert statuses(life) == [("up", 0), ("configure", 0), ("launch", 0)]
    assert machine.ended_at is not None
    assert machine.ended_at - EPOCH > life.trained_until[machine.id]
    assert judge(life) == []


def test_what_idles_without_a_guard_was_said_to_idle(tmp_path: Path) -> None:
    unguarded = Act("setting", words=("budget.guard=false",))
    steps = (Act("first", words=("up",)), typed("configure"), typed("launch"), typed("down", after_s=32400.0))

    life = lived(tmp_path, unguarded, *steps)

    assert "if a sweep terminates it: Lambda itself does not" in life.ended[2].printed
    assert judge(life) == []


def test_a_sweep_lets_a_machine_boot_that_has_no_runner_for_as_long_as_its_cloud_shows(tmp_path: Path) -> None:
    unguarded = Act("setting", words=("budget.guard=false",))

    life = lived(tmp_path, unguarded, Act("crash", number=61.0), Act("sweep beside", 2650.0))

    assert "its lease runs out at" in life.ended[-1].printed
    assert judge(life) == []


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("at_s", [400.0, 905.0], ids=["training", "collecting"])
def test_what_a_full_disk_does_not_take_waits_on_the_machine(tmp_path: Path, cloud: str, at_s: float) -> None:
    room_s = 1800.0

    life = lived(tmp_path, Act("full disk", at_s, room_s), typed("watch", after_s=room_s + 60.0), cloud=cloud)

    train, watch = life.ended
    assert (train.status, watch.status, watch.billing) == (3, 0, ())
    assert "No space left on device; what the run has made is on its machine" in train.printed
    assert "left up" in train.printed
    assert "make room, then `make watch RUN=" in train.printed
    assert "The adapter was accepted." in watch.printed
    assert judge(life) == []


def test_a_machine_that_waits_for_room_goes_when_nobody_comes(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("full disk", 905.0, 10 * 3600.0))

    (machine,) = life.ours
    assert machine.ended_at is not None
    assert 3600.0 < machine.ended_at - EPOCH - life.ended[-1].ended_s < 3600.0 + 600.0


@pytest.mark.parametrize(
    "acts",
    [
        (Act("setting", words=("budget.guard=false",)),),
        (Act("interrupt", 700.0),),
    ],
    ids=["nobody would end it", "the user wants an end"],
)
def test_with_a_full_disk_a_machine_goes_where_it_may_not_stay(tmp_path: Path, acts: tuple[Act, ...]) -> None:
    life = lived(tmp_path, *acts, Act("full disk", 690.0, 7200.0))

    (machine,) = life.ours
    assert machine.ended_at is not None
    assert machine.ended_at - EPOCH < 690.0 + 400.0
    assert judge(life) == []


def test_who_closes_a_terminal_without_a_network_hears_that_the_machine_was_not_told(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("flaw", words=("slow",)), Act("cut", 500.0, 900.0), Act("hang up", 501.0))

    assert statuses(life) == [("train", EXIT_LEFTOVERS)]
    assert "could not be told to go on: it trains until its lease ends" in life.ended[0].printed
    assert judge(life) == []


def test_a_sweep_with_the_key_that_a_resume_has_rented_with_is_not_blind(tmp_path: Path) -> None:
    deleted = Act("fault", 0.0, 60.0, words=("box_deleted_in_console",))
    resumed = Act("type with another key", 300.0, words=("resume", "--yes"))
    swept = Act("type with another key", 300.0, words=("sweep", "--apply"))

    life = lived(tmp_path, deleted, Act("kill", 700.0), resumed, swept)

    sweep = next(one for one in life.ended if one.words[0] == "sweep")
    assert sweep.billing
    assert sweep.key_is_right
    assert judge(life) == []


def test_who_collects_from_a_machine_whose_runner_was_killed_hears_of_its_lease_and_not_of_its_hard_end(
    tmp_path: Path,
) -> None:
    life = lived(tmp_path, Act("kill", 320.0), typed("collect", after_s=200.0), cloud="runpod")

    (machine,) = life.ours
    assert statuses(life) == [("train", KILLED), ("collect", 0)]
    assert "its runner is gone, and its lease ends at 2026-01-01 00:2" in life.ended[1].printed
    assert "left up" not in life.ended[1].printed
    assert machine.ended_by == "its own lease (not_renewed)"
    assert judge(life) == []


def test_a_sweep_may_end_a_machine_that_vanished_and_has_heard_no_word_for_longer_than_its_lease(
    tmp_path: Path,
) -> None:
    vanished = Act("fault", 0.0, 200.0, words=("box_killed",))

    life = lived(tmp_path, vanished, Act("sweep beside", 1493.0), cloud="runpod")

    assert [machine.ended_by for machine in life.ours] == ["request"]
    assert [status for words, status in statuses(life) if words == "sweep"] == [0]
    assert judge(life) == []
