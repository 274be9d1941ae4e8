"""The part of RunPod's GraphQL API that REST v2 lacks: spot pods, timers, bids; to be retired in early 2027.

As the vendor's pages (sdks/graphql, 2026-08-18) and the clients dstack and runpod-python 1.12.0 describe it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from runner.clouds.runpod.emulator import graphql_text
from runner.clouds.runpod.emulator.app import end_pod, launch_refusal, whose_key
from runner.clouds.runpod.emulator.catalog import CUDA_VERSIONS, GPU_TYPES, GpuType
from runner.clouds.runpod.emulator.graphql_text import GraphqlError
from runner.clouds.runpod.emulator.messages import Container
from runner.clouds.runpod.emulator.pods import NO_CAPACITY, Pod, PodOrder, Pods
from runner.emulation.calls import Answer, Body, Call, Handler, Route, Strict, problems
from runner.emulation.cloud_state import CloudState
from runner.emulation.emulator import Emulator, RefusedError

STOCK = {"NONE": None, "LOW": "Low", "MEDIUM": "Medium", "HIGH": "High"}


def _instant(text: str) -> str:
    datetime.fromisoformat(text.replace("Z", "+00:00"))
    return text


Instant = Annotated[str, AfterValidator(_instant)]


class Variable(Strict):
    """One variable of a pod's environment."""

    key: str
    value: str


class Deploy(Strict):
    """Input of ``podFindAndDeployOnDemand``."""

    name: str
    imageName: str  # noqa: N815 - the vendor's names, here and below
    gpuTypeId: str  # noqa: N815
    gpuCount: Annotated[int, Field(ge=1)] = 1  # noqa: N815
    cloudType: Literal["ALL", "SECURE", "COMMUNITY"] = "ALL"  # noqa: N815
    dataCenterId: str | None = None  # noqa: N815
    countryCode: str | None = None  # noqa: N815
    containerDiskInGb: Annotated[int, Field(ge=1)] = 50  # noqa: N815
    volumeInGb: int = 0  # noqa: N815
    volumeMountPath: str | None = None  # noqa: N815
    networkVolumeId: str | None = None  # noqa: N815
    ports: str = ""
    env: tuple[Variable, ...] = ()
    dockerArgs: str = ""  # noqa: N815
    templateId: str | None = None  # noqa: N815
    startSsh: bool = False  # noqa: N815
    startJupyter: bool = False  # noqa: N815
    supportPublicIp: bool = False  # noqa: N815
    minVcpuCount: int | None = None  # noqa: N815
    minMemoryInGb: int | None = None  # noqa: N815
    minCudaVersion: str | None = None  # noqa: N815
    allowedCudaVersions: tuple[str, ...] = ()  # noqa: N815
    stopAfter: Instant | None = None  # noqa: N815
    terminateAfter: Instant | None = None  # noqa: N815
    containerRegistryAuthId: str | None = None  # noqa: N815
    compliance: str | None = None


class Rent(Deploy):
    """Input of ``podRentInterruptable``."""

    bidPerGpu: Annotated[float, Field(gt=0)]  # noqa: N815


class PodId(Strict):
    """Input of ``pod``, ``podTerminate`` and ``podStop``."""

    podId: str  # noqa: N815


class GraphqlRefusedError(Exception):
    """A request that was understood and is refused."""


