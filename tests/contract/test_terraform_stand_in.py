"""The simulated lives' Terraform, held to the real one: what the product sees of each way to fail is the same.

Both are driven by the product's own adapter: the real program with our provider on a strict fake of Lambda, the
stand-in on the emulated one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from runner.adapters.process import Cancel
from runner.adapters.terraform import STATE_FILE, VARIABLES_FILE, Terraform
from runner.errors import TerraformError
from runner.simulation.process import KILLED
from runner.simulation.programs import SimulatedTools
from tests.contract.terraform_words import said_of
from tests.unit.runner.provider.conftest import HEAD, InProcess, clouds, inside, instance, terraform
from tests.unit.runner.provider.fake_clouds import Clouds, Fault
from tests.unit.runner.simulation.test_terraform import INPUTS, Scene, scene

__all__ = ["clouds", "inside", "terraform"]

pytestmark = pytest.mark.enable_socket
KEY_BLOCK = 'resource "douse_lambda_ssh_key" "this" {\n  name = "own"\n  public_key = "ssh-ed25519 AAAAown"\n}\n'
TIMEOUTS = "create_timeout_s = 30\n  delete_timeout_s = 30\n  depends_on = [douse_lambda_ssh_key.this]"
LONG_S = 3600
"""The provider's waits are short in these tests: half a minute of them is over before a look at the cloud."""
OUTPUT = 'output "host" {\n  value = { instance_id = douse_lambda_instance.this.id }\n}\n'


class Bench(Protocol):
    """A working copy whose plan wants a key and a machine on Lambda, and the cloud below it."""

    folder: Path

    def tool(self, cancel: Cancel | None = None) -> Terraform:
        """Return the product's adapter on it."""

    def billing(self) -> int:
        """Return how many machines bill."""

    def boots_never(self, *, patience_s: int = 30) -> None:
        """Let the machine boot for ever, and Terraform wait so long for it."""

    def refuses_the_end(self) -> None:
        """Let the cloud refuse the key with the next request to terminate."""

    def kill(self) -> None:
        """Kill the Terraform that runs, and not its provider."""


class RealBench:
    """The real Terraform."""

    def __init__(self, inside: InProcess, clouds: Clouds) -> None:
        """Write the module."""
        self.folder, self._inside, self._cloud = inside.module.folder, inside, clouds.on_lambda
        block = instance(extra=TIMEOUTS).replace('"box"', '"this"').replace('"mine"', "douse_lambda_ssh_key.this.name")
        (self.folder / "main.tf").write_text(HEAD + KEY_BLOCK + block + OUTPUT)

    def tool(self, cancel: Cancel | None = None) -> Terraform:
        program, reattach = Path(self._inside.module.program), self._inside.module.environ["TF_REATTACH_PROVIDERS"]
        env = {"TF_REATTACH_PROVIDERS": reattach}
        return Terraform(program, self.folder, dict(os.environ), cancel=cancel, env=env)

    def billing(self) -> int:
        return len(self._cloud.billing())

    def boots_never(self, *, patience_s: int = 30) -> None:
        self._cloud.looks_to_boot = 10**9
        text = (self.folder / "main.tf").read_text()
        (self.folder / "main.tf").write_text(text.replace("create_timeout_s = 30", f"create_timeout_s = {patience_s}"))

    def refuses_the_end(self) -> None:
        refusal = {"error": {"code": "global/invalid-api-key", "message": "No."}}
        self._cloud.faults.append(Fault("POST /instance-operations/terminate", 401, refusal))

    def kill(self) -> None:
        for child in psutil.Process().children():
            if "terraform" in child.name():
                child.kill()


class SimulatedBench:
    """The stand-in."""

    def __init__(self, made: Scene) -> None:
        """Take a scene."""
        self.folder, self._scene = made.folder, made
        (self.folder / VARIABLES_FILE).write_text(json.dumps(INPUTS | {"create_timeout_s": 600}))

    def tool(self, cancel: Cancel | None = None) -> Terraform:
        stage = self._scene.stage
        run = SimulatedTools(self._scene.user, stage).run
        return Terraform(Path("terraform"), self.folder, stage.environ(stage.account), cancel=cancel, run=run)

    def billing(self) -> int:
        with self._scene.stage.state.turn():
            return self._scene.billing

    def boots_never(self, *, patience_s: int = 30) -> None:
        self._scene.stage.state.faults.add("boot_never_active")

    def refuses_the_end(self) -> None:
        self._scene.stage.state.faults.add("key_invalid", arguments={"at": "any", "when": "machine"})

    def kill(self) -> None:
        for child in self._scene.stage.children:
            child.kill_alone(KILLED)


