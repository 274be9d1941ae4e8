"""The roles for rented machines, by real playbooks on this machine: in a folder of their own, and twice."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from runner.adapters import ansible
from runner.adapters.ansible import PlaybookRun, run_playbook
from runner.errors import PlaybookFailedError
from runner.planning.cuda_builds import CudaBuild, cuda_builds
from runner.planning.gpu_class import LEAST_CAPABILITY
from runner.world import RealWorld
from tests.kept_python import kept_python
from tests.unit.playbooks.conftest import PLAYBOOKS, RUNPOD, load

REQUIREMENTS = PLAYBOOKS.parent / "requirements"
ROLES = sorted(path.name for path in (PLAYBOOKS / "roles").iterdir() if path.is_dir())
GPU = "NVIDIA A10, 580.95.05, 8.6, 23028"
INVENTORY = {
    "all": {
        "hosts": {
            "box": {"ansible_connection": "local", "ansible_python_interpreter": kept_python()},
        }
    }
}

Play = Callable[..., PlaybookRun]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run one role alone."""
    project = tmp_path / "project"
    (project / "playbooks").mkdir(parents=True)
    (project / "ansible.cfg").write_text(f"[defaults]\nroles_path = {PLAYBOOKS}/roles\n")
    monkeypatch.setattr(ansible, "PROJECT", project)

    def run(role: str, **variables: Any) -> PlaybookRun:
        tasks = [{"name": "Try", "hosts": "box", "gather_facts": True, "gather_subset": ["min"], "roles": [role]}]
        (project / "playbooks" / "one.yml").write_text(yaml.safe_dump(tasks))
        return run_playbook(
            "one.yml",
            inventory=INVENTORY,
            environment="local",
            variables=variables,
            world=RealWorld(),
            log=tmp_path / "log",
        )

    return run


@pytest.mark.parametrize("role", ROLES)
def test_each_default_is_described_and_each_optional_input_has_a_default(role: str) -> None:
    folder = PLAYBOOKS / "roles" / role
    options = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    path = folder / "defaults" / "main.yml"
    defaults = yaml.safe_load(path.read_text()) if path.exists() else {}

    assert set(defaults) == {name for name, option in options.items() if not option.get("required")}
    assert all(name.startswith(f"{role}_") for name in options)
    assert {
        name: option["default"] for name, option in options.items() if "default" in option
    }.items() <= defaults.items()
    assert (folder / "README.md").is_file()


@pytest.mark.parametrize("environment", ["local", "existing"])
def test_what_a_rented_machine_needs_is_off_on_ones_own(environment: str) -> None:
    names = [path.name for path in (PLAYBOOKS.parent / "inventories" / environment / "group_vars" / "all").iterdir()]

    assert names == ["ansible.yml"]


@pytest.mark.parametrize(
    ("environment", "method", "mode"),
    [("lambda", "none", "verify"), ("runpod", "api", "container"), ("aws", "shutdown", "install")],
)
def test_a_rented_machine_has_a_lease_a_driver_and_strict_host_keys(environment: str, method: str, mode: str) -> None:
    folder = PLAYBOOKS.parent / "inventories" / environment / "group_vars" / "all"
    roles = yaml.safe_load((folder / "roles.yml").read_text())
    connection = yaml.safe_load((folder / "ansible.yml").read_text())

    assert (roles["lease_enabled"], roles["lease_method"], roles["nvidia_driver_mode"]) == (True, method, mode)
    assert (roles["verify_require_gpu"], connection["ansible_host_key_checking"]) == (True, True)
    assert "StrictHostKeyChecking=yes" in connection["ansible_ssh_common_args"]


