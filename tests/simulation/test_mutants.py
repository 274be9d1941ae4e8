"""The planted faults: each says what it is, applies, and has a life on record that finds it; a few are found here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.simulation.rules import RULES
from tests.simulation.bite import PATCHES, ROOT, SEEDS, Mutant, copy_of_checkout, hunt, mutants, records, write_records
from tests.simulation.hunt import Record

MONEY = ("A3", "A4", "A5", "A7", "A8", "A9", "A11", "A12", "A13")
"""Promises that were broken once, each of which is among what is planted."""
QUICK = ("disk-costs-nothing", "billed-from-the-request")
RECORDED = ("guard-believes", "no-lease-on-the-box", "rents-twice")
LEAST_FOUND = 95
"""So many of what is planted have a life on record at least."""
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


def test_each_patch_changes_one_module_and_the_layer_behind_it_at_most() -> None:
    files = {one.name: [line for line in one.path.read_text().splitlines() if line.startswith("+++ b/")] for one in ALL}

    assert [name for name, changed in files.items() if len(changed) not in (1, 2)] == []
    assert [line for changed in files.values() for line in changed if not (ROOT / line[6:]).is_file()] == []


def test_ninety_five_of_what_is_planted_are_found_within_the_seeds_at_least() -> None:
    known = records()

    assert set(known) <= {mutant.name for mutant in ALL}
    assert len(known) >= LEAST_FOUND
    assert {record.rule for record in known.values()} <= set(RULES)
    assert max(record.seed for record in known.values()) < SEEDS


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_fault_is_found(checkout: Path, name: str) -> None:
    mutant = next(one for one in ALL if one.name == name)
    before = {path: path.read_bytes() for path in checkout.rglob("*.py")}

    found = hunt(mutant, checkout, 1000, most=10)

    assert found.record is not None
    assert (found.record.rule, found.lives <= 10, found.is_recorded) == (mutant.breaks, True, False)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_life_finds_its_fault(checkout: Path, name: str) -> None:
    mutant, record = next(one for one in ALL if one.name == name), records()[name]

    found = hunt(mutant, checkout, 0, recorded=record)

    assert (found.record, found.lives, found.is_recorded) == (record, 1, True)


def test_where_a_recorded_life_finds_nothing_any_more_the_seeds_are_hunted(checkout: Path) -> None:
    mutant = next(one for one in ALL if one.name == QUICK[0])
    stale = Record("lambda", 3, mutant.breaks, is_fair=True, acts=())

    found = hunt(mutant, checkout, 1000, most=5, recorded=stale)

    assert found.record is not None
    assert (found.record.cloud, found.is_recorded) == ("runpod", False)


def test_records_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    record = Record("lambda", 3, "it ends", is_fair=False, acts=[["kill", 3.5, 0.0, []], ["type", 5.0, 0.0, ["down"]]])

    write_records({"b": record, "a": record}, path)

    assert list(records(path)) == ["a", "b"]
    assert records(path)["a"] == record
    assert [str(act) for act in record.script] == ["kill at 4 s (0)", "type down at 5 s (0)"]
    assert records(tmp_path / "none.jsonl") == {}


def test_what_is_not_found_is_said(checkout: Path, tmp_path: Path) -> None:
    patch = tmp_path / "nothing.patch"
    patch.write_text((PATCHES / "lambda-cents-are-dollars.patch").read_text().replace("price,", "price / 100.0,"))

    found = hunt(Mutant(patch, "nothing.", "it ends", "^runpod"), checkout, 1)

    assert (found.lives, found.record, found.line().split()[-2:]) == (1, None, ["not", "found"])


def test_a_patch_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.patch").write_text("Planted: a fault.\nBreaks: it ends\n--- a/x\n+++ b/x\n")

    with pytest.raises(ValueError, match="does not say what is planted"):
        mutants(tmp_path)
