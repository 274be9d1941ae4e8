"""Print what is wrong with this machine's NVIDIA driver and GPUs, as one JSON object: ``probe_gpu.py SETTINGS``.

Standard library only, Python 3.8 or newer: it runs before anything is downloaded. ``nvidia-smi`` shows what the driver
shows; then the GPU has to do something through the driver's own CUDA library, because rented machines come up with
GPUs that are shown and dead (error 802).
"""

# ruff: noqa: UP006, UP035 - as Python 3.8 has them
from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from typing import Any, Dict, List, Tuple

FIELDS = ("name", "driver_version", "compute_cap", "memory.total")
TIMEOUT_S = 120
SLICE_BYTES = 1 << 20


def main() -> int:
    """Print the answer; a broken GPU is an answer too."""
    settings = json.loads(sys.argv[1])
    gpus, problem = ask_smi(settings["smi"])
    problem = problem or compare(gpus, settings)
    if not problem and settings["libcuda"]:
        problem = ask_in_child(settings["libcuda"], len(gpus))
    print(json.dumps({"gpus": gpus, "problem": problem}))
    return 0


def ask_smi(program: str) -> Tuple[List[Dict[str, str]], str]:
    """Return the GPUs that the driver shows, or what is wrong with it."""
    command = [program, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError:
        return [], "there is no NVIDIA driver (nvidia-smi is missing)"
    except (OSError, subprocess.TimeoutExpired) as err:
        return [], f"dead GPU: nvidia-smi gives no answer ({err})"
    said = (done.stdout.strip() or done.stderr.strip()).replace("\n", " ")[:300]
    if done.returncode != 0:
        return [], f"the NVIDIA driver does not work: nvidia-smi ended with {done.returncode}: {said}"
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    if any(len(row) != len(FIELDS) for row in rows):
        return [], f"the NVIDIA driver does not work: nvidia-smi says {said}"
    return [dict(zip(FIELDS, row)) for row in rows], ""  # noqa: B905 - Python 3.8; the lengths were compared


def compare(gpus: List[Dict[str, str]], settings: Dict[str, Any]) -> str:
    """Return the mismatches with the lock."""
    if len(gpus) < settings["gpus_min"]:
        return f"the driver shows {len(gpus)} GPUs, {settings['gpus_min']} are needed"
    wants = f"torch {settings['torch']} with CUDA {settings['cuda']}"
    for gpu in gpus:
        if numbers(gpu["driver_version"]) < numbers(settings["driver_min"]):
            return (
                f"the NVIDIA driver {gpu['driver_version']} is too old; {wants} needs {settings['driver_min']} or newer"
            )
        if numbers(gpu["compute_cap"]) < numbers(settings["compute_capability_min"]):
            return (
                f"the GPU {gpu['name']} is too old (compute capability {gpu['compute_cap']}); "
                f"{wants} needs {settings['compute_capability_min']} or newer"
            )
    return ""


def numbers(version: str) -> List[int]:
    """Return a version as numbers that compare; what is no number counts as 0."""
    return [int(part) if part.isdecimal() else 0 for part in version.split(".")]


def ask_in_child(libcuda: str, count: int) -> str:
    """Ask the GPUs in a process of its own: a dead one may hang or crash whoever asks."""
    code = f"import sys; sys.path.insert(0, {sys.path[0]!r}); import probe_gpu as p; "
    code += f"print(p.ask_gpus(p.ctypes.CDLL({libcuda!r}), {count}))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"dead GPU: no answer in {TIMEOUT_S} s"
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return f"dead GPU: {words[-1][:300]}"
    return done.stdout.strip()


def ask_gpus(cuda: Any, count: int) -> str:
    """Make every GPU take memory, write it and read it back. Returns what went wrong, or nothing."""
    problem = failed(cuda, "cuInit", 0)
    found = ctypes.c_int(0)
    problem = problem or failed(cuda, "cuDeviceGetCount", ctypes.byref(found))
    if not problem and found.value < count:
        problem = f"dead GPU: nvidia-smi shows {count} GPUs, CUDA finds {found.value}"
    for index in range(found.value):
        problem = problem or ask_gpu(cuda, index)
    return problem


def ask_gpu(cuda: Any, index: int) -> str:
    """Return the faults of one GPU."""
    device, context = ctypes.c_int(0), ctypes.c_void_p(0)
    memory, back = ctypes.c_uint64(0), ctypes.c_uint8(0)
    last = SLICE_BYTES - 1
    return (
        failed(cuda, "cuDeviceGet", ctypes.byref(device), index)
        or failed(cuda, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        or failed(cuda, "cuCtxSetCurrent", context)
        or failed(cuda, "cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(SLICE_BYTES))
        or failed(cuda, "cuMemsetD8_v2", memory, ctypes.c_uint8(0x5A), ctypes.c_size_t(SLICE_BYTES))
        or failed(cuda, "cuMemcpyDtoH_v2", ctypes.byref(back), ctypes.c_uint64(memory.value + last), ctypes.c_size_t(1))
        or failed(cuda, "cuMemFree_v2", memory)
        or ("" if back.value == 0x5A else f"dead GPU: GPU {index} gave back {back.value:#x} where 0x5a was written")
    )


def failed(cuda: Any, name: str, *arguments: Any) -> str:
    """Call one function of the driver. Returns what went wrong, or nothing."""
    code = getattr(cuda, name)(*arguments)
    if code == 0:
        return ""
    text = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(text))
    return f"dead GPU: {name} gives error {code} ({(text.value or b'unknown').decode(errors='replace')})"


if __name__ == "__main__":
    sys.exit(main())
