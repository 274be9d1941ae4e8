"""What our clients send and read, held against what the vendors' own OpenAPI files say (``vendor_fields``)."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import httpx2
import pytest
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from pydantic import BaseModel

from runner.cloud_api.answers import Answer
from runner.cloud_api.environment import Published
from runner.cloud_api.models import Resource
from runner.cloud_api.pacing import Timer
from runner.cloud_api.published import differences
from runner.clouds.lambda_cloud import messages as lambda_models
from runner.clouds.lambda_cloud.api import LambdaCloud
from runner.clouds.lambda_cloud.listing import STATUS as LAMBDA_STATUS
from runner.clouds.lambda_cloud.messages import LaunchRequest
from runner.clouds.lambda_cloud.refusals import LAMBDA_CODES
from runner.clouds.registry import CLOUDS
from runner.clouds.runpod import messages as runpod_models
from runner.clouds.runpod.api import RunPodCloud
from runner.clouds.runpod.listing import STATUS as RUNPOD_STATUS
from runner.clouds.runpod.messages import CreatePod, VolumeMount
from runner.clouds.runpod.refusals import runpod_refusal
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    NotFoundError,
    RateLimitedError,
)
from runner.world import RealWorld
from tests.contract.vendor_fields.trim import LAMBDA, RUNPOD, Vendor, read

HOSTS = {LAMBDA: "https://cloud.lambda.ai", RUNPOD: "https://api.runpod.io"}
WHEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID = "0920582c7ff041399e34823a0be62549"


class Spec:
    """One vendor's document."""

    def __init__(self, vendor: Vendor) -> None:
        self.text = read(vendor)
        self.host = HOSTS[vendor]
        strict = copy.deepcopy(self.text)
        strict["servers"] = [{"url": self.host}]
        _refuse_unknown_fields(strict)
        self._checker = OpenAPI.from_dict(strict)

    def schema(self, name: str) -> dict[str, Any]:
        """Return a schema with the parts of its ``allOf`` put together."""
        return self._whole(self.text["components"]["schemas"][name])

    def operation(self, request: httpx2.Request) -> tuple[str, dict[str, Any]]:
        """Return the path and the operation of a request."""
        parts = request.url.raw_path.decode().partition("?")[0].split("/")
        for path, operations in self.text["paths"].items():
            known = path.split("/")
            fits = len(known) == len(parts) and all(
                name.startswith("{") or name == part for name, part in zip(known, parts, strict=True)
            )
            if fits and "{" not in path.replace("{id}", "") and request.method.lower() in operations:
                return path, operations[request.method.lower()]
        raise AssertionError(f"the document has no {request.method} {request.url.path}")

    def check(self, request: httpx2.Request, response: httpx2.Response) -> None:
        """Fail unless the document allows this request, and this answer to it."""
        _, operation = self.operation(request)
        known = {self._whole(parameter)["name"] for parameter in operation.get("parameters", [])}
        assert set(request.url.params) <= known, f"unknown in the query of {request.url}"
        asked = MockRequest(
            self.host,
            request.method.lower(),
            request.url.path,
            args=dict(request.url.params),
            headers=dict(request.headers),
            data=request.content or None,
            content_type=request.headers.get("content-type", "application/json"),
        )
        self._checker.validate_request(asked)
        content_type = response.headers.get("content-type", "application/json")
        self._checker.validate_response(
            asked, MockResponse(response.content, status_code=response.status_code, content_type=content_type)
        )

    def success(self, request: httpx2.Request, *, full: bool) -> httpx2.Response:
        """Return the smallest or the largest answer that the document allows."""
        _, operation = self.operation(request)
        status = next(code for code in operation["responses"] if code.startswith("2"))
        content = operation["responses"][status].get("content")
        if content is None:
            return httpx2.Response(int(status))
        return httpx2.Response(int(status), json=self.sample(content["application/json"]["schema"], full=full))

    def sample(self, schema: dict[str, Any], *, full: bool) -> Any:
        """Return something that fits a schema: what is required, or everything."""
        schema = self._whole(schema)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                choices = [choice for choice in schema[word] if choice.get("type") != "null"]
                return self.sample(choices[0], full=full) if full or len(choices) == len(schema[word]) else None
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        kind = schema.get("type", "object")
        if isinstance(kind, list):
            kind = kind[0] if full or "null" not in kind else "null"
        if kind == "object":
            return self._sample_object(schema, full=full)
        if kind == "array":
            return [self.sample(schema["items"], full=full)] if "items" in schema else []
        text = "2026-11-21T12:00:00Z" if schema.get("format") == "date-time" else "text"
        if not re.search(schema.get("pattern", ""), text):
            text = "12.8"
        numbers = {"integer": schema.get("minimum", 1), "number": 0.5, "boolean": True, "string": text}
        return numbers.get(kind)

    def _sample_object(self, schema: dict[str, Any], *, full: bool) -> dict[str, Any]:
        wanted = schema.get("properties", {}) if full else schema.get("required", [])
        found = {name: self.sample(schema["properties"][name], full=full) for name in wanted}
        if isinstance(found.get("id"), str):
            found["id"] = ID
        if isinstance(schema.get("additionalProperties"), dict) and full:
            found["a_name"] = self.sample(schema["additionalProperties"], full=full)
        return found

    def _whole(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            found = self.text
            for name in schema["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            return self._whole(found)
        whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._whole, schema.get("allOf", [])):
            whole["properties"] = {**part.get("properties", {}), **whole.get("properties", {})}
            whole["required"] = [*part.get("required", []), *whole.get("required", [])]
            whole = {**part, **whole}
        return whole


def _refuse_unknown_fields(document: dict[str, Any]) -> None:
    """Refuse fields that a request's schema does not name, also where the document forgets to."""
    bodies = [
        body["schema"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if isinstance(operation, dict)
        for body in operation.get("requestBody", {}).get("content", {}).values()
    ]
    parts = [
        part for name, part in document["components"]["schemas"].items() if name.startswith(("Requested", "ImageS"))
    ]
    for schema in [*bodies, *parts]:
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False


@cache
def spec(vendor: Vendor) -> Spec:
    return Spec(vendor)


class Checked:
    """A transport that lets through what the document allows, and answers with what it allows."""

    def __init__(self, vendor: Vendor, *, full: bool) -> None:
        self._spec, self._full = spec(vendor), full
        self.operations: set[str] = set()
        self.transport = httpx2.MockTransport(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path, _ = self._spec.operation(request)
        self.operations.add(f"{request.method} {path}")
        response = self._spec.success(request, full=self._full)
        self._spec.check(request, response)
        return response


LAUNCHES = [
    LaunchRequest(region_name="us-west-1", instance_type_name="gpu_1x_a10", ssh_key_name="k", name="douse-x"),
    LaunchRequest(
        region_name="us-west-1",
        instance_type_name="gpu_1x_a10",
        ssh_key_name="k",
        name="d" * 64,
        user_data="#cloud-config\n",
        tags={"douse-run": "20261121-073000-tiny", "douse-expires": "2026-11-21T12:00:00Z"},
        hostname="douse-1",
        image_family="lambda-stack-22-04",
        file_system_names=("my-filesystem",),
    ),
]
LAMBDA_CALLS: list[tuple[str, Callable[[LambdaCloud], object]]] = [
    ("GET /api/v1/ssh-keys", lambda cloud: cloud.account()),
    ("GET /api/v1/instance-types", lambda cloud: cloud.offers()),
    ("POST /api/v1/instance-operations/launch", lambda cloud: cloud.launch(LAUNCHES[0])),
    ("POST /api/v1/instance-operations/launch", lambda cloud: cloud.launch(LAUNCHES[1])),
    ("GET /api/v1/instances/{id}", lambda cloud: cloud.instance(ID)),
    ("GET /api/v1/instances", lambda cloud: cloud.listing().whole()),
    ("POST /api/v1/instance-operations/terminate", lambda cloud: cloud.end(_resource("lambda", "instance"))),
    ("POST /api/v1/ssh-keys", lambda cloud: cloud.add_key("douse-x", "ssh-ed25519 AAAA")),
    ("DELETE /api/v1/ssh-keys/{id}", lambda cloud: cloud.end(_resource("lambda", "key"))),
    ("POST /api/v1/instances/{id}", lambda cloud: cloud.move_lease(_resource("lambda", "instance"), WHEN)),
    ("GET /api/v1/file-systems", lambda cloud: cloud.listing().whole()),
    ("DELETE /api/v1/filesystems/{id}", lambda cloud: cloud.end(_resource("lambda", "volume"))),
]
PODS = [
    CreatePod(name="douse-x", image="runpod/pytorch:1", gpu_id="NVIDIA GeForce RTX 4090", disk_gb=50),
    CreatePod(
        name="douse-x",
        image="runpod/pytorch:1",
        gpu_id="NVIDIA GeForce RTX 4090",
        gpu_count=2,
        disk_gb=50,
        cloud="COMMUNITY",
        data_center_ids=("US-KS-2",),
        ports=("22/tcp", "8888/http"),
        env={"PUBLIC_KEY": "ssh-ed25519 AAAA"},
        start_command="bash -c 'exec /start.sh'",
        min_cuda_version="12.8",
        volume=VolumeMount(volume_id="v", path="/workspace"),
        registry_id="r",
    ),
]
RUNPOD_CALLS: list[tuple[str, Callable[[RunPodCloud], object]]] = [
    ("POST /v2/pods", lambda cloud: cloud.create_pod(PODS[0])),
    ("POST /v2/pods", lambda cloud: cloud.create_pod(PODS[1])),
    ("GET /v2/pods", lambda cloud: cloud.pods_named("text")),
    ("GET /v2/pods/{id}", lambda cloud: cloud.pod("7h9k2m4n6p")),
    ("DELETE /v2/pods/{id}", lambda cloud: cloud.end(_resource("runpod", "instance"))),
    ("GET /v2/catalog/gpus", lambda cloud: cloud.gpus("COMMUNITY", 2)),
    ("GET /v2/network-volumes", lambda cloud: cloud.listing().whole()),
    ("DELETE /v2/network-volumes/{id}", lambda cloud: cloud.end(_resource("runpod", "volume"))),
    ("GET /v2/billing/pods", lambda cloud: cloud.bills("7h9k2m4n6p", WHEN, WHEN)),
]


def _resource(cloud: str, kind: Any) -> Resource:
    return Resource(cloud, kind, ID, "douse-x", None, "20261121-063736-x", None)


@pytest.mark.parametrize("full", [False, True], ids=["smallest answers", "largest answers"])
@pytest.mark.parametrize(("operation", "call"), LAMBDA_CALLS, ids=[name for name, _ in LAMBDA_CALLS])
def test_lambda_takes_what_we_send_and_we_read_what_it_answers(
    operation: str, call: Callable[[LambdaCloud], object], full: bool
) -> None:
    seam = Checked(LAMBDA, full=full)
    cloud = LambdaCloud("a-secret-key", pace_s=0.0, timer=Timer(RealWorld()), transport=seam.transport)

    call(cloud)

    cloud.close()
    assert operation in seam.operations


@pytest.mark.parametrize("full", [False, True], ids=["smallest answers", "largest answers"])
@pytest.mark.parametrize(("operation", "call"), RUNPOD_CALLS, ids=[name for name, _ in RUNPOD_CALLS])
def test_runpod_takes_what_we_send_and_we_read_what_it_answers(
    operation: str, call: Callable[[RunPodCloud], object], full: bool
) -> None:
    seam = Checked(RUNPOD, full=full)
    cloud = RunPodCloud("a-secret-key", timer=Timer(RealWorld()), transport=seam.transport)

    call(cloud)

    cloud.close()
    assert operation in seam.operations


def test_the_check_itself_refuses_what_lambda_would_refuse() -> None:
    seam = Checked(LAMBDA, full=False)
    api = httpx2.Client(transport=seam.transport, headers={"Authorization": "Bearer k"})
    body = LAUNCHES[0].body() | {"quantity": 2}

    with pytest.raises(Exception, match="Request body validation error"):
        api.post("https://cloud.lambda.ai/api/v1/instance-operations/launch", json=body)

    api.close()


def test_the_check_itself_refuses_what_runpod_would_refuse() -> None:
    seam = Checked(RUNPOD, full=False)
    api = httpx2.Client(transport=seam.transport, headers={"Authorization": "Bearer k"})

    with pytest.raises(Exception, match="Request body validation error"):
        api.post("https://api.runpod.io/v2/pods", json=PODS[0].body() | {"interruptible": True})

    api.close()


@pytest.mark.parametrize("vendor", [LAMBDA, RUNPOD], ids=["lambda", "runpod"])
def test_the_check_itself_refuses_a_request_without_a_key(vendor: Vendor) -> None:
    seam = Checked(vendor, full=False)
    api = httpx2.Client(transport=seam.transport)

    with pytest.raises(Exception, match="Security"):
        api.get({LAMBDA: "https://cloud.lambda.ai/api/v1/instances", RUNPOD: "https://api.runpod.io/v2/pods"}[vendor])

    api.close()


PUBLISHED: dict[Vendor, Published] = {
    vendor: found for vendor in (LAMBDA, RUNPOD) if isinstance(found := CLOUDS[vendor.name].published, Published)
}
READ = [(vendor, model, schema) for vendor, published in PUBLISHED.items() for model, schema in published.read()]


def test_the_client_was_written_for_the_version_that_is_held_against_it() -> None:
    assert {vendor: published.version for vendor, published in PUBLISHED.items()} == {
        vendor: spec(vendor).text["info"]["version"] for vendor in (LAMBDA, RUNPOD)
    }


@pytest.mark.parametrize("vendor", [LAMBDA, RUNPOD], ids=lambda vendor: vendor.name)
def test_the_vendors_file_of_that_day_has_not_moved(vendor: Vendor) -> None:
    assert list(differences(PUBLISHED[vendor], spec(vendor).text)) == []


@pytest.mark.parametrize(("vendor", "model", "schema"), READ, ids=[model.__name__ for _, model, _ in READ])
def test_we_read_known_fields_and_need_only_those_that_are_promised(
    vendor: Vendor, model: type[BaseModel], schema: str
) -> None:
    promised = spec(vendor).schema(schema)
    fields = {field.alias or key: field for key, field in model.model_fields.items()}

    assert set(fields) - PUBLISHED[vendor].newer <= set(promised["properties"])
    assert {key for key, field in fields.items() if field.is_required()} <= set(promised["required"])


@pytest.mark.parametrize(("vendor", "model", "schema"), READ, ids=[model.__name__ for _, model, _ in READ])
def test_what_is_promised_not_to_be_null_may_not_be_null(vendor: Vendor, model: type[BaseModel], schema: str) -> None:
    promised = spec(vendor).schema(schema)
    good = spec(vendor).sample(promised, full=True)
    model.model_validate_json(json.dumps(good))

    for key, field in model.model_fields.items():
        wrong = good | {field.alias or key: None}
        if field.is_required() and not _may_be_null(promised["properties"][field.alias or key]):
            with pytest.raises(ValueError, match=field.alias or key):
                model.model_validate_json(json.dumps(wrong))


def _may_be_null(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", [])
    return "null" in kinds or any(choice.get("type") == "null" for choice in schema.get("anyOf", []))


def test_every_state_of_a_lambda_machine_is_known() -> None:
    states = set(spec(LAMBDA).schema("InstanceStatus")["enum"])

    assert states == set(LAMBDA_STATUS) | lambda_models.GONE


def test_every_state_of_a_pod_is_known() -> None:
    states = set(spec(RUNPOD).schema("PodStatus")["enum"])

    assert states == set(RUNPOD_STATUS) | {runpod_models.GONE, "ERROR"}
    assert runpod_models.RUNNING in states


def test_every_stock_level_is_known() -> None:
    assert runpod_models.NO_STOCK in spec(RUNPOD).schema("AvailabilityLevel")["enum"]


def test_every_code_of_lambdas_document_has_a_meaning() -> None:
    schemas = spec(LAMBDA).text["components"]["schemas"]
    codes = {part["properties"]["code"]["const"] for name, part in schemas.items() if name.startswith("ApiError")}

    assert codes <= set(LAMBDA_CODES)
    assert len(codes) > 10


def _examples() -> Iterator[tuple[str, str, Any]]:
    for path, operations in read(RUNPOD)["paths"].items():
        for method, operation in operations.items():
            for status, response in operation.get("responses", {}).items() if isinstance(operation, dict) else ():
                for content in response.get("content", {}).values():
                    for example in content.get("examples", {}).values():
                        if status.startswith("2"):
                            yield f"{method.upper()} {path}", status, example.get("value")


EXAMPLES: dict[str, Callable[[RunPodCloud], object]] = {
    "GET /v2/pods": lambda cloud: cloud.pods_named("pytorch-training"),
    "POST /v2/pods": lambda cloud: cloud.create_pod(PODS[0]).id,
    "GET /v2/pods/{id}": lambda cloud: cloud.pod("x").id,
    "GET /v2/catalog/gpus": lambda cloud: cloud.gpus()[0].id,
    "GET /v2/network-volumes": lambda cloud: not any("volumes" in err.message for err in cloud.listing().unread),
    "GET /v2/billing/pods": lambda cloud: cloud.bills("x", WHEN, WHEN)[0].pod_id,
}


def test_every_example_of_runpods_document_can_be_read() -> None:
    seen = set()
    for operation, status, example in _examples():
        if operation not in EXAMPLES:
            continue
        reply = httpx2.Response(int(status), json=example)
        cloud = RunPodCloud(
            "a-secret-key", timer=Timer(RealWorld()), transport=httpx2.MockTransport(lambda _, reply=reply: reply)
        )
        assert EXAMPLES[operation](cloud), operation
        cloud.close()
        seen.add(operation)

    assert seen == set(EXAMPLES)


def test_every_refusal_of_runpods_document_has_a_meaning() -> None:
    expected: dict[str, type[CloudError]] = {
        "UnauthorizedError": AccountError,
        "ForbiddenError": AccessDeniedError,
        "BadRequestError": BadRequestError,
        "NotFoundError": NotFoundError,
        "UnprocessableEntityError": BadRequestError,
        "MethodNotAllowedError": BadRequestError,
        "TooManyRequestsError": RateLimitedError,
    }
    found = {}
    for name, response in spec(RUNPOD).text["components"]["responses"].items():
        for example in response["content"]["application/problem+json"]["examples"].values():
            body = json.dumps(example["value"]).encode()
            found[name] = type(runpod_refusal(Answer(example["value"]["status"], {}, body), "do it"))

    assert found == expected
