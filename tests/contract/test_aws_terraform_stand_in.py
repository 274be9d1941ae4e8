"""The simulated lives' Terraform on AWS, held to the real one with hashicorp/aws: what the product sees is the same.

Both are driven by the product's own adapter on our root module: the real programs on the emulated AWS of a rehearsal,
the stand-ins on the account in memory.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from moto.moto_api._internal.models import moto_api_backend
from werkzeug.serving import make_server

from runner.adapters.process import Cancel, ToolCancelledError
from runner.adapters.terraform import STATE_FILE, Terraform
from runner.clouds.aws.refusals import error_from_terraform
from runner.emulation.cloud_state import CloudState
from runner.errors import TerraformError
from runner.provider.mirror import cli_config, given_mirror, write_mirror
from runner.run.run_dir import PROJECT
from runner.simulation.process import KILLED, Process
from runner.simulation.programs import SimulatedTools
from runner.simulation.stage import Stage
from runner.world import RealWorld
from tests.unit.runner.clouds.aws.emulator.test_app import AwsLab, Quiet
from tests.unit.runner.emulation.emulated import KEY_LINE, NO_PACE
from tests.unit.runner.provider.conftest import terraform
from tests.unit.runner.simulation.lived import FAIR

__all__ = ["terraform"]

pytestmark = [pytest.mark.enable_socket, pytest.mark.slow]
MODULE = PROJECT / "infra" / "environments" / "aws"
SETTINGS = {"active_s": 0.0, "end_s": 0.0, "bill_late_s": 86_400.0, "session_s": 43_200.0, "page_size": 2.0}
INPUTS: dict[str, Any] = {
    "run_id": "20260101-000000-one-a1b2",
    "candidates": [
        {
            "instance_type": "g6.xlarge",
            "region": "us-east-1",
            "spot": False,
            "max_price_usd_per_h": 1.0,
            "trust": "secure",
            "expires_at": "2026-12-02T00:00:00Z",
        }
    ],
    "disk_size_gib": 20,
    "ssh_public_key": KEY_LINE,
    "ssh_ingress_cidrs": ["203.0.113.7/32"],
    "labels": {"team": "red"},
    "expires_at": "2026-12-02T00:00:00Z",
    "aws_host_key": KEY_LINE.rpartition(" ")[0],
    "aws_price_usd_per_h": 0.8048,
    "aws_user_data": "#cloud-config\nssh_keys:\n  ed25519_public: x\nssh_deletekeys: true\n",
}
CHANGES = ("Import", "Create", "Revoke", "Authorize", "Run", "Terminate", "Delete")


class Bench:
    """A working copy of our root module, and the emulated AWS below it."""

    folder: Path
    state: CloudState

    def tool(self, cancel: Cancel | None = None) -> Terraform:
        """Return the product's adapter on it."""
        raise NotImplementedError

    def kill(self) -> None:
        """Kill the Terraform that runs, and not its provider."""
        raise NotImplementedError

    def changes(self) -> set[str]:
        """Return what was asked for besides looks."""
        raise NotImplementedError

    def fault(self, name: str, **arguments: Any) -> None:
        """Let something go wrong each time."""
        self.state.faults.add(name, "always", {"cloud": "aws", **arguments})

    def billing(self) -> int:
        """Return how many machines bill."""
        with self.state.turn():
            return sum(machine.meter.is_billing for machine in self.state.machines.values())

    def marks(self) -> list[dict[str, str]]:
        """Return the tags of each machine."""
        raise NotImplementedError


