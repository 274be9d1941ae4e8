"""Instances of the emulated Lambda Cloud: how they are made, how they stand, how they look."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.clouds.lambda_cloud.emulator.catalog import INSTANCE_TYPES, images, region, shown_type
from runner.clouds.lambda_cloud.emulator.messages import ImageByFamily, ImageById, Launch
from runner.clouds.lambda_cloud.emulator.storage import LambdaStorage
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import BoxOrder, EmulatedMachine

USER = "ubuntu"
ACTIONS = ("migrate", "rebuild", "restart", "cold_reboot", "terminate")


class LambdaInstances:
    """The instances of an account."""

    def __init__(self, state: CloudState, storage: LambdaStorage) -> None:
        """Begin with none."""
        self._state, self._storage = state, storage
        self._settings = state.settings["lambda"]
        self._orders: dict[str, Launch] = {}
        self._hidden: set[str] = set()
        self._polls_to_limit = 0
        state.on_action["lambda"] = self._act
        state.on_end["lambda"] = self._released

    def unknown_in(self, order: Launch) -> str | None:
        """Return the unknown names in an order."""
        if self._storage.public_key(order.ssh_key_names[0]) is None:
            return f"SSH key {order.ssh_key_names[0]} does not exist."
        known = {str(row["name"]): row for row in self._storage.filesystems()}
        ids = {str(row["id"]) for row in known.values()}
        if any(name not in known for name in order.file_system_names):
            return "Filesystem was not found."
        if any(mount.file_system_id not in ids for mount in order.file_system_mounts):
            return "Filesystem was not found."
        if order.firewall_rulesets:
            return "Firewall ruleset was not found."
        if isinstance(order.image, ImageById) and order.image.id not in {row["id"] for row in images()}:
            return "Image was not found."
        if isinstance(order.image, ImageByFamily) and order.image.family not in {row["family"] for row in images()}:
            return "Image was not found."
        return None

    def launch(self, order: Launch) -> EmulatedMachine:
        """Make an instance; it bills from now."""
        state, kind = self._state, INSTANCE_TYPES[order.instance_type_name]
        machine_id = state.token(16)
        traits = state.traits("lambda", machine_id)
        factor = traits["price_differs"].number("factor") if "price_differs" in traits else 1.0
        now = state.clock()
        machine = EmulatedMachine(
            id=machine_id,
            cloud="lambda",
            name=order.name or "",
            instance_type=kind.name,
            region=order.region_name,
            spot=False,
            meter=state.new_meter(round(kind.cents_per_h * factor) / 100),
            idle_usd_per_h=0.0,
            created_at=now,
            active_at=now + self._settings["active_s"],
            traits=traits,
        )
        public_key = self._storage.public_key(order.ssh_key_names[0]) or ""
        state.rent(machine, BoxOrder("vm", USER, [public_key], order.user_data))
        self._orders[machine_id] = order
        self._hold_filesystems(machine_id, order)
        if "leftover_volume" in traits:
            plain = machine.name.partition("--")[0]  # a machine's name may go on with its lease; a volume has none
            name = re.sub(r"[^0-9a-zA-Z-]", "-", plain)[:60]
            self._storage.add_filesystem(name if name[:1].isalpha() else f"fs-{name}"[:60], order.region_name)
        return machine

    def find(self, machine_id: str) -> EmulatedMachine | None:
        """Return an instance that can still be seen."""
        machine = self._state.machines.get(machine_id)
        if machine is None or machine.cloud != "lambda" or not self._is_visible(machine):
            return None
        return machine

    def all(self) -> list[dict[str, object]]:
        """Return the data of ``GET /instances``."""
        now = self._state.clock()
        return [self.shown(m) for m in self._state.of("lambda") if self._is_visible(m) and m.is_listed(now)]

    def status(self, machine: EmulatedMachine) -> str:
        """Return how an instance stands, in the cloud's words."""
        now = self._state.clock()
        if machine.is_taken_back:
            return "preempted"
        if machine.is_ended:
            return "terminated"
        if machine.is_ending:
            return "terminating"
        if machine.is_box_dead:
            return "unhealthy"
        if now >= machine.active_at:
            return "active"
        is_spell = "boot_unhealthy_spell" in machine.traits and self._has_address(machine)
        return "unhealthy" if is_spell else "booting"

    def shown(self, machine: EmulatedMachine) -> dict[str, object]:
        """Return an instance as the API shows it; what there is not yet is absent, not null."""
        order, kind = self._orders[machine.id], INSTANCE_TYPES[machine.instance_type]
        status = self.status(machine)
        row: dict[str, object] = {
            "id": machine.id,
            "status": status,
            "ssh_key_names": list(order.ssh_key_names),
            "file_system_names": list(order.file_system_names),
            "file_system_mounts": [mount.model_dump() for mount in order.file_system_mounts],
            "region": region(machine.region),
            "instance_type": shown_type(kind, round(machine.meter.usd_per_h * 100)),
            "actions": {action: _action(status) for action in ACTIONS},
            "tags": [tag.model_dump() for tag in order.tags],
            "firewall_rulesets": [],
            "is_reserved": False,
        }
        if machine.name:
            row["name"] = machine.name
        if machine.address is not None and self._has_address(machine):
            row |= {
                "ip": machine.address.host,
                "private_ip": "10.19.0.2",
                "hostname": order.hostname or machine.address.host.replace(".", "-"),
            }
        return row

    def delete(self, machines: Sequence[EmulatedMachine]) -> None:
        """End instances as somebody else would; they are not even shown as terminated."""
        for machine in machines:
            self._state.end(machine, "deleted in the console", after_s=0.0)
            self._hidden.add(machine.id)

    def limit_next_poll(self) -> None:
        """Refuse one poll of an instance once there is one, as ``launch_rate_limited`` wants."""
        self._polls_to_limit += 1

    def is_poll_limited(self) -> bool:
        """Return whether this poll is to be refused."""
        is_there = any(not machine.is_ended for machine in self._state.of("lambda"))
        if not self._polls_to_limit or not is_there:
            return False
        self._polls_to_limit -= 1
        return True

    def _has_address(self, machine: EmulatedMachine) -> bool:
        is_late = self._state.clock() >= machine.created_at + self._settings["address_s"]
        return is_late and "boot_never_active" not in machine.traits

    def _is_visible(self, machine: EmulatedMachine) -> bool:
        if machine.id in self._hidden:
            return False
        return machine.ended_at is None or self._state.clock() < machine.ended_at + self._settings["shown_s"]

    def _hold_filesystems(self, machine_id: str, order: Launch) -> None:
        by_name = {str(row["name"]): str(row["id"]) for row in self._storage.filesystems()}
        held = {by_name[name] for name in order.file_system_names}
        for filesystem in held | {mount.file_system_id for mount in order.file_system_mounts}:
            self._storage.in_use.setdefault(filesystem, set()).add(machine_id)

    def _released(self, machine: EmulatedMachine) -> None:
        for users in self._storage.in_use.values():
            users.discard(machine.id)

    def _act(self, machine: EmulatedMachine, action: str) -> None:
        """Lambda reclaims, and cannot stop; a machine that shut itself down bills on, unhealthy."""
        if action == "preempt":
            self._state.take_back(machine)
        elif action == "shutdown":
            machine.is_box_dead = True


def _action(status: str) -> dict[str, object]:
    if status == "active":
        return {"available": True}
    reason = "vm-has-not-launched" if status == "booting" else "vm-is-terminating"
    return {"available": False, "reason_code": reason, "reason_description": f"The instance is {status}."}
