"""Dated, sourced prices that stand in for what a cloud's own API does not report, or only to a key.

``catalog/<cloud>.csv`` has one row for each kind of machine and region, on demand and spot apart. The columns up to
``provider`` have gpuhunt's names, the last four are ours. Where a cloud's own API may refuse on-demand prices (its
record says so: ``PriceRules.on_demand_from_list``), they come from here; all others are for estimates without an
account, and for comparing platforms that Douse cannot rent from.

Source of the columns: github.com/dstackai/gpuhunt at 35841515de, ``src/gpuhunt/_internal/models.py`` (``CatalogItem``)
and ``storage.py`` (their order).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Literal, Protocol

from runner.errors import UsageError
from runner.prices.tables import table_lines
from trainer.files import write_atomically

CATALOG = Path(__file__).parent / "catalog"
ANYWHERE = "any"
HOURS_PER_MONTH = 730.0
"""By which clouds turn a price a month into one an hour: 365 × 24 / 12."""
STALE_AFTER_DAYS = 30
GPUHUNT_COLUMNS = (
    "instance_name",
    "location",
    "price",
    "cpu",
    "memory",
    "gpu_count",
    "gpu_name",
    "gpu_memory",
    "spot",
    "disk_size",
    "provider",
)
COLUMNS = (*GPUHUNT_COLUMNS, "disk_price_usd_per_gb_month", "billing_unit", "as_of", "source")
BillingUnit = Literal["second", "minute", "hour"]
SPOT = {"True": True, "False": False}
BILLING_UNITS: dict[str, BillingUnit | None] = {"second": "second", "minute": "minute", "hour": "hour", "": None}


class Dated(Protocol):
    """Anything that was true on a day."""

    @property
    def as_of(self) -> date:
        """Return the day the source was read."""


@dataclass(frozen=True)
class ListedPrice:
    """What one kind of machine cost in one region on one day.

    Attributes:
        instance_type: The cloud's name of the kind of machine, or of its GPU. Column ``instance_name``.
        region: Where; ``any`` where the price is the same everywhere. Column ``location``.
        gpu_name: The GPU.
        gpu_count: GPUs in the machine.
        gpu_memory_gib: Memory of one GPU as it is sold, in GiB. Column ``gpu_memory``.
        memory_gib: Main memory in GiB, or ``None`` where the source does not say. Column ``memory``.
        price_usd_per_h: US dollars an hour for the whole machine. Column ``price``.
        as_of: The day the source was read.
        source: Where the price is from.
        provider: Name of the list: a cloud or another platform.
        spot: Whether this is the price of a machine that may be reclaimed.
        cpu_count: Processors as they are sold, or ``None`` where the source does not say. Column ``cpu``.
        disk_gib: Disk that comes with it in GiB, or ``None`` where it is chosen or unknown. Column ``disk_size``.
        disk_price_usd_per_gb_month: Chosen disk in US dollars a GB and month, 0 where disk comes with the machine,
            ``None`` where no source is known.
        billing_unit: What a part of is billed as a whole, or ``None`` where no source is known.
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
    provider: str
    spot: bool = False
    cpu_count: int | None = None
    disk_gib: float | None = None
    disk_price_usd_per_gb_month: float | None = None
    billing_unit: BillingUnit | None = None


def listed_price(cloud: str, instance_type: str, region: str) -> ListedPrice | None:
    """Return the listed on-demand price of a machine, or ``None`` where none is known.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    rows = _by_place(cloud)
    return rows.get((instance_type, region)) or rows.get((instance_type, ANYWHERE))


@cache
def listed_disk_price(cloud: str, region: str) -> float | None:
    """Return the price of chosen disk in a region, in US dollars per GB and month, or ``None`` without a source.

    Where only other regions have one, the dearest of them counts: what is not known must not look cheap.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    rows = ((row.region, row.disk_price_usd_per_gb_month) for row in all_prices(cloud))
    return price_in(region, ((place, usd) for place, usd in rows if usd is not None))


