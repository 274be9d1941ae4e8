"""The guides to the clouds: the commands for ending everything by hand do end everything, and their words are true."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from starlette.testclient import TestClient

from runner.clouds.aws.api import _ENDINGS
from runner.clouds.registry import CLOUDS
from runner.clouds.runpod.pod import KEY_VARIABLE
from tests.test_readme import broken_links, make_commands, missing_paths, wrong_with_make
from tests.unit.runner.emulation.emulated import Lab

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
GUIDES = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "clouds").glob("*.md")}
PAGES = (
    *sorted((DOCS / "clouds").glob("*.md")),
    DOCS / "rehearsal.md",
    DOCS / "money-safety.md",
    DOCS / "add-a-cloud.md",
)
NOT_OPTIONS = {"query", "output", "region"}


def shell_lines(guide: str) -> list[list[str]]:
    """Return the words of each line of a guide's ``sh`` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def curl(words: list[str], client: TestClient, base: str, names: Mapping[str, str]) -> Any:
    """Carry out a guide's curl line against an emulated cloud; return the answer."""
    method, data, url, headers = "GET", None, "", []
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-d":
            data = next(rest)
        elif word == "-H":
            headers.append(next(rest))
        elif not word.startswith("-"):
            url = word
    assert url.startswith(base), url
    assert headers[0] == "@<(auth)", "the key must not stand on the command line"
    assert ("Content-Type: application/json" in headers) == (data is not None), "else curl sends it as a form"
    body = None if data is None else json.loads(filled(data, names))
    return client.request(method, filled(url.removeprefix(base), names), json=body)


def filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    assert not re.search(r"[A-Z]{2,}_ID", text), f"nobody knows what {text} stands for"
    return text


def test_there_is_a_guide_for_every_cloud() -> None:
    assert set(GUIDES) == set(CLOUDS)


def test_the_lambda_guide_ends_a_machine_a_key_and_a_file_system_by_hand() -> None:
    lab = Lab()
    machine = lab.launched()
    key = lab.lambda_.get("/ssh-keys").json()["data"][0]["id"]
    disk = lab.lambda_.post("/filesystems", json={"name": "douse-disk", "region": "us-west-1"}).json()["data"]["id"]
    names = {"INSTANCE_ID": machine, "KEY_ID": key, "FILE_SYSTEM_ID": disk}

    for words in shell_lines(GUIDES["lambda"]):
        if words[0] == "curl":
            answer = curl(words, lab.lambda_, "https://cloud.lambda.ai/api/v1", names)
            assert answer.status_code == 200, (words, answer.text)

    lab.clock.advance(600)
    assert lab.billing() == []
    assert lab.lambda_.get("/ssh-keys").json()["data"] == []
    assert lab.lambda_.get("/file-systems").json()["data"] == []


def test_the_runpod_guide_ends_a_pod_and_a_volume_by_hand() -> None:
    lab = Lab()
    pod = lab.pod()["id"]
    order = {"name": "douse-disk", "size": 10, "dataCenter": "US-KS-2"}
    volume = lab.runpod.post("/network-volumes", json=order).json()["id"]
    names = {"POD_ID": pod, "VOLUME_ID": volume}

    for words in shell_lines(GUIDES["runpod"]):
        if words[0] == "curl":
            answer = curl(words, lab.runpod, "https://api.runpod.io/v2", names)
            assert answer.is_success, (words, answer.text)

    assert lab.billing() == []
    assert lab.runpod.get("/network-volumes").json()["networkVolumes"] == []


def test_the_aws_guide_uses_operations_and_options_that_exist_for_every_kind_of_thing() -> None:
    keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    clients = {service: boto3.client(service, **keys) for service in ("ec2", "scheduler")}
    lines = [words for words in shell_lines(GUIDES["aws"]) if words[0] == "aws" and words[1] in clients]
    used = set()

    for words in lines:
        client = clients[words[1]]
        if words[2] == "wait":
            assert words[3].replace("-", "_") in client.waiter_names
            continue
        name = words[2].replace("-", "_")
        operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name])
        known = {xform_name(member, "-") for member in operation.input_shape.members}
        options = {word.removeprefix("--") for word in words if word.startswith("--")} - NOT_OPTIONS
        assert options <= known, words
        used.add(name)

    assert {ended_by(kind) for kind in _ENDINGS} <= used
    assert {name.split("_", 1)[0] for name in used} == {
        "describe", "list", "terminate", "cancel", "delete", "release",
    }  # fmt: skip


def test_the_aws_policy_terminates_and_deletes_only_what_carries_a_runs_tag() -> None:
    policy, scheduler = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", GUIDES["aws"], re.M | re.S))
    words = ("Terminate", "Delete", "Cancel", "Release", "Modify")
    tagged = {"StringLike": {"ec2:ResourceTag/douse-run": "*"}}
    ending = [one for one in policy["Statement"] if any(f"ec2:{word}" in str(one["Action"]) for word in words)]

    assert [one.get("Condition") for one in ending] == [tagged]
    assert {"ec2:TerminateInstances", "ec2:DeleteVolume"} <= set(ending[0]["Action"])
    deleting = [one for one in scheduler["Statement"] if "scheduler:DeleteSchedule" in one["Action"]]
    assert [one["Resource"] for one in deleting] == ["arn:aws:scheduler:*:*:schedule/default/douse-*"]


def ended_by(kind: Any) -> str:
    """Return the operation that ends a kind of thing, as the sweep asks for it."""

    class Client:
        asked = ""

        def __getattr__(self, name: str) -> Any:
            self.asked = name
            return lambda **_: None

    class Found:
        id = name = "x"

    client: Any = Client()
    _ENDINGS[kind](client, Found())  # type: ignore[arg-type]
    return str(client.asked)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_path_and_link_of_a_guide_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [wrong_with_make(command) for command in make_commands(text) if wrong_with_make(command)] == []
    assert [path for path in missing_paths(text, REPOSITORY) if is_ours(path)] == []
    assert broken_links(text, page.parent) == []


def is_ours(path: str) -> bool:
    """Tell a path of the repository from names of other things that have a slash in them (a provider, a network).

    The cloud ``acme`` is the example of ``docs/add-a-cloud.md``: test_clouds.py holds its paths to the skeleton.
    """
    if "/acme" in path:
        return False
    return "/" not in path or (REPOSITORY / path.split("/", maxsplit=1)[0]).is_dir()


def test_the_runpod_guide_names_the_variables_that_a_pod_gets() -> None:
    module = (REPOSITORY / "infra" / "environments" / "runpod" / "instance.tf").read_text(encoding="utf-8")

    for name in (*re.findall(r"^ +(DOUSE_\w+) +=", module, re.MULTILINE), KEY_VARIABLE):
        assert f"`{name}`" in GUIDES["runpod"]


def test_every_room_of_the_walls_is_in_the_architecture() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    settings = (REPOSITORY / ".importlinter").read_text(encoding="utf-8")
    contract = settings.split("[importlinter:contract:rooms]")[1].split("[importlinter")[0]
    rooms = re.findall(r"\w+", contract.split("layers =\n")[1].split("ignore_imports")[0])
    modules = [room for room in rooms if (REPOSITORY / "runner" / f"{room}.py").exists()]

    assert sorted({*rooms} - {*modules}) == sorted(
        path.name for path in (REPOSITORY / "runner").iterdir() if (path / "__init__.py").exists()
    )
    assert [room for room in rooms if room not in modules and f"`runner/{room}/" not in text] == []
    assert [room for room in modules if f"`{room}`" not in text] == []
