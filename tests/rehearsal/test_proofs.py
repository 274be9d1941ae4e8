"""What a rehearsal proves beside its verdict: no secret anywhere, and other programs see nothing left.

One rehearsal a cloud, with the stand-ins for the trainer and for Ansible; ``test_life.py`` looks for secrets with the
real ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.emulation.boxes import clean
from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.emulation.requests_log import Recorded
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.verdict import Verdict
from runner.run.run_dir import RunDir, read_json
from tests.contract.test_emulators import Spec, request_errors
from tests.contract.vendor_fields.trim import VENDORS
from tests.rehearsal.conftest import Stage, make_stage
from tests.rehearsal.watching import HUB_TOKEN, SECRETS, Watcher, leaks, secrets_in

DOCUMENTED = {vendor.name: vendor for vendor in VENDORS}
WAIT_S = 240.0
PLANTED = "planted-secret-0123456789abcdef"
"""Nobody's key: other tests, who may run at the same time, look for those that rehearsals use."""
pytestmark = pytest.mark.xdist_group("proofs")  # one rehearsal a cloud, not one for each worker


@dataclass
class Proof:
    """A rehearsal that is over, and what was seen of it.

    Attributes:
        seen: What the emulated cloud told before it was closed, by what was asked.
    """

    cloud: str
    verdict: Verdict
    stage: Stage
    run: RunDir
    watcher: Watcher
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module", params=["lambda", "runpod", "aws"])
def proof(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    cloud = str(request.param)
    seen: dict[str, Any] = {}
    stage = make_stage(tmp_path_factory.mktemp(f"proof-{cloud}"))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="dt-") as scratch:
        patch.setenv("HF_TOKEN", HUB_TOKEN)
        patch.setenv("TMPDIR", scratch)
        patch.setenv("DOUSE_LAMBDA_PACE_S", "0.2")
        with Watcher((Path(scratch), "douse-*"), (stage.folder, "r*/boxes/boxes/*/console.log")) as watcher:
            verdict = stage.rehearse(cloud, before_close=lambda emulators: seen.update(look(emulators)))
        assert verdict.broken == [], stage.said()
        yield Proof(cloud, verdict, stage, stage.run(), watcher, seen)
    assert clean() == [], "a rehearsal left something behind"


def look(emulators: Emulators) -> dict[str, Any]:
    """Ask an emulated cloud, before it is closed, what is looked at later."""
    machines = [row["id"] for row in emulators.ask("/machines")["machines"]]
    return {
        "user_data": {machine: emulators.ask(f"/machines/{machine}/user_data")["user_data"] for machine in machines},
        "requests": emulators.ask("/requests")["requests"],
        "left": left_on_aws(emulators.environment()) if emulators.cloud == "aws" else None,
    }


def left_on_aws(environ: dict[str, str]) -> dict[str, list[str]]:
    """Return what boto3 alone, without a line of Douse's, finds in the account."""
    import boto3

    session = boto3.Session(
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        region_name=environ["AWS_REGION"],
    )
    ec2 = session.client("ec2", endpoint_url=environ["AWS_ENDPOINT_URL"])
    rows = [row for page in ec2.describe_instances()["Reservations"] for row in page["Instances"]]
    return {
        "machines that were": [row["InstanceId"] for row in rows],
        "instances": [row["InstanceId"] for row in rows if row["State"]["Name"] != "terminated"],
        "volumes": [row["VolumeId"] for row in ec2.describe_volumes()["Volumes"]],
        "keys": [row["KeyName"] for row in ec2.describe_key_pairs()["KeyPairs"]],
        "addresses": [row["PublicIp"] for row in ec2.describe_addresses()["Addresses"]],
        "groups": [
            row["GroupId"] for row in ec2.describe_security_groups()["SecurityGroups"] if row["GroupName"] != "default"
        ],
        "spot requests": [
            row["SpotInstanceRequestId"]
            for row in ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
            if row["State"] in ("open", "active")
        ],
    }


