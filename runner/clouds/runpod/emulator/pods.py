"""Pods and volumes of the emulated RunPod: how they are made, how they stand, how they look."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runner.clouds.runpod.emulator.catalog import CUDA_VERSIONS, GPU_TYPES
from runner.clouds.runpod.emulator.messages import Container
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import BoxOrder, EmulatedMachine, Leftover
from runner.emulation.meters import per_hour_of_month

DISK_USD_PER_GIB_MONTH, STOPPED_DISK_USD_PER_GIB_MONTH = 0.10, 0.20
"""Of a pod that runs, and of one that is stopped (https://docs.runpod.io/pods/pricing)."""
VOLUME_USD_PER_GIB_MONTH = 0.07
NO_CAPACITY = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
ALPHABET = string.ascii_lowercase + string.digits
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "PROVISIONING": ("stop", "terminate"),
    "STARTING": ("stop", "terminate"),
    "RUNNING": ("stop", "restart", "terminate"),
    "EXITED": ("start", "terminate"),
    "ERROR": ("start", "terminate"),
}


@dataclass
class PodOrder:
    """What a pod was asked to be, by either API.

    Attributes:
        container: Image, disk, ports, variables.
        name: Its name.
        cloud: SECURE or COMMUNITY.
        gpu_id: Kind of GPU.
        gpu_count: How many.
        data_centers: Where it may be; empty for anywhere.
        bid_usd_per_h: Bid for one GPU that may be reclaimed, else ``None``.
        mounts: As REST v2 shows them.
        start_ssh: Whether the account's keys are put in.
        end_at: When the cloud ends it by itself, in seconds since the epoch.
        stop_at: When the cloud stops it by itself.
        min_cuda_version: Least CUDA version of the host's driver.
    """

    container: Container
    name: str
    cloud: str
    gpu_id: str
    gpu_count: int
    data_centers: tuple[str, ...] = ()
    bid_usd_per_h: float | None = None
    mounts: dict[str, object] = field(default_factory=dict)
    start_ssh: bool = False
    end_at: float | None = None
    stop_at: float | None = None
    min_cuda_version: str = CUDA_VERSIONS[0]

    @property
    def cuda_version(self) -> str | None:
        """Return the CUDA version of the host that it gets, ``None`` where none is new enough."""
        least = _numbers(self.min_cuda_version)
        return next((version for version in CUDA_VERSIONS if _numbers(version) >= least), None)

    def __str__(self) -> str:
        """Name the candidate that it is."""
        where = "/".join(self.data_centers) or "any"
        kind = "spot" if self.bid_usd_per_h is not None else "on demand"
        return f"{self.gpu_count}x {self.gpu_id} in {where} ({self.cloud}, {kind})"


@dataclass
class Pod:
    """A pod.

    Attributes:
        machine: Its machine.
        order: What it was asked to be.
        key: The key that may act on this pod alone.
        started_at: When it was started last.
        price_usd_per_h: What it costs while it runs.
        is_locked: Whether it may not be stopped.
    """

    machine: EmulatedMachine
    order: PodOrder
    key: str
    started_at: float
    price_usd_per_h: float
    is_locked: bool = False


