from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.base_model import load as model
from trainer.base_model.tokenization import load_base_model_facts
from trainer.config.sections import DataSection, ModelSection, RunSection
from trainer.errors import BaseModelError, ConfigError


def test_auto_takes_the_best_device_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert model.resolve_device(RunSection()).type == "cpu"

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert model.resolve_device(RunSection()).type == "mps"

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert model.resolve_device(RunSection()).type == "cuda"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    with pytest.raises(ConfigError, match=f"run.device is {device}"):
        model.resolve_device(RunSection(device=device))  # type: ignore[arg-type]


def test_computation_is_bfloat16_only_where_the_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert model.resolve_dtype(ModelSection(), torch.device("cuda")) == torch.bfloat16
    assert model.resolve_dtype(ModelSection(dtype="float32"), torch.device("cuda")) == torch.float32
    assert model.resolve_dtype(ModelSection(), torch.device("cpu")) == torch.float32
    assert model.resolve_dtype(ModelSection(), torch.device("mps")) == torch.float32


def test_a_gpu_without_bfloat16_computes_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)

    assert model.resolve_dtype(ModelSection(), torch.device("cuda")) == torch.float16
    assert model.resolve_dtype(ModelSection(dtype="float16"), torch.device("cuda")) == torch.float16


def test_a_number_format_that_the_device_does_not_train_in_is_refused_before_the_data_is_read(
    tiny_model: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"model\.dtype is float16, .* computes on cpu") as caught:
        model.fit_to_device(tiny_recipe(tiny_model, tiny_dataset, model={"dtype": "float16"}))
    assert caught.value.resolution == "set `dtype: auto`"

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Quadro RTX 6000")
    with pytest.raises(ConfigError, match="bfloat16, which Quadro RTX 6000 does not compute"):
        model.resolve_dtype(ModelSection(dtype="bfloat16"), torch.device("cuda"))


@pytest.mark.parametrize(("dtype", "enabled"), [(torch.float32, False), (torch.bfloat16, True), (torch.float16, True)])
def test_adapters_compute_in_the_format_of_training(dtype: torch.dtype, enabled: bool) -> None:
    product = torch.nn.Linear(4, 4)

    with model.autocast(torch.device("cpu"), dtype):
        found = product(torch.zeros(1, 4)).dtype

    assert found == (dtype if enabled else torch.float32)


def test_without_4bit_kernels_on_mps_the_run_goes_on_unquantised_and_says_so(
    tiny_model: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny_model, tiny_dataset)
    monkeypatch.setattr(model, "resolve_device", lambda run: torch.device("mps"))
    monkeypatch.setattr(model, "_has_4bit_kernels", lambda device: False)

    changed, remark = model.fit_to_device(recipe)

    assert not changed.model.load_in_4bit
    assert remark is not None
    assert "no 4-bit kernels" in remark


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_elsewhere_the_recipe_is_done_as_written(
    device: str, tiny_model: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny_model, tiny_dataset)
    monkeypatch.setattr(model, "resolve_device", lambda run: torch.device(device))

    assert model.fit_to_device(recipe) == (recipe, None)


def test_this_cpu_has_4bit_kernels() -> None:
    assert model._has_4bit_kernels(torch.device("cpu"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"holds no config\.json"):
        model.prepare_base_model(ModelSection(base_model=str(tmp_path)))


def test_a_missing_gguf_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"gone\.gguf is missing"):
        model.prepare_base_model(ModelSection(base_model=str(tmp_path / "gone.gguf")))


def test_a_broken_gguf_file_is_refused_and_leaves_nothing_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 64)

    with pytest.raises(BaseModelError, match=r"broken\.gguf cannot be converted"):
        model.prepare_base_model(ModelSection(base_model=str(tmp_path / "broken.gguf")))
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_a_gguf_file_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "base.gguf").write_bytes(b"GGUF")
    converted: list[Path] = []

    def convert(path: Path, target: Path) -> None:
        converted.append(path)
        target.mkdir()

    monkeypatch.setattr(model, "_convert_gguf", convert)
    first = model.prepare_base_model(ModelSection(base_model=str(tmp_path / "base.gguf")))
    second = model.prepare_base_model(ModelSection(base_model=str(tmp_path / "base.gguf")))

    assert first == second
    assert converted == [tmp_path / "base.gguf"]


