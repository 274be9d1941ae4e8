"""The page that holds predictions beside published figures is current, and keeps its promise."""

from __future__ import annotations

from statistics import median

from benchmarks.memory_model import PAGE, POINTS, renewed


def test_the_page_shows_what_the_model_says_now() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert renewed(page) == page, "run `python -m benchmarks.memory_model --write`"


def test_the_median_error_is_at_most_a_tenth_and_none_is_above_a_quarter() -> None:
    errors = [abs(point.error) for point in POINTS]

    assert len(POINTS) >= 12
    assert median(errors) <= 0.10
    assert max(errors) <= 0.25


def test_no_figure_stands_twice() -> None:
    assert len({(point.source, point.model, point.tokens) for point in POINTS}) == len(POINTS)
