"""GPU machines in one region of AWS: what EC2 describes, spot prices of now, on-demand prices of AWS's list or ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from runner.cloud_api.answers import read_some
from runner.cloud_api.models import Offer
from runner.clouds.aws.disks import RENTED_TYPE
from runner.clouds.aws.listing import CLOUD, entries, required
from runner.clouds.aws.pricing import RegionPrices
from runner.prices.price_list import price_list

FAMILIES = ["g*", "p*"]
MOST_NAMES = 100
MIB_PER_GIB = 1024


def offers_in(client: Any, region: str, now: datetime, prices: Callable[[], RegionPrices]) -> list[Offer]:
    """Return the machines with NVIDIA GPUs and x86 processors that AWS sells in one region.

    One without a known price, or whose description cannot be read, is left out: no promise about money can be kept with
    it. Whether one can be had now is something AWS reports only when asked for it.

    Args:
        client: boto3's EC2 client for the region.
        region: The region.
        now: The time of day (UTC).
        prices: Asks for what AWS's price list says of the region; the dated list has the rest.

    Raises:
        CloudError: If AWS does not answer, or its answer cannot be read.
    """
    doing = f"list instance types in {region}"
    filters = [{"Name": "instance-type", "Values": FAMILIES}]
    found = entries(client, "describe_instance_types", "InstanceTypes", doing, Filters=filters)
    kinds = read_some(filter(_is_usable, found), lambda entry: _kind(entry, region, doing))
    machines = {kind.instance_type: kind for kind in kinds}
    sold = _sold(client, region, sorted(machines))
    spot_prices = _spot_prices(client, region, sold, now)
    own = prices()
    listed = {row.instance_type: row.price_usd_per_h for row in price_list(CLOUD) if row.region == region}
    return [
        replace(
            machines[name],
            spot=spot,
            price_usd_per_h=usd_per_h[name],
            is_price_dated=not spot and name not in own.on_demand,
            disk_price_usd_per_gb_month=own.volumes.get(RENTED_TYPE),
        )
        for spot, usd_per_h in ((False, {**listed, **own.on_demand}), (True, spot_prices))
        for name in sold
        if name in usd_per_h
    ]


def _is_usable(entry: Mapping[str, Any]) -> bool:
    """Return whether the trainer can run on a machine: whole NVIDIA GPUs, x86, not bare metal, which boots for ages."""
    gpus = entry.get("GpuInfo", {}).get("Gpus") or []
    return (
        len(gpus) == 1
        and gpus[0].get("Manufacturer") == "NVIDIA"
        and gpus[0].get("Count", 0) >= 1
        and "x86_64" in entry.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
        and not entry.get("BareMetal", False)
    )


def _sold(client: Any, region: str, names: Sequence[str]) -> list[str]:
    """Return those that are sold in the region."""
    doing = f"list instance type offerings in {region}"
    sold = {
        str(required(entry, "InstanceType", doing))
        for some in _chunks(names)
        for entry in entries(
            client,
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            doing,
            LocationType="region",
            Filters=[{"Name": "instance-type", "Values": some}],
        )
    }
    return [name for name in names if name in sold]


def _spot_prices(client: Any, region: str, names: Sequence[str], now: datetime) -> dict[str, float]:
    """Return the spot price of each machine in the region's dearest zone: which zone it will be is not known yet."""
    doing = f"list spot prices in {region}"
    prices: dict[str, float] = {}
    for some in _chunks(names):
        for entry in entries(
            client,
            "describe_spot_price_history",
            "SpotPriceHistory",
            doing,
            InstanceTypes=some,
            ProductDescriptions=["Linux/UNIX"],
            StartTime=now,
        ):
            name = str(required(entry, "InstanceType", doing))
            prices[name] = max(prices.get(name, 0.0), _usd(entry.get("SpotPrice")))
    return {name: price for name, price in prices.items() if math.isfinite(price)}


def _usd(text: object) -> float:
    """Return a price; one that cannot be read is above all others, for then the dearest zone is not known."""
    try:
        price = float(str(text))
    except ValueError:
        return math.inf
    return price if price > 0 else math.inf


def _kind(entry: Mapping[str, Any], region: str, doing: str) -> Offer:
    """Return a machine as an offer that has no price yet."""
    gpu = entry["GpuInfo"]["Gpus"][0]
    name = str(required(entry, "InstanceType", doing))
    memory_gib = required(required(gpu, "MemoryInfo", doing), "SizeInMiB", doing) / MIB_PER_GIB
    as_sold = {row.instance_type: row.gpu_memory_gib for row in price_list(CLOUD)}
    return Offer(
        instance_type=name,
        region=region,
        spot=False,
        price_usd_per_h=math.inf,
        gpu_name=str(required(gpu, "Name", doing)),
        gpu_count=int(gpu["Count"]),
        gpu_memory_gib=as_sold.get(name, round(memory_gib, 1)),  # as other clouds state it: 24, not 22.4
        memory_gib=round(required(required(entry, "MemoryInfo", doing), "SizeInMiB", doing) / MIB_PER_GIB, 1),
    )


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), MOST_NAMES):
        yield list(names[start : start + MOST_NAMES])
