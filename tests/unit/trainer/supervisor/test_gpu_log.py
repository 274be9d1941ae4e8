"""The log of the GPUs over a stub of NVML: what is in it, whatever the driver says or refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from trainer.supervisor import gpu_log as module
from trainer.supervisor.gpu_log import EVERY_S, LOG, GpuLog, Gpus, keep_logging, load_nvml

NOWHERE = Path("/nowhere/kmsg")


class StubError(Exception):
    """What the binding raises."""


class Nvml(ModuleType):
    """Two GPUs; each answer can be replaced, and ``refuse`` makes one an error."""

    NVMLError = StubError
    NVML_TEMPERATURE_GPU, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 0, 1, 0
    nvmlEventTypeXidCriticalError = 8  # noqa: N815 - the binding's name

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.xids: list[int] = []
        self.nvmlInit = lambda: None
        self.nvmlDeviceGetCount: Callable[[], Any] = lambda: 2
        self.nvmlDeviceGetHandleByIndex = lambda index: index
        self.nvmlDeviceGetUtilizationRates: Callable[[int], Any] = lambda gpu: SimpleNamespace(gpu=97 - gpu)
        self.nvmlDeviceGetMemoryInfo = lambda gpu: SimpleNamespace(used=(3 - gpu) << 30)
        self.nvmlDeviceGetTemperature: Callable[[int, int], Any] = lambda gpu, sensor: 61
        self.nvmlDeviceGetPowerUsage: Callable[[int], Any] = lambda gpu: 250_049
        self.nvmlDeviceGetTotalEccErrors = lambda gpu, kind, counter: 0
        self.nvmlDeviceGetPciInfo = lambda gpu: SimpleNamespace(busId=f"00000000:0{gpu}:1F.0")
        self.nvmlEventSetCreate = lambda: "events"
        self.nvmlDeviceRegisterEvents = lambda gpu, kinds, events: None

    def nvmlEventSetWait_v2(self, events: str, timeout_ms: int) -> Any:  # noqa: N802 - the binding's name
        if not self.xids:
            raise StubError("timeout")
        return SimpleNamespace(eventData=self.xids.pop(0))

    def refuse(self, name: str) -> None:
        def refused(*_: object) -> None:
            raise StubError(name)

        setattr(self, name, refused)


@pytest.fixture
def nvml() -> Nvml:
    return Nvml()


def first_gpu(nvml: Nvml) -> dict[str, Any]:
    return dict(Gpus(nvml, NOWHERE).look()["gpus"][0])


def test_a_look_has_every_gpu(nvml: Nvml) -> None:
    look = Gpus(nvml, NOWHERE).look()

    shared = {"temperature_c": 61, "power_w": 250.0, "ecc_errors": 0}
    assert look["gpus"] == [
        {"utilisation_percent": 97, "memory_gib": 3.0, **shared},
        {"utilisation_percent": 96, "memory_gib": 2.0, **shared},
    ]
    assert look["xids"] == []


def test_what_a_gpu_does_not_tell_is_null(nvml: Nvml) -> None:
    for name in ("UtilizationRates", "MemoryInfo", "Temperature", "PowerUsage", "TotalEccErrors"):
        nvml.refuse(f"nvmlDeviceGet{name}")

    assert set(first_gpu(nvml).values()) == {None}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 1e300, "61", None])
def test_a_number_that_can_be_none_is_null(nvml: Nvml, value: Any) -> None:
    nvml.nvmlDeviceGetTemperature = lambda gpu, sensor: value
    nvml.nvmlDeviceGetPowerUsage = lambda gpu: value

    assert (first_gpu(nvml)["temperature_c"], first_gpu(nvml)["power_w"]) == (None, None)


def test_a_gpu_that_is_not_there_is_left_out(nvml: Nvml) -> None:
    def handle(index: int) -> int:
        if index == 0:
            raise StubError("lost")
        return index

    nvml.nvmlDeviceGetHandleByIndex = handle

    assert len(Gpus(nvml, NOWHERE).look()["gpus"]) == 1


def test_a_driver_that_counts_without_end_is_not_believed(nvml: Nvml) -> None:
    nvml.nvmlDeviceGetCount = lambda: 10**9

    assert Gpus(nvml, NOWHERE).count == module.MOST_GPUS


def test_xids_are_those_since_the_beginning_each_once(nvml: Nvml) -> None:
    gpus = Gpus(nvml, NOWHERE)

    nvml.xids = [79, 79]
    assert gpus.look()["xids"] == [79]
    nvml.xids = [13]
    assert [gpus.look()["xids"] for _ in range(2)] == [[79, 13], [79, 13]]


def test_xids_without_end_are_cut(nvml: Nvml) -> None:
    gpus = Gpus(nvml, NOWHERE)
    nvml.xids = list(range(1000))

    assert [len(gpus.look()["xids"]) for _ in range(2)] == [module.MOST_XIDS, module.MOST_XIDS]


@pytest.mark.parametrize("refused", ["nvmlEventSetCreate", "nvmlDeviceRegisterEvents"])
def test_xids_that_nobody_tells_are_null(nvml: Nvml, refused: str) -> None:
    nvml.refuse(refused)

    assert Gpus(nvml, NOWHERE).look()["xids"] is None


def test_where_nvml_tells_no_xid_the_kernel_does_and_neighbours_are_left_out(nvml: Nvml, tmp_path: Path) -> None:
    """A file is no log of the kernel's, which gives a record at a time: here one look reads one record."""
    nvml.refuse("nvmlDeviceRegisterEvents")
    log = tmp_path / "kmsg"
    log.write_bytes(b"3,1,1,-;NVRM: Xid (PCI:0000:01:1f): 31, before the run\n")
    gpus = Gpus(nvml, log)

    with log.open("ab") as file:
        file.write(b"3,2,2,-;NVRM: Xid (PCI:0000:07:00): 48, a neighbour's\n")
    assert gpus.look()["xids"] == []
    with log.open("ab") as file:
        file.write(b"3,3,3,-;NVRM: Xid (PCI:0000:01:1f): 79, pid=7, GPU has fallen off the bus.\n")
    assert gpus.look()["xids"] == [79]


