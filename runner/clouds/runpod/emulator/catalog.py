"""What the emulated RunPod offers: GPUs and data centres like the real ones, at prices of the emulator's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DATA_CENTERS: Mapping[str, tuple[str, str]] = {
    "US-KS-2": ("US Kansas 2", "NORTH_AMERICA"),
    "US-TX-3": ("US Texas 3", "NORTH_AMERICA"),
    "EU-RO-1": ("EU Romania 1", "EUROPE"),
    "EU-SE-1": ("EU Sweden 1", "EUROPE"),
}
CUDA_VERSIONS = ("12.4", "12.8", "13.0")


@dataclass(frozen=True)
class GpuType:
    """A kind of GPU.

    Attributes:
        id: RunPod's id.
        name: Short name.
        pool: Serverless pool.
        memory_gib: Memory in GiB.
        secure_usd_per_h: Price of one in the secure cloud; 0 where there is none.
        community_usd_per_h: Price of one in the community cloud; 0 where there is none.
        bid_usd_per_h: Lowest bid for one that may be reclaimed.
        max_count: How many a pod may have.
        level: How easily it is had: NONE, LOW, MEDIUM, HIGH.
        data_centers: Where it is.
    """

    id: str
    name: str
    pool: str | None
    memory_gib: int
    secure_usd_per_h: float
    community_usd_per_h: float
    bid_usd_per_h: float
    max_count: int
    level: str
    data_centers: tuple[str, ...]

    def price_usd_per_h(self, cloud: str) -> float:
        """Return the price of one in a cloud; 0 where there is none."""
        return self.secure_usd_per_h if cloud == "SECURE" else self.community_usd_per_h


GPU_TYPES: Mapping[str, GpuType] = {
    gpu.id: gpu
    for gpu in (
        GpuType(
            "NVIDIA RTX A5000", "RTX A5000", "AMPERE_24", 24, 0.27, 0.16, 0.11, 8, "MEDIUM", ("EU-RO-1", "EU-SE-1")
        ),
        GpuType("NVIDIA L4", "L4", "ADA_24", 24, 0.39, 0.0, 0.22, 8, "HIGH", ("EU-RO-1", "US-KS-2")),
        GpuType("NVIDIA A40", "A40", "AMPERE_48", 48, 0.40, 0.0, 0.24, 8, "HIGH", ("EU-SE-1", "US-TX-3")),
        GpuType(
            "NVIDIA GeForce RTX 4090", "RTX 4090", "ADA_24", 24, 0.69, 0.34, 0.29, 8, "HIGH", ("US-KS-2", "EU-RO-1")
        ),
        GpuType(
            "NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb",
            "PRO 6000 MIG 24GB",
            None,
            24,
            0.59,
            0.50,
            0.30,
            1,
            "LOW",
            ("US-TX-3",),
        ),
        GpuType("NVIDIA A100 80GB PCIe", "A100 PCIe", "AMPERE_80", 80, 1.64, 1.19, 0.82, 8, "LOW", ("US-KS-2",)),
        GpuType("NVIDIA H100 80GB HBM3", "H100 SXM", "HOPPER_80", 80, 2.99, 2.69, 1.75, 8, "LOW", ("US-TX-3",)),
        GpuType("NVIDIA B200", "B200", None, 180, 5.98, 0.0, 3.50, 8, "NONE", ()),
    )
}


def shown_gpu(gpu: GpuType, *, with_availability: bool) -> dict[str, object]:
    """Return a kind of GPU as REST v2 shows it."""
    row: dict[str, object] = {
        "id": gpu.id,
        "name": gpu.name,
        "pool": gpu.pool,
        "manufacturer": "NVIDIA",
        "memory": gpu.memory_gib,
        "secure": gpu.secure_usd_per_h > 0,
        "community": gpu.community_usd_per_h > 0,
        "price": {"secure": gpu.secure_usd_per_h, "community": gpu.community_usd_per_h},
        "maxCount": {
            "secure": gpu.max_count if gpu.secure_usd_per_h else 0,
            "community": gpu.max_count if gpu.community_usd_per_h else 0,
        },
    }
    if with_availability:
        row |= {
            "availability": gpu.level,
            "dataCenters": [
                {"id": name, "name": DATA_CENTERS[name][0], "availability": gpu.level} for name in gpu.data_centers
            ],
            "cudaVersions": [{"version": version, "available": gpu.level != "NONE"} for version in CUDA_VERSIONS],
        }
    return row


def shown_data_center(name: str, *, with_gpus: bool) -> dict[str, object]:
    """Return a data centre as REST v2 shows it."""
    row: dict[str, object] = {
        "id": name,
        "name": DATA_CENTERS[name][0],
        "region": DATA_CENTERS[name][1],
        "globalNetwork": True,
        "networkVolumeTypes": ["STANDARD"],
        "compliance": ["SOC_2_TYPE_2"],
    }
    if with_gpus:
        row["gpuAvailability"] = [
            {"id": gpu.id, "name": gpu.name, "availability": gpu.level}
            for gpu in GPU_TYPES.values()
            if name in gpu.data_centers
        ]
    return row
