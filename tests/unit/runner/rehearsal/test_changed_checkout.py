"""A checkout with other locks and no package index: its environment stands, and no other can be made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runner import bootstrap
from runner.rehearsal.changed_checkout import OFFLINE, as_make_gives_it, make_changed_checkout
from runner.run.run_dir import PROJECT

WAIT_S = 300.0


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_changed_checkout(tmp_path_factory.mktemp("rehearsal"))


def test_a_verb_that_terminates_runs_there_from_the_copy(checkout: Path) -> None:
    done = subprocess.run(
        as_make_gives_it("runner", ["down", "--help"]),
        cwd=checkout,
        env={**os.environ, **OFFLINE},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout


def test_its_environment_stands_and_is_not_that_of_its_locks(checkout: Path) -> None:
    target = bootstrap.TARGETS["control"]

    assert bootstrap.standing(checkout, target) == checkout / ".venv" / "bin" / "python"
    assert not bootstrap._is_current(checkout, target, bootstrap._stamp_of(checkout, target))


def test_the_command_is_that_of_the_makefile() -> None:
    (line,) = [line for line in (PROJECT / "Makefile").read_text().splitlines() if line.startswith("STANDING = ")]

    assert line.split(" ")[3:] == as_make_gives_it("runner", [])[1:-2]


def test_the_checkout_that_rehearses_is_left_as_it_is(checkout: Path) -> None:
    ours, theirs = (folder / "requirements" / "control.lock" for folder in (PROJECT, checkout))

    assert theirs.read_bytes().startswith(ours.read_bytes())
    assert theirs.read_bytes() != ours.read_bytes()
    assert make_changed_checkout(checkout.parent) == checkout
