"""Small cases of the run files that people have, kept beside the checkout."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from runner.planning.checks.base_model import local_files, look_at
from runner.run.run_file import load_run_file
from tests.unit.trainer.training.small_fit import adapter_of, fit_small, is_same, steps_in
from trainer.config import Recipe, load_recipe
from trainer.errors import ConfigError

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
