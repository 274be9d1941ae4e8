"""The log of this machine's GPUs: a process beside the trainer that asks NVML every few seconds how they are.

A driver may hang, and whoever asks it hangs with it: so this is a process of its own, and nobody waits for it. Where
there is no NVML it ends at once. Each line of the log is one look; what a GPU does not tell is ``null`` there.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trainer.files import write_atomically
from trainer.supervisor.beside import step_aside

LOG = "gpu.jsonl"
EVERY_S = 5.0
MOST_BYTES = 4 << 20
"""Of a log that has grown over this every second look is left, and from then on it is written half as often."""
MOST_GPUS = 16
MOST_XIDS = 16
LARGEST = 1e15
KERNEL_LOG = Path("/dev/kmsg")
KERNEL_BYTES = 8192
"""The longest record of the kernel's log."""
MOST_RECORDS = 10_000
XID = re.compile(rb"NVRM: Xid \(PCI:([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})[^)]*\): (\d{1,6})\b")
BUS_ID = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})")
GIB = 1 << 30


def keep_logging(output: Path, *, is_over: Callable[[float], bool]) -> None:
    """Write a look at the GPUs into the log every few seconds, until ``is_over``; none where there is nothing to see.

    Args:
        output: The run's output folder.
        is_over: Waits so many seconds at most; returns whether the trainer is gone.
    """
    nvml = load_nvml()
    if nvml is None:
        return
    step_aside()
    gpus, log = Gpus(nvml), GpuLog(output / LOG)
    while gpus.count:
        with suppress(OSError):  # a full disk costs a look and nothing else
            log.write(gpus.look())
        if is_over(log.every_s):
            return


def load_nvml() -> Any | None:
    """Return NVIDIA's own binding of NVML, ready to be asked; ``None`` without it, or without a driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


class Gpus:
    """The GPUs of this machine.

    Attributes:
        count: How many are looked at.
    """

    def __init__(self, nvml: Any, kernel_log: Path = KERNEL_LOG) -> None:
        """Find them, and begin to listen for their Xids.

        Args:
            nvml: The binding, ready to be asked.
            kernel_log: Where the driver writes Xids; read where NVML does not tell them.
        """
        self._nvml = nvml
        self._handles = self._find()
        self.count = len(self._handles)
        self._xids: list[int] = []
        self._events = self._listen()
        self._kernel_log = None if self._events is not None else _open_at_end(kernel_log)
        self._bus_ids = {found for handle in self._handles if (found := self._bus_id(handle)) is not None}

    def look(self) -> dict[str, Any]:
        """Return how they are now; ``xids`` are those since the beginning, ``null`` where none can be seen."""
        is_seen = self._events is not None or self._kernel_log is not None
        for xid in [*self._told_by_nvml(), *self._told_by_kernel()]:
            if xid not in self._xids and len(self._xids) < MOST_XIDS:
                self._xids.append(xid)
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "gpus": [self._read(handle) for handle in self._handles],
            "xids": list(self._xids) if is_seen else None,
        }

    def _find(self) -> list[Any]:
        count = self._ask(self._nvml.nvmlDeviceGetCount) or 0
        found = []
        for index in range(min(int(count), MOST_GPUS)):
            with suppress(self._nvml.NVMLError):
                found.append(self._nvml.nvmlDeviceGetHandleByIndex(index))
        return found

    def _read(self, handle: Any) -> dict[str, float | None]:
        nvml = self._nvml
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used)
        power = self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        uncorrected, since_boot = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
        return {
            "utilisation_percent": self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            "memory_gib": None if memory is None else round(memory / GIB, 3),
            "temperature_c": self._ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            "power_w": None if power is None else round(power / 1000, 1),
            "ecc_errors": self._ask(lambda: nvml.nvmlDeviceGetTotalEccErrors(handle, uncorrected, since_boot)),
        }

    def _ask(self, question: Callable[[], Any]) -> float | None:
        """Return the driver's answer if it is a number that can be one."""
        try:
            value = question()
        except self._nvml.NVMLError:
            return None
        is_number = isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= LARGEST
        return value if is_number else None

    def _listen(self) -> Any | None:
        """Return what NVML puts Xids into; ``None`` where it has none for any GPU, as in many a virtual machine."""
        nvml, has_any = self._nvml, False
        try:
            events = nvml.nvmlEventSetCreate()
        except nvml.NVMLError:
            return None
        for handle in self._handles:
            with suppress(nvml.NVMLError):
                nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, events)
                has_any = True
        return events if has_any else None

    def _told_by_nvml(self) -> list[int]:
        if self._events is None:
            return []
        found: list[int] = []
        with suppress(self._nvml.NVMLError):  # a timeout: there are no more
            while len(found) < MOST_XIDS:
                found.append(int(self._nvml.nvmlEventSetWait_v2(self._events, 0).eventData))
        return found

    def _told_by_kernel(self) -> list[int]:
        """Return the Xids of our GPUs in the kernel's log; a container sees those of its neighbours there as well."""
        found: list[int] = []
        for _ in range(MOST_RECORDS if self._kernel_log is not None else 0):
            try:
                record = os.read(self._kernel_log, KERNEL_BYTES)  # type: ignore[arg-type]
            except BrokenPipeError:  # records were overwritten before they were read
                continue
            except OSError:  # there are no more
                break
            match = XID.search(record)
            if match is not None and _same_form(*(part.decode() for part in match.groups()[:3])) in self._bus_ids:
                found.append(int(match[4]))
            if not record:
                break
        return found

    def _bus_id(self, handle: Any) -> str | None:
        try:
            told = self._nvml.nvmlDeviceGetPciInfo(handle).busId
        except self._nvml.NVMLError:
            return None
        match = BUS_ID.match(told.decode(errors="replace") if isinstance(told, bytes) else str(told))
        return None if match is None else _same_form(*match.groups())


class GpuLog:
    """The file, of bounded size.

    Attributes:
        every_s: Seconds between two looks.
    """

    def __init__(self, path: Path) -> None:
        """Take the file."""
        self._path, self.every_s = path, EVERY_S

    def write(self, look: dict[str, Any]) -> None:
        """Append a look, and thin the log when it has grown too long."""
        with self._path.open("ab") as file:
            file.write(json.dumps(look).encode() + b"\n")
            size_bytes = file.tell()
        if size_bytes > MOST_BYTES:
            write_atomically(self._path, b"".join(self._path.read_bytes().splitlines(keepends=True)[::-2][::-1]))
            self.every_s *= 2


def _open_at_end(path: Path) -> int | None:
    """Return the kernel's log, opened behind what is in it already; ``None`` where it cannot be read."""
    try:
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(log, 0, os.SEEK_END)
    except OSError:
        return None
    return log


def _same_form(domain: str, bus: str, device: str) -> str:
    """Return a PCI address in one form: NVML's domain has eight digits, the kernel's four."""
    return f"{int(domain, 16):x}:{bus}:{device}".lower()
