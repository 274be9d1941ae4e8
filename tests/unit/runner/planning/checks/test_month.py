"""The plan's line on what all runs have cost this month."""

from __future__ import annotations

from datetime import UTC, datetime

from runner.planning.checks.month import check_month
from runner.planning.ends import Means
from runner.planning.month import MonthSpend
from runner.run.run_file import BudgetSection

NEXT = datetime(2026, 12, 1, tzinfo=UTC)


def test_the_line_has_the_sum_beside_its_limit_and_warns_where_something_is_unknown() -> None:
    budget = BudgetSection(month_usd=10.0)
    known, unknown = (MonthSpend("2026-11", NEXT, {"run-a": 4.5}, runs) for runs in ((), ("run-b",)))

    passed, warned = (check_month(Means(budget, month=month)) for month in (known, unknown))

    assert (passed.status, passed.value) == (
        "pass",
        "at most $4.50 in 2026-11; run-a $4.50; the limit of all runs is $10.00 (budget.month_usd)",
    )
    assert (warned.status, warned.remedy) == ("warn", "see what the clouds bill for these runs: `make costs BILL=1`")
    assert "at least $4.50 in 2026-11" in warned.value
