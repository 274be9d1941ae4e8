from __future__ import annotations

import pytest

from runner.report import wording


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (0.84, "0.8 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (187, "3 min 07 s"), (7500, "2 h 05 min")],
)
def test_duration_is_in_fitting_units(seconds: float | None, expected: str) -> None:
    assert wording.duration(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (0, "0"), (9999, "9,999"), (14_230, "14.2 k"), (3_100_000, "3.1 M"), (999_999, "1 M")],
)
def test_count_is_short(value: float | None, expected: str) -> None:
    assert wording.count(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (512, "512 B"), (1536, "1.5 KiB"), (59_400_000, "56.6 MiB"), (2**41, "2048.0 GiB")],
)
def test_size_is_in_fitting_units(value: float | None, expected: str) -> None:
    assert wording.size(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(None, "–"), (41.24, "41.2 % lower"), (-3.0, "3.0 % higher")])
def test_improvement_names_its_direction(value: float | None, expected: str) -> None:
    assert wording.improvement(value) == expected


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "–"),
        (0.0, "right"),
        (0.004, "right"),
        (0.12, "12 % too high"),
        (-0.03, "3 % too low"),
        (2.3, "230 % too high"),
    ],
)
def test_an_estimate_is_reported_by_how_far_it_was_off(error: float | None, words: str) -> None:
    assert wording.off(error) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "?"), (3.4, "3 s"), (89.0, "89 s"), (100.0, "2 min"), (6000.0, "1.7 h")]
)
def test_an_estimated_duration_is_in_the_unit_that_suits_it(seconds: float | None, words: str) -> None:
    assert wording.time_words(seconds) == words
