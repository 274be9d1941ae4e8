"""Two strict clouds over HTTP on loopback, with a book of what exists, and an sshd that only greets."""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LAMBDA_KEY = "lambda-key-3f9a2b7c"
RUNPOD_KEY = "runpod-key-81d2e6f0"
LAUNCH_FIELDS = {
    "region_name", "instance_type_name", "ssh_key_names", "name", "user_data", "tags", "hostname", "image",
    "file_system_names", "file_system_mounts", "firewall_rulesets",
}  # fmt: skip
POD_FIELDS = {"name", "image", "gpu", "disk", "cloud", "dataCenterIds", "ports", "env", "startSsh", "mounts", "args"}
GPU = "NVIDIA GeForce RTX 4090"
Answer = tuple[int, Any]


class LostError(Exception):
    """The answer is to be lost: the connection is closed without a word."""


@dataclass
class Fault:
    """One thing that goes wrong once, at a request whose ``METHOD path`` matches."""

    request: str
    status: int = 500
    body: Any = None
    happens: bool = False
    """Whether the request is carried out all the same."""
    lost: bool = False
    """Whether no answer comes at all."""


@dataclass
class FakeCloud:
    """What both clouds have in common: faults, a log, machines by id."""

    key: str
    ssh_port: int
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, Any]] = field(default_factory=list)
    looks_to_boot: int = 1
    looks_to_end: int = 1
    listing_lag: int = 0
    ahead_h: int = 0
    """How far its clock is ahead of this computer's."""
    price: float = 1.29
    hold: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    count: int = 0

    def serve(self, method: str, path: str, auth: str | None, body: Any) -> Answer:
        with self.lock:
            self.log.append((f"{method} {path}", body))
            if auth != f"Bearer {self.key}":
                return self.refuse(401)
            fault = next((f for f in self.faults if re.fullmatch(f.request, f"{method} {path}")), None)
            if fault is not None:
                self.faults.remove(fault)
                if fault.happens:
                    self.answer(method, path, body)
                if fault.lost:
                    raise LostError
                return fault.status, fault.body
        if self.hold is not None and self.is_launch(method, path):
            self.reached.set()
            assert self.hold.wait(30)
        with self.lock:
            return self.answer(method, path, body)

    def answer(self, method: str, path: str, body: Any) -> Answer:
        raise NotImplementedError

    def refuse(self, status: int) -> Answer:
        raise NotImplementedError

    def is_launch(self, method: str, path: str) -> bool:
        raise NotImplementedError

    def count_of(self, pattern: str) -> int:
        return sum(1 for request, _ in self.log if re.fullmatch(pattern, request))

    def bodies(self, pattern: str) -> list[Any]:
        return [body for request, body in self.log if re.fullmatch(pattern, request)]

    def billing(self) -> list[str]:
        return sorted(name for name, machine in self.machines.items() if machine["status"] not in ("terminated",))

    def new_id(self, digits: int) -> str:
        self.count += 1
        return f"{self.count:0{digits}x}"

    def listed(self) -> list[dict[str, Any]]:
        if self.listing_lag and self.machines:
            self.listing_lag -= 1
            return []
        return list(self.machines.values())


