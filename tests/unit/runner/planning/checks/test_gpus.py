"""The GPUs of a machine that is there: what its driver says decides before anything is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import LocalMachine
from runner.planning.checks.gpus import check_gpus, check_here
from runner.planning.checks.line import Check
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.planning.checks.small_run import make_run

SMI = """#!/bin/sh
case "$1" in
  *compute_cap*) printf '%s\\n' '{full}'; exit {code} ;;
  *) printf '%s\\n' '{short}'; exit {short_code} ;;
esac
"""


class There(LocalMachine):
    """A machine whose ``nvidia-smi`` is what a test makes it."""

    def __init__(self, folder: Path, full: str, code: int = 0, short: str = "", short_code: int = 9) -> None:
        program = folder / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(SMI.format(full=full, code=code, short=short, short_code=short_code))
        program.chmod(0o755)
        (folder / "bin" / "uname").write_text("#!/bin/sh\necho x86_64\n")
        (folder / "bin" / "uname").chmod(0o755)
        self.path = f"{program.parent}:{os.environ['PATH']}"

    def run(self, argv: Any, **options: Any) -> Any:
        return super().run(argv, **options | {"env": {"PATH": self.path}})


def existing(folder: Path, **sections: dict[str, Any]) -> RunFile:
    compute = {"env": "existing", "host": "me@there", **sections.pop("compute", {})}
    return make_run(folder, compute=compute, **sections)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("NVIDIA A10, 580.95.05, 8.6", "NVIDIA A10, driver 580.95.05: torch 2.13.0 with CUDA 13.0"),
        ("NVIDIA A10, 579.99, 8.6", "NVIDIA A10, driver 579.99: torch 2.10.0 with CUDA 12.8"),
        ("NVIDIA A10, 525.60.13, 8.6", "NVIDIA A10, driver 525.60.13: torch 2.10.0 with CUDA 12.8"),
        ("Tesla T4, 580.95.05, 7.5", "Tesla T4, driver 580.95.05: torch 2.13.0 with CUDA 13.0"),
    ],
)
def test_the_driver_says_which_pytorch_it_will_be(tmp_path: Path, row: str, says: str) -> None:
    line = check_gpus(existing(tmp_path), There(tmp_path, row))

    assert (line.status, line.value) == ("pass", says)


@pytest.mark.parametrize(
    ("row", "says", "remedy"),
    [
        (
            "NVIDIA A10, 515.105.01, 8.6",
            "NVIDIA A10: driver 515.105.01 is too old; torch 2.10.0 with CUDA 12.8 needs driver 525 or newer",
            "set compute.driver to install",
        ),
        ("Tesla V100-SXM2-16GB, 580.95.05, 7.0", "has compute capability 7, Douse needs 7.5", "set run.device to cpu"),
        ("Tesla V100-SXM2-16GB, 550.1, [N/A]", "has compute capability 7, Douse needs 7.5", "newer GPU"),
    ],
)
def test_what_no_pytorch_of_ours_computes_on_is_refused(tmp_path: Path, row: str, says: str, remedy: str) -> None:
    line = check_gpus(existing(tmp_path), There(tmp_path, row))

    assert line.status == "fail"
    assert says in line.value
    assert remedy in line.remedy


def test_a_driver_too_old_to_know_the_capability_is_named_as_too_old_and_not_as_broken(tmp_path: Path) -> None:
    asked = 'Field "compute_cap" is not a valid field to query.'
    line = check_gpus(existing(tmp_path), There(tmp_path, asked, 2, "Tesla T4, 470.82.01", 0))

    assert (line.status, "driver 470.82.01 is too old" in line.value) == ("fail", True)


def test_bfloat16_is_refused_on_a_gpu_without_it_and_auto_is_not(tmp_path: Path) -> None:
    machine = There(tmp_path, "Tesla T4, 580.95.05, 7.5")
    line = check_gpus(existing(tmp_path, model={"dtype": "bfloat16"}), machine)

    assert (line.status, line.value) == ("fail", "Tesla T4 does not compute in bfloat16, and model.dtype is bfloat16")
    assert "model.dtype" in line.remedy
    assert check_gpus(existing(tmp_path), machine).status == "pass"


def test_one_gpu_that_will_do_is_enough(tmp_path: Path) -> None:
    rows = "Tesla V100-SXM2-16GB, 580.95.05, 7.0\nNVIDIA A10, 580.95.05, 8.6"

    assert check_gpus(existing(tmp_path), There(tmp_path, rows)).status == "pass"


def test_an_old_gpu_is_no_matter_where_the_cpu_trains(tmp_path: Path) -> None:
    machine = There(tmp_path, "Tesla V100-SXM2-16GB, 390.1, 7.0")
    line = check_gpus(existing(tmp_path, run={"device": "cpu"}), machine)

    assert (line.status, "run.device is cpu" in line.value) == ("pass", True)


def test_an_old_driver_will_do_where_a_newer_one_is_to_be_installed(tmp_path: Path) -> None:
    machine = There(tmp_path, "NVIDIA A10, 470.1, 8.6")
    line = check_gpus(existing(tmp_path, compute={"driver": "install"}), machine)

    assert (line.status, "a newer one is installed first" in line.value) == ("pass", True)


def test_a_processor_without_a_build_for_older_drivers_needs_the_newer_driver(tmp_path: Path) -> None:
    machine = There(tmp_path, "NVIDIA GH200 480GB, 550.1, 9.0")
    (tmp_path / "bin" / "uname").write_text("#!/bin/sh\necho aarch64\n")

    line = check_gpus(existing(tmp_path), machine)

    assert (line.status, "torch 2.13.0 with CUDA 13.0 needs driver 580" in line.value) == ("fail", True)


def test_a_driver_that_fails_is_refused_there_and_a_missing_one_or_no_gpu_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = check_gpus(existing(tmp_path), There(tmp_path, "NVIDIA-SMI has failed", 9, "NVIDIA-SMI has failed"))
    none = check_gpus(existing(tmp_path), There(tmp_path, ""))
    bare = There(tmp_path, "")
    bare.path = str(tmp_path / "empty")

    assert (broken.status, broken.value) == ("fail", "the NVIDIA driver does not answer: NVIDIA-SMI has failed")
    assert (none.status, "shows no GPU" in none.value) == ("warn", True)
    monkeypatch.setattr(LocalMachine, "run", without_programs)
    assert check_gpus(existing(tmp_path), bare).value == "no NVIDIA driver: it would train on the CPU"


def without_programs(self: LocalMachine, argv: list[str], **options: Any) -> Any:
    from runner.run.models import Completed

    return Completed(tuple(argv), 127, "")


def test_this_machine_is_looked_at_where_it_trains_and_has_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = There(tmp_path, "Tesla V100-SXM2-16GB, 580.95.05, 7.0")
    here = make_run(tmp_path)
    nothing = check_here(here, RealWorld({"PATH": "/nowhere"}))
    monkeypatch.setenv("PATH", machine.path)

    def look(run_file: RunFile) -> list[Check]:
        return check_here(run_file, RealWorld())

    assert nothing == []
    assert [(line.name, line.status) for line in look(here)] == [("gpu here", "fail")]
    assert look(existing(tmp_path)) == []
    There(tmp_path, "No devices were found", 6, "No devices were found", 6)
    assert [(line.name, line.status) for line in look(here)] == [("gpu here", "warn")]
