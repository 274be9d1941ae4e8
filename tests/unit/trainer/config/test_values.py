"""Values that have several spellings, and those that are none."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.config.values import read_steps, read_targets, steps_of


@pytest.mark.parametrize(
    ("value", "read"), [(3, 3), (3.0, 3), ("3", 3), (0.25, 0.25), ("0.25", 0.25), (1, 1), ("1e2", 100)]
)
def test_steps_are_a_number_or_a_share(value: Any, read: float) -> None:
    assert read_steps(value) == read
    assert type(read_steps(value)) is type(read)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "often", float("inf"), "nan", [2], -0.1])
def test_other_steps_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="whole number of steps from 1 on, or a share"):
        read_steps(value)


def test_a_share_of_all_steps_is_rounded_up_as_transformers_does() -> None:
    assert [steps_of(0.1, 12), steps_of(0.5, 12), steps_of(0.01, 12), steps_of(5, 12)] == [2, 6, 1, 5]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("all-linear", "all-linear"),
        ("all", "all-linear"),
        (["all-linear"], "all-linear"),
        ("q_proj", ["q_proj"]),
        ("q_proj,v_proj", ["q_proj", "v_proj"]),
        (" q_proj, v_proj ", ["q_proj", "v_proj"]),
        ("self_attn.q_proj v_proj", ["self_attn.q_proj", "v_proj"]),
        ([" q_proj"], ["q_proj"]),
        ([], []),
        (r".*\.(q|v)_proj", r".*\.(q|v)_proj"),
    ],
)
def test_targets_are_read_as_names_or_as_an_expression(value: Any, read: Any) -> None:
    assert read_targets(value) == read


@pytest.mark.parametrize("value", [7, None, "", " ", [7], [""], {"q_proj": 1}, True])
def test_other_targets_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="names of layers"):
        read_targets(value)


def test_an_expression_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read: missing \\)"):
        read_targets(r"layers\.(q_proj")
