from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM, PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, pre_tokenizers

from tests.emulated_hub import Library, files_of, lead_to, served_hub
from tests.trained_adapter import AdapterCase
from trainer.base_model.load import load_base, load_tokenizer, lora_config
from trainer.base_model.origin import Origin
from trainer.config.recipe import Recipe
from trainer.export.adapter_folder import (
    ADAPTER_WEIGHTS,
    TRAINED_FILES,
    expected_shapes,
    export_adapter,
    save_tokenizer,
    tensor_problems,
    verify_adapter_folder,
)
from trainer.export.checksums import CHECKSUMS, write_checksums

AS_TRAINED = (*TRAINED_FILES, CHECKSUMS)
Tensors = dict[str, torch.Tensor]
MACHINE_PATH = re.compile(
    rb"(?<![\w.:/<-])/(?:home|root|tmp|work|workspace|mnt|opt|srv|usr|var|Users|private)/[\w./-]+|[A-Z]:\\{1,2}Users\\"
)


def test_exported_folder_is_whole_as_far_as_training_goes(adapter_case: AdapterCase) -> None:
    assert verify_adapter_folder(adapter_case.folder, expected=AS_TRAINED) == []
    assert sorted(path.name for path in adapter_case.folder.iterdir()) == sorted(AS_TRAINED)


def test_an_unaccepted_folder_is_not_a_finished_one(adapter_case: AdapterCase) -> None:
    assert verify_adapter_folder(adapter_case.folder) == ["acceptance.json is missing", "README.md is missing"]


def test_sha256sum_accepts_the_checksums(adapter_case: AdapterCase) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", CHECKSUMS], cwd=adapter_case.folder, capture_output=True, timeout=30
    )

    assert (done.returncode, done.stderr) == (0, b"")
    names = [line.split("  ")[1] for line in (adapter_case.folder / CHECKSUMS).read_text().splitlines()]
    assert names == sorted(TRAINED_FILES)


def test_tokenizer_config_says_nothing_of_this_machine(adapter_case: AdapterCase) -> None:
    config = json.loads((adapter_case.folder / "tokenizer_config.json").read_text())

    assert not {"is_local", "local_files_only"} & config.keys()
    assert config["eos_token"] == adapter_case.facts.eos_token


def test_training_config_is_a_recipe_that_reads_back(adapter_case: AdapterCase) -> None:
    values = yaml.safe_load((adapter_case.folder / "training_config.yaml").read_text())

    read = Recipe.model_validate(values)
    sections = [name for name in Recipe.model_fields if getattr(read, name) != getattr(adapter_case.recipe, name)]
    assert sections == ["model", "data"]
    assert (read.model.base_model, read.data.train_path) == (
        Path(adapter_case.recipe.model.base_model).name,
        "train.jsonl",
    )


def paths_in(folder: Path) -> list[tuple[str, str]]:
    """Return the file and the text of all that reads like a path of a machine in an adapter's folder."""
    return [
        (path.name, found.decode(errors="replace"))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for found in MACHINE_PATH.findall(path.read_bytes())
    ]


def test_no_file_of_an_adapter_names_a_path_of_this_machine(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "copy")
    case.accept()

    assert {path.name for path in case.folder.iterdir()} == {*AS_TRAINED, "acceptance.json", "README.md"}
    assert paths_in(case.folder) == []
    secret = [str(Path(path).parent).encode() for path in (case.recipe.model.base_model, case.recipe.data.train_path)]
    for path in case.folder.iterdir():
        assert not [word for word in secret if word in path.read_bytes()], path.name


@pytest.mark.parametrize("before", ['{"base": "', "path=", "base: "])
@pytest.mark.parametrize("root", [*(f"/{name}/" for name in ("home", "root", "tmp", "work")), "C:\\Users\\"])
def test_a_path_of_a_machine_is_found_whatever_stands_before_it(tmp_path: Path, before: str, root: str) -> None:
    (tmp_path / "adapter_config.json").write_text(before + root + "me")
    (tmp_path / "README.md").write_text("See https://huggingface.co/tmp/model, docs/run-file.md and <think>/</think>.")

    assert [name for name, _ in paths_in(tmp_path)] == ["adapter_config.json"]


def test_the_adapter_s_configuration_names_the_base_model_and_its_commit(
    adapter_case: AdapterCase, tmp_path: Path
) -> None:
    base = load_base(adapter_case.recipe, adapter_case.recipe.model.base_model, quantised=True)
    model = PeftModel.from_pretrained(base, str(adapter_case.folder))
    origin = Origin("hub", "org/name", "a" * 40, {"model.safetensors": "b" * 64})

    _export(adapter_case, model, tmp_path / "adapter", origin)

    config = PeftConfig.from_pretrained(tmp_path / "adapter")
    assert (config.base_model_name_or_path, config.revision) == ("org/name", "a" * 40)
    values = yaml.safe_load((tmp_path / "adapter" / "training_config.yaml").read_text())
    assert values["model"]["revision"] == "a" * 40