def test_a_log_that_has_grown_too_long_is_thinned_and_keeps_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 200)
    log = GpuLog(tmp_path / LOG)

    for count in range(400):
        log.write({"count": count})

    kept = [json.loads(line)["count"] for line in (tmp_path / LOG).read_bytes().splitlines()]
    assert kept[-1] == 399
    assert kept == sorted(kept)
    assert (tmp_path / LOG).stat().st_size <= 200
    assert log.every_s > EVERY_S


def test_it_writes_until_the_trainer_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvml: Nvml) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(module, "step_aside", lambda: None)
    waits: list[float] = []

    def is_over(wait_s: float) -> bool:
        waits.append(wait_s)
        return len(waits) == 3

    keep_logging(tmp_path, is_over=is_over)

    assert waits == [EVERY_S] * 3
    assert len((tmp_path / LOG).read_bytes().splitlines()) == 3


def test_a_disk_without_room_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvml: Nvml) -> None:
    def full(self: GpuLog, look: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(module, "step_aside", lambda: None)
    monkeypatch.setattr(GpuLog, "write", full)

    keep_logging(tmp_path, is_over=lambda _: True)


def test_without_a_driver_or_a_binding_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch, nvml: Nvml) -> None:
    nvml.refuse("nvmlInit")
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert load_nvml() is None

    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert load_nvml() is None


def test_a_machine_without_gpus_has_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nvml: Nvml) -> None:
    nvml.nvmlDeviceGetCount = lambda: 0
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(module, "step_aside", lambda: None)

    keep_logging(tmp_path, is_over=lambda _: pytest.fail("it waits for nothing"))

    assert not (tmp_path / LOG).exists()
