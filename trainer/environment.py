"""What a run computed with: versions, device, driver. It goes into the manifest, so that a result can be explained."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata

import torch

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "tokenizers")


@dataclass(frozen=True)
class Environment:
    """Software and hardware of one run.

    Attributes:
        python: Version of the interpreter.
        packages: Version of each package in ``PACKAGES``.
        platform: Operating system and processor.
        device: Kind of device computed on: ``cuda``, ``mps`` or ``cpu``.
        device_name: Name of the GPU, or of the processor.
        device_count: Devices used.
        cuda: CUDA version PyTorch was built for, or ``None``.
        cpu_threads: Threads PyTorch computes with.
    """

    python: str
    packages: dict[str, str]
    platform: str
    device: str
    device_name: str
    device_count: int
    cuda: str | None
    cpu_threads: int

    def to_mapping(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return asdict(self)


def use_one_gpu() -> None:
    """Hide all GPUs but the first that may be used; call it before anything asks CUDA.

    The recipe is for one. Shown several, transformers' Trainer copies the model to each (``nn.DataParallel``), which
    4-bit layers are not made for.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ("0" if visible is None else visible).split(",")[0]


def describe_environment(device: torch.device) -> Environment:
    """Return the environment of this process."""
    on_cuda = device.type == "cuda"
    return Environment(
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in PACKAGES},
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
        device=device.type,
        device_name=torch.cuda.get_device_name(device) if on_cuda else _processor_name(),
        device_count=1,
        cuda=torch.version.cuda if on_cuda else None,
        cpu_threads=torch.get_num_threads(),
    )


def memory_peak_gib(device: torch.device) -> float:
    """Return the most memory held so far: of the GPU on CUDA, else of this process, in GiB.

    On CUDA it is what PyTorch's allocator reserved, its gaps included: what the plan predicts, and what has to fit.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**30
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if platform.system() == "Darwin" else 2**20)  # bytes on macOS, KiB elsewhere


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 (not a file of ours)
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
