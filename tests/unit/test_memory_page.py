"""The page that holds predictions beside published figures is current, and keeps its promise."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from benchmarks import memory_measured
from benchmarks.memory_child import PointFacts
from benchmarks.memory_measured import CASES, Case, Point
from benchmarks.memory_model import PAGE, POINTS, renewed

MEASURED = memory_measured.load()


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


def test_the_page_shows_what_was_measured_beside_what_the_model_says_now() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert memory_measured.renewed(page) == page, "run `python -m benchmarks.memory_measured --show`"


def test_all_that_is_to_be_measured_was() -> None:
    assert [point.case for point in MEASURED if point.facts.device == "cpu"] == list(CASES)


def test_on_a_cpu_every_prediction_is_within_a_tenth_of_what_was_measured() -> None:
    for point in MEASURED:
        bound = 0.10 if point.facts.device == "cpu" else 0.25
        assert abs(point.error) <= bound, point
        assert abs(point.own_error) <= bound, point


def test_the_error_without_the_process_cannot_hide_behind_it() -> None:
    facts = PointFacts("cpu", tokens=512, row_tokens=512, supervised_share=0.2, process_gib=10.0, peak_gib=20.0)
    point = Point(Case("SmolLM2 135M", 512, 1, True), facts)

    assert point.own_error == pytest.approx(point.predicted_gib / 10 - 1)
    assert point.error == pytest.approx((10 + point.predicted_gib) / 20 - 1)
    assert abs(point.own_error) > abs(point.error)


def test_a_run_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="could not be measured"):
        memory_measured.run_child({}, tmp_path / "job")