class FakeLambda(FakeCloud):
    """Lambda Cloud v1."""

    keys: dict[str, dict[str, str]]

    def __init__(self, ssh_port: int) -> None:
        super().__init__(LAMBDA_KEY, ssh_port)
        self.keys = {"k0": {"id": "k0", "name": "mine", "public_key": "ssh-ed25519 AAAAmine"}}
        self.regions = ["us-west-1"]

    def refuse(
        self, status: int, code: str = "global/invalid-api-key", message: str = "API key was invalid."
    ) -> Answer:
        return status, {"error": {"code": code, "message": message}}

    def is_launch(self, method: str, path: str) -> bool:
        return path == "/instance-operations/launch"

    def answer(self, method: str, path: str, body: Any) -> Answer:
        request = f"{method} {path}"
        if request == "GET /instance-types":
            return 200, {"data": {name: self.kind(name) for name in ("gpu_1x_a10", "gpu_1x_h100")}}
        if request == "GET /instances":
            return 200, {"data": self.listed()}
        if request == "POST /instance-operations/launch":
            return self.launch(body)
        if request == "POST /instance-operations/terminate":
            (machine_id,) = body["instance_ids"]
            if machine_id not in self.machines:
                return self.refuse(404, "global/object-does-not-exist", "Specified instance does not exist.")
            self.machines[machine_id]["status"] = "terminating"
            return 200, {"data": {"terminated_instances": [self.machines[machine_id]]}}
        if request == "GET /ssh-keys":
            return 200, {"data": list(self.keys.values())}
        if request == "POST /ssh-keys":
            key = {"id": f"k{len(self.keys)}", "name": body["name"], "public_key": body["public_key"]}
            self.keys[key["id"]] = key
            return 200, {"data": key}
        if request.startswith("DELETE /ssh-keys/"):
            found = self.keys.pop(path.rsplit("/", 1)[1], None)
            return (200, {"data": {}}) if found else self.refuse(404, "global/object-does-not-exist", "")
        if request.startswith("GET /instances/"):
            return self.look(path.rsplit("/", 1)[1])
        return self.refuse(404, "global/not-found", "The requested resource was not found.")

    def kind(self, name: str) -> dict[str, Any]:
        return {
            "instance_type": self.type_of(name),
            "regions_with_capacity_available": [{"name": region, "description": ""} for region in self.regions],
        }

    def type_of(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "description": "1x GPU (24 GB PCIe)",
            "gpu_description": "A10 (24 GB PCIe)",
            "price_cents_per_hour": round(self.price * 100) * (1 if name == "gpu_1x_a10" else 3),
            "specs": {"vcpus": 30, "memory_gib": 200, "storage_gib": 1400, "gpus": 1},
        }

    def launch(self, body: Any) -> Answer:
        if set(body) - LAUNCH_FIELDS or len(body["ssh_key_names"]) != 1:
            return self.refuse(400, "global/invalid-parameters", "Invalid request data.")
        if body["ssh_key_names"][0] not in [key["name"] for key in self.keys.values()]:
            return self.refuse(400, "global/object-does-not-exist", "no such key")
        if body["region_name"] != "us-west-1":
            return self.refuse(
                400,
                "instance-operations/launch/insufficient-capacity",
                "Not enough capacity to fulfill launch request.",
            )
        machine_id = self.new_id(32)
        self.machines[machine_id] = {
            "id": machine_id,
            "name": body["name"],
            "status": "booting",
            "ssh_key_names": body["ssh_key_names"],
            "file_system_names": [],
            "region": {"name": body["region_name"], "description": "California, USA"},
            "instance_type": self.type_of(body["instance_type_name"]),
            "tags": body.get("tags", []),
            "actions": {},
            "looks": 0,
        }
        return 200, {"data": {"instance_ids": [machine_id]}}

    def look(self, machine_id: str) -> Answer:
        machine = self.machines.get(machine_id)
        if machine is None:
            return self.refuse(404, "global/object-does-not-exist", "Specified instance does not exist.")
        machine["looks"] += 1
        if machine["status"] == "booting" and machine["looks"] > self.looks_to_boot:
            machine |= {"status": "active", "ip": "127.0.0.1", "looks": 0}
        elif machine["status"] == "terminating" and machine["looks"] > self.looks_to_end:
            del self.machines[machine_id]
            return self.refuse(404, "global/object-does-not-exist", "Specified instance does not exist.")
        return 200, {"data": machine}


