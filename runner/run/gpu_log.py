"""The log of a machine's GPUs on its way home: whoever holds the machine writes it, so each look is checked here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from runner.run.rentals import moment_or_none, number_or_none
from trainer.files import object_or_none

MOST_BYTES = 8 << 20
"""The most of a machine's log that is fetched; it thins its own long before."""
MOST_LOOKS = 50_000
MOST_GPUS = 16
MOST_XIDS = 16
HIGHEST_XID = 10_000
LARGEST = 1e9
LONGEST_LINE = 8192


@dataclass(frozen=True)
class GpuReading:
    """One GPU at one moment; what it did not tell is ``None``."""

    utilisation_percent: float | None
    memory_gib: float | None
    temperature_c: float | None
    power_w: float | None
    ecc_errors: float | None
    """Memory errors since the machine's boot that could not be corrected."""


@dataclass(frozen=True)
class GpuLook:
    """The GPUs of a machine at one moment.

    Attributes:
        at: When, by the machine's clock, in UTC.
        gpus: Each of them.
        xids: Faults that the driver had reported by then, by their numbers; ``None`` where they cannot be seen.
    """

    at: datetime
    gpus: tuple[GpuReading, ...]
    xids: tuple[int, ...] | None


def read_looks(content: bytes) -> tuple[GpuLook, ...]:
    """Return the looks in a log, oldest first; a line that is none is passed over."""
    lines = content.split(b"\n", MOST_LOOKS)[:MOST_LOOKS]
    found = (_read(line) for line in lines if len(line) <= LONGEST_LINE)
    return tuple(sorted((look for look in found if look is not None), key=lambda look: look.at))


def joined(home: bytes, theirs: bytes) -> bytes:
    """Return the log at home with what a machine has: its own looks, behind those of the machines before it.

    A machine thins its log, so its looks take the place of what came home of the same time.
    """
    new = read_looks(theirs)
    old = [look for look in read_looks(home) if not new or look.at < new[0].at]
    return b"".join(_line(look) for look in [*old, *new][-MOST_LOOKS:])


def _read(line: bytes) -> GpuLook | None:
    found = object_or_none(line) or {}
    at, gpus, xids = _moment(found.get("time")), found.get("gpus"), found.get("xids")
    if at is None or not isinstance(gpus, list):
        return None
    readings = tuple(_reading(gpu) for gpu in gpus[:MOST_GPUS] if isinstance(gpu, dict))
    if not isinstance(xids, list):
        return GpuLook(at, readings, None)
    numbers = [xid for xid in xids[:MOST_XIDS] if type(xid) is int and 0 <= xid <= HIGHEST_XID]
    return GpuLook(at, readings, tuple(dict.fromkeys(numbers)))


def _moment(value: object) -> datetime | None:
    found = moment_or_none(value)
    try:
        return None if found is None else found.astimezone(UTC)
    except OverflowError:  # in the year 1 or 9999
        return None


def _reading(gpu: dict[str, Any]) -> GpuReading:
    return GpuReading(**{field.name: _amount(gpu.get(field.name)) for field in fields(GpuReading)})


def _amount(value: object) -> float | None:
    found = number_or_none(value)
    return found if found is not None and 0 <= found <= LARGEST else None


def _line(look: GpuLook) -> bytes:
    xids = None if look.xids is None else list(look.xids)
    gpus = [asdict(gpu) for gpu in look.gpus]
    return json.dumps({"time": look.at.isoformat(timespec="milliseconds"), "gpus": gpus, "xids": xids}).encode() + b"\n"
