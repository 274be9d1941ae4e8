"""From the log of the GPUs to what the report says of the one that trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runner.report.run.models import GpuPoint, GpuUse, RunReport
from runner.run.gpu_log import GpuLook, GpuReading


def gpu_use(looks: Sequence[GpuLook]) -> GpuUse | None:
    """Return how the GPU that trained was used, the one with the most memory taken; ``None`` without a log."""
    index = _trained(looks)
    if index is None:
        return None
    begin = looks[0].at
    seen = [(look, look.gpus[index]) for look in looks if index < len(look.gpus)]
    busy = _known(gpu.utilisation_percent for _, gpu in seen)
    errors = _known(gpu.ecc_errors for _, gpu in seen)
    return GpuUse(
        points=tuple(_point((look.at - begin).total_seconds() / 60, gpu) for look, gpu in seen),
        utilisation_percent=sum(busy) / len(busy) if busy else None,
        temperature_c=max(_known(gpu.temperature_c for _, gpu in seen), default=None),
        ecc_errors=int(max(errors)) if errors else None,
        xids=_xids(looks),
    )


def gpu_words(report: RunReport) -> str | None:
    """Return useful time beside utilisation, and what was wrong with the GPU, in one line; ``None`` without either."""
    share, gpu = report.summary.useful_share, report.gpu
    parts = [] if share is None else [f"{100 * share:.0f} % of the billed time inside training steps"]
    if gpu is not None:
        parts += [] if gpu.utilisation_percent is None else [f"GPU busy {gpu.utilisation_percent:.0f} % of the time"]
        parts += [] if gpu.temperature_c is None else [f"at most {gpu.temperature_c:.0f} °C"]
        parts += [] if gpu.ecc_errors is None else [f"memory errors: {gpu.ecc_errors or 'none'}"]
        parts.append(f"Xids: {'not visible' if gpu.xids is None else ', '.join(map(str, gpu.xids)) or 'none'}")
    return ", ".join(parts) or None


def _trained(looks: Sequence[GpuLook]) -> int | None:
    taken: dict[int, float] = {}
    for look in looks:
        for index, gpu in enumerate(look.gpus):
            taken[index] = taken.get(index, 0.0) + (gpu.memory_gib or 0.0)
    return max(taken, key=lambda index: taken[index], default=None)


def _point(minutes: float, gpu: GpuReading) -> GpuPoint:
    return GpuPoint(round(minutes, 3), gpu.utilisation_percent, gpu.memory_gib, gpu.temperature_c, gpu.power_w)


def _xids(looks: Iterable[GpuLook]) -> tuple[int, ...] | None:
    seen = [look.xids for look in looks if look.xids is not None]
    return tuple(dict.fromkeys(xid for xids in seen for xid in xids)) if seen else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
