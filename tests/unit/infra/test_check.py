"""The check of the Terraform modules: what it runs, what it says, and when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import check
from infra.check import Verdict, check_root, exit_code, find_roots, summary

FAKE = """#!/bin/sh
if [ "$1" = version ]; then echo "${FAKE_PRODUCT:-Terraform} v1.11.4"; exit 0; fi
echo "$PWD|$TF_DATA_DIR|$*" >> "$FAKE_LOG"
if [ "$1" = "$FAKE_FAILS" ]; then echo "$FAKE_SAYS" >&2; exit 1; fi
"""
NO_NETWORK = (
    "Error: Failed to query available provider packages\n\n"
    "Could not retrieve the list of available versions for provider hashicorp/aws:\n"
    "could not connect to registry.terraform.io: no such host"
)
LOCK = 'provider "registry.terraform.io/hashicorp/aws" {\n}\n'


@pytest.fixture
def terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Terraform that writes down how it was called; ``FAKE_FAILS`` names the command that fails."""
    program = tmp_path / "terraform"
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "calls"))
    monkeypatch.setenv("FAKE_FAILS", "")
    monkeypatch.setenv("FAKE_SAYS", "Error: no")
    monkeypatch.setenv("TERRAFORM", str(program))
    return program


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "infra" / "sky"
    (folder / "tests").mkdir(parents=True)
    (folder / "versions.tf").write_text(
        'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
    )
    (folder / "tests" / "contract.tftest.hcl").touch()
    (folder / "terraform.tfstate").write_text("secret")
    (folder / "my.tfvars").write_text("secret")
    return folder


def calls(tmp_path: Path) -> list[str]:
    return [line.split("|")[2] for line in (tmp_path / "calls").read_text().splitlines()]


def test_a_module_is_initialised_and_tested_in_a_copy(tmp_path: Path, terraform: Path, root: Path) -> None:
    verdict = check_root(root, str(terraform), tmp_path / "work", {})

    assert verdict.outcome == "passed"
    assert calls(tmp_path) == ["init -backend=false -input=false -no-color", "test -no-color"]
    copy = tmp_path / "work" / "modules" / "sky"
    assert (tmp_path / "calls").read_text().startswith(f"{copy}|{tmp_path / 'work' / 'data' / 'sky'}|")
    assert sorted(path.name for path in copy.iterdir()) == ["tests", "versions.tf"]


def test_a_module_without_tests_is_validated(tmp_path: Path, terraform: Path, root: Path) -> None:
    (root / "tests" / "contract.tftest.hcl").unlink()

    check_root(root, str(terraform), tmp_path / "work", {})

    assert calls(tmp_path) == ["init -backend=false -input=false -no-color", "validate -no-color"]


def test_what_is_linked_is_tested_behind_the_modules_own_mocks(tmp_path: Path, terraform: Path, root: Path) -> None:
    contract = tmp_path / "infra" / "contract"
    contract.mkdir()
    (contract / "contract.tf").write_text("# inputs\n")
    (contract / "contract.tftest.hcl").write_text('run "refuses" {\n}\n')
    (root / "contract.tf").symlink_to("../contract/contract.tf")
    (root / "tests" / "contract.tftest.hcl").write_text(
        'mock_provider "sky" {}\n\nrun "first" {\n}\n\nrun "second" {\n}\n'
    )

    check_root(root, str(terraform), tmp_path / "work", {})

    copy = tmp_path / "work" / "modules" / "sky"
    assert (
        copy / "tests" / "shared_contract.tftest.hcl"
    ).read_text() == 'mock_provider "sky" {}\n\nrun "refuses" {\n}\n'
    assert (copy / "contract.tf").read_text() == "# inputs\n"
    assert not (copy / "contract.tf").is_symlink()
    assert sorted(path.name for path in (root / "tests").iterdir()) == ["contract.tftest.hcl"]


def test_the_committed_lock_is_held_to(tmp_path: Path, terraform: Path, root: Path) -> None:
    (root / ".terraform.lock.hcl").write_text(LOCK)

    check_root(root, str(terraform), tmp_path / "work", {})

    assert calls(tmp_path)[0] == "init -backend=false -input=false -lockfile=readonly -no-color"


