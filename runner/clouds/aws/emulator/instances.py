"""EC2 instances of the emulated AWS: moto's, with a box, a meter, an address that exists and a life of their own."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.clouds.aws.emulator.schedules import AwsSchedules
from runner.clouds.aws.emulator.seed import (
    ACCOUNT,
    ADDRESS_USD_PER_H,
    price_usd_per_h,
    volume_usd_per_gib_month,
)
from runner.clouds.aws.emulator.states import STATES, shut_down, state_of
from runner.clouds.aws.emulator.wire import AwsCall
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import BoxOrder, EmulatedMachine, Leftover
from runner.emulation.meters import Meter, per_hour_of_month

USER = "ubuntu"
SPOT_TAKEN = ("Server.SpotInstanceTermination", "Spot instance termination")
BY_ITSELF = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")


def backend(region: str) -> Any:
    """Return moto's EC2 of a region."""
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][region]


class AwsInstances:
    """The instances of an account, in every region."""

    def __init__(self, state: CloudState) -> None:
        """Begin with none."""
        self._state, self._active_s = state, state.settings["aws"]["active_s"]
        self._moto: dict[str, Any] = {}
        self._meters: dict[str, Meter] = {}
        self.regions: set[str] = set()
        self.schedules = AwsSchedules(state)
        state.on_end["aws"] = self._ended
        state.on_action["aws"] = self._act

    def adopt(self, instance: Any, call: AwsCall) -> EmulatedMachine:
        """Give an instance that moto has made a box and a meter.

        Raises:
            RunnerError: If the box cannot be made; the instance is terminated again.
        """
        state = self._state
        spot = call.fields.get("InstanceMarketOptions.MarketType") == "spot"
        traits, now = state.traits("aws", instance.id), state.clock()
        disk_usd_per_h = _disk_usd_per_h(instance, call.region)
        machine = EmulatedMachine(
            id=instance.id,
            cloud="aws",
            name=_name(instance),
            instance_type=instance.instance_type,
            region=call.region,
            spot=spot,
            meter=state.new_meter(price_usd_per_h(instance.instance_type, spot=spot) + disk_usd_per_h),
            idle_usd_per_h=disk_usd_per_h,
            disk_usd_per_h=disk_usd_per_h,
            created_at=now,
            active_at=now + self._active_s,
            traits=traits,
        )
        try:
            state.rent(machine, _box_order(instance))
        except BaseException:
            instance.terminate()
            raise
        self._moto[instance.id] = instance
        _settle(instance, call, spot=spot)
        _set_address(instance, machine)
        if "leftover_address" in traits:
            _tagged(instance.ec2_backend.allocate_address("vpc"), instance)
        if "leftover_volume" in traits:
            _tagged(instance.ec2_backend.create_volume(10, instance.availability_zone, volume_type="gp3"), instance)
        self.refresh()
        return machine

    def refresh(self) -> None:
        """Bring moto's states up to date."""
        for machine in self._state.of("aws"):
            instance = self._moto[machine.id]
            _set_state(instance, self.status(machine))
            _set_address(instance, machine)

    def status(self, machine: EmulatedMachine) -> str:
        """Return how an instance stands, in the cloud's words."""
        return state_of(machine, self._state.clock())

    def machine(self, instance_id: str, region: str) -> EmulatedMachine | None:
        """Return an instance of a region."""
        machine = self._state.machines.get(instance_id)
        return machine if machine is not None and machine.region == region and machine.cloud == "aws" else None

    def tagged(self, tag: tuple[str, str] | None) -> list[EmulatedMachine]:
        """Return the instances that carry a tag, ended ones as well; all of them where no tag is named."""
        return [machine for machine in self._state.of("aws") if tag is None or tag in _tags(self._moto[machine.id])]

    def hidden(self, region: str) -> list[str]:
        """Return the ids that ``listing_lags`` keeps from the lists of a region."""
        now = self._state.clock()
        return [m.id for m in self._state.of("aws") if m.region == region and not m.is_listed(now)]

    def stop(self, machine: EmulatedMachine) -> None:
        """Stop an instance; its disks bill on."""
        self._moto[machine.id].stop()
        self._state.stop(machine)
        self.refresh()

    def start(self, machine: EmulatedMachine) -> None:
        """Start a stopped instance anew, at another address."""
        self._state.boot(machine, _box_order(self._moto[machine.id]))
        machine.is_stopped, machine.active_at = False, self._state.clock() + self._active_s
        machine.bill_again(self._state.clock(), price_usd_per_h(machine.instance_type, spot=machine.spot))
        self.refresh()

    def leftovers(self) -> Sequence[Leftover]:
        """Return the other resources, in every region that was used; their bills start when first seen."""
        found: list[Leftover] = []
        for region in sorted(self.regions):
            ec2 = backend(region)
            found += [Leftover("aws", "key", key.key_name, key.key_name, region) for key in ec2.key_pairs.values()]
            groups = (group for by_vpc in ec2.groups.values() for group in by_vpc.values())
            found += [
                Leftover("aws", "security_group", group.id, group.name, region)
                for group in groups
                if group.name != "default"
            ]
            found += [
                self._billed("volume", volume.id, volume, region, _volume_usd_per_h(volume, region))
                for volume in ec2.volumes.values()
                if not volume.attachment and volume.status != "deleting"
            ]
            found += [
                self._billed("address", address.allocation_id, address, region, ADDRESS_USD_PER_H)
                for address in ec2.addresses
            ]
        return found + self.schedules.leftovers()

    def _billed(self, kind: Any, resource_id: str, resource: Any, region: str, usd_per_h: float) -> Leftover:
        meter = self._meters.setdefault(resource_id, self._state.new_meter(usd_per_h))
        return Leftover("aws", kind, resource_id, _name(resource), region, meter)

    def _ended(self, machine: EmulatedMachine) -> None:
        instance = self._moto[machine.id]
        instance.terminate()
        if machine.is_taken_back:
            _say_why(instance, *SPOT_TAKEN)
            _close_request(instance, "instance-terminated-by-price")
        elif machine.ended_by == "shut itself down":
            _say_why(instance, *BY_ITSELF)
            _close_request(instance, "instance-terminated-by-user")
        else:
            _close_request(instance, "instance-terminated-by-user")

    def _act(self, machine: EmulatedMachine, action: str) -> None:
        """End or stop as AWS does: a shutdown inside by the instance's own setting, a preemption with its reason."""
        if self.schedules.run(machine, action):
            return
        instance = self._moto[machine.id]
        if action == "notice":
            at = datetime.fromtimestamp(self._state.clock(), UTC) + timedelta(seconds=120)
            notice = {"action": "terminate", "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
            if machine.box is not None:
                self._state.yard.tell(machine.box, json.dumps(notice).encode())
        elif action == "preempt":
            self._state.take_back(machine)
        elif action == "stop":
            self.stop(machine)
        else:
            shut_down(self._state, machine, instance.instance_initiated_shutdown_behavior, self.stop)


def _box_order(instance: Any) -> BoxOrder:
    keys = [pair for pair in instance.ec2_backend.key_pairs.values() if pair.key_name == instance.key_name]
    material = keys[0].material_public if keys else b""
    public_key = material.decode() if isinstance(material, bytes) else str(material)
    data = getattr(instance.user_data, "_value", None) or instance.user_data
    return BoxOrder("vm", USER, [public_key.strip()] if public_key else [], _decoded(data))


def _decoded(data: Any) -> str | None:
    """Return user data as the machine gets it: the wire has it in base64."""
    if not data:
        return None
    text = data.decode() if isinstance(data, bytes) else str(data)
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def _settle(instance: Any, call: AwsCall, *, spot: bool) -> None:
    """Close moto's gaps: groups of a network interface, spot life cycle and request."""
    groups = [value for name, value in call.fields.items() if name.startswith("NetworkInterface.1.SecurityGroupId.")]
    if groups and not instance.security_groups:
        instance.security_groups = [instance.ec2_backend.get_security_group_from_id(group) for group in groups]
    for nic in instance.nics.values():
        nic.delete_on_termination = True  # as AWS does with the interface that it made itself
        if groups and not nic.group_set:
            nic.group_set = list(instance.security_groups)
    if spot:
        instance.instance_lifecycle = instance.lifecycle = "spot"
        instance.spot_instance_request_id = _spot_request(instance, call.fields)


def _spot_request(instance: Any, fields: Mapping[str, str]) -> str:
    """Write down the spot request that AWS makes for a launch with market options; moto makes none."""
    from moto.ec2.models.spot_requests import LaunchSpecification, SpotInstanceRequest

    options = "InstanceMarketOptions.SpotOptions."
    request: Any = SpotInstanceRequest.__new__(SpotInstanceRequest)
    request.ec2_backend, request.instance = instance.ec2_backend, instance
    request.id = f"sir-{instance.id[2:10]}"
    request.state, request._status_code, request.status_message = "active", "fulfilled", ""
    request.price = fields.get(f"{options}MaxPrice")
    request.type = fields.get(f"{options}SpotInstanceType", "one-time")
    request.instance_interruption_behaviour = fields.get(f"{options}InstanceInterruptionBehavior", "terminate")
    request.valid_from = request.valid_until = request.launch_group = request.availability_zone_group = None
    request.user_data = request.spot_fleet_id = request.launch_spec = None
    request.tags, request.all_tags = {}, {}
    request.launch_specification = LaunchSpecification(
        kernel_id=None,
        ramdisk_id=None,
        image_id=instance.image_id,
        key_name=instance.key_name,
        instance_type=instance.instance_type,
        placement=instance.availability_zone,
        monitored=False,
        subnet_id=instance.subnet_id,
    )
    instance.ec2_backend.spot_instance_requests[request.id] = request
    return str(request.id)


def _close_request(instance: Any, code: str) -> None:
    request_id = getattr(instance, "spot_instance_request_id", None)
    request = instance.ec2_backend.spot_instance_requests.get(request_id)
    if request is not None:
        request.state, request._status_code = "closed", code


def _say_why(instance: Any, code: str, words: str) -> None:
    from moto.ec2.models.instances import StateReason

    instance.state_reason = StateReason(f"{code}: {words}", code)
    instance._reason = f"{code}: {words}"


def _set_state(instance: Any, name: str) -> None:
    instance._state.name, instance._state.code = name, STATES[name]


def _set_address(instance: Any, machine: EmulatedMachine) -> None:
    """Show the box's address; one that is stopped or gone has none."""
    is_up = machine.address is not None and not machine.is_ended and not machine.is_stopped
    for nic in instance.nics.values():
        nic.public_ip_auto_assign = True
        nic.public_ip = machine.address.host if is_up and machine.address is not None else None


def _tagged(resource: Any, instance: Any) -> None:
    resource.add_tags({tag["key"]: tag["value"] for tag in instance.get_tags()})


def _name(resource: Any) -> str:
    return dict(_tags(resource)).get("Name", "")


def _tags(resource: Any) -> list[tuple[str, str]]:
    return [(str(tag["key"]), str(tag["value"])) for tag in resource.get_tags()]


def _disk_usd_per_h(instance: Any, region: str) -> float:
    volumes = [instance.ec2_backend.volumes[device.volume_id] for _, device in instance.get_block_device_mapping]
    return sum(_volume_usd_per_h(volume, region) for volume in volumes)


def _volume_usd_per_h(volume: Any, region: str) -> float:
    return per_hour_of_month(volume.size * volume_usd_per_gib_month(volume.volume_type, region))
