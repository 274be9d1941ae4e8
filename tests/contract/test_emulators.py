"""The emulated clouds against the vendors' own OpenAPI files: what they take, what they refuse, what they answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from runner.clouds.lambda_cloud.emulator.messages import InstanceIds, Launch, NewFilesystem, NewKey, Rename
from runner.clouds.runpod.emulator.messages import (
    ChangedVolume,
    CreatePod,
    NewVolume,
    PodAction,
    SshKeys,
    UpdatePod,
)
from runner.emulation.requests_log import Recorded
from tests.contract.vendor_fields.trim import LAMBDA, RUNPOD, Vendor, read
from tests.unit.runner.emulation.emulated import KEY_LINE, POD, Lab

UNDOCUMENTED_CODES = {"global/unknown"}
"""Seen in the field, in no OpenAPI file."""
LAMBDA_STATUSES = {200, 400, 401, 403, 404, 409}
"""What Lambda's file tells of; 429 and 500 exist and have no schema there."""


@dataclass(frozen=True)
class Spec:
    """A vendor's OpenAPI file."""

    document: Mapping[str, Any]
    registry: Registry[Any]

    @classmethod
    def read(cls, vendor: Vendor) -> Spec:
        document = read(vendor)
        return cls(document, Registry().with_resource("urn:spec", DRAFT202012.create_resource(document)))

    def operation(self, method: str, path: str) -> tuple[str, Mapping[str, Any]]:
        for template, operations in self.document["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in operations:
                return template, operations[method.lower()]
        raise AssertionError(f"no {method} {path} in the vendor's file")

    def errors(self, reference: str, value: Any) -> list[str]:
        validator = Draft202012Validator({"$ref": f"urn:spec#{reference}"}, registry=self.registry)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def resolved(self, value: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
        """Follow a reference among the components; tell where it led."""
        if "$ref" not in value:
            return None, value
        found: Any = self.document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return value["$ref"].removeprefix("#"), found


@pytest.fixture(scope="module")
def lambda_spec() -> Spec:
    return Spec.read(LAMBDA)


@pytest.fixture(scope="module")
def runpod_spec() -> Spec:
    return Spec.read(RUNPOD)


def _pointer(*parts: str) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def request_errors(spec: Spec, recorded: Recorded) -> list[str]:
    template, operation = spec.operation(recorded.method, recorded.path)
    parameters = [spec.resolved(parameter)[1] for parameter in operation.get("parameters", ())]
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    errors = [f"no query parameter {name}" for name in recorded.query if name not in known]
    if "requestBody" in operation:
        where = _pointer(
            "paths", template, recorded.method.lower(), "requestBody", "content", "application/json", "schema"
        )
        errors += spec.errors(where, recorded.body)
    return errors


def answer_errors(spec: Spec, recorded: Recorded) -> list[str]:
    template, operation = spec.operation(recorded.method, recorded.path)
    status = str(recorded.status) if str(recorded.status) in operation["responses"] else "default"
    if status not in operation["responses"]:
        return [f"status {recorded.status} is not in the vendor's file"]
    reference, response = spec.resolved(operation["responses"][status])
    if not response.get("content"):
        return [] if recorded.answer is None else ["an answer with a body where there is none"]
    media = next(iter(response["content"]))
    base = reference or _pointer("paths", template, recorded.method.lower(), "responses", status)
    return spec.errors(base + _pointer("content", media, "schema"), recorded.answer)


def _lambda_scenario(lab: Lab) -> None:
    api = lab.lambda_
    for path in ("/instance-types", "/regions", "/images", "/instances", "/ssh-keys", "/file-systems"):
        api.get(path)
    api.get("/instances", headers={"authorization": "Bearer wrong"})
    made = api.post("/filesystems", json={"name": "data", "region": "us-west-1"}).json()["data"]
    api.post("/filesystems", json={"name": "data", "region": "us-west-1"})
    api.post("/ssh-keys", json={"name": "made-there"})
    instance = lab.launched(file_system_names=["data"], hostname="node", image={"family": "lambda-stack-24-04"})
    for wait_s in (0.0, 0.6, 1.0):
        lab.clock.advance(wait_s)
        api.get(f"/instances/{instance}")
    api.get("/instances")
    api.post(f"/instances/{instance}", json={"name": "renamed"})
    api.post("/instance-operations/restart", json={"instance_ids": [instance]})
    api.delete(f"/filesystems/{made['id']}")
    for fault in ("no_capacity", "quota_exceeded", "balance_empty", "key_invalid", "already_gone", "key_forbidden"):
        lab.control.delete("/faults")
        lab.fault(fault)
        lab.launch()
    api.get("/instances")
    lab.terminate("0" * 32)
    lab.terminate(instance)
    lab.control.delete("/faults")
    second = lab.launched()
    lab.terminate(second)
    lab.terminate(second)
    api.post("/instance-operations/restart", json={"instance_ids": [second]})
    lab.launch(ssh_key_names=["nobody"])
    lab.launch(region_name="moon-1")
    lab.clock.advance(10.0)
    api.get("/instances")
    api.delete(f"/filesystems/{made['id']}")
    api.delete(f"/filesystems/{made['id']}")
    key = api.get("/ssh-keys").json()["data"][0]["id"]
    api.delete(f"/ssh-keys/{key}")
    api.delete(f"/ssh-keys/{key}")


def _runpod_scenario(lab: Lab) -> None:
    api = lab.runpod
    api.get("/pods", headers={"authorization": ""})
    for path in (
        "/pods?includeClusterPods=false",
        "/catalog/gpus",
        "/catalog/gpus?include=AVAILABILITY&product=POD&count=1&cloud=COMMUNITY",
        "/catalog/gpus?include=AVAILABILITY",
        "/catalog/gpus/NVIDIA L4",
        "/catalog/gpus/none",
        "/catalog/datacenters?include=GPU_AVAILABILITY",
        "/catalog/datacenters",
        "/account/ssh-keys",
        "/network-volumes",
    ):
        api.get(path)
    api.put("/account/ssh-keys", json={"keys": [KEY_LINE]})
    volume = api.post("/network-volumes", json={"name": "v", "size": 10, "dataCenter": "US-KS-2"}).json()["id"]
    api.patch(f"/network-volumes/{volume}", json={"size": 20})
    api.get(f"/network-volumes/{volume}")
    pod = lab.pod(mounts={"network": [{"volumeId": volume, "path": "/workspace"}]}, dataCenterIds=["US-KS-2"])["id"]
    for _ in range(4):
        lab.clock.advance(0.45)
        api.get(f"/pods/{pod}")
    api.get("/pods")
    api.get(f"/billing/pods?podId={pod}&startTime=2026-11-01T00:00:00Z&endTime=2026-12-01T00:00:00Z&bucketSize=hour")
    api.get("/billing/pods")
    api.get("/billing/pods?bucketSize=second")
    api.patch(f"/pods/{pod}", json={"name": "renamed", "env": {"A": "b"}, "registry": None})
    for action in ("stop", "stop", "start", "restart", "terminate"):
        api.post(f"/pods/{pod}/action", json={"action": action})
        lab.clock.advance(2.0)
    for fault in ("no_capacity", "balance_empty", "key_invalid", "key_forbidden", "launch_rate_limited"):
        lab.control.delete("/faults")
        lab.fault(fault, cloud="runpod")
        api.post("/pods", json=POD)
    lab.control.delete("/faults")
    for fault in ("terminate_500", "terminate_rate_limited", "already_gone"):
        lab.fault(fault, cloud="runpod")
        other = lab.pod()["id"]
        for _ in range(3):
            api.delete(f"/pods/{other}")
            api.get(f"/pods/{other}")
    api.post("/pods", json={**POD, "bogus": 1})
    api.delete(f"/network-volumes/{volume}")
    api.delete(f"/network-volumes/{volume}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab()
    _lambda_scenario(lab)
    _runpod_scenario(lab)
    return lab


def recorded(lab: Lab, cloud: str) -> list[Recorded]:
    found = [row for row in lab.state.requests.all() if row.cloud == cloud]
    assert len(found) > 30
    return found


def test_every_answer_of_lambda_is_as_the_vendor_reports(lab: Lab, lambda_spec: Spec) -> None:
    for row in recorded(lab, "lambda"):
        code = row.answer.get("error", {}).get("code") if isinstance(row.answer, dict) else None
        if row.status in LAMBDA_STATUSES and code not in UNDOCUMENTED_CODES:
            assert answer_errors(lambda_spec, row) == [], f"{row.method} {row.path} {row.status}"


def test_every_answer_of_runpod_is_as_the_vendor_reports(lab: Lab, runpod_spec: Spec) -> None:
    for row in recorded(lab, "runpod"):
        assert answer_errors(runpod_spec, row) == [], f"{row.method} {row.path} {row.status}"


def test_whatever_lambda_took_the_vendor_takes(lab: Lab, lambda_spec: Spec) -> None:
    for row in recorded(lab, "lambda"):
        if row.status < 300:
            assert request_errors(lambda_spec, row) == [], f"{row.method} {row.path}"


def test_whatever_runpod_took_the_vendor_takes(lab: Lab, runpod_spec: Spec) -> None:
    for row in recorded(lab, "runpod"):
        if row.status < 300:
            assert request_errors(runpod_spec, row) == [], f"{row.method} {row.path}"


def test_scenarios_reach_every_status_that_a_client_has_to_know(lab: Lab) -> None:
    assert {row.status for row in recorded(lab, "lambda")} >= {200, 400, 401, 403, 404, 409}
    assert {row.status for row in recorded(lab, "runpod")} >= {
        200,
        201,
        204,
        400,
        401,
        402,
        403,
        404,
        409,
        422,
        429,
        500,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bogus": 1},
        {"name": ""},
        {"name": 1},
        {"name": None},
        {"disk": 0},
        {"disk": 1.5},
        {"disk": "1"},
        {"disk": True},
        {"cloud": "ALL"},
        {"cloud": "COMMUNITY"},
        {"env": {"A": 1}},
        {"env": []},
        {"ports": "22/tcp"},
        {"ports": [22]},
        {"registry": None},
        {"args": None},
        {"gpu": {}},
        {"gpu": {"id": "x", "count": 0}},
        {"gpu": {"id": "x", "more": 1}},
        {"gpu": {"id": "x", "minCudaVersion": "12.1"}},
        {"gpu": {"id": "x", "minCudaVersion": "12"}},
        {"gpu": {"id": "x", "allowedCudaVersions": ["12.8", "x"]}},
        {"mounts": {}},
        {"mounts": {"persistent": {"size": 9, "path": "/a"}}},
        {"mounts": {"persistent": {"size": 10}}},
        {"mounts": {"network": [{"volumeId": "a", "path": "/a"}]}},
        {"mounts": {"network": [{"volumeId": "a", "path": "/a"}] * 2}},
        {"templateId": ""},
        {"templateId": "x"},
        {"dataCenterIds": []},
        {"dataCenterIds": None},
        {"startSsh": "true"},
        {"terminateAfter": "2026-11-21T18:00:00Z"},
        {"interruptible": True},
    ],
)
def test_runpod_refuses_exactly_the_bodies_that_the_vendor_refuses(
    lab: Lab, runpod_spec: Spec, changes: dict[str, Any]
) -> None:
    body = {**POD, **changes}
    vendor_takes = runpod_spec.errors("/components/schemas/CreatePodRequest", body) == []

    answer = lab.runpod.post("/pods", json=body)

    assert (answer.status_code != 422) is vendor_takes, answer.text


def test_pod_without_image_or_template_is_refused_by_both(lab: Lab, runpod_spec: Spec) -> None:
    body = {name: value for name, value in POD.items() if name != "image"}

    assert runpod_spec.errors("/components/schemas/CreatePodRequest", body)
    assert lab.runpod.post("/pods", json=body).status_code == 422


@pytest.mark.parametrize(
    ("path", "schema_of"),
    [
        ("/api/v1/instance-operations/launch", Launch),
        ("/api/v1/instance-operations/terminate", InstanceIds),
        ("/api/v1/instances/{id}", Rename),
        ("/api/v1/ssh-keys", NewKey),
        ("/api/v1/filesystems", NewFilesystem),
    ],
)
def test_lambdas_bodies_have_the_vendors_fields(lambda_spec: Spec, path: str, schema_of: Any) -> None:
    schema = lambda_spec.document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert set(schema_of.model_fields) == set(schema["properties"])
    if schema_of is not Rename:  # the vendor takes a rename without a name, which renames nothing
        required = {name for name, field in schema_of.model_fields.items() if field.is_required()}
        assert required == set(schema["required"])


@pytest.mark.parametrize(
    ("schema", "model"),
    [
        ("CreatePodRequest", CreatePod),
        ("UpdatePodRequest", UpdatePod),
        ("PodActionRequest", PodAction),
        ("UpdateSshKeysRequest", SshKeys),
        ("CreateNetworkVolumeRequest", NewVolume),
        ("UpdateNetworkVolumeRequest", ChangedVolume),
    ],
)
def test_runpods_bodies_have_the_vendors_fields(runpod_spec: Spec, schema: str, model: Any) -> None:
    assert set(model.model_fields) == _properties(runpod_spec, {"$ref": f"#/components/schemas/{schema}"})


def _properties(spec: Spec, schema: Mapping[str, Any]) -> set[str]:
    _, found = spec.resolved(schema)
    inherited = (_properties(spec, part) for part in found.get("allOf", ()))
    return set(found.get("properties", {})).union(*inherited)


def test_a_wrong_answer_would_be_noticed(runpod_spec: Spec, lab: Lab) -> None:
    row = next(row for row in recorded(lab, "runpod") if row.path == "/v2/pods" and row.status == 200)
    broken = Recorded(**{**vars(row), "answer": {"pods": [{"id": 1}]}})

    assert answer_errors(runpod_spec, broken)