class RunPodGraphql(Emulator):
    """RunPod's GraphQL API."""

    cloud = "runpod"
    recorded_as = "runpod_graphql"

    def __init__(self, state: CloudState, pods: Pods) -> None:
        """Take the account's pods, which the REST API shows as well."""
        super().__init__(state)
        self._pods = pods
        self._who = ""
        self._resolvers: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
            ("query", "myself"): self._myself,
            ("query", "pod"): self._pod,
            ("query", "gpuTypes"): self._gpu_types,
            ("mutation", "podFindAndDeployOnDemand"): lambda given: self._deploy(_read(Deploy, given)),
            ("mutation", "podRentInterruptable"): lambda given: self._deploy(_read(Rent, given)),
            ("mutation", "podTerminate"): self._terminate,
            ("mutation", "podStop"): self._stop,
        }

    def routes(self) -> Sequence[Route]:
        """Return the one path."""
        return (Route("POST", "/graphql", self._execute),)

    def who(self, call: Call) -> str | None:
        """Return ``account``, or the pod that the key was made for."""
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        given = key if scheme.lower() == "bearer" else call.query.get("api_key", "")
        return whose_key(self._pods, given)

    def unauthorised(self, call: Call) -> Answer:
        """Return a 401."""
        return Answer(401, {"errors": [{"message": "Unauthorized"}]})

    def paced(self, call: Call, who: str, now: float) -> Answer | None:
        """Let everything by: no limit of this API is documented."""
        self._who = who
        return None

    def missing(self, call: Call, allowed: Sequence[str]) -> Answer:
        """Return a 404 or a 405."""
        return Answer(405 if allowed else 404, _failed("Not Found"))

    def broken(self, message: str) -> Answer:
        """Return a 500."""
        return Answer(500, _failed(message, "INTERNAL_SERVER_ERROR"))

    def guard(self, call: Call, who: str, handler: Handler) -> Answer:
        """Put the fault that hits any request in the way."""
        refused = self.state.faults.peek("key_invalid", "runpod")
        if refused is not None and refused.arguments["at"] == "any" and self.take("key_invalid", call.path):
            return self.unauthorised(call)
        return handler(call)

    def _execute(self, call: Call) -> Answer:
        request = call.json()
        if not isinstance(request, dict) or not isinstance(request.get("query"), str):
            return Answer(400, _failed("Must provide query string."))
        try:
            kind, fields = graphql_text.parse_request(request["query"], request.get("variables") or {})
            data: dict[str, Any] = {}
            for field in fields:
                resolver = self._resolvers.get((kind, field.name))
                if resolver is None:
                    raise GraphqlError(f'Cannot query field "{field.name}" on type "{kind.title()}".')
                data[field.alias] = graphql_text.project(resolver(field.arguments), field.fields, field.name)
        except GraphqlError as err:
            return Answer(400, _failed(str(err), "GRAPHQL_VALIDATION_FAILED"))
        except GraphqlRefusedError as err:
            return Answer(200, {**_failed(str(err)), "data": None})
        fault = self.take("launch_500_after_create") if self._has_deployed(fields) else None
        if fault is not None and not fault.arguments["lost"]:
            return self.broken("internal server error")
        return Answer(200, {"data": data}, is_lost=fault is not None)

    def _has_deployed(self, fields: Sequence[graphql_text.Field]) -> bool:
        return any(field.name in ("podFindAndDeployOnDemand", "podRentInterruptable") for field in fields)

    def _deploy(self, wanted: Deploy) -> dict[str, Any] | None:
        self._account_only()
        order = _order(wanted)
        if self.kill_runner("kill_runner@before_create", order.name):
            raise RefusedError(self.broken("internal server error"))
        refusal = launch_refusal(self, order, self._pods)
        if refusal is not None:
            raise RefusedError(_as_graphql(refusal))
        for cloud in ("SECURE", "COMMUNITY") if wanted.cloudType == "ALL" else (wanted.cloudType,):
            order.cloud = cloud
            data_center = self._pods.place(order)
            if data_center is not None:
                pod = self._pods.create(order, data_center)
                self.state.kill_after_create(self.cloud, pod.machine.id)
                return self._shown(pod)
        if isinstance(wanted, Rent):
            return None  # null without an error: no capacity
        raise GraphqlRefusedError(NO_CAPACITY)

    def _terminate(self, given: Mapping[str, Any]) -> None:
        pod = self._found(given)
        if pod is None:
            raise GraphqlRefusedError("pod not found to terminate")
        answer = end_pod(self, pod, self._pods)
        if answer.status != 204:
            raise RefusedError(_as_graphql(answer))

    def _stop(self, given: Mapping[str, Any]) -> dict[str, Any]:
        pod = self._found(given)
        if pod is None:
            raise GraphqlRefusedError("pod not found")
        self._pods.stop(pod)
        return self._shown(pod)

    def _pod(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        pod = self._found(given)
        return None if pod is None else self._shown(pod)

    def _myself(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._account_only()
        volumes = [
            {"id": row["id"], "name": row["name"], "size": row["size"], "dataCenter": {"id": row["dataCenter"]}}
            for row in self._pods.volumes.values()
        ]
        return {
            "id": "user_rehearsal",
            "clientBalance": 100.0,
            "currentSpendPerHr": round(sum(m.meter.usd_per_h for m in self.state.of("runpod") if not m.is_ended), 4),
            "pods": [self._shown(pod) for pod in self._pods.listed()],
            "networkVolumes": volumes,
            "containerRegistryCreds": [],
        }

    def _gpu_types(self, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        wanted = (given.get("input") or {}).get("id")
        return [_gpu_type(gpu) for gpu in GPU_TYPES.values() if wanted in (None, gpu.id)]

    def _found(self, given: Mapping[str, Any]) -> Pod | None:
        pod_id = _read(PodId, given).podId
        if self._who not in ("account", pod_id):
            raise RefusedError(Answer(403, _failed("Forbidden")))
        return self._pods.find(pod_id)

    def _account_only(self) -> None:
        if self._who != "account":
            raise RefusedError(Answer(403, _failed("Forbidden")))

    def _shown(self, pod: Pod) -> dict[str, Any]:
        status, mapped, uptime_s = self._pods.status(pod.machine), self._pods.public_port(pod), self._pods.uptime_s(pod)
        port = mapped and {
            "ip": mapped[0],
            "isIpPublic": True,
            "privatePort": 22,
            "publicPort": mapped[1],
            "type": "tcp",
        }
        runtime = {"uptimeInSeconds": uptime_s, "ports": [port] if port else [], "gpus": []}
        return {
            "id": pod.machine.id,
            "name": pod.machine.name,
            "imageName": pod.order.container.image,
            "desiredStatus": status if status in ("EXITED", "TERMINATED") else "RUNNING",
            "lastStatusChange": "",
            "costPerHr": pod.price_usd_per_h,
            "env": [f"{name}={value}" for name, value in pod.order.container.env.items()],
            "podType": "INTERRUPTABLE" if pod.machine.spot else "RESERVED",
            "machineId": pod.machine.region.lower(),
            "machine": {
                "podHostId": f"{pod.machine.id}-64411eb2",
                "gpuDisplayName": GPU_TYPES[pod.order.gpu_id].name,
                "location": pod.machine.region[:2],
                "dataCenterId": pod.machine.region,
            },
            "runtime": None if uptime_s is None else runtime,
        }


def _order(wanted: Deploy) -> PodOrder:
    container = Container(
        args=wanted.dockerArgs,
        disk=wanted.containerDiskInGb,
        env={pair.key: pair.value for pair in wanted.env},
        image=wanted.imageName,
        ports=tuple(part.strip() for part in wanted.ports.split(",") if part.strip()),
    )
    return PodOrder(
        container=container,
        name=wanted.name,
        cloud="SECURE",
        gpu_id=wanted.gpuTypeId,
        gpu_count=wanted.gpuCount,
        data_centers=(wanted.dataCenterId,) if wanted.dataCenterId else (),
        bid_usd_per_h=wanted.bidPerGpu if isinstance(wanted, Rent) else None,
        start_ssh=wanted.startSsh,
        end_at=_epoch(wanted.terminateAfter),
        stop_at=_epoch(wanted.stopAfter),
        min_cuda_version=wanted.minCudaVersion or CUDA_VERSIONS[0],
    )


def _epoch(instant: str | None) -> float | None:
    if instant is None:
        return None
    at = datetime.fromisoformat(instant.replace("Z", "+00:00"))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _gpu_type(gpu: GpuType) -> dict[str, Any]:
    return {
        "id": gpu.id,
        "displayName": gpu.name,
        "memoryInGb": gpu.memory_gib,
        "securePrice": gpu.secure_usd_per_h,
        "communityPrice": gpu.community_usd_per_h,
        "secureSpotPrice": gpu.bid_usd_per_h,
        "communitySpotPrice": gpu.bid_usd_per_h if gpu.community_usd_per_h else 0.0,
        "maxGpuCount": gpu.max_count,
        "secureCloud": gpu.secure_usd_per_h > 0,
        "communityCloud": gpu.community_usd_per_h > 0,
        "lowestPrice": {
            "minimumBidPrice": gpu.bid_usd_per_h,
            "uninterruptablePrice": gpu.secure_usd_per_h,
            "minVcpu": 8,
            "minMemory": 32,
            "stockStatus": STOCK[gpu.level],
            "countryCode": None,
        },
    }


def _read(model: type[Body], given: Mapping[str, Any]) -> Body:
    wanted = given.get("input")
    if isinstance(wanted, dict):  # null is the same as left out here
        wanted = {name: value for name, value in wanted.items() if value is not None}
    try:
        return model.model_validate_json(json.dumps(wanted))
    except ValidationError as err:
        raise GraphqlError("; ".join(problems(err))) from err


def _failed(message: str, code: str | None = None) -> dict[str, Any]:
    fault: dict[str, Any] = {"message": message}
    return {"errors": [fault if code is None else {**fault, "extensions": {"code": code}}]}


def _as_graphql(answer: Answer) -> Answer:
    """Return a refusal of REST v2 as this API words it: 200 with errors, but for keys and trouble."""
    detail = answer.body["detail"] if isinstance(answer.body, dict) else "error"
    status = answer.status if answer.status in (401, 403, 429, 500) else 200
    return Answer(status, {**_failed(str(detail)), "data": None})
