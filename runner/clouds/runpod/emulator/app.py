"""An emulated RunPod: REST API v2 as the vendor's OpenAPI file (2.9.0 of 2026-08-18) and field reports describe it.

The pages of its list of pods are as public clients read them in November 2026; the file of August lacks them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from pydantic import ValidationError

from runner.clouds.runpod.emulator.billing import BillingError, pod_bills
from runner.clouds.runpod.emulator.catalog import CUDA_VERSIONS, DATA_CENTERS, GPU_TYPES, shown_data_center, shown_gpu
from runner.clouds.runpod.emulator.messages import ChangedVolume, CreatePod, NewVolume, PodAction, SshKeys, UpdatePod
from runner.clouds.runpod.emulator.pods import ACTIONS, NO_CAPACITY, Pod, PodOrder, Pods
from runner.emulation.calls import Answer, Body, Call, Handler, Route, parse, problems
from runner.emulation.cloud_state import REHEARSAL_KEY, CloudState
from runner.emulation.emulator import Emulator, RefusedError, listing_fault
from runner.emulation.pace import Window, window_headers

MOST_ON_A_PAGE = 1000


class RunPod(Emulator):
    """RunPod's REST API v2."""

    cloud = "runpod"
    recorded_as = "runpod"

    def __init__(self, state: CloudState, pods: Pods) -> None:
        """Take the account's pods, which the GraphQL API shows as well."""
        super().__init__(state)
        self._pods = pods
        self._settings = state.settings["runpod"]
        self._windows: dict[str, list[Window]] = {}

    def routes(self) -> Sequence[Route]:
        """Return the API's catalogue."""
        return (
            Route("GET", "/v2/pods", self._list),
            Route("POST", "/v2/pods", self._create),
            Route("GET", "/v2/pods/{id}", lambda call: Answer(200, self._pods.shown(self._found(call)))),
            Route("PATCH", "/v2/pods/{id}", self._update),
            Route("DELETE", "/v2/pods/{id}", self._delete),
            Route("POST", "/v2/pods/{id}/action", self._action),
            Route("GET", "/v2/account/ssh-keys", lambda _: Answer(200, {"keys": list(self._pods.ssh_keys)})),
            Route("PUT", "/v2/account/ssh-keys", self._set_keys),
            Route("GET", "/v2/catalog/gpus", self._gpus),
            Route("GET", "/v2/catalog/gpus/{id}", self._gpu),
            Route("GET", "/v2/catalog/datacenters", self._data_centers),
            Route("GET", "/v2/billing/pods", self._bills),
            Route("GET", "/v2/network-volumes", lambda _: self._volumes()),
            Route("POST", "/v2/network-volumes", self._add_volume),
            Route("GET", "/v2/network-volumes/{id}", lambda call: Answer(200, self._volume(call))),
            Route("PATCH", "/v2/network-volumes/{id}", self._change_volume),
            Route("DELETE", "/v2/network-volumes/{id}", self._delete_volume),
        )

    def who(self, call: Call) -> str | None:
        """Return ``account``, or the pod that the key was made for."""
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        return whose_key(self._pods, key) if scheme.lower() == "bearer" else None

    def unauthorised(self, call: Call) -> Answer:
        """Return a 401."""
        is_missing = "authorization" not in call.headers
        return problem(401, "missing bearer token" if is_missing else "invalid bearer token")

    def paced(self, call: Call, who: str, now: float) -> Answer | None:
        """Count the request in the three windows."""
        windows = self._windows.setdefault(who, quotas(int(self._settings["per_minute"])))
        over = [window for window in windows if not window.count(now)]
        if not over:
            return None
        wait = {"Retry-After": str(max(1, over[0].resets_s(now)))}
        return problem(429, f"rate limit exceeded for the {over[0].name} window", wait)

    def missing(self, call: Call, allowed: Sequence[str]) -> Answer:
        """Return a 404, or a 405 with the methods that there are."""
        if not allowed:
            return problem(404, "resource not found")
        return problem(405, "The requested method is not allowed for this path.", {"Allow": ", ".join(allowed)})

    def broken(self, message: str) -> Answer:
        """Return a 500."""
        return problem(500, message)

    def finished(self, answer: Answer, who: str, now: float) -> Answer:
        """Add how much of the quota is left."""
        windows = self._windows.get(who, [])
        return replace(answer, headers={**answer.headers, **window_headers(windows, now)}) if windows else answer

    def guard(self, call: Call, who: str, handler: Handler) -> Answer:
        """Keep a pod's own key to its own pod; put the faults that hit any request in the way."""
        refused = self.state.faults.peek("key_invalid", "runpod")
        if refused is not None and refused.arguments["at"] == "any" and self.take("key_invalid", call.path):
            return self.unauthorised(call)
        if who != "account" and call.parts.get("id") != who:
            return problem(403, "access denied")
        if call.method == "GET" and call.path.startswith("/v2/pods") and self._pods.is_poll_limited():
            return too_many()
        return handler(call)

    def _list(self, call: Call) -> Answer:
        if call.query.get("includeClusterPods", "false") not in ("true", "false"):
            raise RefusedError(problem(400, "includeClusterPods must be a boolean"))
        try:
            pods = self._pods.listed(after=call.query.get("cursor", ""))
        except ValueError as err:
            raise RefusedError(problem(400, "cursor is not one of a page before")) from err
        shown = pods[: self._page_size(call)]
        following = shown[-1].machine.id if len(shown) < len(pods) else None
        page = {
            "pods": [self._pods.shown(pod) for pod in shown],
            "pagination": {"hasNextPage": following is not None, "nextCursor": following},
        }
        return listing_fault(self, Answer(200, page), "pods")

    def _page_size(self, call: Call) -> int:
        limit = call.query.get("limit", str(MOST_ON_A_PAGE))
        if not limit.isdecimal() or not 1 <= int(limit) <= MOST_ON_A_PAGE:
            raise RefusedError(problem(400, f"limit must be from 1 to {MOST_ON_A_PAGE}"))
        if self.take("listing_pages", call.path) is not None:
            return 1
        return min(int(limit), int(self._settings["page_size"]))

    def _create(self, call: Call) -> Answer:
        order = self._order(body(CreatePod, call))
        if self.kill_runner("kill_runner@before_create", order.name):
            return self.broken("internal server error")
        refusal = launch_refusal(self, order, self._pods)
        if refusal is not None:
            return refusal
        data_center = self._pods.place(order)
        if data_center is None:
            return problem(400, NO_CAPACITY)
        pod = self._pods.create(order, data_center)
        self.state.kill_after_create(self.cloud, pod.machine.id)
        fault = self.take("launch_500_after_create", pod.machine.id)
        if fault is not None and not fault.arguments["lost"]:
            return self.broken("internal server error")
        return Answer(201, self._pods.shown(pod), is_lost=fault is not None)

    def _order(self, wanted: CreatePod) -> PodOrder:
        """Check what concerns more than one field, and turn the body into an order."""
        if (wanted.gpu is None) == (wanted.cpu is None):
            raise RefusedError(problem(400, "exactly one of gpu and cpu is required"))
        if wanted.gpu is None:
            raise RefusedError(problem(400, NO_CAPACITY))
        if wanted.gpu.allowedCudaVersions is not None and wanted.gpu.minCudaVersion is not None:
            raise RefusedError(problem(400, "allowedCudaVersions and minCudaVersion exclude each other"))
        if wanted.templateId is not None:
            raise RefusedError(problem(404, "template not found"))
        if wanted.mounts.persistent is not None and wanted.mounts.network:
            raise RefusedError(problem(400, "mounts.persistent and mounts.network exclude each other"))
        for mount in wanted.mounts.network:
            if mount.volumeId not in self._pods.volumes:
                raise RefusedError(problem(404, "network volume not found"))
        return PodOrder(
            container=wanted,
            name=wanted.name,
            cloud=wanted.cloud,
            gpu_id=wanted.gpu.id,
            gpu_count=wanted.gpu.count,
            data_centers=wanted.dataCenterIds,
            mounts=wanted.mounts.model_dump(mode="json", exclude_unset=True),
            start_ssh=wanted.startSsh,
            min_cuda_version=wanted.gpu.minCudaVersion or CUDA_VERSIONS[0],
        )

    def _update(self, call: Call) -> Answer:
        wanted, pod = body(UpdatePod, call), self._found(call)
        if wanted.name is not None:
            pod.machine.name = wanted.name
        if wanted.locked is not None:
            pod.is_locked = wanted.locked
        changed = {
            name: value
            for name, value in wanted.model_dump(exclude_unset=True).items()
            if name in ("args", "disk", "env", "image", "ports", "registry")
        }
        pod.order.container = pod.order.container.model_copy(update=changed)
        return Answer(200, self._pods.shown(pod))

    def _delete(self, call: Call) -> Answer:
        return end_pod(self, self._found(call), self._pods)

    def _action(self, call: Call) -> Answer:
        pod, action = self._found(call), body(PodAction, call).action
        if action not in ACTIONS[self._pods.status(pod.machine)]:
            return problem(409, f"cannot {action} a pod that is {self._pods.status(pod.machine)}")
        if action == "terminate":
            return end_pod(self, pod, self._pods)
        if action == "stop" and pod.is_locked:
            return problem(409, "pod is locked")
        if action in ("stop", "restart"):
            self._pods.stop(pod)
        if action in ("start", "restart"):
            self._pods.start(pod)
        return Answer(200, self._pods.shown(pod))

    def _set_keys(self, call: Call) -> Answer:
        self._pods.ssh_keys = list(body(SshKeys, call).keys)
        return Answer(200, {"keys": list(self._pods.ssh_keys)})

    def _gpus(self, call: Call) -> Answer:
        with_availability = _wants_availability(call, "AVAILABILITY")
        if with_availability and "product" not in call.query:
            return problem(400, "product is required when availability is included")
        cloud = call.query.get("cloud")
        rows = [
            shown_gpu(gpu, with_availability=with_availability)
            for gpu in GPU_TYPES.values()
            if cloud is None or gpu.price_usd_per_h(cloud) > 0
        ]
        return Answer(200, {"gpus": rows})

    def _gpu(self, call: Call) -> Answer:
        gpu = GPU_TYPES.get(call.parts["id"])
        if gpu is None:
            return problem(404, "gpu type not found")
        return Answer(200, shown_gpu(gpu, with_availability=_wants_availability(call, "AVAILABILITY")))

    def _data_centers(self, call: Call) -> Answer:
        with_gpus = _wants_availability(call, "GPU_AVAILABILITY")
        return Answer(200, {"dataCenters": [shown_data_center(name, with_gpus=with_gpus) for name in DATA_CENTERS]})

    def _bills(self, call: Call) -> Answer:
        try:
            return Answer(200, pod_bills(self.state.of("runpod"), call.query, self.state.clock()))
        except BillingError as err:
            return problem(400, str(err))

    def _volumes(self) -> Answer:
        return Answer(200, {"networkVolumes": list(self._pods.volumes.values())})

    def _add_volume(self, call: Call) -> Answer:
        wanted = body(NewVolume, call)
        if wanted.dataCenter not in DATA_CENTERS:
            return problem(400, "data center not found")
        return Answer(201, self._pods.add_volume(wanted.name, wanted.size, wanted.dataCenter, wanted.type))

    def _change_volume(self, call: Call) -> Answer:
        row, wanted = self._volume(call), body(ChangedVolume, call)
        if wanted.size is not None and wanted.size < int(str(row["size"])):
            return problem(400, "size can only grow")
        row |= wanted.model_dump(exclude_unset=True)
        return Answer(200, row)

    def _delete_volume(self, call: Call) -> Answer:
        self._volume(call)
        self._pods.delete_volume(call.parts["id"])
        return Answer(204)

    def _volume(self, call: Call) -> dict[str, object]:
        row = self._pods.volumes.get(call.parts["id"])
        if row is None:
            raise RefusedError(problem(404, "network volume not found"))
        return row

    def _found(self, call: Call) -> Pod:
        pod = self._pods.find(call.parts["id"])
        if pod is None:
            raise RefusedError(problem(404, "pod not found"))
        return pod


