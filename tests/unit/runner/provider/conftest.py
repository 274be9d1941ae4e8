"""A root module in a folder of its own, Terraform on it, and the provider inside this process."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.terraform_install import find_terraform
from runner.clouds.provider import DouseProvider
from runner.errors import ToolError
from runner.provider.service import Service
from runner.world import Event, RealWorld
from tests.unit.runner.provider.fake_clouds import GPU, Clouds, fake_clouds
from tests.unit.runner.provider.in_process import serve_in_process

TIMEOUT_S = 240.0
HEAD = 'terraform {\n  required_providers {\n    douse = { source = "terraform.local/douse/douse" }\n  }\n}\n'


class BriskWorld(RealWorld):
    """This process's own world, in which the clock goes forward as fast as somebody waits for an event."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self._passed_s, self._passing = 0.0, threading.Lock()

    def monotonic_s(self) -> float:
        with self._passing:
            return self._passed_s

    def event(self) -> Event:
        return BriskEvent(self)

    def let_pass(self, seconds: float) -> None:
        with self._passing:
            self._passed_s += seconds


class BriskEvent:
    """An event for which nobody waits longer than a moment."""

    def __init__(self, world: BriskWorld) -> None:
        self._world, self._event = world, threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        self._world.let_pass(timeout_s or 0.0)
        return self._event.wait(0.002)


@pytest.fixture(scope="session")
def terraform() -> str:
    try:
        return str(find_terraform(RealWorld()))
    except ToolError as err:
        pytest.skip(f"no Terraform: {err.message}")


@pytest.fixture
def clouds() -> Iterator[Clouds]:
    with fake_clouds() as found:
        yield found
        left = [fault.request for fault in (*found.on_lambda.faults, *found.on_runpod.faults)]
        assert not left, f"queued faults that never fired: {left}"


@dataclass
class Module:
    """A root module, with Terraform on it."""

    folder: Path
    program: str
    environ: dict[str, str]

    def write(self, *blocks: str) -> Module:
        (self.folder / "main.tf").write_text(HEAD + "\n".join(blocks))
        return self

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words, "-no-color"],
            cwd=self.folder,
            env={**os.environ, **self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def done(self, *words: str) -> str:
        result = self.run(*words)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def apply(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("apply", "-auto-approve", *words)

    def destroy(self) -> subprocess.CompletedProcess[str]:
        return self.run("destroy", "-auto-approve")

    def plan(self) -> int:
        """Return 0 for no change, 2 for a change."""
        result = self.run("plan", "-detailed-exitcode")
        assert result.returncode in (0, 2), result.stdout + result.stderr
        return result.returncode

    def resources(self) -> list[dict[str, Any]]:
        path = self.folder / "terraform.tfstate"
        if not path.exists() or not path.read_text():  # Terraform creates it empty, before there is a state
            return []
        return [
            instance
            for resource in json.loads(path.read_text())["resources"]
            if resource["mode"] == "managed"
            for instance in resource["instances"]
        ]

    def only(self) -> dict[str, Any]:
        (instance,) = self.resources()
        return instance


@dataclass
class InProcess:
    """The provider inside this process."""

    provider: DouseProvider
    service: Service
    module: Module


@pytest.fixture
def inside(clouds: Clouds, terraform: str, tmp_path: Path) -> Iterator[InProcess]:
    provider = DouseProvider(BriskWorld(clouds.environ))
    with serve_in_process(provider) as (service, reattach):
        environ = {
            "TF_REATTACH_PROVIDERS": reattach,
            "TF_CLI_CONFIG_FILE": os.devnull,
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
        }
        yield InProcess(provider, service, Module(tmp_path, terraform, environ))


@pytest.fixture
def module(inside: InProcess) -> Module:
    return inside.module


def candidate(
    instance_type: str = "gpu_1x_a10", region: str = "us-west-1", spot: bool = False, top: float = 1.29
) -> str:
    return (
        f'{{ instance_type = "{instance_type}", region = "{region}", spot = {str(spot).lower()}, '
        f"max_price_usd_per_h = {top} }}"
    )


def instance(*candidates: str, name: str = '"douse-box"', extra: str = "") -> str:
    """Return a block for a machine on Lambda."""
    return (
        'resource "douse_lambda_instance" "box" {\n'
        f'  name = {name}\n  ssh_key_name = "mine"\n'
        f"  candidates = [{', '.join(candidates or (candidate(),))}]\n  {extra}\n}}\n"
    )


def gpu(region: str = "US-KS-2", spot: bool = False, top: float = 0.5, gpu_id: str = GPU) -> str:
    return candidate(gpu_id, region, spot, top)


def pod(*candidates: str, name: str = "douse-box", extra: str = "") -> str:
    """Return a block for a pod on RunPod."""
    return (
        'resource "douse_runpod_pod" "box" {\n'
        f'  name = "{name}"\n  image = "runpod/pytorch:1"\n  disk_size_gib = 50\n'
        '  ssh_public_key = "ssh-ed25519 AAAAmine"\n'
        f"  candidates = [{', '.join(candidates or (gpu(),))}]\n  {extra}\n}}\n"
    )


def told(result: subprocess.CompletedProcess[str]) -> str:
    """Return what Terraform said as one line, without its frames and line breaks."""
    return " ".join((result.stdout + result.stderr).translate(str.maketrans("│╷╵", "   ")).split())