def test_where_no_package_is_missing_nobody_becomes_root(
    play: Play, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("dpkg-query", "echo installed"), ("sudo", f"touch {tmp_path}/asked"), ("apt-get", "exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    inputs = {"base_system_prefix": str(prefix), "base_system_disk_gib": 0.1}

    first = play("base_system", base_system_install_packages=["no-such-package"], **inputs)
    second = play("base_system", base_system_install_packages=["no-such-package"], **inputs)

    assert (first.changed, second.changed) == (1, 0)
    assert (prefix / "wheel").is_dir()
    assert not (tmp_path / "asked").exists()


def lease_variables(prefix: Path, **changes: Any) -> dict[str, Any]:
    return {
        "lease_method": "none",
        "lease_ttl_s": 3600,
        "lease_hard_end_s": 7200,
        "lease_prefix": str(prefix),
        "lease_service_manager": "none",
    } | changes


@pytest.fixture
def prefix(tmp_path: Path) -> Iterator[Path]:
    """A run's folder; whatever a role left running in it is ended."""
    folder = tmp_path / "box"
    (folder / "setup").mkdir(parents=True)
    yield folder
    for path in (folder / "lease" / "pid", folder / "setup" / "tensorboard.json"):
        if path.exists():
            text = path.read_text()
            pid = json.loads(text)["pid"] if path.suffix else text
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


def runs(pid: str) -> bool:
    """Return whether a process runs; one that only waits for its parent's word has ended."""
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def lease_pid(prefix: Path) -> str:
    return (prefix / "lease" / "pid").read_text()


def test_a_second_lease_leaves_the_daemon_alone_and_other_settings_restart_it(play: Play, prefix: Path) -> None:
    """On a machine that was started without a watch, which gets a lease all the same."""
    boot = prefix.parent / "boot"
    nowhere = {"lease_boot_folder": str(boot), "lease_boot_timer": "no-such.timer"}

    first = play("lease", **lease_variables(prefix, **nowhere))
    pid = lease_pid(prefix)
    second = play("lease", **lease_variables(prefix, lease_hard_end_s=7180, **nowhere))

    assert (first.changed > 0, second.changed, lease_pid(prefix)) == (True, 0, pid)
    assert runs(pid)
    assert not boot.exists()

    assert play("lease", **lease_variables(prefix, lease_ttl_s=60, **nowhere)).changed > 0
    assert lease_pid(prefix) != pid
    assert runs(lease_pid(prefix))
    assert not runs(pid)


def test_the_watch_of_the_boot_is_given_the_lease_to_keep_once_it_runs(play: Play, prefix: Path) -> None:
    boot = prefix.parent / "boot"
    boot.mkdir()
    (boot / "douse_boot.py").touch()
    inputs = lease_variables(prefix, lease_boot_folder=str(boot))

    play("lease", **inputs)

    assert (boot / "lease").read_text() == str(prefix)
    assert play("lease", **inputs).changed == 0


def test_a_lease_that_could_not_end_the_machine_is_refused(
    play: Play, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUNPOD_POD_ID", raising=False)

    with pytest.raises(
        PlaybookFailedError, match="could not end itself by api: the machine was started without RUNPOD"
    ):
        play("lease", **lease_variables(prefix, lease_method="api", lease_api=RUNPOD["lease_api"]))


def smi(folder: Path, answer: str, code: int = 0) -> str:
    """Return a stand-in for nvidia-smi that gives one answer."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{answer}'\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


def driver_variables(prefix: Path, program: str, **changes: Any) -> dict[str, Any]:
    return {
        "nvidia_driver_mode": "verify",
        "nvidia_driver_prefix": str(prefix),
        "nvidia_driver_locks": [str(REQUIREMENTS / build.lock) for build in cuda_builds()],
        "nvidia_driver_smi": program,
        "nvidia_driver_probe_cuda": False,
    } | changes


def test_a_good_driver_is_left_alone_in_every_mode(play: Play, prefix: Path) -> None:
    program = smi(prefix, GPU)
    play("nvidia_driver", **driver_variables(prefix, program))

    changed = [
        play("nvidia_driver", **driver_variables(prefix, program, nvidia_driver_mode=mode)).changed
        for mode in ("verify", "container", "install")
    ]

    assert changed == [0, 0, 0]


@pytest.mark.parametrize(
    ("answer", "code", "mode", "words"),
    [
        (
            *("NVIDIA A10, 515.86.10, 8.6, 23028", 0, "verify"),
            r"(?s)driver 515.86.10 is too old; torch .* needs 525 or newer.*installed with compute\.driver=install",
        ),
        ("NVIDIA A10, 515.86.10, 8.6, 23028", 0, "container", r"rent another pod, with CUDA 12.8 or newer"),
        ("Tesla V100, 580.95.05, 7.0, 16384", 0, "verify", r"GPU Tesla V100 is too old .*needs 7.5 or newer"),
        ("Failed to initialize NVML: Driver/library version mismatch", 18, "verify", r"ended with 18: Failed to init"),
        ("", 0, "verify", r"the driver shows 0 GPUs, 1 are needed"),
    ],
)
def test_what_is_wrong_with_a_driver_is_said_with_what_to_do(
    play: Play, prefix: Path, answer: str, code: int, mode: str, words: str
) -> None:
    with pytest.raises(PlaybookFailedError, match=words):
        play("nvidia_driver", **driver_variables(prefix, smi(prefix, answer, code), nvidia_driver_mode=mode))


def test_a_gpu_that_is_shown_and_cannot_compute_is_dead(play: Play, prefix: Path) -> None:
    inputs = driver_variables(prefix, smi(prefix, GPU), nvidia_driver_probe_cuda=True)

    with pytest.raises(PlaybookFailedError, match=r"dead GPU: .*no-such-library"):
        play("nvidia_driver", **inputs, nvidia_driver_libcuda="no-such-library.so.1")


def test_versions_that_nobody_has_looked_up_are_refused_first(play: Play, prefix: Path, tmp_path: Path) -> None:
    lock = tmp_path / "trainer-cuda.lock"
    lock.write_text("torch==9.9.9 \\\nbitsandbytes==0.50.2 \\\ncuda-toolkit==13.0.3.0 ; x\n")
    inputs = driver_variables(prefix, smi(prefix, GPU)) | {"nvidia_driver_locks": [str(lock)]}

    with pytest.raises(PlaybookFailedError, match=r"the lock trainer-cuda.lock names torch 9.9.9, CUDA 13.0 .* table"):
        play("nvidia_driver", **inputs)


@pytest.mark.parametrize("build", cuda_builds(), ids=lambda build: build.lock)
def test_the_table_of_what_works_together_has_the_locks_versions(build: CudaBuild) -> None:
    table = yaml.safe_load((PLAYBOOKS / "roles" / "nvidia_driver" / "vars" / "main.yml").read_text())
    lock = (REQUIREMENTS / build.lock).read_text()
    locked = {
        name: re.search(rf"^(?:{package})==([0-9.]+)", lock, re.MULTILINE)[1]  # type: ignore[index]
        for name, package in (
            ("torch", "torch"),
            ("bitsandbytes", "bitsandbytes"),
            ("cuda", "cuda-toolkit|nvidia-cuda-runtime-cu12"),
        )
    }
    locked["cuda"] = ".".join(locked["cuda"].split(".")[:2])

    rows = table["nvidia_driver_compatibility"]
    assert [row["lock"] for row in rows if all(row[name] == value for name, value in locked.items())] == [build.lock]
    assert {float(row["compute_capability_min"]) for row in rows} == {LEAST_CAPABILITY}


def test_every_lock_with_cuda_is_in_the_table_and_rented_containers_can_run_the_newest() -> None:
    newest, *_ = builds = cuda_builds()

    assert {build.lock for build in builds} == {path.name for path in REQUIREMENTS.glob("trainer-cuda*.lock")}
    rented = (PLAYBOOKS.parent / "infra" / "environments" / "runpod" / "variables.tf").read_text()
    least = rented.split('variable "runpod_min_cuda_version"')[1].split("default")[1].splitlines()[0]
    assert least.split('"')[1] == newest.cuda, "RunPod is asked for hosts whose driver is too old"


class FakeCuda:
    """The driver's library, as far as the probe asks it: one function may fail, memory may be bad."""

    def __init__(self, failing: str = "", code: int = 0, count: int = 1, byte: int = 0x5A) -> None:
        self._failing, self._code, self._count, self._byte = failing, code, count, byte

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            if name == self._failing:
                return self._code
            if name == "cuDeviceGetCount":
                arguments[0]._obj.value = self._count
            if name == "cuMemcpyDtoH_v2":
                arguments[0]._obj.value = self._byte
            if name == "cuGetErrorString":
                arguments[1]._obj.value = b"system not yet initialized"
            return 0

        return call


@pytest.mark.parametrize(
    ("cuda", "problem"),
    [
        (FakeCuda(), ""),
        (FakeCuda("cuInit", 802), "dead GPU: cuInit gives error 802 (system not yet initialized)"),
        (FakeCuda(count=0), "dead GPU: nvidia-smi shows 1 GPUs, CUDA finds 0"),
        (FakeCuda("cuMemsetD8_v2", 719), "dead GPU: cuMemsetD8_v2 gives error 719 (system not yet initialized)"),
        (FakeCuda(byte=0), "dead GPU: GPU 0 gave back 0x0 where 0x5a was written"),
    ],
)
def test_the_probe_makes_the_gpu_work(cuda: FakeCuda, problem: str) -> None:
    probe = load(PLAYBOOKS / "roles" / "nvidia_driver" / "files" / "probe_gpu.py")

    assert probe.ask_gpus(cuda, 1) == problem


def test_a_version_with_an_odd_digit_is_compared_all_the_same() -> None:
    probe = load(PLAYBOOKS / "roles" / "nvidia_driver" / "files" / "probe_gpu.py")

    assert probe.numbers("580.².x") == [580, 0, 0]


def test_tensorboard_runs_on_loopback_alone_and_twice_changes_nothing(play: Play, prefix: Path) -> None:
    own_python(prefix)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    first = play("monitoring", monitoring_prefix=str(prefix), monitoring_port=port)
    second = play("monitoring", monitoring_prefix=str(prefix), monitoring_port=port)

    assert (first.changed > 0, second.changed) == (True, 0)
    pid = json.loads((prefix / "setup" / "tensorboard.json").read_text())["pid"]
    assert listening(pid) == {f"127.0.0.1:{port}"}
    assert os.getsid(pid) == pid


def listening(pid: int) -> set[str]:
    """Return where a process and its children listen."""
    process = psutil.Process(pid)
    found = [entry for one in (process, *process.children(recursive=True)) for entry in one.net_connections("inet")]
    return {f"{entry.laddr.ip}:{entry.laddr.port}" for entry in found if entry.status == "LISTEN"}


def own_python(prefix: Path) -> None:
    """Give a run's folder an environment that is ours."""
    python = prefix / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={PLAYBOOKS.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)


def test_the_digest_knows_packages_python_and_lock_and_not_their_order() -> None:
    describe = load(PLAYBOOKS / "roles" / "python_env" / "files" / "describe_environment.py").describe
    one = describe(["b==2", "a==1", "douse==0.4.0"], "3.11.2", "f" * 64)

    assert one["packages"] == ["a==1", "b==2"]
    assert describe(["a==1", "b==2"], "3.11.2", "f" * 64)["digest"] == one["digest"]
    others = [(["a==1"], "3.11.2", "f"), (["a==1", "b==2"], "3.11.3", "f"), (["a==1", "b==2"], "3.11.2", "0")]
    digests = {describe(packages, python, lock * 64)["digest"] for packages, python, lock in others}
    assert len(digests | {one["digest"]}) == 4


def test_the_gpu_check_agrees_with_the_processor_and_finds_a_wrong_result(monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes  # noqa: F401 - its layer is tried once it is imported
    import torch

    facts = load(PLAYBOOKS / "files" / "host_facts.py")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    compute = facts.compute
    monkeypatch.setattr(facts, "compute", lambda device: compute("cpu"))
    monkeypatch.setenv("PATH", "/nowhere")  # no C compiler
    monkeypatch.delenv("CC", raising=False)
    good = facts.gpu_facts()
    monkeypatch.setattr(facts, "compute", lambda device: {"matrix_product": 0.5})
    wrong = facts.gpu_facts()

    assert (good["device"], good["gpu_problem"], set(good["gpu_checks"])) == (
        "cuda",
        None,
        {"matrix_product", "linear_4bit"},
    )
    assert max(good["gpu_checks"].values()) < facts.TOLERANCE
    assert good["triton_problem"] == "there is no C compiler (gcc or clang)"
    assert "its results are wrong by {'matrix_product': 0.5}" in wrong["gpu_problem"]


def test_a_gpu_that_raises_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    facts = load(PLAYBOOKS / "files" / "host_facts.py")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def raise_error(device: str) -> None:
        raise RuntimeError("CUDA error 802:\nsystem not yet initialized")

    monkeypatch.setattr(facts, "compute", raise_error)

    assert facts.gpu_facts()["gpu_problem"] == "RuntimeError: CUDA error 802: system not yet initialized"
