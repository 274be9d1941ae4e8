"""Check of what all runs together may cost in a calendar month."""

from __future__ import annotations

from runner.planning.checks.line import Check, passed, warned
from runner.planning.ends import Means

MONTH = "month"


def check_month(means: Means) -> Check:
    """Report what all runs have cost this month, beside its limit; that a machine is too dear is the budget's line."""
    month, limit = means.month, means.budget.month_usd
    if month is None or limit is None:
        raise AssertionError("a month without a limit has no line")
    value = f"{month.words}; the limit of all runs is ${limit:.2f} (budget.month_usd)"
    if month.unknown:
        return warned(MONTH, value, "see what the clouds bill for these runs: `make costs BILL=1`")
    return passed(MONTH, value)
