"""The estimate beside what a run took."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.estimate.settling import settled, time_words
from tests.unit.runner.estimate.test_ledger import estimate_of, write_run


def test_a_run_with_an_estimate_shows_both(tmp_path: Path) -> None:
    first, second = settled(write_run(tmp_path / "r1", estimate=estimate_of()))

    assert first.startswith("estimated    ")
    assert ", it took " in first
    assert first.endswith(" and 0.50 $")
    assert "boot 4 min → 3 min" in second
    assert "train" in second


def test_a_run_without_an_estimate_shows_nothing(tmp_path: Path) -> None:
    assert settled(write_run(tmp_path / "r1")) == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "?"), (3.4, "3 s"), (89.0, "89 s"), (100.0, "2 min"), (6000.0, "1.7 h")]
)
def test_a_duration_is_in_the_unit_that_suits_it(seconds: float | None, words: str) -> None:
    assert time_words(seconds) == words
