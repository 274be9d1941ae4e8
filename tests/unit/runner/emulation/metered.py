"""A run, its cloud's emulator in this process and our own client of it, all in one virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx2
from moto.moto_api._internal.models import moto_api_backend
from starlette.testclient import TestClient
from werkzeug.serving import WSGIRequestHandler, make_server

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.clouds.aws.emulator.seed import IMAGES
from runner.clouds.registry import endpoint_of, open_cloud
from runner.context import Context
from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.lifecycle.lookout import until_shown
from runner.run.journal import Journal
from runner.run.run_dir import RunDir, write_json
from runner.run.run_file import RunFile
from runner.safety.proof import account_facts
from runner.simulation.world import VirtualWorld
from tests.unit.runner.emulation.emulated import KEY_LINE, NO_PACE, POD, Lab

RUN_ID = "20261121-015500-tiny"
NAME = f"douse-{RUN_ID}"
PORTS = {1001: "lambda", 1002: "runpod"}
PRICES = {"lambda": 0.75, "runpod": 0.69, "aws": 0.526}
"""What the catalogues say of the machines that are rented here."""
DISKS = {"lambda": 0.0, "runpod": 50 * 0.10 / 730, "aws": 60 * 0.08 / 730}
"""What their disks cost an hour besides."""
ROOT = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 60, "VolumeType": "gp3", "DeleteOnTermination": True}}
TERRAFORM_STARTS_S, CREATE_S, BOOT_S = 4.0, 1.0, 180.0
AWS = {"AWS_ACCESS_KEY_ID": "AKIAREHEARSAL0000000", "AWS_SECRET_ACCESS_KEY": "x"}


class ToEmulators(httpx2.BaseTransport):
    """Leads requests to the emulators of this process, by the port they go to."""

    lab: Lab

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        app = self.lab.services[PORTS[request.url.port or 0]].asgi
        assert app is not None
        sent = TestClient(app).request(
            request.method,
            str(request.url.raw_path, "ascii"),
            headers=dict(request.headers),
            content=request.read(),
        )
        headers = [(name, value) for name, value in sent.headers.items() if name != "content-length"]
        return httpx2.Response(sent.status_code, headers=headers, content=sent.content)


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@dataclass
class Rig:
    """One run, and the clouds that it may be on."""

    world: VirtualWorld
    lab: Lab
    run: RunDir
    aws_endpoint: str | None

    def context(self, cloud: str) -> Context:
        """Return the run as it is on a cloud."""
        run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": cloud}})
        return Context(self.run, run_file, SilentView(), Stop(self.world), self.world)

    def ask(self, cloud: str) -> None:
        """Write the intent that stands before every request."""
        Journal(self.run).intent(
            "provision",
            environment=cloud,
            endpoint=endpoint_of(cloud, self.world.environ),
            **account_facts(open_cloud(cloud, self.world), self.world),
            candidates=[{"max_price_usd_per_h": 2.0}],
        )

    def provision(self, cloud: str, *, dies_at_boot: bool = False) -> str:
        """Rent a machine as Terraform does, beside our looks; return its id."""
        self.ask(cloud)
        with until_shown(self.context(cloud)):
            self.world.sleep(TERRAFORM_STARTS_S)
            Journal(self.run).intent("create", began=self.world.now().isoformat())
            self.world.sleep(CREATE_S)
            machine_id = self.rent(cloud)
            self.world.sleep(BOOT_S)
        if not dies_at_boot:
            self.hand_over(cloud, machine_id)
        return machine_id

    def hand_over(self, cloud: str, machine_id: str) -> None:
        """Write down what Terraform hands back: the price is that of the catalogue."""
        host = {
            "address": "203.0.113.7",
            "port": 22,
            "user": "root",
            "instance_id": machine_id,
            "instance_type": "gpu",
            "region": "here",
            "spot": False,
            "price_usd_per_h": PRICES[cloud],
            "host_key": None,
            "cloud": cloud,
        }
        write_json(self.run.host, host)
        Journal(self.run).answer("provision", instance_id=machine_id, price_usd_per_h=PRICES[cloud])

    def rent(self, cloud: str) -> str:
        """Let a cloud make a machine of the run, as its API is asked to."""
        if cloud == "lambda":
            return self.lab.launched(name=NAME, tags=[{"key": "douse-run", "value": RUN_ID}])
        if cloud == "runpod":
            return str(self.lab.pod(name=NAME, env={**POD["env"], "DOUSE_RUN": RUN_ID})["id"])  # type: ignore[dict-item]
        ec2 = self.ec2()
        if not ec2.describe_key_pairs()["KeyPairs"]:
            ec2.import_key_pair(KeyName="k", PublicKeyMaterial=KEY_LINE.encode())
        made = ec2.run_instances(
            ImageId=next(iter(IMAGES.values()))[0],
            InstanceType="g4dn.xlarge",
            MinCount=1,
            MaxCount=1,
            KeyName="k",
            BlockDeviceMappings=[ROOT],
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "Name", "Value": NAME}, {"Key": "douse-run", "Value": RUN_ID}],
                }
            ],
        )
        return str(made["Instances"][0]["InstanceId"])

    def terminate(self, cloud: str, machine_id: str) -> None:
        """Ask a cloud for the end of a machine, as Terraform does."""
        if cloud == "lambda":
            self.lab.terminate(machine_id)
        elif cloud == "runpod":
            self.lab.runpod.delete(f"/pods/{machine_id}")
        else:
            self.ec2().terminate_instances(InstanceIds=[machine_id])

    def terraform_destroys(self, cloud: str, machine_id: str) -> Callable[[Context], list[str]]:
        """Return what stands for Terraform's destroy: it terminates, and waits for more than the machine."""

        def destroy(ctx: Context) -> list[str]:
            self.world.sleep(TERRAFORM_STARTS_S)
            self.terminate(cloud, machine_id)
            while self.lab.billing():
                self.world.sleep(2.0)
            self.world.sleep(20.0)
            return []

        return destroy

    def ec2(self) -> Any:
        """Return a client of the emulated EC2 that is nobody's but the test's."""
        keys = {"aws_access_key_id": AWS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": "x"}
        return boto3.client("ec2", "us-east-1", endpoint_url=self.aws_endpoint, **keys)

    def journal_lines(self) -> list[dict[str, Any]]:
        """Return what the journal holds."""
        return Journal(self.run).entries()


@contextmanager
def rig(*clouds: str, **settings: str) -> Iterator[Rig]:
    """Give a run on these clouds; AWS is behind a real socket, because boto3 has no other way out."""
    moto_api_backend.reset()
    transport = ToEmulators()
    environ = {
        "LAMBDA_API_KEY": REHEARSAL_KEY,
        "DOUSE_LAMBDA_ENDPOINT": "http://127.0.0.1:1001/api/v1",
        "RUNPOD_API_KEY": REHEARSAL_KEY,
        "DOUSE_RUNPOD_ENDPOINT": "http://127.0.0.1:1002/v2",
        "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": "http://127.0.0.1:1002/graphql",
        "DOUSE_AWS_REGIONS": "us-east-1",
        "AWS_REGION": "us-east-1",
    }
    environ = {name: value for name, value in environ.items() if any(cloud.upper() in name for cloud in clouds)}
    with VirtualWorld(0, environ, transport=transport) as world:
        lab = Lab(settings={**NO_PACE, **settings}, clock=lambda: world.now().timestamp())  # type: ignore[arg-type]
        transport.lab = lab
        run = RunDir(Path("/runs") / RUN_ID, world)
        world.disk.make_folder(run.path)
        write_json(run.config, {"data": {"train_path": "x"}, "compute": {"env": clouds[0]}})
        if "aws" not in clouds:
            yield Rig(world, lab, run, None)
            return
        with _served(lab) as endpoint:
            environ |= {**AWS, "AWS_ENDPOINT_URL": endpoint}
            world._environ.update(environ)
            yield Rig(world, lab, run, endpoint)


@contextmanager
def _served(lab: Lab) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, lab.services["aws"].wsgi, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
