"""The builds of PyTorch for CUDA that Douse locks, and which of them a driver can run.

The table is the role ``nvidia_driver``'s own (``vars/main.yml``), with the source of each number: the plan and the
machine go by the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from runner.run.run_dir import PROJECT

TABLE = PROJECT / "playbooks" / "roles" / "nvidia_driver" / "vars" / "main.yml"
LOCKS = PROJECT / "requirements"


@dataclass(frozen=True)
class CudaBuild:
    """One lock of the trainer's packages for NVIDIA GPUs.

    Attributes:
        lock: Name of its file in ``requirements``.
        torch: Version of PyTorch.
        cuda: CUDA version that PyTorch is built for.
        driver_min: The least driver.
        machines: Processors that it is built for, as ``uname -m`` calls them.
    """

    lock: str
    torch: str
    cuda: str
    driver_min: str
    machines: tuple[str, ...]

    @property
    def needs(self) -> str:
        """What it is and which driver it takes, in words."""
        return f"torch {self.torch} with CUDA {self.cuda} needs driver {self.driver_min} or newer"

    def to_role(self) -> dict[str, Any]:
        """Return it as the role ``python_env`` takes it."""
        return {
            "path": str(LOCKS / self.lock),
            "driver_min": self.driver_min,
            "machines": list(self.machines),
            "needs": self.needs,
        }


@cache
def cuda_builds() -> tuple[CudaBuild, ...]:
    """Return all builds, the newest first."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["nvidia_driver_compatibility"]
    return tuple(
        CudaBuild(row["lock"], row["torch"], row["cuda"], row["driver_min"], tuple(row["machines"])) for row in rows
    )


def builds_on(machine: str) -> tuple[CudaBuild, ...]:
    """Return the builds for a processor, the newest first.

    Args:
        machine: The processor, as ``uname -m`` calls it.
    """
    return tuple(build for build in cuda_builds() if machine in build.machines)


def build_for(driver: str, machine: str) -> CudaBuild | None:
    """Return the newest build that a driver can run, or ``None`` where it is too old for all.

    Args:
        driver: The driver's version.
        machine: The processor, as ``uname -m`` calls it.
    """
    return next((build for build in builds_on(machine) if _numbers(build.driver_min) <= _numbers(driver)), None)


def _numbers(version: str) -> list[int]:
    """Return a version as numbers that compare; what is no number counts as 0."""
    return [int(part) if part.isdecimal() else 0 for part in version.split(".")]
