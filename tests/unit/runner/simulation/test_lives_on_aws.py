"""Lives on AWS as seeds draw them: every rule holds, and what a life found once stays mended."""

from __future__ import annotations

from pathlib import Path

from runner.cli.simulate import command
from runner.rehearsal.receipt_check import outside_receipt
from runner.simulation.many import live_some
from runner.simulation.rules import judge
from runner.simulation.script import Act
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

SEEDS = range(24)


def test_two_dozen_lives_keep_every_rule() -> None:
    tally = live_some(SEEDS, "aws", command)

    assert (tally.lives, tally.broken) == (len(SEEDS), {})
    assert tally.faults > len(SEEDS)


def test_a_run_without_capacity_goes_down_its_list(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("fault", words=("no_capacity", "3")), DOWN, cloud="aws")

    assert judge(life) == []
    assert statuses(life)[0] == ("train", 0)
    assert life.ended[0].printed.count("is not available in us-east-1 now; trying the next one") == 3
    assert len(life.ours) == 1


def test_a_machine_that_ends_while_it_boots_is_a_line_of_its_own(tmp_path: Path) -> None:
    gone = Act("fault", 0.0, 1.0, words=("box_deleted_in_console",))

    life = lived(tmp_path, gone, DOWN, cloud="aws")

    assert judge(life) == []
    receipt, rows = life.receipts[-1]
    assert outside_receipt(receipt, rows) == []
    assert len(receipt["machines"]) == len(life.ours)


def test_a_stopped_machine_that_is_terminated_at_last_has_not_run_meanwhile(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("fault", words=("stopped_disk_bills",)), DOWN, cloud="aws")

    assert judge(life) == []
    assert "stopped_disk_bills" in life.faults_of_the_cloud
