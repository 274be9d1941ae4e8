"""Every emulated cloud: found by its folder, and explicit about every fault."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runner.clouds.registry import CLOUDS
from runner.emulation.fault_table import FAULTS, sentence
from runner.rehearsal.services import account_of_stores, emulated_clouds, known_faults
from runner.run.run_dir import PROJECT


def test_every_folder_with_an_emulator_is_listed() -> None:
    folders = {path.parent.name for path in (PROJECT / "runner" / "clouds").glob("*/emulator")}

    assert {record.package.rpartition(".")[2] for record in CLOUDS.values()} == folders
    assert list(emulated_clouds()) == list(CLOUDS)


def test_stores_are_in_the_account_of_one_cloud() -> None:
    assert [name for name, cloud in emulated_clouds().items() if cloud.keeps_stores] == [account_of_stores()]


@pytest.mark.parametrize("name", emulated_clouds())
def test_a_cloud_says_for_each_fault_either_that_it_can_or_why_not(name: str) -> None:
    said = emulated_clouds()[name].faults

    assert said.possible | set(said.impossible) == set(FAULTS)
    assert not said.possible & set(said.impossible)
    assert all(reason.strip() for reason in said.impossible.values())


@pytest.mark.parametrize("name", emulated_clouds())
def test_a_cloud_notes_only_faults_that_can_happen_there(name: str) -> None:
    said = emulated_clouds()[name].faults

    assert set(said.notes) <= said.possible


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_can_happen_somewhere(fault: str) -> None:
    assert any(fault in said.possible for said in known_faults().values())


def test_a_fault_is_described_with_how_it_looks_on_each_cloud() -> None:
    assert sentence(FAULTS["balance_empty"], known_faults()) == (
        "the account has no money left, or is inactive for unpaid bills (lambda: 403, account inactive; runpod: 402)"
    )
    assert sentence(FAULTS["terminate_500"], known_faults()) == FAULTS["terminate_500"].does


def test_what_is_only_installed_for_rehearsals_is_not_imported_to_know_the_clouds() -> None:
    code = (
        "import sys; from runner.rehearsal.services import emulated_clouds; emulated_clouds();"
        "sys.exit(bool({'moto', 'starlette', 'boto3'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False, timeout=60).returncode == 0
