"""The NVIDIA GPUs of a machine that is there already, and their driver: can a PyTorch of Douse's compute there?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runner.adapters.machine import LocalMachine, Machine
from runner.errors import RunnerError
from runner.planning.checks.line import Check, failed, from_error, passed, warned
from runner.planning.cuda_builds import build_for, builds_on
from runner.planning.estimate.gpu_specs import find_gpu
from runner.planning.gpu_class import why_too_old
from runner.run.host_words import one_line
from runner.run.run_file import RunFile
from runner.world import World

GPU, GPU_HERE = "gpu there", "gpu here"
ANSWER_S = 60.0
SHOWN = 120
NO_PROGRAM = 127
NUMBER = re.compile(r"\d{1,3}\.\d{1,3}")
FIND_GPUS = """command -v nvidia-smi >/dev/null || exit 127
ask() { nvidia-smi --query-gpu="$1" --format=csv,noheader; }
rows=$(ask name,driver_version,compute_cap) || rows=$(ask name,driver_version)
code=$?
printf '%s\\n' "$rows"
[ $code -eq 0 ] && uname -m
exit $code"""
"""A row for each GPU, then the processor. Drivers before 510 know no ``compute_cap``."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver shows it.

    Attributes:
        name: Its name.
        driver: The driver's version; empty where it does not say.
        capability: Its compute capability, or ``None`` where neither the driver nor the table of GPUs says.
    """

    name: str
    driver: str
    capability: float | None


def check_here(run_file: RunFile, world: World) -> list[Check]:
    """Return the line ``GPU_HERE`` where the run trains on this machine and there is an NVIDIA driver, else none."""
    if run_file.compute.env != "local" or world.find_program("nvidia-smi") is None:
        return []
    try:
        line = check_gpus(run_file, LocalMachine(), GPU_HERE)
    except RunnerError as err:
        line = from_error(GPU_HERE, err)
    return [line]


def check_gpus(run_file: RunFile, machine: Machine, name: str = GPU) -> Check:
    """Look at the GPUs of a machine.

    Args:
        run_file: The run.
        machine: The machine.
        name: What the line is called.
    """
    done = machine.run(["sh", "-c", FIND_GPUS], timeout_s=ANSWER_S)
    if done.exit_code == NO_PROGRAM:
        value = "no NVIDIA driver: it would train on the CPU"
        return warned(name, value, "install the driver there, if it has a GPU, or set compute.driver to install")
    if done.exit_code != 0:
        words = one_line(done.stdout or done.last_words)[:SHOWN] or f"exit status {done.exit_code}"
        if name == GPU_HERE:
            value = f"the NVIDIA driver does not answer: {words}; it would train on the CPU"
            return warned(name, value, "repair it until `nvidia-smi` works, if this machine has a GPU")
        return failed(name, f"the NVIDIA driver does not answer: {words}", "repair it there until `nvidia-smi` works")
    *rows, processor = [one_line(line)[:SHOWN] for line in done.stdout.splitlines() if line.strip()] or [""]
    return judge(run_file, [_gpu(row) for row in rows], processor, name)


def judge(run_file: RunFile, gpus: list[Gpu], processor: str, name: str = GPU) -> Check:
    """Return the line about a machine's GPUs; one that will do is enough, since a run uses one.

    Args:
        run_file: The run.
        gpus: The GPUs.
        processor: The machine's processor, as ``uname -m`` calls it.
        name: What the line is called.
    """
    if not gpus:
        return warned(name, "the NVIDIA driver shows no GPU: it would train on the CPU", "look why with `nvidia-smi`")
    words = ", ".join(dict.fromkeys(gpu.name for gpu in gpus))
    if run_file.run.device == "cpu":
        return passed(name, f"{words}; not used, since run.device is cpu")
    reasons = [why_too_old(gpu.name, gpu.capability, run_file) for gpu in gpus if gpu.capability is not None]
    if len(reasons) == len(gpus) and all(reasons):
        remedy = "set model.dtype to auto" if "model.dtype" in reasons[0] else "set run.device to cpu"
        return failed(name, reasons[0], f"{remedy}, or take a machine with a newer GPU")
    return _driver(run_file, gpus[0].driver, processor, words, name)


def _driver(run_file: RunFile, driver: str, processor: str, words: str, name: str) -> Check:
    builds = builds_on(processor)
    if not driver or not builds:
        return passed(name, words)
    found = build_for(driver, processor)
    if found is not None:
        return passed(name, f"{words}, driver {driver}: torch {found.torch} with CUDA {found.cuda}")
    if run_file.compute.driver == "install":
        return passed(name, f"{words}; driver {driver} is too old, a newer one is installed first")
    least = builds[-1]
    remedy = f"install driver {least.driver_min} or newer there"
    if name == GPU:
        remedy += ", or set compute.driver to install, which does it by apt as root"
    return failed(name, f"{words}: driver {driver} is too old; {least.needs}", remedy)


def _gpu(row: str) -> Gpu:
    name, driver, capability, *_ = [*(part.strip() for part in row.split(",")), "", ""]
    if not NUMBER.fullmatch(capability):
        known = find_gpu(name)
        capability = "" if known is None or known.compute_capability is None else known.compute_capability
    return Gpu(name, driver, float(capability) if capability else None)
