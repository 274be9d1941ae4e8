"""The locks are whole, current and agree; each kind of trouble is found."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from requirements.lock import CUDA_BUILD, FOLDER, LOCKS, find_problems, read_pins, versions_only
from runner.bootstrap import EXTRAS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "requirements"))


def pins(name: str) -> dict[str, str]:
    return {package: version for package, version, _ in read_pins((FOLDER / f"{name}.lock").read_text())}


def test_the_committed_locks_have_no_problem() -> None:
    assert find_problems(FOLDER) == []


def test_a_changed_input_makes_its_locks_stale(folder: Path) -> None:
    with (folder / "control.in").open("a") as file:
        file.write("httpie>=3\n")

    assert find_problems(folder) == [
        "requirements/dev.lock is older than what it is made from: run `make lock`",
        "requirements/control.lock is older than what it is made from: run `make lock`",
        "requirements/rehearsal.lock is older than what it is made from: run `make lock`",
    ]


def test_a_changed_comment_makes_no_lock_stale(folder: Path) -> None:
    with (folder / "control.in").open("a") as file:
        file.write("\n# a remark\n")

    assert find_problems(folder) == []


def test_a_missing_lock_is_found(folder: Path) -> None:
    (folder / "uv.lock").unlink()

    assert find_problems(folder) == ["requirements/uv.lock is missing: run `make lock`"]


def test_a_pin_without_a_hash_is_found(folder: Path) -> None:
    with (folder / "models.lock").open("a") as file:
        file.write("sneaky==1.0\n")

    assert find_problems(folder) == ["requirements/models.lock: sneaky has no hash"]


def test_versions_that_disagree_are_found(folder: Path) -> None:
    path = folder / "control.lock"
    rich = pins("control")["rich"]
    path.write_text(path.read_text().replace(f"rich=={rich}", "rich==1.0"))

    assert find_problems(folder) == [f"rich has several versions: {rich} in dev.lock, 1.0 in control.lock"]


def test_a_lock_that_is_never_installed_with_others_may_disagree(folder: Path) -> None:
    assert pins("scan")["boto3"] != pins("aws")["boto3"]

    assert find_problems(folder) == []


def test_the_lock_for_older_drivers_differs_in_torch_and_what_comes_with_it_alone(folder: Path) -> None:
    newer, older = pins("trainer-cuda"), pins("trainer-cuda12")
    differing = {name for name in newer.keys() & older.keys() if newer[name] != older[name]}
    alone = newer.keys() ^ older.keys()

    assert (older["torch"], older["nvidia-cuda-runtime-cu12"]) == ("2.10.0", "12.8.90")
    assert {"torch", "triton"} <= differing
    assert all(CUDA_BUILD.match(f"{name}==") for name in differing | alone)
    path = folder / "trainer-cuda12.lock"
    path.write_text(path.read_text().replace(f"transformers=={older['transformers']}", "transformers==1.0"))
    assert find_problems(folder) == [
        f"transformers has several versions: {older['transformers']} in dev.lock, 1.0 in trainer-cuda12.lock"
    ]


def test_the_lock_for_older_drivers_is_held_to_all_other_versions() -> None:
    text = "a==1 \\\ntorch==2 \\\ntriton==3 ; x \\\nnvidia-cudnn-cu13==9 \\\ncuda-bindings==13 \\\n"

    assert versions_only(text, own_torch=True) == "a==1\n"
    assert versions_only(text).splitlines()[1:] == ["triton==3 ; x", "nvidia-cudnn-cu13==9", "cuda-bindings==13"]


def test_builds_of_one_version_agree() -> None:
    assert pins("trainer-cuda")["torch"] == "2.13.0"
    assert re.findall(r"^torch==(\S+)", (FOLDER / "trainer-cpu.lock").read_text(), re.MULTILINE) == [
        "2.13.0",
        "2.13.0+cpu",
    ]


def test_the_control_side_installs_without_torch() -> None:
    assert not {"torch", "transformers", "trl", "peft", "bitsandbytes"} & pins("control").keys()


def test_the_control_side_installs_without_what_only_some_runs_need() -> None:
    assert not {"numpy", "gguf", "boto3", "botocore", "plotly", "uv", "setuptools"} & pins("control").keys()


def test_every_extra_has_a_lock_and_the_environments_that_need_it_name_it_too() -> None:
    for name, extra in EXTRAS.items():
        assert extra.lock == f"requirements/{name}.lock"
        assert extra.module in pins(name)
        assert pins(name).items() <= pins("rehearsal").items()
        assert pins(name).items() <= pins("dev").items()


def test_ansible_is_the_current_line_where_python_lets_it_be() -> None:
    text = (FOLDER / "control.lock").read_text()

    found = dict(re.findall(r"^ansible-core==(2\.\d+)\.\d+ ; python_full_version ([<>=]+ '3\.12')", text, re.MULTILINE))

    assert {version: python for version, python in found.items() if version == "2.19"} == {"2.19": "< '3.12'"}
    assert [python for version, python in found.items() if version != "2.19"] == [">= '3.12'"]


def test_versions_for_two_pythons_have_to_agree_as_well(folder: Path) -> None:
    path = folder / "control.lock"
    newer = re.findall(r"^ansible-core==(\S+) ; python_full_version >=", path.read_text(), re.MULTILINE)[0]
    older = re.findall(r"^ansible-core==(\S+) ; python_full_version <", path.read_text(), re.MULTILINE)[0]
    path.write_text(path.read_text().replace(f"ansible-core=={newer}", "ansible-core==2.20.0"))

    assert find_problems(folder) == [
        f"ansible-core has several versions: {older} and {newer} in dev.lock, {older} and 2.20.0 in control.lock"
    ]


def named_in(*inputs: str) -> set[str]:
    lines = [line for name in inputs for line in (FOLDER / f"{name}.in").read_text().splitlines()]
    return {match[0] for line in lines if (match := re.match(r"[A-Za-z0-9-]+", line))}


NOT_HERE = {"pynvml": ["nvidia-ml-py"]}
"""Distributions of modules that are installed where there is a GPU alone."""


def imported_by(package: str) -> set[str]:
    """Return the distributions whose modules a package of ours imports, wherever in a file."""
    modules: set[str] = set()
    for path in (FOLDER.parent / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules.add(node.module.split(".")[0])
    foreign = modules - set(sys.stdlib_module_names) - {"runner", "trainer"}
    known = {**NOT_HERE, **packages_distributions()}
    return {known.get(module, [module])[0].lower().replace("_", "-") for module in foreign}


@pytest.mark.parametrize(
    ("package", "inputs"),
    [
        ("runner", ("control", "aws", "pages", "notices", "rehearsal", "data")),
        ("trainer", ("trainer", "torch-cpu", "torch-cuda")),
    ],
)
def test_what_is_imported_is_named_and_not_left_to_chance(package: str, inputs: tuple[str, ...]) -> None:
    imported = imported_by(package)

    assert len(imported) > 5
    assert imported - named_in(*inputs) == set()


def test_every_lock_has_pins_and_every_pin_in_it_is_read() -> None:
    for name in LOCKS:
        text = (FOLDER / f"{name}.lock").read_text()
        assert len(read_pins(text)) == len(re.findall(r"^[a-z0-9][^#]*==", text, re.MULTILINE)) > 0


def test_constraints_hold_versions_and_markers_but_not_the_build_of_torch() -> None:
    text = (
        "# head\na==1 ; sys_platform == 'linux' \\\n    --hash=sha256:00\n    # via b\ntorch==2+cpu \\\n    --hash=x\n"
    )

    assert versions_only(text) == "a==1 ; sys_platform == 'linux'\n"
