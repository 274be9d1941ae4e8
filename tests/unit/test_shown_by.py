"""Rehearsals that CI leaves out because another test shows the same: that test is there, and CI runs it."""

from __future__ import annotations

import ast

import pytest

from tests.unit.test_gpu_faults import TESTS, exists


def claims(source: str) -> dict[str, str]:
    """Return the test functions that say by what they are shown, and what that is."""
    return {
        function.name: ast.literal_eval(mark.args[0])
        for function in ast.parse(source).body
        if isinstance(function, ast.FunctionDef)
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.shown_by"
    }


CLAIMS = {
    f"rehearsal/{path.name}::{name}": other
    for path in sorted((TESTS / "rehearsal").glob("test_*.py"))
    for name, other in claims(path.read_text()).items()
}


@pytest.mark.parametrize(("left_out", "other"), CLAIMS.items())
def test_what_is_left_out_is_shown_by_a_test_that_is_not(left_out: str, other: str) -> None:
    file, _, name = other.partition("::")

    assert exists(file, name), f"{left_out}: there is no {other}"
    assert other not in CLAIMS, f"{left_out}: {other} is left out as well"


def test_claims_are_found() -> None:
    assert claims('@pytest.mark.shown_by("unit/a.py::test_b")\ndef test_c() -> None: ...') == {
        "test_c": "unit/a.py::test_b"
    }
    assert len(CLAIMS) > 1
