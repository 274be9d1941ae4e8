"""What all runs of a calendar month have cost: their upper ends, and which of them nobody knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.planning.month import MonthSpend, limited_month, month_spend
from runner.run.planned import write_plan
from runner.run.run_dir import RunDir
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
PRICE = 2.0


class OfThatDay(RealWorld):
    """This computer at a moment of its own."""

    def now(self) -> datetime:
        return NOW


def run_with(folder: Path, *lines: Mapping[str, Any], name: str = "20261120-100000-tiny-aaaa") -> RunDir:
    run = RunDir(folder / name, RealWorld({}))
    (folder / name).mkdir()
    (folder / name / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def asked(time: str, **more: Any) -> dict[str, Any]:
    candidates = [{"max_price_usd_per_h": PRICE}]
    line = {"time": f"{time}+00:00", "kind": "intent", "action": "provision", "environment": "lambda"}
    return {**line, "candidates": candidates, **more}


def answered(time: str) -> dict[str, Any]:
    line = {"time": f"{time}+00:00", "kind": "answer", "action": "provision"}
    return {**line, "instance_id": "i-1", "price_usd_per_h": PRICE}


def destroyed(time: str) -> dict[str, Any]:
    return {"time": f"{time}+00:00", "kind": "answer", "action": "destroy", "left": []}


def test_the_upper_ends_of_all_runs_are_added_up(tmp_path: Path) -> None:
    one = run_with(
        tmp_path, asked("2026-11-20T10:00:00"), answered("2026-11-20T10:05:00"), destroyed("2026-11-20T13:00:00")
    )
    two = run_with(
        tmp_path, asked("2026-11-21T10:00:00"), destroyed("2026-11-21T10:30:00"), name="20261121-100000-tiny-bbbb"
    )

    found = month_spend([one, two], NOW)

    assert found.by_run_usd == {one.run_id: 6.0, two.run_id: 1.0}
    assert (found.usd, found.unknown, found.name) == (7.0, (), "2026-11")
    assert found.next_month == datetime(2026, 12, 1, tzinfo=UTC)
    assert found.words == f"at most $7.00 in 2026-11; {one.run_id} $6.00, {two.run_id} $1.00"


@pytest.mark.parametrize(
    ("begun", "ended", "usd"),
    [
        ("2026-10-30T10:00:00", "2026-10-31T10:00:00", 0.0),
        ("2026-10-31T22:00:00", "2026-11-01T03:00:00", 6.0),
        ("2026-11-01T00:00:00", "2026-11-01T03:00:00", 6.0),
    ],
)
def test_of_a_machine_at_the_turn_of_the_month_this_months_part_counts(
    begun: str, ended: str, usd: float, tmp_path: Path
) -> None:
    found = month_spend([run_with(tmp_path, asked(begun), answered(begun), destroyed(ended))], NOW)

    assert (found.usd, found.unknown) == (usd, ())


def test_a_machine_that_may_bill_on_counts_with_the_most_that_it_may_cost(tmp_path: Path) -> None:
    run = run_with(tmp_path, asked("2026-11-29T10:00:00"), answered("2026-11-29T10:05:00"))

    blind = month_spend([run], NOW)  # there is no plan: what it has cost by now, and nobody knows the rest
    assert (blind.usd, blind.unknown) == (4.0, (run.run_id,))

    write_plan(run, made_plan(most_usd=9.5))

    found = month_spend([run], NOW)
    assert (found.usd, found.unknown) == (9.5, ())


def test_a_run_without_a_price_leaves_a_lower_end(tmp_path: Path) -> None:
    dear = run_with(tmp_path, asked("2026-11-20T10:00:00"), destroyed("2026-11-20T11:00:00"))
    blind = run_with(
        tmp_path,
        asked("2026-11-21T10:00:00", candidates=[]),
        destroyed("2026-11-21T11:00:00"),
        name="20261121-100000-tiny-bbbb",
    )
    long_ago = run_with(
        tmp_path,
        asked("2026-09-21T10:00:00", candidates=[]),
        destroyed("2026-09-21T11:00:00"),
        name="20260921-100000-tiny-cccc",
    )

    found = month_spend([long_ago, dear, blind], NOW)

    assert found.unknown == (blind.run_id,)
    assert found.words == f"at least $2.00 in 2026-11; {dear.run_id} $2.00; not all is known of {blind.run_id}"


def test_a_damaged_journal_may_have_been_a_machine(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    run.file("journal.jsonl").path.write_bytes(b'{"time": 12}\n\x00\xff\n')

    assert month_spend([run], NOW).unknown == (run.run_id,)


def test_runs_on_emulated_clouds_are_counted_apart(tmp_path: Path) -> None:
    real = run_with(tmp_path, asked("2026-11-20T10:00:00"), destroyed("2026-11-20T11:00:00"))
    endpoint = "http://127.0.0.1:4010"
    emulated = run_with(
        tmp_path,
        asked("2026-11-20T10:00:00", endpoint=endpoint),
        destroyed("2026-11-20T12:00:00"),
        name="20261120-100000-tiny-bbbb",
    )

    assert month_spend([real, emulated], NOW).by_run_usd == {real.run_id: 2.0}
    assert month_spend([real, emulated], NOW, emulated=True).by_run_usd == {emulated.run_id: 4.0}


@pytest.mark.parametrize(
    ("env", "month_usd", "usd"), [("lambda", 10.0, 2.0), ("lambda", None, None), ("local", 10.0, None)]
)
def test_a_run_that_costs_nothing_and_a_month_without_a_limit_are_not_counted(
    env: str, month_usd: float | None, usd: float | None, tmp_path: Path
) -> None:
    run_with(tmp_path, asked("2026-11-20T10:00:00"), destroyed("2026-11-20T11:00:00"))
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, "budget": {"month_usd": month_usd}}

    found = limited_month(RunFile.model_validate(values), tmp_path, OfThatDay({}))

    assert (found and found.usd) == usd


def test_a_month_of_many_runs_names_the_dearest() -> None:
    found = MonthSpend("2026-11", NOW, {f"run-{number}": float(number) for number in range(1, 6)})

    assert found.words == "at most $15.00 in 2026-11; run-5 $5.00, run-4 $4.00, run-3 $3.00, 2 more"
    assert MonthSpend("2026-11", NOW, {}).words == "at most $0.00 in 2026-11"
