"""What a recipe asks of the trainer and cannot have is refused by the plan."""

from __future__ import annotations

from pathlib import Path

from runner.planning.checks.examine import examine
from runner.planning.checks.line import Check
from runner.planning.estimate.micro_batch import settled, settled_by_plan
from runner.world import RealWorld
from tests.unit.runner.planning.checks.small_run import make_run


def test_the_plan_refuses_a_kernel_whose_package_is_not_locked(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, model={"attn_implementation": "flash_attention_2"})

    line = {check.name: check for check in examine(run_file, tmp_path, RealWorld({})).checks}["attention"]

    assert (line.status, "flash-attn" in line.value) == ("fail", True)
    assert line.remedy == "set model.attn_implementation to auto or sdpa"


def steps_line(folder: Path, **training: object) -> Check:
    """Return the line about the steps of a run of six samples."""
    run_file = make_run(folder, training=dict(training))
    return {check.name: check for check in examine(run_file, folder, RealWorld({})).checks}["steps"]


def test_the_plan_says_how_many_steps_there_are_and_warns_of_few(tmp_path: Path) -> None:
    few, enough = steps_line(tmp_path, max_steps=9), steps_line(tmp_path, max_steps=10)

    assert (few.status, enough.status) == ("warn", "pass")
    assert few.value == "9 optimizer steps of 1 row, from 1 row an epoch"
    assert few.remedy.startswith("raise training.max_steps")
    assert "raise training.num_train_epochs" in steps_line(tmp_path).remedy


def test_the_plan_settles_the_micro_batches_of_a_small_data_set(tmp_path: Path) -> None:
    found = examine(make_run(tmp_path), tmp_path, RealWorld({}))
    assert found.encoded is not None

    run_file, data = settled(make_run(tmp_path), found.encoded)

    assert run_file.training.gradient_accumulation_steps == data["gradient_accumulation_steps"] == 1
    assert settled_by_plan(make_run(tmp_path), data) == run_file
    assert settled_by_plan(make_run(tmp_path), {}).training.gradient_accumulation_steps == "auto"
    fixed = make_run(tmp_path, training={"gradient_accumulation_steps": 4})
    assert settled_by_plan(fixed, data) == fixed


def test_locks_have_no_flash_attention() -> None:
    locks = Path(__file__).parents[5] / "requirements"

    assert [path.name for path in locks.glob("trainer-*.lock") if "flash-attn" in path.read_text()] == []