class FakeRunPod(FakeCloud):
    """RunPod REST v2, and the part of GraphQL that rents."""

    def __init__(self, ssh_port: int) -> None:
        super().__init__(RUNPOD_KEY, ssh_port, price=0.44)
        self.has_graphql = True
        self.direct_ssh = True
        self.full: set[str] = set()
        self.cloud_told: str | None = None

    def refuse(self, status: int, detail: str = "missing bearer token") -> Answer:
        return status, {"title": "Refused", "status": status, "detail": detail}

    def is_launch(self, method: str, path: str) -> bool:
        return method == "POST"

    def answer(self, method: str, path: str, body: Any) -> Answer:
        request = f"{method} {path.partition('?')[0]}"
        if request == "POST /graphql":
            return self.graphql(body)
        if request == "GET /v2/catalog/gpus":
            return 200, {"gpus": [self.gpu(GPU), self.gpu("NVIDIA A100")]}
        if request == "GET /v2/pods":
            return 200, {"pods": self.listed()}
        if request == "POST /v2/pods":
            if set(body) - POD_FIELDS:
                return self.refuse(422, "body does not match the schema")
            return self.rent(body["gpu"]["id"], body, body["env"], (body.get("dataCenterIds") or ["US-KS-2"])[0], 201)
        pod_id = path.rsplit("/", 1)[1]
        if pod_id not in self.machines:
            return self.refuse(404, "resource not found")
        if method == "DELETE":
            self.machines[pod_id] |= {"ending": True, "looks": 0}
            return 204, None
        return self.look(pod_id)

    def gpu(self, name: str) -> dict[str, Any]:
        return {
            "id": name, "name": name, "memory": 24, "secure": True, "community": True,
            "price": {"secure": self.price, "community": 0.31}, "maxCount": {"secure": 8, "community": 4},
            "availability": "HIGH",
            "dataCenters": [{"id": "US-KS-2", "name": "Kansas", "availability": "HIGH"}],
        }  # fmt: skip

    def graphql(self, body: Any) -> Answer:
        if not self.has_graphql:
            return 410, {"message": "gone"}
        details = body["variables"]["input"]
        if "gpuTypes" in body["query"]:
            price = {"minimumBidPrice": 0.2, "stockStatus": "High"}
            return 200, {"data": {"gpuTypes": [{"id": GPU, "lowestPrice": price}]}}
        name = "podRentInterruptable" if "podRentInterruptable" in body["query"] else "podFindAndDeployOnDemand"
        env = {item["key"]: item["value"] for item in details["env"]}
        body = {**details, "image": details["imageName"], "cloud": details["cloudType"]}
        status, pod = self.rent(details["gpuTypeId"], body, env, details.get("dataCenterId", "US-KS-2"), 200)
        if status != 200:
            return 200, {"data": {name: None}}
        pod["terminate_after"] = details.get("terminateAfter")
        return 200, {"data": {name: {"id": pod["id"], "costPerHr": pod["cost"]}}}

    def rent(self, gpu: str, body: Any, env: dict[str, str], region: str, status: int) -> Answer:
        if gpu in self.full or region in self.full:
            return self.refuse(400, f"{gpu} cannot be deployed in {region}")
        pod_id = self.new_id(10)
        pod = {
            "id": pod_id, "name": body["name"], "image": body["image"], "status": "PROVISIONING", "env": env,
            "cloud": self.cloud_told or body["cloud"], "dataCenterId": region, "locked": False,
            "cost": body.get("bidPerGpu", 0.31 if body["cloud"] == "COMMUNITY" else self.price),
            "ssh": {"proxy": None, "direct": None}, "gpu": {"id": gpu, "count": 1}, "looks": 0, "ending": False,
            "createdAt": "2026-06-01T12:00:00Z", "rented": {**body, "gpu_id": gpu},
        }  # fmt: skip
        self.machines[pod_id] = pod
        return status, pod

    def look(self, pod_id: str) -> Answer:
        pod = self.machines[pod_id]
        pod["looks"] += 1
        if pod["ending"] and pod["looks"] > self.looks_to_end:
            del self.machines[pod_id]
            return self.refuse(404, "resource not found")
        if pod["status"] == "PROVISIONING" and pod["looks"] > self.looks_to_boot:
            pod["status"] = "RUNNING"
            if self.direct_ssh:
                pod["ssh"]["direct"] = {"host": "127.0.0.1", "port": self.ssh_port, "username": "root"}
        return 200, pod


class _Greeter(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    cloud: FakeCloud

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: Any) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + 3600 * self.server.cloud.ahead_h)

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        try:
            status, answer = self.server.cloud.serve(self.command, self.path, self.headers.get("Authorization"), body)
        except LostError:
            self.close_connection = True
            return
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 (names that http.server looks for)


@dataclass
class Clouds:
    """Both clouds, and how to reach them."""

    on_lambda: FakeLambda
    on_runpod: FakeRunPod
    environ: dict[str, str]


@contextmanager
def fake_clouds() -> Iterator[Clouds]:
    """Serve both clouds and an sshd."""
    with ExitStack() as stack:
        sshd = stack.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Greeter))
        port = sshd.server_address[1]
        on_lambda, on_runpod = FakeLambda(port), FakeRunPod(port)
        servers: list[Any] = [sshd]
        urls = []
        for cloud in (on_lambda, on_runpod):
            server = stack.enter_context(_Server(("127.0.0.1", 0), _Handler))
            server.cloud = cloud
            servers.append(server)
            urls.append(f"http://127.0.0.1:{server.server_address[1]}")
        for server in servers:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.shutdown)
        yield Clouds(
            on_lambda,
            on_runpod,
            {
                "LAMBDA_API_KEY": LAMBDA_KEY,
                "RUNPOD_API_KEY": RUNPOD_KEY,
                "DOUSE_LAMBDA_ENDPOINT": urls[0],
                "DOUSE_RUNPOD_ENDPOINT": f"{urls[1]}/v2",
                "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": f"{urls[1]}/graphql",
                "DOUSE_LAMBDA_PACE_S": "0",
                "DOUSE_LAMBDA_SSH_PORT": str(port),
            },
        )
