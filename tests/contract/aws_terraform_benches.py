"""Working copies of our root module for AWS: with the real Terraform on moto, and with the stand-ins on paper."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import psutil

from runner.adapters.process import Cancel
from runner.adapters.terraform import Terraform
from runner.emulation.cloud_state import CloudState
from runner.provider.mirror import cli_config, given_mirror, write_mirror
from runner.run.run_dir import PROJECT
from runner.simulation.process import KILLED, Process
from runner.simulation.programs import SimulatedTools
from runner.simulation.stage import Stage
from runner.world import RealWorld
from tests.unit.runner.clouds.aws.emulator.test_app import AwsLab
from tests.unit.runner.emulation.emulated import KEY_LINE
from tests.unit.runner.simulation.lived import FAIR

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
SERVER_ERROR = 500
HELD_S = 8.0
"""How long the answer to a launch is held back, where it is; a tool's end is asked for several times in it."""
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
        return {action for action in self.asked() if action.startswith(CHANGES)}

    def asked(self) -> list[str]:
        """Return what was asked for, in its order."""
        raise NotImplementedError

    def hold_the_launch(self) -> None:
        """Let the answer to a launch come late."""
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


class WatchedLab(AwsLab):
    """The emulated AWS, which may be slow to answer a launch, and notices when an answer of it did not arrive.

    Attributes:
        held_s: How late the answer to a launch comes.
        has_lost: Whether a request came again that had been answered well, or whose first try had not come.
    """

    held_s = 0.0
    has_lost = False

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._tries: dict[str, list[int]] = {}

    def serve(self, environ: Any, start_response: Any) -> Any:
        """Answer a request."""
        tries = self._tries.setdefault(environ.get("HTTP_AMZ_SDK_INVOCATION_ID", ""), [])
        attempt = re.match(r"attempt=(\d+)", environ.get("HTTP_AMZ_SDK_REQUEST", ""))
        self.has_lost |= attempt is not None and int(attempt[1]) > 1 and (not tries or tries[-1] < SERVER_ERROR)

        def start(status: str, headers: Any, *more: Any) -> Any:
            tries.append(int(status.split(maxsplit=1)[0]))
            return start_response(status, headers, *more)

        before = len(self.state.machines)
        answer = self.services["aws"].wsgi(environ, start)
        if len(self.state.machines) > before:
            time.sleep(self.held_s)
        return answer


class RealBench(Bench):
    """The real Terraform, with the real provider."""

    def __init__(self, folder: Path, program: str, lab: WatchedLab) -> None:
        self.folder, self.state, self._lab = folder, lab.state, lab
        world = RealWorld()
        mirror = write_mirror(world, folder.with_name("providers"))
        self._program, self._config = Path(program), cli_config(mirror, given_mirror("test", os.environ))
        self._env = {
            "AWS_ACCESS_KEY_ID": "AKIAREHEARSAL0000000",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_ENDPOINT_URL": lab.endpoint,
            "TF_VAR_aws_max_retries": "4",
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

    def asked(self) -> list[str]:
        return [str(one.body.get("Action", "")) for one in self.state.requests.all()]

    def hold_the_launch(self) -> None:
        self._lab.held_s = HELD_S

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

    def asked(self) -> list[str]:
        return [line.split()[3].rpartition("/")[2] for line in self._stage.history if " /ec2/" in line]

    def hold_the_launch(self) -> None:
        self._stage.network.latency_s = lambda: HELD_S  # type: ignore[method-assign]

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
