"""The GPU machines that an AWS account on paper can rent, as EC2 describes them: those that the meters know."""

from __future__ import annotations

from typing import Any

from runner.clouds.aws.emulator.seed import PRICES_USD_PER_H

_GPUS = {
    "g4dn.xlarge": ("T4", 1, 16384, 16384),
    "g4dn.2xlarge": ("T4", 1, 16384, 32768),
    "g5.xlarge": ("A10G", 1, 24576, 16384),
    "g5.2xlarge": ("A10G", 1, 24576, 32768),
    "g6.xlarge": ("L4", 1, 22888, 16384),
    "g6.2xlarge": ("L4", 1, 22888, 32768),
    "g6e.xlarge": ("L40S", 1, 45776, 32768),
    "g6e.2xlarge": ("L40S", 1, 45776, 65536),
    "p4d.24xlarge": ("A100", 8, 40960, 1179648),
    "p5.48xlarge": ("H100", 8, 81920, 2097152),
}
"""Name and number of the GPUs, the memory of each and the machine's own, in MiB: as EC2 describes them."""


def instance_types() -> list[dict[str, Any]]:
    """Return the machines as ``DescribeInstanceTypes`` does, as far as our client reads it."""
    return [_described(name) for name in PRICES_USD_PER_H if name in _GPUS]


def _described(name: str) -> dict[str, Any]:
    gpu, count, gpu_mib, mib = _GPUS[name]
    return {
        "InstanceType": name,
        "BareMetal": False,
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "MemoryInfo": {"SizeInMiB": mib},
        "GpuInfo": {
            "Gpus": [{"Name": gpu, "Manufacturer": "NVIDIA", "Count": count, "MemoryInfo": {"SizeInMiB": gpu_mib}}],
        },
    }
