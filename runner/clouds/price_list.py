"""Dated, sourced prices that stand in for what a cloud's own API does not tell, or tells only to a key.

``catalog/<cloud>.csv`` has one row for each kind of machine and region. AWS has no prices in its EC2 API, so its
on-demand prices come from here; Lambda's and RunPod's are for estimates without an account.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from runner.errors import UsageError

CATALOG = Path(__file__).parent / "catalog"
ANYWHERE = "any"
COLUMNS = (
    "instance_type",
    "region",
    "gpu_name",
    "gpu_count",
    "gpu_memory_gib",
    "memory_gib",
    "price_usd_per_h",
    "as_of",
    "source",
)


@dataclass(frozen=True)
class ListedPrice:
    """What one kind of machine cost in one region on one day, on demand.

    Attributes:
        instance_type: The cloud's name of the kind of machine (RunPod: the GPU's id).
        region: Where; ``any`` where the price is the same everywhere.
        gpu_name: The GPU.
        gpu_count: GPUs in the machine.
        gpu_memory_gib: Memory of one GPU as it is sold, in GiB.
        memory_gib: Main memory in GiB, or ``None`` where the source does not tell.
        price_usd_per_h: US dollars an hour for the whole machine.
        as_of: The day the source was read.
        source: Where the price is from.
    """

    instance_type: str
    region: str
    gpu_name: str
    gpu_count: int
    gpu_memory_gib: float
    memory_gib: float | None
    price_usd_per_h: float
    as_of: date
    source: str


def listed_price(cloud: str, instance_type: str, region: str) -> ListedPrice | None:
    """Return the listed price of a machine, or ``None`` where none is known.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    rows = _by_place(cloud)
    return rows.get((instance_type, region)) or rows.get((instance_type, ANYWHERE))


@cache
def price_list(cloud: str, folder: Path = CATALOG) -> tuple[ListedPrice, ...]:
    """Return every row of a cloud's price list.

    Raises:
        UsageError: If there is no price list for the cloud, or it cannot be read.
    """
    path = folder / f"{cloud}.csv"
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.csv")))
        raise UsageError(f"plan: there is no price list for {cloud}", resolution=f"price lists exist for: {known}")
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise UsageError(
                f"plan: {path.name} has the columns {lines.fieldnames}", resolution=f"make them {', '.join(COLUMNS)}"
            )
        return tuple(_row(line, path, number) for number, line in enumerate(lines, start=2))


def _row(line: dict[str, str], path: Path, number: int) -> ListedPrice:
    try:
        row = ListedPrice(
            instance_type=line["instance_type"],
            region=line["region"],
            gpu_name=line["gpu_name"],
            gpu_count=int(line["gpu_count"]),
            gpu_memory_gib=float(line["gpu_memory_gib"]),
            memory_gib=float(line["memory_gib"]) if line["memory_gib"] else None,
            price_usd_per_h=float(line["price_usd_per_h"]),
            as_of=date.fromisoformat(line["as_of"]),
            source=line["source"],
        )
    except (TypeError, ValueError) as err:
        raise UsageError(
            f"plan: line {number} of {path.name} cannot be read", details=str(err), resolution="correct that line"
        ) from err
    if not row.source or not row.price_usd_per_h > 0:
        raise UsageError(
            f"plan: line {number} of {path.name} has no source or no price", resolution="leave out what is not sourced"
        )
    return row


@cache
def _by_place(cloud: str) -> dict[tuple[str, str], ListedPrice]:
    return {(row.instance_type, row.region): row for row in price_list(cloud)}