def launch_refusal(emulator: Emulator, order: PodOrder, pods: Pods) -> Answer | None:
    """Return the reason why the account's faults refuse a launch, by either API."""
    on = str(order)
    if emulator.take("launch_rate_limited", on) is not None:
        pods.limit_next_poll()
        return too_many()
    if emulator.take("key_invalid", on) is not None:
        return problem(401, "invalid bearer token")
    if emulator.take("key_forbidden", on) is not None:
        return problem(403, "access denied")
    if emulator.take("balance_empty", on) is not None:
        return problem(402, "insufficient balance")
    return None


def end_pod(emulator: Emulator, pod: Pod, pods: Pods) -> Answer:
    """End a pod, by either API, as the faults of the end want it."""
    state, on = emulator.state, pod.machine.id
    state.is_end_asked["runpod"] = True
    if emulator.kill_runner("kill_runner@destroy", on) or emulator.take("terminate_500", on) is not None:
        return problem(500, "internal server error")
    if emulator.take("terminate_rate_limited", on) is not None:
        return too_many()
    if emulator.take("pod_locked", on) is not None:
        return problem(409, "pod is locked")
    if emulator.take("already_gone", on) is not None:
        pods.end(pod, "deleted in the console")
        return problem(404, "pod not found")
    if emulator.take("terminate_ignored", on) is not None:
        return Answer(204)
    if emulator.take("stopped_disk_bills", on) is not None:
        pods.stop(pod)
        return Answer(204)
    pods.end(pod)
    return Answer(204)