def seen(bench: Bench, act: Callable[[], object]) -> dict[str, Any]:
    """Return what the product sees of an act, and of the working copy after it."""
    said = said_of(act)
    try:
        resources: object = sorted(bench.tool().resources())
    except TerraformError:
        resources = "cannot be read"
    return {"said": said, "resources": resources, "tainted": tainted(bench.folder), "billing": bench.billing()}


def tainted(folder: Path) -> list[str]:
    """Return the kinds of the resources that the state holds as tainted."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        state = json.loads((folder / STATE_FILE).read_bytes())
        return [one["type"] for one in state["resources"] if "status" in one["instances"][0]]
    return []


def planned(bench: Bench) -> Bench:
    """Return it with a plan."""
    assert bench.tool().make_plan()
    return bench


def a_life_in_order(bench: Bench) -> list[object]:
    """Plan, apply, plan again, read, destroy."""
    found: list[object] = [bench.tool().make_plan(), seen(bench, bench.tool().apply_plan), bench.tool().make_plan()]
    found += [list(bench.tool().outputs()), sorted(bench.tool().outputs()["host"].keys() & {"instance_id"})]
    return [*found, seen(bench, bench.tool().destroy)["said"], bench.tool().resources()]


def a_boot_that_fails(bench: Bench) -> list[object]:
    """Wait for a machine that never comes up, then destroy."""
    bench.boots_never()
    return [seen(planned(bench), bench.tool().apply_plan), seen(bench, bench.tool().destroy)["said"]]


def a_boot_that_is_stopped(bench: Bench) -> list[object]:
    """Ask Terraform to stop while the machine boots."""
    bench.boots_never(patience_s=LONG_S)
    return [seen(planned(bench), bench.tool(lambda: bench.billing() > 0).apply_plan)]


def a_terraform_that_is_killed(bench: Bench) -> list[object]:
    """Kill Terraform while the machine boots: the state may know the key by then, and never the machine."""
    bench.boots_never(patience_s=LONG_S)

    def kill() -> bool:
        if bench.billing():
            bench.kill()
        return False

    found = seen(planned(bench), bench.tool(kill).apply_plan)
    return [found["said"] != "done", "douse_lambda_instance.this" in found["resources"], found["tainted"]]


def an_end_that_is_refused(bench: Bench) -> list[object]:
    """Destroy while the cloud refuses the key."""
    planned(bench).tool().apply_plan()
    bench.refuses_the_end()
    return [seen(bench, bench.tool().destroy)]


def an_empty_state(bench: Bench) -> list[object]:
    """Destroy and look by a state file in which there is nothing."""
    (bench.folder / STATE_FILE).write_bytes(b"")
    return [seen(bench, bench.tool().destroy), bench.tool().make_plan()]


def a_cut_state(bench: Bench) -> list[object]:
    """Destroy and look by a state file that was cut."""
    planned(bench).tool().apply_plan()
    state = bench.folder / STATE_FILE
    state.write_bytes(state.read_bytes()[:60])
    found = seen(bench, bench.tool().destroy)
    return [found["said"].split()[0], found["resources"], found["billing"]]


def a_lost_state(bench: Bench) -> list[object]:
    """Plan and apply anew beside a machine of which the state knows nothing any more."""
    planned(bench).tool().apply_plan()
    (bench.folder / STATE_FILE).unlink()
    found = [seen(bench, bench.tool().destroy)["said"], bench.tool().make_plan()]
    return [*found, seen(bench, bench.tool().apply_plan)["said"], bench.billing()]


MODES = (
    a_life_in_order,
    a_boot_that_fails,
    a_boot_that_is_stopped,
    a_terraform_that_is_killed,
    an_end_that_is_refused,
    an_empty_state,
    a_cut_state,
    a_lost_state,
)


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedBench]:
    folder = tmp_path / "simulated"
    folder.mkdir()
    with scene(folder) as made:
        yield SimulatedBench(made)


@pytest.mark.parametrize("mode", MODES)
def test_the_product_sees_the_same(
    mode: Callable[[Bench], list[object]], inside: InProcess, clouds: Clouds, simulated: SimulatedBench
) -> None:
    assert mode(simulated) == mode(RealBench(inside, clouds))
