"""Whether a base model is the one that an adapter was trained on, on whichever machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from trainer.base_model.load import base_fingerprint, resolve_device
from trainer.base_model.origin import find_origin
from trainer.config.recipe import Recipe

HOW_QUANTISED = ("bnb_4bit_quant_type", "bnb_4bit_use_double_quant")


def compare_base(manifest: Mapping[str, Any], recipe: Recipe, location: str, base: torch.nn.Module) -> tuple[bool, str]:
    """Compare a base model with what the manifest of an adapter says; return whether it is the same, and the words.

    The files decide: each kind of device makes other 4-bit blocks of the same weights. Manifests of format 1 know only
    a sum over the weights as they were loaded.

    Args:
        manifest: The adapter's ``manifest.json``.
        recipe: The recipe that acceptance was given.
        location: The folder that ``prepare_base_model`` returned.
        base: The base model, loaded from there.
    """
    is_old = "base_model_files" not in manifest
    trained = str(manifest.get("base_model_sha256"))
    found = base_fingerprint(base) if is_old else find_origin(recipe.model, location).sha256
    same = trained == found
    words = found[:12] if same else f"this base model is {found[:12]}, the adapter was trained on {trained[:12]}"
    device = (manifest.get("environment") or {}).get("device")
    if is_old and not same and device not in (None, resolve_device(recipe.run).type):
        words += f" (4-bit weights made on {device} may differ from those made here)"
    otherwise = [] if is_old else _held_otherwise(manifest.get("quantisation") or {}, recipe)
    return same and not otherwise, "; ".join([words, *otherwise])


def _held_otherwise(trained: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Return how the base model is held in other 4 bits than in training, which its files do not say."""
    model = recipe.model
    here = {name: getattr(model, name) for name in HOW_QUANTISED} if model.load_in_4bit else {}
    names = [name for name in HOW_QUANTISED if trained.get(name) != here.get(name)]
    return [f"model.{name} is {here.get(name)} here, {trained.get(name)} in training" for name in names]
