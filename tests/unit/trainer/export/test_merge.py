from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import trainer.export.merge
from tests.trained_adapter import AdapterCase, train_tiny_adapter
from trainer.base_model.load import load_base
from trainer.errors import AcceptanceError
from trainer.export.adapter_folder import ADAPTER_WEIGHTS
from trainer.export.checksums import checksum_problems
from trainer.export.merge import merge_adapter, weight_count
from trainer.proof.evaluation import Evaluation, eval_loss
from trainer.proof.merged import merged_problems


@pytest.fixture(scope="module")
def merged(adapter_case: AdapterCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merge") / "merged"
    merge_adapter(adapter_case.recipe, adapter_case.folder, folder, location=adapter_case.recipe.model.base_model)
    return folder


def test_merged_model_is_plain_and_whole(merged: Path) -> None:
    config = json.loads((merged / "config.json").read_text())

    assert "quantization_config" not in config
    assert checksum_problems(merged) == []
    assert {tensor.dtype for tensor in load_file(merged / "model.safetensors").values()} == {torch.bfloat16}
    assert AutoTokenizer.from_pretrained(merged).chat_template is not None


def test_merged_model_equals_the_adapter_on_the_4bit_base_and_not_the_one_on_the_original(
    adapter_case: AdapterCase, merged: Path
) -> None:
    from peft import PeftModel

    case = adapter_case
    losses = []
    for quantised in (True, False):
        base = load_base(case.recipe, case.recipe.model.base_model, quantised=quantised)
        losses.append(_loss(PeftModel.from_pretrained(base, str(case.folder)), case))
    merged_loss = _loss(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32), case)

    on_4bit, on_original = losses
    assert merged_loss == pytest.approx(on_4bit, abs=2e-3)
    assert abs(on_original - on_4bit) > 5e-3  # else this test could not tell the two bases apart


def test_merged_dtype_is_the_recipe_s(adapter_case: AdapterCase, tmp_path: Path) -> None:
    artifacts = adapter_case.recipe.artifacts.model_copy(update={"merged_dtype": "float32"})
    recipe = adapter_case.recipe.model_copy(update={"artifacts": artifacts})

    merge_adapter(recipe, adapter_case.folder, tmp_path / "merged", location=recipe.model.base_model)

    tensors = load_file(tmp_path / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_a_base_that_was_not_quantised_is_merged_directly(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    case = train_tiny_adapter(tiny_model, tiny_dataset, tmp_path / "adapter", load_in_4bit=False)

    merge_adapter(case.recipe, case.folder, tmp_path / "merged", location=str(tiny_model))

    original = load_file(tiny_model / "model.safetensors")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    assert original.keys() == merged.keys()
    untouched = {key for key, value in merged.items() if torch.equal(value, original[key].bfloat16())}
    assert untouched == {key for key in merged if "proj" not in key}


def test_an_update_that_is_not_a_number_is_not_merged(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    tensors = load_file(case.folder / ADAPTER_WEIGHTS)
    key = sorted(tensors)[0]
    save_file({**tensors, key: torch.full_like(tensors[key], torch.nan)}, case.folder / ADAPTER_WEIGHTS)

    with pytest.raises(AcceptanceError, match=r"^merge: NaNs detected"):
        merge_adapter(case.recipe, case.folder, tmp_path / "merged", location=case.recipe.model.base_model)

    assert not (tmp_path / "merged").exists()


def test_merging_without_enough_memory_says_how_much_is_missing(
    adapter_case: AdapterCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.export.merge, "free_memory_bytes", lambda device: 2**10)
    location = adapter_case.recipe.model.base_model

    with pytest.raises(AcceptanceError) as caught:
        merge_adapter(adapter_case.recipe, adapter_case.folder, tmp_path / "merged", location=location)

    assert caught.value.message == "merge: the dequantised base model needs 0.0 GiB, 0.0 GiB are free"


def test_packed_weights_count_as_what_they_unpack_to(adapter_case: AdapterCase) -> None:
    location = adapter_case.recipe.model.base_model

    counts = {weight_count(load_base(adapter_case.recipe, location, quantised=q)) for q in (True, False)}

    assert len(counts) == 1


GOOD = Evaluation(0.5, {"json_valid": 1.0, "json_keys": 0.75, "exact_match": 1.0})


@pytest.mark.parametrize(
    ("merged", "problems"),
    [
        (GOOD, []),
        (replace(GOOD, loss=0.51), []),
        (replace(GOOD, scores={**GOOD.scores, "exact_match": 0.0}), []),
        (replace(GOOD, loss=0.53), ["eval loss 0.5300 is above 0.5200"]),
        (replace(GOOD, loss=float("nan")), ["eval loss nan is above 0.5200"]),
        (replace(GOOD, scores={**GOOD.scores, "json_valid": 0.75}), ["json_valid 0.75 is below the adapter's 1.00"]),
        (replace(GOOD, scores={**GOOD.scores, "json_keys": 0.5}), ["json_keys 0.50 is below the adapter's 0.75"]),
    ],
)
def test_a_merged_model_must_not_be_worse_than_its_adapter(merged: Evaluation, problems: list[str]) -> None:
    assert merged_problems(merged, GOOD) == problems


def _loss(model: torch.nn.Module, case: AdapterCase) -> float:
    return eval_loss(model, case.eval_set.samples, max_length=case.recipe.data.max_length)