def test_no_process_of_either_side_was_told_a_secret_and_no_passing_file_held_one(proof: Proof) -> None:
    assert {"terraform", "sshd", "python3"} <= {name.split(":")[0] for name in proof.watcher.programs}
    assert "console.log" in proof.watcher.files
    assert proof.watcher.found == set()


def test_no_file_of_a_rehearsal_holds_a_secret(proof: Proof) -> None:
    names = {path.name for path in proof.stage.folder.rglob("*")}

    assert {"terraform.tfstate", "tfplan", "run.auto.tfvars.json", "events.jsonl", "report.html"} <= names
    assert leaks(proof.stage.folder) == []


def test_no_machine_was_told_a_secret_as_it_was_ordered(proof: Proof) -> None:
    told = proof.seen["user_data"]

    assert len(told) == 1
    assert all(text for text in told.values()) is (proof.cloud != "runpod"), "a pod has no user data"
    assert [secret for secret in SECRETS for text in told.values() if secret in (text or "")] == []
    assert [row for row in proof.seen["requests"] if HUB_TOKEN in json.dumps(row)] == []


def test_terraform_alone_sees_nothing_left(proof: Proof) -> None:
    plan = read_json(proof.run.file("plan.json"))

    done = subprocess.run(
        [plan["terraform"], "state", "list"], cwd=proof.run.terraform, capture_output=True, text=True, timeout=240
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("proof", DOCUMENTED, indirect=True)  # AWS has no OpenAPI file; boto3 made its requests
def test_every_request_is_one_that_the_vendor_takes(proof: Proof) -> None:
    spec = Spec.read(DOCUMENTED[proof.cloud])
    sent = [Recorded(**row) for row in proof.seen["requests"] if row["cloud"] == proof.cloud]

    assert {row.method for row in sent} > {"GET"}, "RunPod's launch is GraphQL, which has no such file; its end is not"
    assert len(sent) >= 5
    assert {f"{row.method} {row.path}": errors for row in sent if (errors := request_errors(spec, row))} == {}


@pytest.mark.parametrize("proof", ["aws"], indirect=True)  # no other cloud has a client that is not ours
def test_a_client_that_is_not_ours_sees_nothing_left_on_aws(proof: Proof) -> None:
    left = dict(proof.seen["left"])

    assert left.pop("machines that were") == [row["id"] for row in proof.verdict.machines]
    assert left == {name: [] for name in left}


@pytest.mark.parametrize("inside", [[], ["unshare", "--pid", "--fork", "--kill-child"]], ids=["here", "in a box"])
def test_a_secret_among_arguments_would_be_seen(inside: list[str]) -> None:
    argv = [*inside, sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", f"--key={PLANTED}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as planted, Watcher(secrets=[PLANTED]) as watcher:
        assert planted.stdout is not None
        planted.stdout.readline()
        seen = eventually(watcher)
        planted.kill()
    assert seen
    assert is_gone(PLANTED), "the next test would see what this one has planted"


def test_a_secret_in_a_passing_file_would_be_seen(tmp_path: Path) -> None:
    with Watcher((tmp_path, "douse-*")) as watcher:
        (tmp_path / "douse-1").mkdir()
        (tmp_path / "douse-1" / "command").write_text(json.dumps({"env": {"HF_TOKEN": HUB_TOKEN}}))

        assert eventually(watcher)


def test_a_secret_in_a_plan_file_would_be_seen(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tfplan", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tfconfig/m-/main.tf", f'key = "{REHEARSAL_KEY}" ' * 9)

    assert REHEARSAL_KEY.encode() not in (tmp_path / "tfplan").read_bytes()
    assert secrets_in(tmp_path / "tfplan") == ["tfplan!tfconfig/m-/main.tf holds rehearsa…"]
    assert len(leaks(tmp_path)) == 1


def is_gone(word: str) -> bool:
    """Wait until no process has the word among its arguments: what was started in a box dies after who started it."""
    deadline = time.monotonic() + WAIT_S
    while any(word in " ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def eventually(watcher: Watcher) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not watcher.found and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(watcher.found)
