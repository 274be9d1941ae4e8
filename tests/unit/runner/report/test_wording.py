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


@pytest.mark.parametrize(
    ("range_usd", "words"),
    [((0.411, 0.424), "$0.41 to $0.42"), ((0.411, 0.412), "$0.41"), ((0.411, None), "at least $0.41")],
)
def test_a_range_of_dollars_is_as_wide_as_it_reads(range_usd: tuple[float, float | None], words: str) -> None:
    assert wording.dollar_range(range_usd) == words


def test_a_machine_is_a_line_of_what_it_cost_and_whether_it_still_does() -> None:
    line = {"machine_id": "i-1", "cloud": "lambda", "price_usd_per_h": 0.75, "cost_range_usd": [0.4, 0.42]}
    lost = {"machine_id": None, "cloud": "aws", "price_usd_per_h": None, "cost_range_usd": [0.0, 0.5]}

    assert wording.machine_words(line | {"gone_at": "2026-11-21T02:00:00+00:00"}) == (
        "i-1 on lambda at $0.75/h: $0.40 to $0.42, no longer there"
    )
    assert wording.machine_words(lost | {"gone_at": None}) == (
        "a request without an answer on aws: $0.00 to $0.50, may still bill"
    )
    useless = line | {"gone_at": None, "why_useless": "not up"}
    assert wording.machine_words(useless).endswith("; it never trained: not up")


def test_what_machines_cost_that_never_trained_is_summed_up() -> None:
    trained, useless = {"cost_range_usd": [5.0, 5.0], "why_useless": None}, {"cost_range_usd": [0.1, 0.11]}
    first, second = (
        useless | {"why_useless": "not up"},
        useless | {"why_useless": "no GPU", "cost_range_usd": [1.0, None]},
    )

    assert wording.wasted_words([trained, useless]) is None
    assert wording.wasted_words([trained, first]) == "$0.10 to $0.11 for 1 machine that never trained"
    assert wording.wasted_words([first, second]) == "at least $1.10 for 2 machines that never trained"
