"""What the emulated Lambda Cloud offers: kinds of machines like the real ones, at prices of the emulator's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REGIONS: Mapping[str, str] = {
    "us-west-1": "California, USA",
    "us-east-1": "Virginia, USA",
    "us-south-2": "North Texas, USA",
    "europe-central-1": "Germany",
}


@dataclass(frozen=True)
class InstanceType:
    """A kind of machine.

    Attributes:
        name: ``gpu_<n>x_<model>``.
        gpu: The GPU in words.
        cents_per_h: Price in US cents an hour for the whole machine.
        vcpus: Processor threads.
        memory_gib: Main memory in GiB.
        storage_gib: Disk in GiB.
        gpus: How many GPUs.
        regions: Where it is listed as available.
    """

    name: str
    gpu: str
    cents_per_h: int
    vcpus: int
    memory_gib: int
    storage_gib: int
    gpus: int
    regions: tuple[str, ...]


INSTANCE_TYPES: Mapping[str, InstanceType] = {
    kind.name: kind
    for kind in (
        InstanceType("gpu_1x_rtx6000", "RTX 6000 (24 GB)", 50, 14, 46, 512, 1, ("us-south-2",)),
        InstanceType("gpu_1x_a10", "A10 (24 GB PCIe)", 75, 30, 200, 1400, 1, ("us-west-1", "us-east-1")),
        InstanceType("gpu_1x_a6000", "A6000 (48 GB)", 80, 14, 100, 512, 1, ("us-south-2", "us-east-1")),
        InstanceType("gpu_1x_a100_sxm4", "A100 (40 GB SXM4)", 129, 30, 200, 512, 1, ("us-west-1", "europe-central-1")),
        InstanceType("gpu_1x_gh200", "GH200 (96 GB)", 149, 64, 432, 4096, 1, ("us-east-1",)),
        InstanceType("gpu_1x_h100_pcie", "H100 (80 GB PCIe)", 249, 26, 200, 1024, 1, ("us-west-1",)),
        InstanceType("gpu_1x_h100_sxm5", "H100 (80 GB SXM5)", 329, 26, 225, 2816, 1, ("us-south-2",)),
        InstanceType("gpu_2x_a6000", "A6000 (48 GB)", 160, 28, 200, 1024, 2, ("us-south-2",)),
        InstanceType("gpu_8x_a100_80gb_sxm4", "A100 (80 GB SXM4)", 1432, 240, 1800, 20480, 8, ()),
    )
}


def region(name: str) -> dict[str, str]:
    """Return a region as the API shows it."""
    return {"name": name, "description": REGIONS[name]}


def shown_type(kind: InstanceType, cents_per_h: int | None = None) -> dict[str, object]:
    """Return a kind of machine as the API shows it, at its own price or another."""
    return {
        "name": kind.name,
        "description": f"{kind.gpus}x {kind.gpu}",
        "gpu_description": kind.gpu,
        "price_cents_per_hour": kind.cents_per_h if cents_per_h is None else cents_per_h,
        "specs": {
            "vcpus": kind.vcpus,
            "memory_gib": kind.memory_gib,
            "storage_gib": kind.storage_gib,
            "gpus": kind.gpus,
        },
    }


def instance_types() -> dict[str, object]:
    """Return the data of ``GET /instance-types``."""
    return {
        kind.name: {
            "instance_type": shown_type(kind),
            "regions_with_capacity_available": [region(name) for name in kind.regions],
        }
        for kind in INSTANCE_TYPES.values()
    }


def images() -> list[dict[str, object]]:
    """Return the data of ``GET /images``."""
    return [
        {
            "id": f"00000000-0000-4000-8000-{index:012x}",
            "created_time": "2026-06-01T00:00:00Z",
            "updated_time": "2026-06-01T00:00:00Z",
            "name": "Lambda Stack 24.04",
            "description": "Lambda Stack on Ubuntu 24.04",
            "family": "lambda-stack-24-04",
            "version": "24.4.1",
            "architecture": "x86_64",
            "region": region(name),
        }
        for index, name in enumerate(REGIONS)
    ]