def test_an_adapter_loads_by_name_with_plain_peft_where_nobody_has_seen_the_run(
    adapter_case: AdapterCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = Path(adapter_case.recipe.model.base_model)
    base = load_base(adapter_case.recipe, str(location), quantised=False)
    model = PeftModel.from_pretrained(base, str(adapter_case.folder)).eval()
    ids = torch.tensor([adapter_case.eval_set.samples[0].input_ids[:32]])
    library = Library()
    commit = library.add("models", "org/name", files_of(location))
    library.add("models", "org/name", {"config.json": b"{}"})  # what is newest would not load
    _export(adapter_case, model, tmp_path / "adapter", Origin("hub", "org/name", commit, {}))

    with served_hub(library) as hub:
        lead_to(hub.endpoint, tmp_path / "cache", monkeypatch)
        loaded = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()

    with torch.no_grad():
        assert torch.equal(loaded(input_ids=ids).logits, model(input_ids=ids).logits)
    assert hub.asked(commit, "model.safetensors")


def test_the_adapter_gets_the_tokenizer_that_was_trained_with(adapter_case: AdapterCase, tmp_path: Path) -> None:
    other = Tokenizer.from_str(adapter_case.facts.tokenizer.to_str())
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer = load_tokenizer(adapter_case.recipe.model.base_model, adapter_case.facts, adapter_case.recipe.model)

    save_tokenizer(tokenizer, replace(adapter_case.facts, tokenizer=other), tmp_path)

    assert json.loads((tmp_path / "tokenizer.json").read_text()) == json.loads(other.to_str())


def test_chat_template_is_the_one_trained_with(adapter_case: AdapterCase) -> None:
    assert (adapter_case.folder / "chat_template.jinja").read_text() == adapter_case.facts.chat_template


def test_export_leaves_nothing_of_an_older_one(adapter_case: AdapterCase, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "acceptance.json").write_text("{}")
    base = load_base(adapter_case.recipe, adapter_case.recipe.model.base_model, quantised=True)
    model = PeftModel.from_pretrained(base, str(adapter_case.folder))

    _export(adapter_case, model, folder, Origin("folder", "mine", None, {}))

    assert verify_adapter_folder(folder, expected=AS_TRAINED) == []
    assert not (folder / "acceptance.json").exists()
    assert (folder / ADAPTER_WEIGHTS).read_bytes() == (adapter_case.folder / ADAPTER_WEIGHTS).read_bytes()


@pytest.mark.parametrize("name", AS_TRAINED)
def test_a_missing_file_is_named(adapter_case: AdapterCase, tmp_path: Path, name: str) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / name).unlink()

    assert f"{name} is missing" in verify_adapter_folder(case.folder, expected=AS_TRAINED)


def test_an_empty_file_is_named(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / "tokenizer.json").write_bytes(b"")

    assert "tokenizer.json is empty" in verify_adapter_folder(case.folder, expected=AS_TRAINED)


@pytest.mark.parametrize("name", TRAINED_FILES)
def test_a_changed_byte_is_named(adapter_case: AdapterCase, tmp_path: Path, name: str) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    content = bytearray((case.folder / name).read_bytes())
    content[-2] ^= 1
    (case.folder / name).write_bytes(content)

    assert f"{name} does not match its checksum" in verify_adapter_folder(case.folder, expected=AS_TRAINED)


def test_a_file_without_checksum_and_a_checksum_without_file_are_named(
    adapter_case: AdapterCase, tmp_path: Path
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / "extra.txt").write_text("x")
    (case.folder / "metrics.json").unlink()

    problems = verify_adapter_folder(case.folder, expected=(CHECKSUMS,))

    assert problems == ["extra.txt has no checksum", "metrics.json has a checksum and is missing"]


def test_a_broken_checksum_line_is_named(adapter_case: AdapterCase, tmp_path: Path) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / CHECKSUMS).write_text("rubbish\n")

    problems = verify_adapter_folder(case.folder, expected=AS_TRAINED)

    assert problems == [f"{CHECKSUMS} holds a line that is no checksum: 'rubbish'"]


def _zero_all_b(tensors: Tensors) -> Tensors:
    return {key: torch.zeros_like(value) if "lora_B" in key else value for key, value in tensors.items()}


def _plant_nan(tensors: Tensors) -> Tensors:
    key = sorted(tensors)[0]
    return {**tensors, key: torch.full_like(tensors[key], torch.nan)}


def _plant_infinity(tensors: Tensors) -> Tensors:
    key = sorted(tensors)[0]
    return {**tensors, key: torch.full_like(tensors[key], torch.inf)}


def _rename(tensors: Tensors) -> Tensors:
    return {key.removeprefix("base_model."): value for key, value in tensors.items()}


