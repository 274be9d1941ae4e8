"""What pytest's summary says of skipped tests: one line for each reason, with how many tests it left out.

A plugin for pytest; ``tests/conftest.py`` has it for all tests.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the reasons, the most frequent one first."""
    reasons = Counter(reason_of(report) for report in terminalreporter.stats.get("skipped", []))
    if not reasons:
        return
    terminalreporter.section("skipped, by reason")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        terminalreporter.write_line(f"{count:5}  {reason}")


def reason_of(report: Any) -> str:
    """Return why a test, or a whole file, was skipped."""
    _, _, words = report.longrepr
    return " ".join(str(words).removeprefix("Skipped: ").split())