def test_opentofu_may_write_its_own_entry_beside_the_committed_one(
    tmp_path: Path, terraform: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PRODUCT", "OpenTofu")
    (root / ".terraform.lock.hcl").write_text(LOCK)

    check_root(root, str(terraform), tmp_path / "work", {})

    assert calls(tmp_path)[0] == "init -backend=false -input=false -no-color"
    assert (tmp_path / "work" / "modules" / "sky" / ".terraform.lock.hcl").read_text() == LOCK


def test_a_lock_of_our_own_provider_is_left_behind(tmp_path: Path, terraform: Path, root: Path) -> None:
    (root / "versions.tf").write_text(
        'terraform { required_providers { douse = { source = "terraform.local/douse/douse" } } }'
    )
    (root / ".terraform.lock.hcl").write_text("stale")

    check_root(root, str(terraform), tmp_path / "work", {})

    assert not (tmp_path / "work" / "modules" / "sky" / ".terraform.lock.hcl").exists()
    assert "-lockfile" not in calls(tmp_path)[0]


@pytest.mark.parametrize(("command", "count"), [("init", 1), ("test", 2)])
def test_a_failure_is_shown_in_terraforms_words_and_ends_the_module(
    tmp_path: Path, terraform: Path, root: Path, monkeypatch: pytest.MonkeyPatch, command: str, count: int
) -> None:
    monkeypatch.setenv("FAKE_FAILS", command)

    verdict = check_root(root, str(terraform), tmp_path / "work", {})

    assert verdict.outcome == "failed"
    assert f"FAILED  terraform {command} in sky\nError: no" in verdict.lines
    assert len(calls(tmp_path)) == count


def test_a_provider_that_cannot_be_had_is_no_failure_of_the_module(
    tmp_path: Path, terraform: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAILS", "init")
    monkeypatch.setenv("FAKE_SAYS", NO_NETWORK)

    verdict = check_root(root, str(terraform), tmp_path / "work", {})

    assert verdict.outcome == "out of reach"
    assert verdict.lines.startswith("NOT CHECKED terraform init in sky")


@pytest.mark.parametrize(
    ("outcome", "well", "in_ci", "expected"),
    [
        ("passed", True, True, 0),
        ("passed", False, False, 1),
        ("failed", True, False, 1),
        ("out of reach", True, False, 0),
        ("out of reach", True, True, 1),
    ],
)
def test_what_was_not_checked_fails_in_ci_alone(outcome: check.Outcome, well: bool, in_ci: bool, expected: int) -> None:
    verdicts = [Verdict("a", "passed", ""), Verdict("b", outcome, "")]

    assert exit_code(verdicts, well=well, in_ci=in_ci) == expected


def test_no_module_at_all_is_a_failure() -> None:
    assert exit_code([], well=True, in_ci=False) == 1


def test_the_summary_names_what_was_not_checked_and_what_to_do() -> None:
    verdicts = [
        Verdict("infra/a", "passed", ""),
        Verdict("infra/b", "out of reach", ""),
        Verdict("infra/c", "failed", ""),
    ]

    assert summary(verdicts, 61.4, in_ci=True).splitlines() == [
        "1 of 2 root modules are well (61 s)",
        "not checked, which is a failure in CI: infra/b: their providers cannot be had",
        "hint: connect to the network, or name a folder that holds them in DOUSE_PROVIDER_MIRROR: infra/README.md",
    ]
    assert summary(verdicts[:1], 3.0, in_ci=False) == "1 of 1 root modules are well (3 s)"


def test_every_root_module_is_found() -> None:
    names = [path.name for path in find_roots(check.FOLDER)]

    assert sorted(names) == ["aws", "lambda", "local", "runpod", "safety", "store"]
    assert names[-1] == "local"  # the one without a provider is the quick one


def test_the_whole_check_passes_with_a_terraform_that_is_content(
    tmp_path: Path, terraform: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "WORK", tmp_path / "work")
    monkeypatch.setenv("DOUSE_PROVIDER_MIRROR", str(tmp_path))

    assert check.main() == 0

    said = capsys.readouterr().out
    assert said.startswith("ok      the environments keep their contract\nok      terraform fmt\n")
    assert "6 of 6 root modules are well" in said
    assert str(tmp_path) in (tmp_path / "work" / "terraform.rc").read_text()


def test_a_file_that_is_not_formatted_fails_the_check(
    tmp_path: Path, terraform: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "WORK", tmp_path / "work")
    monkeypatch.delenv("DOUSE_PROVIDER_MIRROR", raising=False)
    monkeypatch.setenv("FAKE_FAILS", "fmt")

    assert check.main() == 1

    assert "FAILED  terraform fmt\nError: no" in capsys.readouterr().out
    assert (tmp_path / "work" / "plugin-cache").is_dir()


def test_a_mirror_that_is_not_there_stops_the_check(
    tmp_path: Path, terraform: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "WORK", tmp_path / "work")
    monkeypatch.setenv("DOUSE_PROVIDER_MIRROR", str(tmp_path / "gone"))

    assert check.main() == 2

    assert capsys.readouterr().err.splitlines() == [
        f"error: infra: DOUSE_PROVIDER_MIRROR is {tmp_path / 'gone'}, and there is no such folder",
        "hint:  name a folder that holds the registry's providers, or unset it: infra/README.md",
    ]
