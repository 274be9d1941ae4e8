"""The adapter merged into its base model: one plain model that needs no PEFT.

The update was learned on top of the 4-bit weights, so it is merged into *these*, dequantised. Merged into the original
weights the same adapter can lose what it learned (8 of 8 answers in the right form against 2 of 8 in the lab); merged
into 4-bit weights, which are then rounded again, it loses all of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from trainer.base_model.load import base_kind, load_base, resolve_device
from trainer.config.recipe import Recipe
from trainer.errors import AcceptanceError
from trainer.export.checksums import write_checksums

MERGED_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


def merge_adapter(recipe: Recipe, adapter_folder: Path, folder: Path, *, location: str) -> None:
    """Write the merged model, its tokenizer and checksums to ``folder``.

    The sum is made in float32 and rounded once, to ``artifacts.merged_dtype``.

    Args:
        recipe: The recipe the adapter was trained with.
        adapter_folder: The adapter as exported.
        folder: Where to write; what it held before is removed.
        location: The base model, as ``prepare_base_model`` gives it.

    Raises:
        AcceptanceError: If there is not enough memory for the dequantised model, or a merged weight is not finite.
    """
    from peft import PeftModel

    base: Any = load_base(recipe, location, quantised=recipe.model.load_in_4bit)
    _require_memory(base, recipe)
    if base_kind(base) != "unquantised":
        base = base.dequantize()
        _forget_packed_format(base)
    base = base.to(torch.float32)
    try:
        merged = PeftModel.from_pretrained(base, str(adapter_folder)).merge_and_unload(safe_merge=True)
    except ValueError as err:
        raise AcceptanceError(
            f"merge: {str(err).splitlines()[0]}",
            details=str(err),
            resolution="use the adapter unmerged, or train it again with `make train`",
        ) from err
    merged = merged.to(MERGED_DTYPES[recipe.artifacts.merged_dtype])
    shutil.rmtree(folder, ignore_errors=True)
    merged.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (adapter_folder / name).is_file():
            shutil.copyfile(adapter_folder / name, folder / name)
    write_checksums(folder)


def _forget_packed_format(base: Any) -> None:
    """Keep transformers from writing the weights of a base that came in 4 bits as it read them, which it can't."""
    from transformers.integrations.bitsandbytes import Bnb4bitDeserialize

    read = getattr(base, "_weight_conversions", None)
    if read is not None:
        base._weight_conversions = [
            one
            for one in read
            if not any(isinstance(step, Bnb4bitDeserialize) for step in getattr(one, "operations", ()))
        ]


def weight_count(model: torch.nn.Module) -> int:
    """Count the weights of a model; a packed 4-bit weight counts as what it unpacks to."""
    total = 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        total += parameter.numel() if state is None else int(torch.Size(state.shape).numel())
    return total


def free_memory_bytes(device: torch.device) -> int:
    """Return the memory that a model can still be loaded into."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _require_memory(base: torch.nn.Module, recipe: Recipe) -> None:
    needed, free = weight_count(base) * 4, free_memory_bytes(resolve_device(recipe.run))
    if needed > free:
        raise AcceptanceError(
            f"merge: the dequantised base model needs {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free",
            resolution="set `merged_model: false`, or merge on a machine with more memory",
        )