class RealBench(Bench):
    """The real Terraform, with the real provider."""

    def __init__(self, folder: Path, program: str, lab: AwsLab) -> None:
        self.folder, self.state, self._lab = folder, lab.state, lab
        world = RealWorld()
        mirror = write_mirror(world, folder.with_name("providers"))
        self._program, self._config = Path(program), cli_config(mirror, given_mirror("test", os.environ))
        self._env = {
            "AWS_ACCESS_KEY_ID": "AKIAREHEARSAL0000000",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_ENDPOINT_URL": lab.endpoint,
            "TF_VAR_aws_max_retries": "2",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.tool().copy_module(MODULE)
        self.tool().write_variables(INPUTS)
        self.tool().prepare()

    def tool(self, cancel: Cancel | None = None) -> Terraform:
        environ = dict(os.environ)
        return Terraform(
            self._program, self.folder, environ, cancel=cancel, env=self._env, cli_config=self._config,
        )  # fmt: skip

    def kill(self) -> None:
        for child in psutil.Process().children():
            if child.name().startswith("terraform") and "provider" not in child.name():
                child.kill()

    def changes(self) -> set[str]:
        asked = (str(one.body.get("Action", "")) for one in self.state.requests.all())
        return {action for action in asked if action.startswith(CHANGES)}

    def marks(self) -> list[dict[str, str]]:
        found = self._lab.client("ec2").describe_instances()["Reservations"]
        return [{tag["Key"]: tag["Value"] for tag in one["Instances"][0]["Tags"]} for one in found]


class SimulatedBench(Bench):
    """The stand-ins."""

    def __init__(self, folder: Path) -> None:
        stage = self._stage = Stage("aws", 1, folder, FAIR, {"aws": SETTINGS})
        self.folder, self.state = folder / "terraform", stage.state
        self._user = Process(stage.laptop, {}, name="user")
        stage.turns.adopt("user", self._user)
        self.tool().copy_module(MODULE)
        self.tool().write_variables(INPUTS)

    def tool(self, cancel: Cancel | None = None) -> Terraform:
        run = SimulatedTools(self._user, self._stage).run
        environ = self._stage.environ(self._stage.account)
        return Terraform(Path("terraform"), self.folder, environ, cancel=cancel, env=environ, run=run)

    def kill(self) -> None:
        for child in self._stage.children:
            child.kill_alone(KILLED)

    def changes(self) -> set[str]:
        asked = {line.split()[3].rpartition("/")[2] for line in self._stage.history if " /ec2/" in line}
        return {action for action in asked if action.startswith(CHANGES)}

    def marks(self) -> list[dict[str, str]]:
        own = [user for user in self._stage.processes if user.name == "terraform"]
        assert own
        return [dict(machine_tags(self._stage, one)) for one in self.state.machines]

    def close(self) -> None:
        self._stage.turns.close()


def machine_tags(stage: Stage, machine_id: str) -> dict[str, str]:
    """Return the tags of a machine on paper."""
    served = stage.network.serve["aws.simulated"].__self__  # type: ignore[attr-defined]
    (account,) = [one for one in served.accounts.values() if machine_id in one.instances]
    tags: dict[str, str] = account.instances[machine_id].tags
    return tags


def refused(bench: Bench, act: Callable[[], object]) -> object:
    """Return what our client makes of Terraform's words for a failure."""
    try:
        return act()
    except TerraformError as err:
        cause = error_from_terraform(err.details or err.message)
        return None if cause is None else (type(cause).__name__, cause.code)


def planned(bench: Bench) -> Bench:
    """Return it with a plan."""
    assert bench.tool().make_plan()
    return bench


def names(bench: Bench) -> list[str]:
    """Return what Terraform's state knows, without data sources."""
    if not (bench.folder / STATE_FILE).exists() or not (bench.folder / STATE_FILE).read_bytes():
        return []
    return sorted(one for one in bench.tool().resources() if not one.startswith("data."))


def left(bench: Bench) -> list[object]:
    """Return what the state knows, what of it is tainted, and how many machines bill."""
    return [names(bench), tainted(bench), bench.billing()]


def tainted(bench: Bench) -> list[str]:
    if not (bench.folder / STATE_FILE).exists() or not (bench.folder / STATE_FILE).read_bytes():
        return []
    state = json.loads((bench.folder / STATE_FILE).read_bytes())
    return [one["type"] for one in state["resources"] if one["instances"] and "status" in one["instances"][0]]


def a_life_in_order(bench: Bench) -> Iterator[object]:
    """Plan, apply, plan again, read, destroy."""
    yield bench.tool().make_plan()
    yield seen_alike(bench, bench.tool().apply_plan)
    yield bench.marks()
    yield bench.tool().make_plan()
    host = bench.tool().outputs()["host"]
    yield {name: value for name, value in host.items() if name not in ("address", "instance_id")}
    yield seen_alike(bench, bench.tool().destroy)
    yield bench.changes()


def no_capacity(bench: Bench) -> Iterator[object]:
    """Ask for a machine that cannot be had, then destroy."""
    bench.fault("no_capacity")
    yield refused(bench, planned(bench).tool().apply_plan)
    yield left(bench)
    yield seen_alike(bench, bench.tool().destroy)


def a_launch_that_fails(bench: Bench) -> Iterator[object]:
    """Ask for a machine, which is made, and get an error for it each time."""
    bench.fault("launch_500_after_create")
    yield refused(bench, planned(bench).tool().apply_plan)
    yield left(bench)[0]


def a_lost_state(bench: Bench) -> Iterator[object]:
    """Plan and apply anew beside a machine of which the state knows nothing any more."""
    planned(bench).tool().apply_plan()
    (bench.folder / STATE_FILE).unlink()
    cause = refused(bench, planned(bench).tool().apply_plan)
    assert isinstance(cause, tuple)
    yield (
        cause[0],
        "aws_instance.this" in names(bench),
        bench.billing(),
    )  # which of two names is refused first is chance


def a_machine_that_is_gone_while_it_boots(bench: Bench) -> Iterator[object]:
    """Let a machine end while Terraform waits for it."""
    bench.fault("boot_never_active")

    def end() -> bool:
        with bench.state.turn():
            for machine in bench.state.machines.values():
                if not machine.is_ended:
                    bench.state.end(machine, "shut itself down", after_s=0.0)
        return False

    yield refused(bench, planned(bench).tool(end).apply_plan)
    yield left(bench)


def a_boot_that_is_stopped(bench: Bench) -> Iterator[object]:
    """Ask Terraform to stop while the machine boots."""
    bench.fault("boot_never_active")
    yield seen_alike(planned(bench), bench.tool(lambda: bench.billing() > 0).apply_plan)


def a_terraform_that_is_killed(bench: Bench) -> Iterator[object]:
    """Kill Terraform while the machine boots: its state knows of no machine, which bills on."""
    bench.fault("boot_never_active")

    def kill() -> bool:
        if bench.billing():
            bench.kill()
        return False

    found = seen_alike(planned(bench), bench.tool(kill).apply_plan)
    yield found["said"] is not None, "aws_instance.this" in names(bench), tainted(bench), bench.billing()


def an_end_that_is_refused(bench: Bench) -> Iterator[object]:
    """Destroy while the cloud refuses the key."""
    planned(bench).tool().apply_plan()
    bench.fault("key_invalid", at="any", when="machine")
    yield refused(bench, bench.tool().destroy)
    yield left(bench)


def seen_alike(bench: Bench, act: Callable[[], object]) -> dict[str, Any]:
    """Return what the product sees of an act, and of what is there after it."""
    said: object
    try:
        said = act()
    except TerraformError as err:
        said = err.message.split(":")[1].strip()
    except ToolCancelledError:
        said = "stopped on request"
    return {"said": said, "left": left(bench)}


MODES = (
    a_life_in_order,
    no_capacity,
    a_launch_that_fails,
    a_lost_state,
    a_machine_that_is_gone_while_it_boots,
    a_boot_that_is_stopped,
    a_terraform_that_is_killed,
    an_end_that_is_refused,
)


@pytest.fixture
def real(tmp_path: Path, terraform: str) -> Iterator[RealBench]:
    moto_api_backend.reset()
    lab = AwsLab(settings={**NO_PACE, **{f"aws.{name}": str(value) for name, value in SETTINGS.items()}})
    server = make_server("127.0.0.1", 0, lab.services["aws"].wsgi, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    lab.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield RealBench(tmp_path / "real", terraform, lab)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedBench]:
    folder = tmp_path / "simulated"
    folder.mkdir()
    bench = SimulatedBench(folder)
    yield bench
    bench.close()


@pytest.mark.parametrize("mode", MODES)
def test_the_product_sees_the_same(
    mode: Callable[[Bench], Iterator[object]], real: RealBench, simulated: SimulatedBench
) -> None:
    assert list(mode(simulated)) == list(mode(real))
