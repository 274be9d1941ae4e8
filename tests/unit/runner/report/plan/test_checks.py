"""The table: aligned, at most 100 columns, each remedy under its line."""

from __future__ import annotations

from runner.planning.checks.line import Check, refusal
from runner.report.columns import WIDTH
from runner.report.plan.checks import checks_text

CHECKS = [
    Check("dataset", "pass", "60 samples"),
    Check("max_length", "fail", "4,096 tokens, the base model holds 512", "set data.max_length to 512 or less"),
    Check("store", "skip", "none"),
    Check("balance", "warn", "$2.00", "top the account up"),
]


def test_each_line_has_its_remedy_under_it() -> None:
    assert checks_text(CHECKS).splitlines() == [
        "pass  dataset     60 samples",
        "fail  max_length  4,096 tokens, the base model holds 512",
        "                  -> set data.max_length to 512 or less",
        "skip  store       none",
        "warn  balance     $2.00",
        "                  -> top the account up",
        "Preflight: 1 pass, 1 warn, 1 fail, 1 skip",
    ]


def test_what_a_run_has_no_use_for_can_be_left_out() -> None:
    text = checks_text(CHECKS, shows_skipped=False)

    assert "store" not in text
    assert text.endswith("1 skip")


def test_long_words_stay_within_the_width() -> None:
    lines = checks_text([Check("store", "fail", "word " * 60, "do this " * 40)]).splitlines()

    assert max(len(line) for line in lines) <= WIDTH
    assert all(line.startswith(" " * 13) for line in lines[1:-1])


def test_no_lines_are_reported_as_such() -> None:
    assert checks_text([]) == "Preflight: nothing checked"


def test_only_a_failure_refuses_the_run() -> None:
    assert refusal(CHECKS) is not None
    assert refusal([check for check in CHECKS if check.status != "fail"]) is None
