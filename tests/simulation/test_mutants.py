"""The planted faults: each says what it is and still applies, and a few of them are found here and now."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.simulation.rules import RULES
from tests.simulation.bite import PATCHES, ROOT, Mutant, copy_of_checkout, hunt, mutants

MONEY = ("A3", "A4", "A5", "A7", "A8", "A9", "A11", "A12", "A13")
"""Promises that were broken once, each of which is among what is planted."""
QUICK = ("any-account-is-right", "billed-from-the-request")
ALL = mutants()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_checkout(tmp_path_factory.mktemp("checkout"))


def test_each_patch_says_which_rule_is_to_find_it() -> None:
    assert len(ALL) >= 100
    assert {mutant.breaks for mutant in ALL} <= set(RULES)
    assert [mutant.name for mutant in ALL if not mutant.planted.endswith(".")] == []


@pytest.mark.parametrize("promise", MONEY)
def test_each_promise_that_was_broken_once_is_broken_again(promise: str) -> None:
    assert [mutant.name for mutant in ALL if promise in mutant.planted.partition(":")[0].split(", ")] != []


def test_each_patch_applies(checkout: Path) -> None:
    check = ["git", "apply", "--check"]
    done = {one.name: subprocess.run([*check, str(one.path)], cwd=checkout, capture_output=True) for one in ALL}

    assert [name for name, one in done.items() if one.returncode != 0] == []


def test_each_patch_changes_one_module() -> None:
    files = {one.name: [line for line in one.path.read_text().splitlines() if line.startswith("+++ b/")] for one in ALL}

    assert [name for name, changed in files.items() if len(changed) != 1 or not (ROOT / changed[0][6:]).is_file()] == []


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_fault_is_found(checkout: Path, name: str) -> None:
    mutant = next(one for one in ALL if one.name == name)
    before = {path: path.read_bytes() for path in checkout.rglob("*.py")}

    found = hunt(mutant, checkout, 1000, most=10)

    assert (found.rule, found.lives <= 10) == (mutant.breaks, True)
    assert {path: path.read_bytes() for path in before} == before


def test_what_is_not_found_is_said(checkout: Path, tmp_path: Path) -> None:
    patch = tmp_path / "nothing.patch"
    patch.write_text((PATCHES / "lambda-cents-are-dollars.patch").read_text().replace("price,", "price / 100.0,"))

    found = hunt(Mutant(patch, "nothing.", "it ends", "^runpod"), checkout, 1)

    assert (found.lives, found.line().split()[-2:]) == (1, ["not", "found"])


def test_a_patch_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.patch").write_text("Planted: a fault.\nBreaks: it ends\n--- a/x\n+++ b/x\n")

    with pytest.raises(ValueError, match="does not say what is planted"):
        mutants(tmp_path)
