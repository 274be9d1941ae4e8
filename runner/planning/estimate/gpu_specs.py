"""What each GPU can do by its makers' word, and which GPU a cloud means by a name.

``gpu_specs.csv`` has a row for each; an empty cell is a figure that nobody publishes or that was not found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from runner.errors import UsageError
from runner.prices.tables import table_lines

TABLE = Path(__file__).with_name("gpu_specs.csv")
COLUMNS = (
    "name",
    "aliases",
    "memory_gib",
    "bf16_tflops",
    "fp16_tflops",
    "fp32_tflops",
    "bandwidth_gb_per_s",
    "compute_capability",
    "tdp_watts",
    "as_of",
    "source",
)
NOISE = frozenset(
    {
        "nvidia", "amd", "apple", "geforce", "tesla", "quadro", "instinct", "radeon", "gpu", "generation", "edition",
        "tensor", "core", "oam", "hbm", "hbm2", "hbm2e", "hbm3", "hbm3e", "gddr6", "gddr7", "gb", "gib",
    }
)  # fmt: skip
"""Words that do not distinguish GPUs."""
MEMORY = re.compile(r"(\d+) ?gi?b\b")
COUNT = re.compile(r"\d+x")
SOCKET = re.compile(r"(sxm)\d")
BF16_CAPABILITY = 8.0
"""GPUs from Ampere on compute in bfloat16."""


@dataclass(frozen=True)
class GpuSpec:
    """One kind of GPU.

    Attributes:
        name: The name that Douse uses.
        aliases: Other names of it.
        memory_gib: Memory as it is sold, in GiB; ``None`` where it is the machine's.
        bf16_tflops: Dense bfloat16 matrix products, in 10^12 a second, without sparsity; ``None`` where it has none.
        fp16_tflops: The same in float16, where there is no bfloat16.
        fp32_tflops: Dense float32, in 10^12 a second.
        bandwidth_gb_per_s: Memory bandwidth in 10^9 bytes a second.
        compute_capability: NVIDIA's number of what it can do.
        tdp_watts: The power that it draws at most, in watts.
        as_of: The day the sources were read.
        source: Where the figures are from.
    """

    name: str
    aliases: tuple[str, ...]
    memory_gib: float | None
    bf16_tflops: float | None
    fp16_tflops: float | None
    fp32_tflops: float | None
    bandwidth_gb_per_s: float | None
    compute_capability: str | None
    tdp_watts: float | None
    as_of: date
    source: str

    @property
    def training_tflops(self) -> float | None:
        """Peak of the number format that the trainer takes by itself: bfloat16, else float16, else float32."""
        peaks = (self.bf16_tflops, self.fp16_tflops, self.fp32_tflops)
        return next((peak for peak in peaks if peak is not None), None)


@cache
def find_gpu(name: str, memory_gib: float | None = None) -> GpuSpec | None:
    """Return the GPU that a cloud or a driver calls so, or ``None`` for an unknown one.

    Args:
        name: A name in anybody's spelling: ``NVIDIA A100-SXM4-80GB``, ``gpu_1x_h100_pcie``, ``RTX_4090``.
        memory_gib: Memory of one GPU in GiB, where the name leaves several; without it the smallest is meant.
    """
    in_name = MEMORY.search(_plain(name))
    memory_gib = float(in_name[1]) if in_name else memory_gib
    found = _by_words().get(_words(name), ())
    if not found:
        return None
    if memory_gib is None:
        return min(found, key=lambda spec: spec.memory_gib or 0.0)
    wanted_gib = memory_gib
    return min(found, key=lambda spec: abs((spec.memory_gib or 0.0) - wanted_gib))


def gpu_of_machine(instance_type: str, gpu_name: str, memory_gib: float | None = None) -> GpuSpec | None:
    """Return the GPU of an available machine.

    Some clouds' names of machines say more of the GPU than its own name does (PCIe or SXM), others say nothing of it.
    """
    return find_gpu(instance_type, memory_gib) or find_gpu(gpu_name, memory_gib)


@cache
def gpu_specs(path: Path = TABLE) -> tuple[GpuSpec, ...]:
    """Return every row of the table.

    Raises:
        UsageError: If the table cannot be read, or a row has no source.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_row(line, path, number) for number, line in table_lines(file, path.name, COLUMNS))


def _row(line: dict[str, str], path: Path, number: int) -> GpuSpec:
    try:
        spec = GpuSpec(
            name=line["name"],
            aliases=tuple(alias for alias in line["aliases"].split(";") if alias),
            memory_gib=_figure(line["memory_gib"]),
            bf16_tflops=_figure(line["bf16_tflops"]),
            fp16_tflops=_figure(line["fp16_tflops"]),
            fp32_tflops=_figure(line["fp32_tflops"]),
            bandwidth_gb_per_s=_figure(line["bandwidth_gb_per_s"]),
            compute_capability=line["compute_capability"] or None,
            tdp_watts=_figure(line["tdp_watts"]),
            as_of=date.fromisoformat(line["as_of"]),
            source=line["source"],
        )
    except (AttributeError, TypeError, ValueError) as err:
        raise UsageError(
            f"plan: line {number} of {path.name} cannot be read",
            details=str(err),
            resolution=f"restore the file: `git checkout {path}`",
        ) from err
    if not spec.name or not spec.source:
        raise UsageError(
            f"plan: line {number} of {path.name} has no name or no source",
            resolution="give the row a source (docs/prices.md), or delete it",
        )
    return spec


def _figure(cell: str) -> float | None:
    if not cell:
        return None
    value = float(cell)
    if not value > 0:
        raise ValueError(f"{cell} is not above 0")
    return value


@cache
def _by_words() -> dict[frozenset[str], tuple[GpuSpec, ...]]:
    found: dict[frozenset[str], tuple[GpuSpec, ...]] = {}
    for spec in gpu_specs():
        for words in dict.fromkeys(_words(name) for name in (spec.name, *spec.aliases)):
            found[words] = (*found.get(words, ()), spec)
    return found


def _words(name: str) -> frozenset[str]:
    """Return the words that distinguish this GPU, in no order; the memory is compared separately."""
    plain = MEMORY.sub(" ", _plain(name))
    words = {SOCKET.sub(r"\1", word) for word in plain.split()}
    return frozenset(word for word in words if word not in NOISE and not COUNT.fullmatch(word))


def _plain(name: str) -> str:
    """Return a name in small letters, its parts apart: ``RTX_6000Ada`` is ``rtx 6000 ada``."""
    spaced = re.sub(r"[^a-z0-9]+", " ", name.lower())
    return re.sub(r"\b(\d+)(ada|super|ti)\b", r"\1 \2", spaced).strip()
