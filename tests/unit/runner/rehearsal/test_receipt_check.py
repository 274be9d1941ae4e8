"""A receipt against the meters: every machine, and all of them together."""

from __future__ import annotations

from typing import Any

import pytest

from runner.rehearsal.receipt_check import outside_receipt

RUN_ID = "20261121-015500-tiny"


def line(machine_id: str | None, low: float, high: float | None, cloud: str = "lambda") -> dict[str, Any]:
    return {"machine_id": machine_id, "cloud": cloud, "cost_range_usd": [low, high]}


def receipt(*lines: dict[str, Any]) -> dict[str, Any]:
    highs = [one["cost_range_usd"][1] for one in lines]
    low = sum(one["cost_range_usd"][0] for one in lines)
    return {
        "run_id": RUN_ID,
        "machines": list(lines),
        "cost_range_usd": [low, None if None in highs else sum(highs)],
    }


def row(machine_id: str, usd: float, run_id: str = RUN_ID) -> dict[str, Any]:
    return {"id": machine_id, "cloud": "lambda", "name": f"douse-{run_id}", "billed_usd": usd}


@pytest.mark.parametrize("usd", [0.1, 0.15, 0.2])
def test_a_meter_in_the_range_is_what_was_promised(usd: float) -> None:
    assert outside_receipt(receipt(line("i-1", 0.1, 0.2)), [row("i-1", usd)]) == []


@pytest.mark.parametrize("usd", [0.09, 0.21])
def test_a_meter_outside_the_range_is_said_of_the_machine_and_of_the_run(usd: float) -> None:
    found = outside_receipt(receipt(line("i-1", 0.1, 0.2)), [row("i-1", usd)])

    assert found == [
        f"the meter of {what} shows ${usd:.6f}, and the receipt says $0.100000 to $0.200000"
        for what in ("i-1", "the run")
    ]


def test_a_machine_that_the_receipt_does_not_know_is_said() -> None:
    found = outside_receipt(receipt(line("i-1", 0.1, 0.2)), [row("i-1", 0.1), row("i-2", 0.05)])

    assert found == ["i-2 is not in the receipt, and was billed $0.050000"]


def test_a_machine_that_nobody_saw_is_in_the_range_of_its_request() -> None:
    assert outside_receipt(receipt(line(None, 0.0, 0.2)), [row("i-1", 0.1)]) == []
    assert outside_receipt(receipt(line(None, 0.0, 0.2, cloud="aws")), [row("i-1", 0.1)]) != []


def test_a_range_that_has_no_upper_end_holds_every_meter() -> None:
    assert outside_receipt(receipt(line("i-1", 0.1, None)), [row("i-1", 99.0)]) == []


def test_other_runs_are_not_this_receipts() -> None:
    assert outside_receipt(receipt(line("i-1", 0.1, 0.2)), [row("i-1", 0.1), row("i-9", 5, "20261121-015501-x")]) == []
