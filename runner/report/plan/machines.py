"""The machines of a plan, in the order in which they are tried, and what the run would be like on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.report.sources import Json, items, mapping, text, whole
from runner.report.spans import Span, amount, span
from runner.report.wording import dollars

OWN_MACHINES = {"this-machine": "this machine", "given-machine": "the machine that the run file names"}
"""What the plan calls machines that are not rented."""


@dataclass(frozen=True)
class PlannedMachine:
    """A machine to try.

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


def planned_machines(plan: Json) -> tuple[PlannedMachine, ...]:
    """Return the candidates, each with the price in its place of the other list, and what is foreseen for it."""
    told, prices = plan.get("candidates"), plan.get("prices_usd_per_h")
    listed = prices if isinstance(prices, list) else []
    return tuple(
        _machine(one, amount(listed[place]) if place < len(listed) else None, _foreseen(plan, one))
        for place, one in enumerate(told if isinstance(told, list) else [])
        if isinstance(one, dict)
    )


def _foreseen(plan: Json, candidate: Json) -> Json:
    """Return the forecast of a candidate, or nothing."""
    found = (one for one in items(plan.get("forecasts")) if _identity(one) == _identity(candidate))
    return next(found, {})


def _identity(one: Json) -> list[Any]:
    return [*(one.get(name) for name in ("instance_type", "region", "spot")), one.get("trust", "secure")]


def _machine(one: Json, price_usd_per_h: float | None, foreseen: Json) -> PlannedMachine:
    name, region = text(one.get("instance_type")) or "?", text(one.get("region")) or "?"
    rented = "spot" if one.get("spot") is True else "on demand"
    rented += ", community" if one.get("trust") == "community" else ""
    return PlannedMachine(
        name=OWN_MACHINES.get(name, name),
        region="any region" if region == "any" else region,
        kind="not rented" if name in OWN_MACHINES else rented,
        price_usd_per_h=price_usd_per_h,
        most_usd_per_h=amount(one.get("max_price_usd_per_h")),
        gpu=_gpu(foreseen),
        rows=whole(foreseen.get("micro_batch_rows")),
        rows_that_fit=whole(foreseen.get("rows_that_fit")),
        seconds=span(mapping(foreseen.get("durations")).get("total_s")),
        usd=span(mapping(foreseen.get("cost")).get("total_usd")),
    )


def _gpu(foreseen: Json) -> str | None:
    name, memory_gib = text(foreseen.get("gpu")), amount(foreseen.get("gpu_memory_gib"))
    return f"{name}, {memory_gib:g} GiB" if name and memory_gib else name
