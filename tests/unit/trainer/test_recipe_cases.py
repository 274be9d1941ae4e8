"""Small cases of the run files and base models that people have, kept beside the checkout.

Each kind has an example of our own as well, another one than the case:

====  ===============================  ================================================================================
case  kind                             example of our own
====  ===============================  ================================================================================
37    keys in another section          config/test_hints
38    numbers without an end           config/test_values, test_recipe
41    mixtures of experts              tests/unit/test_model_families.py: test_every_mixture_of_experts_is_refused_…
42    tokenizers that give other ids   base_model/test_same_ids: test_digits_that_are_split_otherwise_are_refused_…
43    one step alone                   training/test_schedule
45    targets that take no adapter     tests/unit/runner/planning/checks/test_targets.py
47    a run made longer                tests/unit/runner/lifecycle/test_longer.py
48    the name of the base             base_model/test_origin, export/test_adapter_folder
====  ===============================  ================================================================================

The cases about data: tests/unit/trainer/data/test_shared_cases.py.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from peft import get_peft_model

from runner.planning.checks.base_model import local_files, look_at
from runner.run.run_file import load_run_file
from tests.unit.trainer.training.small_fit import adapter_of, fit_small, is_same, steps_in
from trainer.base_model.load import load_base, load_tokenizer, lora_config
from trainer.base_model.origin import find_origin
from trainer.base_model.same_ids import refuse_other_ids
from trainer.base_model.tokenization import load_base_model_facts
from trainer.config.recipe import Recipe, load_recipe
from trainer.data.chat import render
from trainer.data.sample import Sample
from trainer.data.samples import load_dataset
from trainer.errors import BaseModelError, ConfigError
from trainer.export.adapter_folder import export_adapter, save_tokenizer

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases" / "data"


def case(name: str, folder: Path) -> Path:
    """Return a copy of a case's run file, with its data and its base model beside it."""
    if not (CASES / name).is_dir():
        pytest.skip("the cases are not beside this checkout (../shared/cases/data)")
    for path in (CASES / name).iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    if (folder / "make_model.py").exists():
        runpy.run_path(str(folder / "make_model.py"))
    return folder / "run.yml"


def samples_of(recipe: Recipe) -> list[Sample]:
    dataset = load_dataset(recipe.data, recipe.run.seed)
    return [*dataset.train, *dataset.eval]


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_steps": steps})})


def test_each_key_of_another_section_is_shown_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(case("37-key-of-another-section", tmp_path))

    shown = "\n".join([caught.value.message, *caught.value.lines])
    for key in ("checkpointing.save_steps", "monitoring.logging_steps", "data.eval_path"):
        assert f"`{key}`" in shown
    assert "`evaluation.per_device_eval_batch_size`" in shown
    assert "early_stopping_patience" not in shown, "it is a key of that section"


def test_endless_epochs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_train_epochs is inf") as caught:
        load_recipe(case("38-endless-epochs", tmp_path))

    assert "max_grad_norm is inf" in caught.value.lines[0]


def test_the_only_step_learns(tmp_path: Path) -> None:
    recipe = load_recipe(case("43-one-step", tmp_path))

    trainer = fit_small(recipe, tmp_path / "output")

    assert [step["learning_rate"] > 0 for step in steps_in(tmp_path / "output")] == [True]
    assert any(bool(value.any()) for name, value in adapter_of(trainer).items() if "lora_B" in name)


def test_the_plan_refuses_a_mixture_of_experts(tmp_path: Path) -> None:
    run_file = load_run_file(case("41-mixture-of-experts", tmp_path))
    files = local_files(run_file)
    assert files is not None

    line = look_at(run_file, files).checks[0]

    assert (line.name, line.status) == ("model type", "fail")
    assert "this mixtral model is a mixture of experts (num_local_experts: 4)" in line.value
    assert line.remedy


def test_a_tokenizer_class_of_other_ids_ends_the_run_before_training_and_the_adapter_gets_what_was_trained_with(
    tmp_path: Path,
) -> None:
    recipe = load_recipe(case("42-tokenizer-class-differs", tmp_path))
    facts = load_base_model_facts(recipe.model, recipe.data)
    tokenizer = load_tokenizer(recipe.model.base_model, facts, recipe.model)
    texts = [render(sample.messages, facts, add_generation_prompt=False) for sample in samples_of(recipe)]

    with pytest.raises(BaseModelError) as caught:
        refuse_other_ids(tokenizer, facts, texts)
    save_tokenizer(tokenizer, facts, tmp_path)

    assert type(tokenizer).__name__ in caught.value.message
    assert "tokenizer.json" in caught.value.message
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved == json.loads(facts.tokenizer.to_str())


@pytest.mark.parametrize(("hub_id", "name"), [(None, "model"), ("org/name", "org/name")])
def test_the_base_is_named_and_no_path_of_this_machine_is_in_the_adapter(
    tmp_path: Path, hub_id: str | None, name: str
) -> None:
    recipe = load_recipe(case("48-where-is-the-base", tmp_path))
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"hub_id": hub_id})})
    facts, location = load_base_model_facts(recipe.model, recipe.data), recipe.model.base_model
    model = get_peft_model(load_base(recipe, location, quantised=True), lora_config(recipe.adapter))
    origin, folder = find_origin(recipe.model, location), tmp_path / "adapter"
    tokenizer = load_tokenizer(location, facts, recipe.model)

    export_adapter(model, tokenizer, recipe, facts, origin, folder, manifest=origin.to_mapping(), metrics={})

    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (name, None)
    assert origin.files.keys() == {"model.safetensors"}
    files = [path for path in folder.iterdir() if path.is_file()]
    assert {"adapter_config.json", "manifest.json", "training_config.yaml"} <= {path.name for path in files}
    assert [path.name for path in files if str(tmp_path).encode() in path.read_bytes()] == []


def test_the_plan_refuses_the_head(tmp_path: Path) -> None:
    run_file = load_run_file(case("45-adapter-on-the-head", tmp_path))
    files = local_files(run_file)
    assert files is not None

    line = {check.name: check for check in look_at(run_file, files).checks}["target modules"]

    assert (line.status, line.value) == ("fail", "lm_head: the output head, which takes no adapter here")


def test_a_run_is_made_longer(tmp_path: Path) -> None:
    recipe = load_recipe(case("47-longer-by-resume", tmp_path))
    before = adapter_of(fit_small(recipe, tmp_path / "output"))

    longer = fit_small(with_steps(recipe, 8), tmp_path / "output", resume=True)

    assert [step["step"] for step in steps_in(tmp_path / "output")] == list(range(1, 9))
    assert not is_same(before, adapter_of(longer))
