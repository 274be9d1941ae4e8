"""Two emulated AWS for contract tests: that of rehearsals, on moto behind a socket, and that of lives, on paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from runner.cloud_api.wire import wire_of
from runner.clouds.aws.api import AwsCloud, open_aws
from runner.clouds.aws.simulated.session import SimulatedSession, library
from runner.simulation.network import CloudWire
from runner.simulation.process import Process
from runner.simulation.stage import Stage
from runner.world import RealWorld
from tests.unit.runner.clouds.aws.emulator.test_app import AwsLab
from tests.unit.runner.emulation.emulated import KEY_LINE
from tests.unit.runner.simulation.lived import FAIR

SETTINGS = {"active_s": 1.0, "end_s": 1.0, "bill_late_s": 86_400.0, "session_s": 43_200.0, "page_size": 2.0}
KEY, REGION, NAME = "AKIAREHEARSAL0000000", "us-east-1", "douse-20260101-000000-one-a1b2"
TAGS = [
    {"Key": "Name", "Value": NAME},
    {"Key": "douse-run", "Value": "20260101-000000-one-a1b2"},
    {"Key": "douse-expires", "Value": "20260102t000000z"},
]


def marked(*kinds: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS} for kind in kinds]


class Bench(Protocol):
    """An emulated AWS, our client on it, and raw requests."""

    image: str

    def ours(self, key_id: str = KEY) -> AwsCloud:
        """Return our client."""

    def raw(self, service: str = "ec2") -> Any:
        """Return a client of boto3's, or what stands in for one."""

    def fault(self, name: str, count: int | str = 1, **arguments: Any) -> None:
        """Let something go wrong."""

    def wait(self, seconds: float) -> None:
        """Let time pass on the cloud's side."""


class OnMoto:
    """The emulated AWS of a rehearsal."""

    def __init__(self, lab: AwsLab) -> None:
        self._lab, self.image = lab, lab.image()

    def ours(self, key_id: str = KEY) -> AwsCloud:
        return open_aws(environ(key_id, self._lab.endpoint), now=RealWorld().now)

    def raw(self, service: str = "ec2") -> Any:
        return self._lab.client(service)

    def fault(self, name: str, count: int | str = 1, **arguments: Any) -> None:
        self._lab.fault(name, count, cloud="aws", **arguments)

    def wait(self, seconds: float) -> None:
        self._lab.clock.advance(seconds)


class OnPaper:
    """The one of simulated lives."""

    image = "ami-0d0c5e00000000d24"

    def __init__(self, folder: Path) -> None:
        self._stage = Stage("aws", 1, folder, FAIR, {"aws": SETTINGS})
        self._user = Process(self._stage.laptop, self._stage.account, name="user")
        self._stage.turns.adopt("user", self._user)
        stage, user = self._stage, self._user
        stage.calm.latency_s = lambda: 0.0  # type: ignore[method-assign]
        user.shared(wire_of, lambda: lambda _, headers, **__: CloudWire(stage.calm, user, stage.note, headers))

    def ours(self, key_id: str = KEY) -> AwsCloud:
        return open_aws(
            environ(key_id, self._stage.account["AWS_ENDPOINT_URL"]), now=self._user.now, library=library(self._user)
        )

    def raw(self, service: str = "ec2") -> Any:
        session = SimulatedSession(self._user, self._stage.account)
        return session.client(service, region_name=REGION, endpoint_url=None, config=OneTry)

    def fault(self, name: str, count: int | str = 1, **arguments: Any) -> None:
        self._stage.state.faults.add(name, count, arguments)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        self._user.sleep(seconds)

    def close(self) -> None:
        self._stage.turns.close()


class OneTry:
    """What botocore is told of repeats."""

    retries: Mapping[str, int] = {"total_max_attempts": 1}


def environ(key_id: str, endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "DOUSE_AWS_REGIONS": REGION,
    }


def material(bench: Bench) -> object:
    """Return the public key as a client takes it: boto3 as bytes, its stand-in as what JSON can carry."""
    return KEY_LINE.encode() if isinstance(bench, OnMoto) else KEY_LINE


def launch(bench: Bench, **changes: Any) -> str:
    """Rent a machine as the root module does, and return its id."""
    ec2 = bench.raw()
    if not ec2.describe_key_pairs()["KeyPairs"]:
        ec2.import_key_pair(KeyName=NAME, PublicKeyMaterial=material(bench), TagSpecifications=marked("key-pair"))
        ec2.create_security_group(GroupName=NAME, Description="d", TagSpecifications=marked("security-group"))
    groups = ec2.describe_security_groups(Filters=[{"Name": "tag-key", "Values": ["douse-run"]}])["SecurityGroups"]
    disk = {"VolumeSize": 40, "VolumeType": "gp3", "DeleteOnTermination": True}
    order = {
        "ImageId": bench.image,
        "InstanceType": "g6.xlarge",
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": NAME,
        "SecurityGroupIds": [groups[0]["GroupId"]],
        "UserData": "#cloud-config\nssh_keys:\n  ed25519_public: x\nssh_deletekeys: true\n",
        "InstanceInitiatedShutdownBehavior": "terminate",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": disk}],
        "TagSpecifications": marked("instance", "volume"),
        **changes,
    }
    return str(ec2.run_instances(**order)["Instances"][0]["InstanceId"])
