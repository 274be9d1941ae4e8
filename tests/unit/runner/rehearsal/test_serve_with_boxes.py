"""The emulated clouds with real boxes: what is rented boots, can be logged into, and ends itself."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from runner.adapters import process
from runner.clouds.aws.emulator.seed import IMAGES
from runner.emulation.boxes import supported
from runner.run.run_dir import PROJECT
from tests.unit.runner.emulation.emulated import BEARER

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.skipif(supported() is not None, reason=f"no real boxes here: {supported()}"),
]
WAIT_S = 240.0
TREE_S = 240.0
"""The boxes' tree is built on first use."""
END_OWN_POD = """
import os, pathlib, urllib.request
raw = pathlib.Path("/proc/1/environ").read_bytes().decode()
own = dict(item.split("=", 1) for item in raw.split("\\0") if "=" in item)
request = urllib.request.Request(
    own["DOUSE_RUNPOD_ENDPOINT"] + "/pods/" + own["RUNPOD_POD_ID"],
    method="DELETE",
    headers={"Authorization": "Bearer " + own["RUNPOD_API_KEY"]},
)
urllib.request.urlopen(request, timeout=10)
"""


@dataclass
class Rental:
    """Emulated clouds with boxes, and a key to log in with."""

    endpoints: dict[str, str]
    key: Path

    @property
    def public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    def machine(self, machine_id: str) -> dict[str, Any]:
        rows = httpx2.get(self.endpoints["control"] + "/machines", timeout=WAIT_S).json()["machines"]
        return next(dict(row) for row in rows if row["id"] == machine_id)

    def ssh(self, user: str, host: str, port: int, command: str) -> subprocess.CompletedProcess[str]:
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=2",
            "ServerAliveInterval=1",
            "ServerAliveCountMax=2",
        ]
        words = ["ssh", "-i", str(self.key), "-p", str(port), *(f"-o{option}" for option in options)]
        return subprocess.run([*words, f"{user}@{host}", command], capture_output=True, text=True, timeout=WAIT_S)

    def answered(self, user: str, host: str, port: int, command: str) -> str:
        """Return what a command says, once the machine answers."""
        said: list[str] = []

        def answers() -> bool:
            done = self.ssh(user, host, port, command)
            said[:] = [done.stdout]
            return done.returncode == 0

        wait_until(answers)
        return said[0]


def wait_until(what: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def rental(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rental]:
    folder = tmp_path_factory.mktemp("rental")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    words = ["--clouds", "lambda,runpod,aws", "--folder", str(folder / "rehearsal")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOUSE_LAMBDA_PACE_S", "0")
        argv = [sys.executable, "-m", "runner.rehearsal.serve", *words]
        child = process.start(argv, log=folder / "serve.log", cwd=PROJECT)
    path = folder / "rehearsal" / "endpoints.json"
    try:
        wait_until(lambda: path.exists() or child.poll() is not None, TREE_S)
        assert child.poll() is None, (folder / "serve.log").read_text()
        yield Rental(json.loads(path.read_text()), folder / "key")
    finally:
        assert child.end(WAIT_S) == 0
    assert " " + str(folder) not in Path("/proc/self/mounts").read_text()


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(headers=BEARER, timeout=WAIT_S) as found:
        yield found


def test_lambda_instance_is_a_machine_that_has_run_its_user_data(rental: Rental, client: httpx2.Client) -> None:
    api = rental.endpoints["lambda"]
    client.post(f"{api}/ssh-keys", json={"name": "k", "public_key": rental.public_key})
    order = {
        "region_name": "us-west-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": ["k"],
        "user_data": "#cloud-config\nruncmd:\n- touch /run/user-data-ran\n",
    }
    machine = client.post(f"{api}/instance-operations/launch", json=order).json()["data"]["instance_ids"][0]
    shown = wait_until(
        lambda: (row := client.get(f"{api}/instances/{machine}").json()["data"])["status"] == "active" and row
    )

    assert rental.answered("ubuntu", shown["ip"], 22, "id -un; ls /run/user-data-ran").split() == [
        "ubuntu",
        "/run/user-data-ran",
    ]
    client.post(f"{api}/instance-operations/terminate", json={"instance_ids": [machine]})
    wait_until(lambda: not rental.machine(machine)["is_billing"])
    assert rental.ssh("ubuntu", shown["ip"], 22, "true").returncode == 255


def test_pod_ends_itself_with_its_own_key(rental: Rental, client: httpx2.Client) -> None:
    api = rental.endpoints["runpod"]
    order = {
        "name": "douse-x",
        "image": "runpod/pytorch:1.0.2",
        "gpu": {"id": "NVIDIA L4"},
        "ports": ["22/tcp"],
        "env": {"PUBLIC_KEY": rental.public_key},
    }
    pod = client.post(f"{api}/pods", json=order).json()["id"]
    direct = wait_until(lambda: client.get(f"{api}/pods/{pod}").json()["ssh"]["direct"])
    assert rental.answered("root", direct["host"], direct["port"], "id -un") == "root\n"

    rental.ssh("root", direct["host"], direct["port"], f"python3 -c {shlex.quote(END_OWN_POD)}")

    assert rental.machine(pod)["is_billing"] is False
    assert client.get(f"{api}/pods/{pod}").status_code == 404


def test_aws_instance_terminates_itself_by_a_shutdown_inside(rental: Rental) -> None:
    ec2 = boto3.client(
        "ec2",
        endpoint_url=rental.endpoints["aws"],
        region_name="us-east-1",
        aws_access_key_id="AKIAREHEARSAL0000000",
        aws_secret_access_key="x",
    )
    ec2.import_key_pair(KeyName="k", PublicKeyMaterial=rental.public_key.encode())
    made = ec2.run_instances(
        ImageId=next(iter(IMAGES.values()))[0],
        InstanceType="g6.xlarge",
        MinCount=1,
        MaxCount=1,
        KeyName="k",
        InstanceInitiatedShutdownBehavior="terminate",
    )
    machine = made["Instances"][0]["InstanceId"]

    def address() -> Any:
        found = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
        return found["State"]["Name"] == "running" and found["PublicIpAddress"]

    host = wait_until(address)
    store = rental.endpoints["aws_from_boxes"]
    reach = f"python3 -c 'import urllib.request as u; u.urlopen(\"{store}\")' 2>&1 | tail -1"
    assert "403" in rental.answered("ubuntu", host, 22, reach)

    rental.ssh("ubuntu", host, 22, "sudo shutdown -h now")

    wait_until(lambda: not rental.machine(machine)["is_billing"])
    assert rental.machine(machine)["ended_by"] == "shut itself down"
    found = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    assert found["State"]["Name"] == "terminated"
