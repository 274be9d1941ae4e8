"""An AWS account on paper: its EC2 resources in memory, in the books of an emulated cloud, without moto.

For simulated lives, in which moto and botocore would take longer than all else together. What our client sees of it is
held to moto by ``tests/contract/test_aws_on_paper.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runner.clouds.aws.emulator.seed import ADDRESS_USD_PER_H, price_usd_per_h, volume_usd_per_gib_month
from runner.clouds.aws.emulator.states import shut_down, state_of
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import BoxOrder, EmulatedMachine, Leftover
from runner.emulation.meters import per_hour_of_month

USER, LEFT_GIB = "ubuntu", 10
Tags = dict[str, str]
Kind = Literal["key", "volume", "address", "security_group"]


@dataclass
class Instance:
    """An instance.

    Attributes:
        machine: It, in the books.
        tags: Its tags.
        groups: The ids of its security groups.
        behaviour: What it does where it powers itself off.
        volume_id: The id of its disk.
        volume_gib: How large that is.
        volume_tags: The disk's tags.
        order: What it boots with.
    """

    machine: EmulatedMachine
    tags: Tags
    groups: Sequence[str]
    behaviour: str
    volume_id: str
    volume_gib: int
    volume_tags: Tags
    order: BoxOrder


@dataclass
class Item:
    """A resource that is no instance.

    Attributes:
        row: It, in the books.
        tags: Its tags.
        detail: What else there is of it, in EC2's words.
    """

    row: Leftover
    tags: Tags
    detail: dict[str, Any] = field(default_factory=dict)


class PaperAccount:
    """One account."""

    def __init__(self, state: CloudState, number: str) -> None:
        """Begin with nothing.

        Args:
            state: The books.
            number: The account's number.
        """
        self.state, self.number = state, number
        self.settings = state.settings["aws"]
        self.instances: dict[str, Instance] = {}
        self.items: dict[str, Item] = {}
        self.answered: dict[str, dict[str, Any]] = {}
        self.polls_to_limit = 0
        state.on_action["aws"] = self._act

    def new_id(self, prefix: str) -> str:
        """Return an id that nothing else has."""
        return f"{prefix}-{self.state.token(9)[:17]}"

    def rent(self, asked: Mapping[str, Any], region: str) -> Instance:
        """Make the instance that a request asks for.

        Raises:
            RunnerError: If its box cannot be made.
        """
        state, now = self.state, self.state.clock()
        tagged = {one["ResourceType"]: _tags(one["Tags"]) for one in asked.get("TagSpecifications", ())}
        kind, gib = asked["InstanceType"], asked["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]
        spot = asked.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
        instance_id, disk_usd_per_h = self.new_id("i"), _disk_usd_per_h(gib, region)
        machine = EmulatedMachine(
            id=instance_id,
            cloud="aws",
            name=tagged.get("instance", {}).get("Name", ""),
            instance_type=kind,
            region=region,
            spot=spot,
            meter=state.new_meter(price_usd_per_h(kind, spot=spot) + disk_usd_per_h),
            idle_usd_per_h=disk_usd_per_h,
            disk_usd_per_h=disk_usd_per_h,
            created_at=now,
            active_at=now + self.settings["active_s"],
            traits=state.traits("aws", instance_id),
        )
        key = self.named("key", asked.get("KeyName", ""), region)
        keys = [] if key is None else [str(key.detail["PublicKey"])]
        made = Instance(
            machine,
            tagged.get("instance", {}),
            tuple(asked.get("SecurityGroupIds", ())),
            asked.get("InstanceInitiatedShutdownBehavior", "stop"),
            self.new_id("vol"),
            gib,
            tagged.get("volume", {}),
            BoxOrder("vm", USER, keys, asked.get("UserData")),
        )
        state.rent(machine, made.order)
        self.instances[machine.id] = made
        self._leave_behind(made, region)
        return made

    def _leave_behind(self, made: Instance, region: str) -> None:
        """Make what some instances leave behind, by their faults."""
        traits = made.machine.traits
        if "leftover_address" in traits:
            self.keep("address", self.new_id("eipalloc"), made.tags.get("Name", ""), region, made.tags)
        if "leftover_volume" in traits:
            detail = {"Size": LEFT_GIB, "VolumeType": "gp3"}
            self.keep("volume", self.new_id("vol"), made.tags.get("Name", ""), region, made.tags, detail)

    def keep(
        self, kind: Kind, item_id: str, name: str, region: str, tags: Tags, detail: dict[str, Any] | None = None
    ) -> Item:
        """Put a resource that is no instance into the account."""
        detail = dict(detail or {})
        prices = {"address": ADDRESS_USD_PER_H, "volume": _disk_usd_per_h(detail.get("Size", 0), region)}
        meter = self.state.new_meter(prices[kind]) if kind in prices else None
        item = Item(Leftover("aws", kind, item_id, name, region, meter), dict(tags), detail)
        self.items[item_id] = item
        self.state.keep(item.row)
        return item

    def drop(self, item: Item) -> None:
        """Take a resource out of the account."""
        del self.items[item.row.id]
        self.state.drop(item.row.id)

    def of(self, kind: Kind, region: str) -> list[Item]:
        """Return the resources of a kind in a region."""
        return [item for item in self.items.values() if item.row.kind == kind and item.row.region == region]

    def named(self, kind: Kind, name: str, region: str) -> Item | None:
        """Return the resource of a kind in a region that has a name."""
        return next((item for item in self.of(kind, region) if item.row.name == name), None)

    def here(self, region: str) -> Iterator[Instance]:
        """Yield the instances that a region shows by now, oldest first."""
        now = self.state.clock()
        for made in self.instances.values():
            if made.machine.region == region and made.machine.is_listed(now):
                yield made

    def status(self, machine: EmulatedMachine) -> str:
        """Return how an instance stands, in EC2's words."""
        return state_of(machine, self.state.clock())

    def stop(self, machine: EmulatedMachine) -> None:
        """Stop an instance; its disk bills on."""
        self.state.stop(machine)

    def _act(self, machine: EmulatedMachine, action: str) -> None:
        if action == "preempt":
            self.state.take_back(machine)
        elif action == "stop":
            self.stop(machine)
        elif action == "shutdown":
            shut_down(self.state, machine, self.instances[machine.id].behaviour, self.stop)


def _disk_usd_per_h(size_gib: int, region: str) -> float:
    return per_hour_of_month(size_gib * volume_usd_per_gib_month("gp3", region))


def _tags(listed: Sequence[Mapping[str, str]]) -> Tags:
    return {one["Key"]: one["Value"] for one in listed}
