"""Print what this machine is and whether the trainer's modules can be imported, as one JSON object.

Runs on the machine, with the trainer's Python: ``host_facts.py PREFIX MODULE...``. On a machine with an NVIDIA GPU it
computes there, a matrix product and a 4-bit layer of bitsandbytes, and compares with the same on the processor.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

TOLERANCE = 0.02
"""How far two results may be apart, relative to their size: the GPU computes in bfloat16 or TF32."""
SIZE = 256


def main() -> int:
    """Print the facts."""
    prefix, modules = sys.argv[1], sys.argv[2:]
    versions, broken = {}, {}
    for name in modules:
        try:
            importlib.import_module(name)
            versions[name] = metadata.version(name)
        except Exception as err:  # noqa: BLE001 - a broken build raises anything; the playbook reports it
            broken[name] = f"{type(err).__name__}: {err}"[:300]
    environment = read_environment(Path(prefix))
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "memory_gib": memory_gib(),
        "disk_free_gib": round(shutil.disk_usage(prefix).free / 2**30, 1),
        "nvidia_gpus": ask_nvidia("name"),
        "nvidia_driver": next(iter(ask_nvidia("driver_version")), None),
        **gpu_facts(),
        "versions": versions,
        "broken_modules": broken,
        "environment_digest": environment.get("digest"),
        "environment_lock_sha256": environment.get("lock_sha256"),
        "environment_packages": environment.get("packages", []),
    }
    print(json.dumps(facts))
    return 0


def read_environment(prefix: Path) -> dict[str, Any]:
    """Return the notes of the role python_env on the environment."""
    try:
        found = json.loads((prefix / "setup" / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def memory_gib() -> float | None:
    """Return the memory of the machine."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def ask_nvidia(field: str) -> list[str]:
    """Return one value for each GPU that the driver shows."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    answer = subprocess.run(
        [program, f"--query-gpu={field}", "--format=csv,noheader"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def gpu_facts() -> dict[str, Any]:
    """Return the device torch computes on here, for which CUDA it was built, and whether the GPU computes right."""
    torch = sys.modules.get("torch")
    facts: dict[str, Any] = {"device": "none", "cuda": None, "gpu_problem": None, "gpu_checks": {}}
    facts["triton_problem"] = None
    if torch is None:
        return facts
    facts["cuda"] = torch.version.cuda
    try:
        if torch.cuda.is_available():
            facts["device"] = "cuda"
            facts["gpu_checks"] = compute("cuda")
        else:
            facts["device"] = "mps" if torch.backends.mps.is_available() else "cpu"
            if facts["cuda"] and ask_nvidia("name"):
                torch.zeros(1, device="cuda")  # it says why
    except Exception as err:  # noqa: BLE001 - a dead GPU raises anything; the playbook reports it
        facts["gpu_problem"] = f"{type(err).__name__}: {' '.join(str(err).split())}"[:300]
        return facts
    facts["triton_problem"] = triton_problem()
    wrong = {name: error for name, error in facts["gpu_checks"].items() if not error <= TOLERANCE}
    if wrong:
        facts["gpu_problem"] = f"its results are wrong by {wrong} where {TOLERANCE} is allowed"
    return facts


def triton_problem() -> str | None:
    """Return why Triton cannot compile its kernels for this machine's GPU, as the trainer will find; else ``None``."""
    import torch

    if not torch.cuda.is_available():
        return None
    try:
        from trainer.training.compiling import why_no_triton
    except ImportError:
        return None  # the modules that are missing are reported by themselves
    return why_no_triton(torch.device("cuda"))


def compute(device: str) -> dict[str, float]:
    """Compute on a device and on the processor. Returns how far they are apart, relative to the result's size."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(SIZE, SIZE, generator=generator) for _ in range(2))
    product = (left.to(device) @ right.to(device)).cpu()
    errors = {"matrix_product": distance(product, left @ right)}
    if "bitsandbytes" in sys.modules:
        errors["linear_4bit"] = distance(forward_4bit(left, right, device), reference_4bit(left, right))
    return errors


def forward_4bit(batch: Any, weight: Any, device: str) -> Any:
    """Return the output of a 4-bit layer with this weight on the device, in bfloat16 as training computes."""
    import torch
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(SIZE, SIZE, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    layer.load_state_dict({"weight": weight})
    with torch.no_grad():
        return layer.to(device)(batch.to(device, torch.bfloat16)).float().cpu()


def reference_4bit(batch: Any, weight: Any) -> Any:
    """Return the same on the processor, in float32, by way of the quantized weight."""
    from bitsandbytes import functional

    packed, state = functional.quantize_4bit(weight, quant_type="nf4")
    return batch @ functional.dequantize_4bit(packed, state).T


def distance(found: Any, wanted: Any) -> float:
    """Return the relative difference; what is no number counts as infinitely far."""
    error = float((found - wanted).norm() / wanted.norm())
    return 1e9 if math.isnan(error) else round(error, 6)


if __name__ == "__main__":
    sys.exit(main())
