"""The preflight for people: one table, at most 100 columns wide, the remedy under each line that needs one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from runner.planning.checks.line import Check, Status
from runner.report.columns import wrapped

STATUSES: tuple[Status, ...] = ("pass", "warn", "fail", "skip")


def checks_text(checks: Sequence[Check], *, shows_skipped: bool = True) -> str:
    """Return the table and, under it, how many lines there are of each status; no line is longer than ``WIDTH``.

    Args:
        checks: The lines.
        shows_skipped: Also show what this run has no use for.
    """
    shown = [check for check in checks if shows_skipped or check.status != "skip"]
    margin = max((len(check.name) for check in shown), default=0) + len("pass  ") + 2
    lines = [line for check in shown for line in _lines(check, margin)]
    found = Counter(check.status for check in checks)
    summary = ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])
    return "\n".join([*lines, f"Preflight: {summary or 'nothing checked'}"])


def _lines(check: Check, margin: int) -> list[str]:
    head = f"{check.status}  {check.name}".ljust(margin)
    remedy = [] if not check.remedy else _wrapped(f"-> {check.remedy}", " " * margin, " " * (margin + 3))
    return [*_wrapped(check.value, head, " " * margin), *remedy]


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return wrapped(text, first=first, rest=rest) or [first]
