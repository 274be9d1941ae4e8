"""The adapter folder: what is in it, how it is written, and what can be wrong with it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from safetensors import SafetensorError, safe_open

from trainer.base_model.origin import without_paths
from trainer.config.recipe import Recipe, to_mapping
from trainer.config.values import ALL_LINEAR
from trainer.export.checksums import CHECKSUMS, checksum_problems, write_checksums
from trainer.files import write_atomically, write_json

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from trainer.base_model.origin import Origin
    from trainer.base_model.tokenization import BaseModelFacts

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TRAINED_FILES = (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "training_config.yaml",
    "metrics.json",
    "manifest.json",
)
"""Files that training leaves; acceptance needs all of them."""
EXPECTED_FILES = (*TRAINED_FILES, "acceptance.json", "README.md", CHECKSUMS)
"""Files of a finished adapter folder."""
MACHINE_KEYS = ("is_local", "local_files_only")
"""Keys that transformers writes into tokenizer_config.json and that say only how the tokenizer was loaded here."""
KEY_PREFIX = "base_model.model."
LORA_PARTS = ("lora_A", "lora_B")


def export_adapter(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    facts: BaseModelFacts,
    origin: Origin,
    folder: Path,
    *,
    manifest: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> None:
    """Write the adapter as trained, with all that is needed to use it and to train it again.

    Args:
        model: The trained adapter on its base; only the adapter is written.
        tokenizer: The base model's tokenizer.
        recipe: The resolved recipe; written as ``training_config.yaml``.
        facts: The base model's facts; tokenizer and chat template are theirs.
        origin: What the base model is called.
        folder: Where to write; what it held before is removed.
        manifest: What the adapter was made from.
        metrics: What training measured; acceptance adds its own part.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty card; ours is written after acceptance
    _name_base(folder, origin)
    save_tokenizer(tokenizer, facts, folder)
    recipe_text = yaml.safe_dump(_portable(recipe, origin), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "training_config.yaml", recipe_text.encode())
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "manifest.json", manifest)
    write_checksums(folder)


def _name_base(folder: Path, origin: Origin) -> None:
    """Let PEFT's configuration name the base model as everybody knows it, not where it lay here."""
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, config | {"base_model_name_or_path": origin.name, "revision": origin.revision})


def _portable(recipe: Recipe, origin: Origin) -> dict[str, Any]:
    """Return the recipe as another machine can use it: no path of this one, the commit that was trained on."""
    values = to_mapping(recipe)
    if origin.revision is not None:
        values["model"]["revision"] = origin.revision
    return values | {name: without_paths(values[name]) for name in ("model", "data")}


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, facts: BaseModelFacts, folder: Path) -> None:
    """Write the tokenizer and the chat template the samples were encoded with, without traces of this machine."""
    tokenizer.save_pretrained(folder)
    write_atomically(folder / "tokenizer.json", facts.tokenizer.to_str(pretty=True).encode())
    write_atomically(folder / "chat_template.jinja", facts.chat_template.encode())
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {key: value for key, value in config.items() if key not in MACHINE_KEYS})


def verify_adapter_folder(folder: Path, *, expected: tuple[str, ...] = EXPECTED_FILES) -> list[str]:
    """Return the faults of an adapter folder, one line each; nothing when it is complete.

    The base model is not needed; ``tensor_problems`` compares the tensors with it.
    """
    return [*missing_files(folder, expected), *checksum_problems(folder), *weight_problems(folder)]


def missing_files(folder: Path, expected: tuple[str, ...] = EXPECTED_FILES) -> list[str]:
    """Name the expected files that are missing or empty."""
    absent = [name for name in expected if not (folder / name).is_file()]
    empty = [name for name in expected if name not in absent and (folder / name).stat().st_size == 0]
    return [f"{name} is missing" for name in absent] + [f"{name} is empty" for name in empty]


def weight_problems(folder: Path) -> list[str]:
    """Return the faults of the adapter's tensors: unreadable, not a number, or without effect."""
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        tensors = read_tensors(folder)
    except (OSError, ValueError, SafetensorError) as err:
        return [f"the adapter cannot be read: {err}"]
    if not isinstance(config, dict) or not isinstance(config.get("r"), int):
        return [f"{ADAPTER_CONFIG} does not describe a LoRA adapter"]
    if not tensors:
        return [f"{ADAPTER_WEIGHTS} holds no tensor"]
    foreign = sorted(key for key in tensors if not _is_lora_key(key))
    not_finite = sorted(key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all()))
    updates = [tensor for key, tensor in tensors.items() if ".lora_B." in key]
    without_effect = bool(updates) and all(not bool(tensor.any()) for tensor in updates)
    return [
        *_unless_empty("tensors that PEFT would pass over in silence", foreign),
        *_unless_empty("tensors with NaN or infinity", not_finite),
        *(["every lora_B tensor is zero: the adapter changes nothing"] if without_effect else []),
    ]


def _is_lora_key(key: str) -> bool:
    return key.startswith(KEY_PREFIX) and any(key.endswith(f".{part}.weight") for part in LORA_PARTS)


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of ``adapter_model.safetensors``."""
    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)


def tensor_problems(folder: Path, base: torch.nn.Module, recipe: Recipe) -> list[str]:
    """Compare the adapter's tensors with the layers of the base model that the recipe targets.

    PEFT loads what fits and only warns of the rest, so that half an adapter loads without an error.
    """
    expected = expected_shapes(base, recipe)
    if not expected:
        return ["the base model has no layer that adapter.lora_target_modules names"]
    found = {key: tuple(tensor.shape) for key, tensor in read_tensors(folder).items()}
    wrong_shape = [
        f"{key} is {found[key]}, not {shape}" for key, shape in expected.items() if key in found and found[key] != shape
    ]
    return [
        *_unless_empty("missing tensors", sorted(expected.keys() - found.keys())),
        *_unless_empty("unexpected tensors", sorted(found.keys() - expected.keys())),
        *_unless_empty("tensors of another shape", wrong_shape),
    ]


def expected_shapes(base: torch.nn.Module, recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Return name and shape of every tensor that an adapter of this recipe on this base holds."""
    rank = recipe.adapter.lora_r
    shapes: dict[str, tuple[int, int]] = {}
    for name, (inputs, outputs) in _targeted_layers(base, recipe.adapter.lora_target_modules).items():
        shapes[f"{KEY_PREFIX}{name}.lora_A.weight"] = (rank, inputs)
        shapes[f"{KEY_PREFIX}{name}.lora_B.weight"] = (outputs, rank)
    return shapes


def _targeted_layers(base: Any, targets: str | list[str]) -> dict[str, tuple[int, int]]:
    from transformers.pytorch_utils import Conv1D

    head = base.get_output_embeddings()
    layers: dict[str, tuple[int, int]] = {}
    for name, module in base.named_modules():
        chosen = module is not head if targets == ALL_LINEAR else _takes(targets, name)
        if chosen and isinstance(module, torch.nn.Linear):
            layers[name] = (module.in_features, module.out_features)
        elif chosen and isinstance(module, Conv1D):
            layers[name] = (module.nx, module.nf)
    return layers


def _takes(targets: str | list[str], name: str) -> bool:
    """Return whether PEFT takes a layer: an expression matches its whole path, a name is it or the end of it."""
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _unless_empty(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [f"{len(names)} {what}: {shown}"]
