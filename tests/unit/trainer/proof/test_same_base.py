"""Whether a base model is the one that an adapter was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_model import make_tiny_model
from tests.trained_adapter import AdapterCase
from trainer.base_model.load import load_base
from trainer.base_model.origin import find_origin
from trainer.proof.same_base import compare_base


@pytest.fixture(scope="module")
def base(adapter_case: AdapterCase) -> torch.nn.Module:
    return load_base(adapter_case.recipe, adapter_case.recipe.model.base_model, quantised=True)


def manifest_of(case: AdapterCase, **changes: Any) -> dict[str, Any]:
    return json.loads((case.folder / "manifest.json").read_text()) | changes


def test_an_adapter_made_on_a_gpu_is_known_at_home_by_the_files(
    adapter_case: AdapterCase, base: torch.nn.Module
) -> None:
    manifest = manifest_of(adapter_case, environment={"device": "cuda"}, base_model_loaded_sha256="c" * 64)

    same, words = compare_base(manifest, adapter_case.recipe, adapter_case.recipe.model.base_model, base)

    assert (same, words) == (True, manifest["base_model_sha256"][:12])


def test_a_copy_elsewhere_under_another_name_is_the_same_model(
    adapter_case: AdapterCase, base: torch.nn.Module, tmp_path: Path
) -> None:
    copy = make_tiny_model(tmp_path / "another name")

    assert compare_base(manifest_of(adapter_case), adapter_case.recipe, str(copy), base)[0]


def test_other_weights_are_another_model(adapter_case: AdapterCase, base: torch.nn.Module, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "other", seed=1)
    found = find_origin(adapter_case.recipe.model, str(other)).sha256[:12]
    manifest = manifest_of(adapter_case)

    same, words = compare_base(manifest, adapter_case.recipe, str(other), base)

    trained = manifest["base_model_sha256"][:12]
    assert (same, words) == (False, f"this base model is {found}, the adapter was trained on {trained}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bnb_4bit_quant_type": "fp4"}, "model.bnb_4bit_quant_type is fp4 here, nf4 in training"),
        ({"bnb_4bit_use_double_quant": False}, "model.bnb_4bit_use_double_quant is False here, True in training"),
        ({"load_in_4bit": False}, "model.bnb_4bit_quant_type is None here, nf4 in training"),
    ],
)
def test_the_same_files_held_otherwise_are_named(
    adapter_case: AdapterCase, base: torch.nn.Module, changes: dict[str, Any], words: str
) -> None:
    recipe = adapter_case.recipe
    other = recipe.model_copy(update={"model": recipe.model.model_copy(update=changes)})

    same, said = compare_base(manifest_of(adapter_case), other, recipe.model.base_model, base)

    assert not same
    assert words in said


def test_a_manifest_of_format_1_is_compared_by_the_weights_as_they_are_loaded(
    adapter_case: AdapterCase, base: torch.nn.Module
) -> None:
    old = {"format": 1, "base_model_sha256": adapter_case.base_sha256, "environment": {"device": "cpu"}}
    location = adapter_case.recipe.model.base_model

    assert compare_base(old, adapter_case.recipe, location, base) == (True, adapter_case.base_sha256[:12])
    elsewhere = old | {"base_model_sha256": "d" * 64, "environment": {"device": "cuda"}}
    same, words = compare_base(elsewhere, adapter_case.recipe, location, base)
    assert not same
    assert words.endswith("(4-bit weights made on cuda may differ from those made here)")