def _keep_adapter_name(tensors: Tensors) -> Tensors:
    return {key.replace(".weight", ".default.weight"): value for key, value in tensors.items()}


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_zero_all_b, "every lora_B tensor is zero"),
        (_plant_nan, "1 tensors with NaN or infinity"),
        (_plant_infinity, "1 tensors with NaN or infinity"),
        (_rename, "28 tensors that PEFT would pass over in silence"),
        (_keep_adapter_name, "28 tensors that PEFT would pass over in silence"),
        (lambda tensors: {}, "holds no tensor"),
    ],
)
def test_tensors_that_do_nothing_or_harm_are_named(
    adapter_case: AdapterCase, tmp_path: Path, damage: Callable[[Tensors], Tensors], problem: str
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    _rewrite(case.folder, damage)

    problems = verify_adapter_folder(case.folder, expected=AS_TRAINED)

    assert [problem in line for line in problems] == [True]


@pytest.mark.parametrize(
    ("name", "content"),
    [(ADAPTER_WEIGHTS, b"no safetensors"), ("adapter_config.json", b"{"), ("adapter_config.json", b"{}")],
)
def test_unreadable_adapter_is_named(adapter_case: AdapterCase, tmp_path: Path, name: str, content: bytes) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    (case.folder / name).write_bytes(content)
    write_checksums(case.folder)

    problems = verify_adapter_folder(case.folder, expected=AS_TRAINED)

    assert len(problems) == 1
    assert "cannot be read" in problems[0] or "does not describe" in problems[0]


@pytest.fixture(scope="module")
def base(adapter_case: AdapterCase) -> torch.nn.Module:
    return load_base(adapter_case.recipe, adapter_case.recipe.model.base_model, quantised=True)


def test_adapter_covers_every_linear_layer_of_its_base(adapter_case: AdapterCase, base: torch.nn.Module) -> None:
    assert tensor_problems(adapter_case.folder, base, adapter_case.recipe) == []
    assert len(expected_shapes(base, adapter_case.recipe)) == 2 * 7 * 2  # A and B, layers, depth


def test_named_targets_limit_what_is_expected(adapter_case: AdapterCase, base: torch.nn.Module) -> None:
    recipe = _with_adapter(adapter_case.recipe, lora_target_modules=["q_proj", "self_attn.v_proj"])

    shapes = expected_shapes(base, recipe)

    prefix = "base_model.model.model.layers.0.self_attn"
    assert len(shapes) == 2 * 2 * 2
    assert shapes[f"{prefix}.v_proj.lora_A.weight"] == (4, 64)
    assert shapes[f"{prefix}.v_proj.lora_B.weight"] == (32, 4)


def test_an_expression_takes_the_layers_whose_whole_path_it_matches(
    adapter_case: AdapterCase, base: torch.nn.Module
) -> None:
    from peft.tuners.tuners_utils import check_target_module_exists

    expression = r".*layers\.1\..*(q|up)_proj"
    recipe = _with_adapter(adapter_case.recipe, lora_target_modules=expression)

    found = {key.removeprefix("base_model.model.").rpartition(".lora_")[0] for key in expected_shapes(base, recipe)}

    names = [name for name, _ in base.named_modules()]
    assert found == {name for name in names if check_target_module_exists(lora_config(recipe.adapter), name)}
    assert found == {"model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj"}


def test_targets_that_the_base_does_not_have_are_named(adapter_case: AdapterCase, base: torch.nn.Module) -> None:
    recipe = _with_adapter(adapter_case.recipe, lora_target_modules=["query"])

    assert tensor_problems(adapter_case.folder, base, recipe) == [
        "the base model has no layer that adapter.lora_target_modules names"
    ]


def test_another_rank_is_named(adapter_case: AdapterCase, base: torch.nn.Module) -> None:
    problems = tensor_problems(adapter_case.folder, base, _with_adapter(adapter_case.recipe, lora_r=8))

    assert len(problems) == 1
    assert problems[0].startswith("28 tensors of another shape: base_model.model.model.layers.0.self_attn.q_proj")


def test_layers_left_out_and_layers_too_many_are_named(
    adapter_case: AdapterCase, base: torch.nn.Module, tmp_path: Path
) -> None:
    case = adapter_case.copy(tmp_path / "adapter")
    _rewrite(case.folder, lambda tensors: {key.replace("layers.1.", "layers.2."): v for key, v in tensors.items()})

    problems = tensor_problems(case.folder, base, case.recipe)

    assert [line.split(":")[0] for line in problems] == ["14 missing tensors", "14 unexpected tensors"]


def _export(case: AdapterCase, model: PeftModel, folder: Path, origin: Origin) -> None:
    model.peft_config["default"].base_model_name_or_path = case.recipe.model.base_model  # PEFT looks there as it saves
    tokenizer = load_tokenizer(str(case.folder), case.facts, case.recipe.model)
    export_adapter(model, tokenizer, case.recipe, case.facts, origin, folder, manifest={}, metrics={})


def _with_adapter(recipe: Recipe, **changes: object) -> Recipe:
    return recipe.model_copy(update={"adapter": recipe.adapter.model_copy(update=changes)})


def _rewrite(folder: Path, damage: Callable[[Tensors], Tensors]) -> None:
    save_file(damage(load_file(folder / ADAPTER_WEIGHTS)), folder / ADAPTER_WEIGHTS)
    write_checksums(folder)