def disk_usd_per_h(cloud: str, region: str, size_gib: float | None) -> float | None:
    """Return the price of a disk in US dollars an hour; ``None`` where its size is unknown, or its price has no source.

    Unlike ``listed_disk_price`` it takes no other region's price: it says what was paid, not what to be ready for.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    here = [row.disk_price_usd_per_gb_month for row in all_prices(cloud) if row.region in (region, ANYWHERE)]
    known = [usd for usd in here if usd is not None]
    return size_gib * max(known) / HOURS_PER_MONTH if known and size_gib is not None else None


def price_in(region: str, prices: Iterable[tuple[str, float]]) -> float | None:
    """Return the price in a region, of prices by region; where it has none of its own, the dearest one."""
    known = [(place in (region, ANYWHERE), usd) for place, usd in prices]
    return max(known, default=(False, None))[1]


@cache
def price_list(cloud: str, folder: Path = CATALOG) -> tuple[ListedPrice, ...]:
    """Return the on-demand rows of a cloud's price list.

    Raises:
        UsageError: If there is no price list for the cloud, or it cannot be read.
    """
    return tuple(row for row in all_prices(cloud, folder) if not row.spot)


@cache
def all_prices(cloud: str, folder: Path = CATALOG) -> tuple[ListedPrice, ...]:
    """Return every row of a cloud's price list, spot ones too.

    Raises:
        UsageError: If there is no price list for the cloud, or it cannot be read.
    """
    path = folder / f"{cloud}.csv"
    if not path.exists():
        raise UsageError(
            f"plan: there is no price list for {cloud}",
            resolution=f"price lists exist for: {', '.join(listed_clouds(folder))}",
        )
    return _read(path.read_text(encoding="utf-8"), path)


def listed_clouds(folder: Path = CATALOG) -> list[str]:
    """Return the names of all price lists."""
    return sorted(found.stem for found in folder.glob("*.csv"))


def age_days(row: Dated, today: date) -> int:
    """Return how many days ago the source was read."""
    return (today - row.as_of).days


def is_stale(row: Dated, today: date) -> bool:
    """Return whether a price is too old to be relied on: its source was read more than 30 days ago."""
    return age_days(row, today) > STALE_AFTER_DAYS


def write_price_list(cloud: str, rows: Sequence[ListedPrice], folder: Path = CATALOG) -> Path:
    """Replace a cloud's price list, whole or not at all, and return its path.

    Raises:
        UsageError: If a row would be refused at reading, or the folder cannot be written. The list is as it was then.
    """
    path = folder / f"{cloud}.csv"
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(_cells(row) for row in rows)
    _read(text.getvalue(), path)
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as err:
        raise UsageError(
            f"prices: {path} cannot be written",
            details=str(err),
            resolution="run it in a clone of Douse whose files you may change",
        ) from err
    for cached in (price_list, all_prices, listed_disk_price, _by_place):
        cached.cache_clear()
    return path


def _read(text: str, path: Path) -> tuple[ListedPrice, ...]:
    lines = table_lines(io.StringIO(text, newline=""), path.name, COLUMNS)
    rows = tuple(_row(line, path, number) for number, line in lines)
    _check_once(rows, path)
    return rows


def _row(line: dict[str, str], path: Path, number: int) -> ListedPrice:
    try:
        row = ListedPrice(
            instance_type=line["instance_name"],
            region=line["location"],
            gpu_name=line["gpu_name"],
            gpu_count=int(line["gpu_count"]),
            gpu_memory_gib=float(line["gpu_memory"]),
            memory_gib=_number(line["memory"]),
            price_usd_per_h=float(line["price"]),
            as_of=date.fromisoformat(line["as_of"]),
            source=line["source"],
            provider=line["provider"],
            spot=SPOT[line["spot"]],
            cpu_count=int(line["cpu"]) if line["cpu"] else None,
            disk_gib=_number(line["disk_size"]),
            disk_price_usd_per_gb_month=_number(line["disk_price_usd_per_gb_month"]),
            billing_unit=BILLING_UNITS[line["billing_unit"]],
        )
    except (KeyError, TypeError, ValueError) as err:
        raise UsageError(
            f"plan: line {number} of {path.name} cannot be read",
            details=str(err),
            resolution=f"rewrite the list with `make prices`, or `git checkout {path}`",
        ) from err
    if not row.source or not row.price_usd_per_h > 0 or not isfinite(row.price_usd_per_h):
        raise UsageError(
            f"plan: line {number} of {path.name} has no source or no price",
            resolution="give the row a source and a price (docs/prices.md), or delete it",
        )
    if row.provider != path.stem:
        raise UsageError(
            f"plan: line {number} of {path.name} is of {row.provider}",
            resolution=f"restore the file: `git checkout {path}`",
        )
    return row


def _number(text: str) -> float | None:
    if not text:
        return None
    number = float(text)
    if not isfinite(number) or number < 0:
        raise ValueError(f"{text} is no size and no price")
    return number


def _check_once(rows: Iterable[ListedPrice], path: Path) -> None:
    """Refuse a second price of the same thing: it would be unclear which one counts."""
    seen = set()
    for number, row in enumerate(rows, start=2):
        key = (row.instance_type, row.region, row.spot)
        if key in seen:
            raise UsageError(
                f"plan: line {number} of {path.name} is a second price of {row.instance_type} in {row.region}",
                resolution="rewrite the list with `make prices`, or delete one of the two rows",
            )
        seen.add(key)


def _cells(row: ListedPrice) -> list[str]:
    """Return a row in the order of the columns."""
    return [
        row.instance_type,
        row.region,
        f"{row.price_usd_per_h:.10g}",
        _cell(row.cpu_count),
        _cell(row.memory_gib),
        str(row.gpu_count),
        row.gpu_name,
        _cell(row.gpu_memory_gib),
        str(row.spot),
        _cell(row.disk_gib),
        row.provider,
        _cell(row.disk_price_usd_per_gb_month),
        row.billing_unit or "",
        row.as_of.isoformat(),
        row.source,
    ]


def _cell(number: float | None) -> str:
    return "" if number is None else f"{number:.10g}"


@cache
def _by_place(cloud: str) -> dict[tuple[str, str], ListedPrice]:
    return {(row.instance_type, row.region): row for row in price_list(cloud)}