class Pods:
    """The pods, volumes and keys of an account."""

    def __init__(self, state: CloudState) -> None:
        """Begin with none."""
        self._state, self._settings = state, state.settings["runpod"]
        self._started_s = self._settings["pull_s"] + self._settings["start_s"]
        self._pods: dict[str, Pod] = {}
        self._polls_to_limit = 0
        self.ssh_keys: list[str] = []
        self.volumes: dict[str, dict[str, object]] = {}
        self.box_env: dict[str, str] = {}
        state.on_action["runpod"] = self._act

    def owner_of(self, key: str) -> str | None:
        """Return the pod that a key belongs to."""
        found = (pod for pod in self._pods.values() if secrets.compare_digest(pod.key.encode(), key.encode()))
        return next((pod.machine.id for pod in found if not pod.machine.is_ended), None)

    def place(self, order: PodOrder) -> str | None:
        """Return the data centre for an order, or ``None`` where there is no capacity."""
        gpu = GPU_TYPES.get(order.gpu_id)
        if gpu is None or gpu.level == "NONE" or order.gpu_count > gpu.max_count:
            return None
        if not gpu.price_usd_per_h(order.cloud):
            return None
        if order.bid_usd_per_h is not None and order.bid_usd_per_h < gpu.bid_usd_per_h:
            return None
        if order.cuda_version is None:
            return None
        if self._state.refuses(str(order), "runpod"):
            return None
        return next((name for name in order.data_centers or gpu.data_centers if name in gpu.data_centers), None)

    def create(self, order: PodOrder, data_center: str) -> Pod:
        """Make a pod; it bills from now."""
        state, gpu = self._state, GPU_TYPES[order.gpu_id]
        pod_id = self._new_id(14)
        traits = state.traits("runpod", pod_id)
        factor = traits["price_differs"].number("factor") if "price_differs" in traits else 1.0
        one = gpu.price_usd_per_h(order.cloud) if order.bid_usd_per_h is None else order.bid_usd_per_h
        price, now = round(one * order.gpu_count * factor, 4), state.clock()
        disk_usd_per_h = per_hour_of_month(order.container.disk * DISK_USD_PER_GIB_MONTH)
        machine = EmulatedMachine(
            id=pod_id,
            cloud="runpod",
            name=order.name,
            instance_type=gpu.id,
            region=data_center,
            spot=order.bid_usd_per_h is not None,
            meter=state.new_meter(price + disk_usd_per_h),
            idle_usd_per_h=per_hour_of_month(order.container.disk * STOPPED_DISK_USD_PER_GIB_MONTH),
            disk_usd_per_h=disk_usd_per_h,
            created_at=now,
            active_at=now + self._started_s,
            traits=traits,
        )
        pod = Pod(machine, order, f"rpa_POD{state.token(16).upper()}", now, price)
        state.rent(machine, self._box_order(pod))
        self._pods[pod_id] = pod
        for at, what in ((order.end_at, "terminateAfter"), (order.stop_at, "stopAfter")):
            if at is not None:
                machine.remind(at - state.off_s("runpod"), what)
        if "leftover_volume" in traits:
            self.add_volume(order.name, 10, data_center, "STANDARD")
        return pod

    def _new_id(self, length: int) -> str:
        return "".join(ALPHABET[byte % len(ALPHABET)] for byte in bytes.fromhex(self._state.token(length)))

    def find(self, pod_id: str) -> Pod | None:
        """Return a pod that there still is."""
        pod = self._pods.get(pod_id)
        return None if pod is None or pod.machine.is_ended else pod

    def listed(self, after: str = "") -> list[Pod]:
        """Return the pods that a list shows now, those after a pod if one is named.

        Raises:
            ValueError: If there never was such a pod.
        """
        now, names = self._state.clock(), list(self._pods)
        rest = [self._pods[name] for name in names[names.index(after) + 1 if after else 0 :]]
        return [pod for pod in rest if not pod.machine.is_ended and pod.machine.is_listed(now)]

    def status(self, machine: EmulatedMachine) -> str:
        """Return how a pod stands, in the cloud's words."""
        if machine.is_ended:
            return "TERMINATED"
        if machine.is_stopped:
            return "EXITED"
        if "boot_never_active" in machine.traits:
            return "PROVISIONING"
        since_s = self._state.clock() - self._pods[machine.id].started_at
        if since_s < self._settings["pull_s"]:
            return "PROVISIONING"
        return "STARTING" if since_s < self._started_s else "RUNNING"

    def public_port(self, pod: Pod) -> tuple[str, int] | None:
        """Return the address of the mapped port 22, or ``None`` while there is none."""
        machine = pod.machine
        ready_s = self._started_s + self._settings["ports_s"]
        is_mapped = self.status(machine) == "RUNNING" and self._state.clock() - pod.started_at >= ready_s
        hidden = {"ssh_port_unmapped", "runtime_null"} & machine.traits.keys()
        if not is_mapped or hidden or machine.address is None or "22/tcp" not in pod.order.container.ports:
            return None
        return machine.address.host, machine.address.port

    def uptime_s(self, pod: Pod) -> int | None:
        """Return the seconds since the container started, or ``None`` while there is no runtime."""
        if self.status(pod.machine) != "RUNNING" or "runtime_null" in pod.machine.traits:
            return None
        return int(self._state.clock() - pod.started_at - self._started_s)

    def shown(self, pod: Pod) -> dict[str, object]:
        """Return a pod as REST v2 shows it."""
        machine, order, status = pod.machine, pod.order, self.status(pod.machine)
        container, uptime_s, mapped = order.container, self.uptime_s(pod), self.public_port(pod)
        ports = [{"private": 22, "public": mapped[1], "type": "tcp", "ip": mapped[0]}] if mapped else []
        return {
            "id": machine.id,
            "name": machine.name,
            "image": container.image,
            "args": container.args,
            "disk": container.disk,
            "ports": list(container.ports),
            "env": dict(container.env),
            "registry": container.registry,
            "status": status,
            "actions": list(ACTIONS[status]),
            "mounts": order.mounts,
            "gpu": {"id": order.gpu_id, "count": order.gpu_count},
            "cloud": order.cloud,
            "dataCenterId": machine.region,
            "cudaVersion": order.cuda_version,
            "ssh": {"proxy": None if status == "PROVISIONING" else _proxy(machine.id), "direct": _direct(mapped)},
            "template": None,
            "cost": 0.0 if status == "EXITED" else pod.price_usd_per_h,
            "locked": pod.is_locked,
            "globalNetworking": {"enabled": False},
            "runtime": None if uptime_s is None else {"uptime": uptime_s, "ports": ports},
            "createdAt": _time(machine.created_at + self._state.off_s("runpod")),
            "startedAt": None if uptime_s is None else _time(pod.started_at + self._state.off_s("runpod")),
        }

    def stop(self, pod: Pod) -> None:
        """Stop a pod; its disk bills on."""
        self._state.stop(pod.machine)

    def start(self, pod: Pod) -> None:
        """Start a pod anew."""
        self._state.boot(pod.machine, self._box_order(pod))
        pod.machine.is_stopped, pod.started_at = False, self._state.clock()
        pod.machine.bill_again(self._state.clock(), pod.price_usd_per_h)

    def end(self, pod: Pod, by: str = "request") -> None:
        """End a pod; unless a fault makes it slow it is gone at once."""
        self._state.end(pod.machine, by, after_s=0.0)

    def add_volume(self, name: str, size_gib: int, data_center: str, kind: str) -> dict[str, object]:
        """Make a network volume."""
        volume_id = self._new_id(10)
        row: dict[str, object] = {
            "id": volume_id,
            "name": name,
            "size": size_gib,
            "dataCenter": data_center,
            "type": kind,
        }
        self.volumes[volume_id] = row
        meter = self._state.new_meter(per_hour_of_month(size_gib * VOLUME_USD_PER_GIB_MONTH))
        self._state.keep(Leftover("runpod", "volume", volume_id, name, data_center, meter))
        return row

    def delete_volume(self, volume_id: str) -> None:
        """Forget a network volume."""
        del self.volumes[volume_id]
        self._state.drop(volume_id)

    def limit_next_poll(self) -> None:
        """Refuse one poll once there is a pod, as ``launch_rate_limited`` wants."""
        self._polls_to_limit += 1

    def is_poll_limited(self) -> bool:
        """Return whether this poll is to be refused."""
        if not self._polls_to_limit or not any(not pod.machine.is_ended for pod in self._pods.values()):
            return False
        self._polls_to_limit -= 1
        return True

    def _box_order(self, pod: Pod) -> BoxOrder:
        env = dict(pod.order.container.env)
        keys = env.get("PUBLIC_KEY") or ("\n".join(self.ssh_keys) if pod.order.start_ssh else "")
        if keys:
            env["PUBLIC_KEY"] = keys
        env |= {"RUNPOD_POD_ID": pod.machine.id, "RUNPOD_API_KEY": pod.key, "RUNPOD_DC_ID": pod.machine.region}
        env |= self.box_env
        lines = [line for line in keys.splitlines() if line.strip()]
        return BoxOrder("pod", "root", lines, None, env, pod.order.container.args)

    def _act(self, machine: EmulatedMachine, action: str) -> None:
        """A pod whose container ends, or that is reclaimed, is EXITED, and its disk bills on; there is no notice."""
        if action == "terminateAfter":
            self._state.end(machine, action, after_s=0.0)
        if action in ("terminateAfter", "notice") or machine.is_stopped:
            return
        machine.is_taken_back = action == "preempt"
        self._state.stop(machine)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _proxy(pod_id: str) -> dict[str, object]:
    user = f"{pod_id}-64411eb2"
    return {"host": "ssh.runpod.io", "port": 22, "username": user, "command": f"ssh {user}@ssh.runpod.io"}


def _direct(mapped: tuple[str, int] | None) -> dict[str, object] | None:
    if mapped is None:
        return None
    host, port = mapped
    return {"host": host, "port": port, "username": "root", "command": f"ssh root@{host} -p {port}"}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
