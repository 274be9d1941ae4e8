"""What this machine needs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.adapters import machine, process
from runner.adapters.process import ToolTimeoutError
from runner.clouds.own_sections import run_file_class
from runner.planning.checks import this_machine as here
from runner.planning.checks.line import Check
from runner.planning.checks.this_machine import (
    check_ansible,
    check_disks,
    check_environment,
    check_guard,
    check_terraform,
)
from runner.planning.estimate.disk import DiskNeed
from runner.run.models import Completed
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld
from tests.unit.runner.planning.checks.small_run import make_run


@pytest.mark.parametrize(
    ("compute", "status", "value"),
    [
        ({}, "pass", "local"),
        ({"env": "existing", "host": "me@there:2222"}, "pass", "existing me@there:2222"),
        ({"env": "existing", "host": "my-box"}, "pass", "existing my-box"),
        (
            {"env": "existing", "host": "me@"},
            "fail",
            "compute.host is 'me@', neither user@address[:port] nor a name of ~/.ssh/config",
        ),
        ({"env": "locl"}, "fail", "there is no environment locl"),
    ],
)
def test_the_environment_is_reported(tmp_path: Path, compute: dict[str, str], status: str, value: str) -> None:
    line = check_environment(make_run(tmp_path, compute=compute))

    assert (line.status, line.value) == (status, value)


@pytest.mark.parametrize(
    ("env", "value"),
    [
        ("aws", "aws"),
        ("lambda", "lambda; compute.aws is not used there"),
        ("local", "local; compute.aws is not used there"),
    ],
)
def test_keys_of_another_cloud_are_said_to_be_of_no_use(env: str, value: str) -> None:
    run_file = run_file_class().model_validate({"compute": {"env": env, "aws": {"tags": {"team": "red"}}}})

    assert check_environment(run_file) == Check("environment", "pass", value)


def test_a_terraform_that_will_do_is_reported_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "find_terraform", lambda world: Path(world.environ["TERRAFORM"]))

    assert check_terraform(RealWorld({"TERRAFORM": "/opt/terraform"})) == [Check("terraform", "pass", "/opt/terraform")]


def test_a_terraform_that_will_not_do_fails() -> None:
    (line,) = check_terraform(RealWorld({"TERRAFORM": "/no/such/program"}))

    assert line.status == "fail"
    assert line.value.startswith("TERRAFORM=/no/such/program is missing, wanted 1.11 or newer")
    assert line.remedy == "name a supported Terraform or OpenTofu (TERRAFORM=tofu), or unset TERRAFORM"


def test_no_terraform_at_all_is_a_warning_and_is_not_downloaded(tmp_path: Path) -> None:
    (line,) = check_terraform(RealWorld({"DOUSE_CACHE": str(tmp_path), "PATH": str(tmp_path)}))

    assert line.status == "warn"
    assert list(tmp_path.iterdir()) == []


def test_ansible_is_reported_by_its_version(tmp_path: Path) -> None:
    line = check_ansible(make_run(tmp_path), RealWorld())

    assert line.status == "pass"
    assert line.value.startswith("ansible-core 2.")


def test_a_missing_package_of_ansibles_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here.importlib.util, "find_spec", lambda name: None if name == "ansible_runner" else object())

    line = check_ansible(make_run(tmp_path), RealWorld())

    assert (line.status, line.value) == ("fail", "ansible_runner cannot be found")


def test_a_missing_ssh_fails_for_another_machine_only(tmp_path: Path) -> None:
    world = VirtualWorld()
    world.programs["ansible-playbook"] = Path("/usr/bin/ansible-playbook")

    there = check_ansible(make_run(tmp_path, compute={"env": "lambda"}), world)

    assert (there.status, there.remedy) == ("fail", "install OpenSSH's client")
    assert check_ansible(make_run(tmp_path), world).status == "pass"


def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**28))

    here_line, there_line = check_disks(make_run(tmp_path), tmp_path, DiskNeed(0.5, 0.5))

    assert here_line.status == "fail"
    assert here_line.value == f"0.2 GiB are free at {tmp_path}, this run needs 0.5 GiB"
    assert here_line.remedy == "free some disk, or put the runs elsewhere with --runs-dir"
    assert there_line.status == "skip"


def test_this_machine_needs_room_only_for_what_comes_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**30))
    run_file = make_run(tmp_path, compute={"env": "lambda", "disk_size_gib": 10})

    here_line, there_line = check_disks(run_file, tmp_path, DiskNeed(there_gib=79.5, here_gib=0.5))

    assert (here_line.status, here_line.value) == ("pass", "1.0 GiB free, 0.5 needed")
    assert there_line == Check(
        "disk there", "warn", "10 GiB asked for, 79.5 needed",
        "set compute.disk_size_gib to 80: so much is rented in any case",
    )  # fmt: skip


def test_the_disk_of_a_given_machine_is_looked_at_there(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, compute={"env": "existing", "host": "me@there"})

    assert check_disks(run_file, tmp_path, DiskNeed(2.5, 0.5))[1].status == "skip"


def guard_lines(tmp_path: Path, user: str = "ada", env: str = "lambda", **budget: object) -> list[Check]:
    with VirtualWorld(environ={"USER": user}) as world:
        world.programs["busctl"] = Path("/usr/bin/busctl")
        return check_guard(make_run(tmp_path, compute={"env": env}, budget=budget), world)


@pytest.mark.parametrize(
    ("answer", "user", "warns"),
    [("b true\n", "ada", True), ("b false\n", "ada", False), ("", "ada", False), ("b true\n", "root", False)],
)
def test_a_guard_that_ends_with_the_session_is_said(
    answer: str, user: str, warns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "run", lambda argv, timeout_s: Completed(tuple(argv), 0, answer))

    lines = guard_lines(tmp_path, user)

    assert [line.name for line in lines] == (["guard"] if warns else [])
    assert all("KillUserProcesses" in line.value and line.status == "warn" for line in lines)


def test_a_logind_that_does_not_answer_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(argv: list[str], timeout_s: float) -> Completed:
        raise ToolTimeoutError("process: busctl did not finish", resolution="-")

    monkeypatch.setattr(process, "run", never)

    assert guard_lines(tmp_path) == []


def test_a_rented_machine_without_a_guard_is_said(tmp_path: Path) -> None:
    (line,) = guard_lines(tmp_path, guard=False)

    assert (line.status, line.value) == ("warn", "off: a killed runner leaves its machine to the cloud and to sweeps")
    assert guard_lines(tmp_path, env="local", guard=False) == []
