"""Configure: what a machine says of itself is looked at before Ansible or a screen gets it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.ssh import SshMachine
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import HostWordsError, PlaybookFailedError
from runner.lifecycle.steps import configure
from runner.run.models import Box, Completed, Host
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.29, None, "existing")


class Says(SshMachine):
    """A machine behind SSH whose programs print what it likes."""

    def __init__(self, printed: str) -> None:
        super().__init__(RealWorld(), HOST, Path("/nowhere"))
        self.printed = printed

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        return Completed(tuple(argv), 0, self.printed)


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "existing", "host": "u@h"}})
    monkeypatch.setattr(configure, "play", lambda *words: None)
    monkeypatch.setattr(configure, "role_variables", lambda *words: {})
    monkeypatch.setattr(Context, "machine", lambda self, host: Says("/usr/bin/python3"))
    monkeypatch.setattr(Context, "box", lambda self, host, machine: Box("/home/u/.douse/runs/x"))
    return Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())


@pytest.mark.parametrize(
    ("compute", "mode"),
    [
        ({"env": "existing", "host": "u@h"}, "none"),
        ({"env": "existing", "host": "u@h", "driver": "install"}, "install"),
        ({"env": "lambda"}, "verify"),
        ({"env": "lambda", "driver": "install"}, "install"),
        ({"env": "aws", "driver": "verify"}, "verify"),
        ({"env": "runpod", "driver": "verify"}, "container"),
        ({"env": "lambda", "driver": "install", "gpu_required": False}, "none"),
    ],
)
def test_the_run_file_says_what_is_done_about_the_driver(ctx: Context, compute: dict[str, Any], mode: str) -> None:
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": compute})

    found = configure.driver_variables(replace(ctx, run_file=run_file), Box("/home/u/x"))

    assert found["nvidia_driver_mode"] == mode
    assert [Path(path).name for path in found["nvidia_driver_locks"]] == ["trainer-cuda.lock", "trainer-cuda12.lock"]
    assert "python_env_gpu" not in found


@pytest.mark.parametrize(("gpu_required", "packages"), [(True, ["gcc", "libc6-dev"]), (False, [])])
def test_a_rented_machine_with_a_gpu_is_to_have_a_compiler(
    ctx: Context, gpu_required: bool, packages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = {"env": "lambda", "gpu_required": gpu_required}
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": compute})
    monkeypatch.setattr(configure, "seconds_to_hard_end", lambda ctx: 3600)

    found = configure.rented_variables(replace(ctx, run_file=run_file), Box("/home/u/x"))

    assert found["base_system_useful_packages"] == packages
    assert not {"gcc", "libc6-dev"} & set(found["base_system_install_packages"])


def test_the_times_of_a_lease_are_handed_over_in_seconds(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = {"lease_minutes": 10.0, "keep_idle_minutes": 20.0}
    values = {"data": {"train_path": "x"}, "compute": {"env": "lambda"}, "budget": budget}
    monkeypatch.setattr(configure, "seconds_to_hard_end", lambda ctx: 9000.0)

    found = configure.rented_variables(replace(ctx, run_file=RunFile.model_validate(values)), Box("/home/u/x"))

    assert {name: found[name] for name in ("lease_ttl_s", "lease_idle_s", "lease_hard_end_s")} == {
        "lease_ttl_s": 600.0,
        "lease_idle_s": 1200.0,
        "lease_hard_end_s": 9000.0,
    }


def test_a_machine_of_ones_own_gets_no_cuda_where_the_cpu_trains(ctx: Context) -> None:
    run_file = ctx.run_file.model_copy(update={"run": ctx.run_file.run.model_copy(update={"device": "cpu"})})

    assert configure.driver_variables(replace(ctx, run_file=run_file), Box("/home/u/x"))["python_env_gpu"] == "absent"


def test_the_interpreter_is_the_last_line_that_was_printed() -> None:
    machine = Says("Welcome to {{ this }} machine\n\n/opt/my python/bin/python3\n")

    assert configure.find_python(machine, any_will_do=False) == "/opt/my python/bin/python3"


@pytest.mark.parametrize("printed", ["{{ lookup('pipe', 'touch /tmp/x') }}", "python3", "/usr/bin/py\x1b[2J", "/a;id"])
def test_an_interpreter_that_is_no_plain_path_is_refused(printed: str) -> None:
    with pytest.raises(HostWordsError, match="the path of Python"):
        configure.find_python(Says(printed), any_will_do=True)


def test_a_machine_without_python_is_said_to_have_none() -> None:
    with pytest.raises(PlaybookFailedError, match=r"has no Python 3\.11"):
        configure.find_python(Says(" \n"), any_will_do=True)


def test_the_facts_are_kept_without_what_steers_a_terminal(ctx: Context) -> None:
    entry = ctx.run.file("host_facts.json")
    entry.write_bytes(json.dumps({"device_name": "A10\x1b]0;x\x07", "disk_free_gib": 3.5}).encode())

    assert configure.configure(ctx, HOST) == {"device_name": "A10", "disk_free_gib": 3.5}
    assert json.loads(entry.read_bytes()) == {"device_name": "A10", "disk_free_gib": 3.5}


@pytest.mark.parametrize("content", [b"[1]", b"{", b'{"a": 1e999}', b"[" * 100_000, b"{}" + b" " * (1 << 20)])
def test_facts_that_cannot_be_are_not_kept(ctx: Context, content: bytes) -> None:
    ctx.run.file("host_facts.json").write_bytes(content)

    with pytest.raises(HostWordsError, match="facts cannot be read"):
        configure.configure(ctx, HOST)

    assert not ctx.run.file("host_facts.json").exists()
