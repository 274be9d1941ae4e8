"""Print what this machine is and whether the trainer's modules can be imported, as one JSON object.

Runs on the machine, with the trainer's Python: ``host_facts.py PREFIX MODULE...``.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata


def main() -> int:
    """Print the facts."""
    prefix, modules = sys.argv[1], sys.argv[2:]
    versions, broken = {}, {}
    for name in modules:
        try:
            importlib.import_module(name)
            versions[name] = metadata.version(name)
        except Exception as err:  # noqa: BLE001 - a broken build raises anything; the playbook tells the user
            broken[name] = f"{type(err).__name__}: {err}"[:300]
    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "memory_gib": memory_gib(),
        "disk_free_gib": round(shutil.disk_usage(prefix).free / 2**30, 1),
        "nvidia_gpus": nvidia_gpus(),
        "device": device(),
        "versions": versions,
        "broken_modules": broken,
    }
    print(json.dumps(facts))
    return 0


def memory_gib() -> float | None:
    """Return the memory of the machine."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def nvidia_gpus() -> list[str]:
    """Return the GPUs that the driver shows."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    answer = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=60, check=False
    )
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.returncode == 0 else []


def device() -> str:
    """Return what torch computes on here."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "none"
    if torch.cuda.is_available():
        torch.zeros(1, device="cuda").add_(1).item()  # a dead GPU shows itself only when it has to compute
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