def quotas(per_minute: int) -> list[Window]:
    """Return the three windows of REST API v2."""
    return [Window("minute", per_minute, 60), Window("hour", 3000, 3600), Window("day", 50000, 86400)]


def whose_key(pods: Pods, key: str) -> str | None:
    """Return ``account`` for the account's key, a pod's id for its own key, ``None`` for any other."""
    if secrets.compare_digest(key.encode(), REHEARSAL_KEY.encode()):
        return "account"
    return pods.owner_of(key)


def problem(status: int, detail: str, headers: dict[str, str] | None = None, errors: Sequence[str] = ()) -> Answer:
    """Return a failure as RFC 9457 wants it."""
    shown: dict[str, object] = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if errors:
        shown["errors"] = list(errors)
    return Answer(status, shown, {"content-type": "application/problem+json", **(headers or {})})


def too_many() -> Answer:
    """Return a 429 that a fault asked for."""
    return problem(429, "rate limit exceeded for the minute window", {"Retry-After": "1"})


def body(model: type[Body], call: Call) -> Body:
    """Read a body; what does not fit is refused in RunPod's words."""
    try:
        return parse(model, call)
    except ValidationError as err:
        raise RefusedError(problem(422, "Request validation failed.", errors=problems(err))) from err


def _wants_availability(call: Call, word: str) -> bool:
    wanted = [part for part in call.query.get("include", "").split(",") if part]
    if any(part not in (word, "CPU_AVAILABILITY") for part in wanted):
        raise RefusedError(problem(400, f"include: use {word}"))
    return word in wanted