def test_a_conversion_that_was_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "base.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(model, "_convert_gguf", lambda path, target: target.mkdir())
    folder = Path(model.prepare_base_model(ModelSection(base_model=str(tmp_path / "base.gguf"))))
    (folder / model.CONVERTED_MARK).unlink()
    (folder / "half-written").touch()

    again = Path(model.prepare_base_model(ModelSection(base_model=str(tmp_path / "base.gguf"))))

    assert again == folder
    assert not (again / "half-written").exists()


def test_a_model_of_the_hub_is_fetched_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def fetch(repo_id: str, revision: str | None, *, with_code: bool) -> Path:
        asked.append((repo_id, revision, with_code))
        return tmp_path

    monkeypatch.setattr(model, "fetch_snapshot", fetch)

    assert model.prepare_base_model(ModelSection(base_model="org/name", revision="abc")) == str(tmp_path)
    assert asked == [("org/name", "abc", False)]


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer_class": "T5Tokenizer"},
        {"tokenizer_class": ["LlamaTokenizer"]},
        {"added_tokens_decoder": {"x": {"content": 1}}},
        {"additional_special_tokens": 5},
    ],
    ids=["another-kind", "no-name", "a-token-that-is-none", "no-list"],
)
def test_a_tokenizer_that_transformers_cannot_make_is_explained(
    tiny_model: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    section = ModelSection(base_model=str(folder))
    facts = load_base_model_facts(section, DataSection(max_length=64))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | changes))

    with pytest.raises(BaseModelError, match=f"transformers makes no tokenizer of {folder}: .") as caught:
        model.load_tokenizer(str(folder), facts, section)
    assert "tokenizer_config.json" in caught.value.resolution


def test_a_base_that_cannot_be_loaded_is_explained(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    recipe = tiny_recipe(tmp_path, tiny_dataset)

    with pytest.raises(BaseModelError, match="cannot be loaded") as caught:
        model.load_base(recipe, str(tmp_path), quantised=True)
    assert "model.base_model" in caught.value.resolution


def test_the_fingerprint_is_the_same_with_an_adapter_and_another_for_another_base(
    tiny_model: Path, tiny_dataset: Path
) -> None:
    from peft import get_peft_model

    recipe = tiny_recipe(tiny_model, tiny_dataset)
    base = model.load_base(recipe, str(tiny_model), quantised=True)
    alone = model.base_fingerprint(base)

    assert model.base_fingerprint(get_peft_model(base, model.lora_config(recipe.adapter))) == alone
    assert model.base_fingerprint(model.load_base(recipe, str(tiny_model), quantised=False)) != alone


def test_a_layer_of_the_base_models_own_may_be_called_as_pefts_are() -> None:
    """PEFT puts the base's layer into one that has it as ``base_layer``; nested names are no other weights."""
    plain, wrapped = torch.nn.Module(), torch.nn.Module()
    linear = torch.nn.Linear(2, 2)
    inner, outer = torch.nn.Module(), torch.nn.Module()
    inner.add_module("base_layer", linear)  # the model's own: block.base_layer.weight
    plain.add_module("block", inner)
    peft_layer = torch.nn.Module()
    peft_layer.add_module("base_layer", linear)  # with an adapter: block.base_layer.base_layer.weight
    outer.add_module("base_layer", peft_layer)
    wrapped.add_module("block", outer)

    assert model.base_fingerprint(wrapped) == model.base_fingerprint(plain)
    with torch.no_grad():
        linear.weight.add_(1)
    assert model.base_fingerprint(wrapped) == model.base_fingerprint(plain)


def test_two_weights_of_one_name_are_both_in_the_fingerprint() -> None:
    def fingerprint(value: float) -> str:
        both, inner = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        both.add_module("base_layer", inner)
        whole = torch.nn.Module()
        whole.add_module("block", both)
        with torch.no_grad():
            for parameter in whole.parameters():
                parameter.fill_(1.0)
            inner.weight.fill_(value)
        return model.base_fingerprint(whole)

    assert fingerprint(1.0) != fingerprint(2.0)
