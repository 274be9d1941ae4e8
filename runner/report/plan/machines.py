"""The machines of a plan, in the order in which they are tried, and what the run would be like on each."""

from __future__ import annotations

from dataclasses import dataclass

from runner.report.sources import Json, mapping, text, whole
from runner.report.spans import Span, amount, span
from runner.report.wording import dollars
from runner.run.planned import ANYWHERE, lenient_machines

OWN_MACHINES = {"this-machine": "this machine", "given-machine": "the machine that the run file names"}
"""What the plan calls machines that are not rented."""


@dataclass(frozen=True)
class MachineRow:
    """A machine to try, as the page shows it.

    Attributes:
        name: The cloud's name of the kind of machine.
        region: Where it is.
        kind: ``spot``, ``on demand`` or ``not rented``, and whether it is a community machine.
        price_usd_per_h: What it is listed at.
        most_usd_per_h: What is paid for it at most.
        gpu: Its GPU and that GPU's memory, in words.
        rows: Rows that are computed at once there.
        rows_that_fit: The most that fit.
        seconds: What the run takes there.
        usd: What the run costs there.
    """

    name: str
    region: str
    kind: str
    price_usd_per_h: float | None
    most_usd_per_h: float | None
    gpu: str | None = None
    rows: int | None = None
    rows_that_fit: int | None = None
    seconds: Span | None = None
    usd: Span | None = None

    @property
    def sentence(self) -> str:
        """The machine, where it is, and what it costs."""
        if self.kind == "not rented":
            return self.name
        price = "price unknown" if self.price_usd_per_h is None else f"{dollars(self.price_usd_per_h)} an hour"
        return f"{self.name} in {self.region}, {self.kind}, {price}"


def machine_rows(plan: Json) -> tuple[MachineRow, ...]:
    """Return the machines of a ``lenient_plan``."""
    return tuple(_row(one) for one in lenient_machines(plan))


def _row(one: Json) -> MachineRow:
    foreseen = mapping(one.get("forecast"))
    name, region = text(one.get("instance_type")) or "?", text(one.get("region")) or "?"
    rented = "spot" if one.get("spot") is True else "on demand"
    rented += ", community" if one.get("trust") == "community" else ""
    return MachineRow(
        name=OWN_MACHINES.get(name, name),
        region="any region" if region == ANYWHERE else region,
        kind="not rented" if name in OWN_MACHINES else rented,
        price_usd_per_h=amount(one.get("price_usd_per_h")),
        most_usd_per_h=amount(one.get("max_price_usd_per_h")),
        gpu=_gpu(foreseen),
        rows=whole(mapping(one.get("micro_batch")).get("rows")),
        rows_that_fit=whole(foreseen.get("rows_that_fit")),
        seconds=span(mapping(foreseen.get("durations")).get("total_s")),
        usd=span(mapping(foreseen.get("cost")).get("total_usd")),
    )


def _gpu(foreseen: Json) -> str | None:
    name, memory_gib = text(foreseen.get("gpu")), amount(foreseen.get("gpu_memory_gib"))
    return f"{name}, {memory_gib:g} GiB" if name and memory_gib else name
