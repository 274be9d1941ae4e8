"""What can be trained on a kind of GPU: whether PyTorch computes there, in which number format, and how sure that is.

Turing and older have no bfloat16 in hardware. PyTorch for CUDA 13 has no code for what is older than Turing, and its
build for CUDA 12 has never been tried there: no run starts on one.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.cloud_api.models import Offer
from runner.errors import UsageError
from runner.planning.estimate.gpu_specs import BF16_CAPABILITY, GpuSpec, gpu_of_machine
from runner.run.run_file import RunFile

LEAST_CAPABILITY = 7.5
"""PyTorch's wheels for CUDA 13 begin with Turing: the role ``nvidia_driver`` has the source."""
NEWER = "take machines with a newer NVIDIA GPU: set compute.instance_types, or leave it out"
OTHER_FORMAT = f"set model.dtype to auto, or {NEWER}"


def why_out(offer: Offer, run_file: RunFile) -> str:
    """Return why nothing can be trained on a machine's GPU; nothing where something can, or where that is not known.

    Args:
        offer: The machine.
        run_file: The run; one that asks for no GPU is not kept out by one.
    """
    gpu = _gpu_of(offer)
    if not run_file.compute.gpu_required or gpu is None:
        return ""
    if gpu.compute_capability is None:
        return f"{offer.gpu_name} is no NVIDIA GPU, and PyTorch with CUDA is what Douse installs"
    return why_too_old(offer.gpu_name, float(gpu.compute_capability), run_file)


def why_too_old(name: str, capability: float, run_file: RunFile) -> str:
    """Return why a GPU is too old for a run; nothing where it is not.

    Args:
        name: What the GPU is called.
        capability: Its compute capability.
        run_file: The run.
    """
    if capability < LEAST_CAPABILITY:
        return f"{name} has compute capability {capability:g}, Douse needs {LEAST_CAPABILITY:g} (Turing) or newer"
    if capability < BF16_CAPABILITY and run_file.model.dtype == "bfloat16":
        return f"{name} does not compute in bfloat16, and model.dtype is bfloat16"
    return ""


def way_out(reason: str) -> str:
    """Return what to do about a reason of ``why_out`` or ``why_too_old``."""
    return OTHER_FORMAT if "model.dtype" in reason else NEWER


def check_named(offers: Sequence[Offer], run_file: RunFile) -> None:
    """Refuse a run if nothing can be trained on any of the machines that it names.

    Args:
        offers: The available machines.
        run_file: The run.

    Raises:
        UsageError: With the reason of each.
    """
    named = [offer for offer in offers if offer.instance_type in run_file.compute.instance_types]
    reasons = {offer.instance_type: why_out(offer, run_file) for offer in named}
    if reasons and all(reasons.values()):
        words = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise UsageError(f"plan: {words}", resolution=way_out(words))


def is_uncertain(offer: Offer, run_file: RunFile) -> bool:
    """Return whether a machine is tried after all others: no bfloat16 in hardware, or no source for its speed.

    Args:
        offer: The machine.
        run_file: The run; for one that asks for no GPU none is uncertain.
    """
    gpu = _gpu_of(offer)
    return run_file.compute.gpu_required and (gpu is None or gpu.bf16_tflops is None)


def _gpu_of(offer: Offer) -> GpuSpec | None:
    return gpu_of_machine(offer.instance_type, offer.gpu_name, offer.gpu_memory_gib)
