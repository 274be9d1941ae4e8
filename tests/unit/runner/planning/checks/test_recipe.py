"""What a recipe asks of the trainer and cannot have is refused by the plan."""

from __future__ import annotations

from pathlib import Path

from runner.planning.checks.examine import examine
from runner.world import RealWorld
from tests.unit.runner.planning.checks.small_run import make_run


def test_the_plan_refuses_a_kernel_whose_package_is_not_locked(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, model={"attn_implementation": "flash_attention_2"})

    line = {check.name: check for check in examine(run_file, tmp_path, RealWorld({})).checks}["attention"]

    assert (line.status, "flash-attn" in line.value) == ("fail", True)
    assert line.remedy == "set model.attn_implementation to auto or sdpa"


def test_locks_have_no_flash_attention() -> None:
    locks = Path(__file__).parents[5] / "requirements"

    assert [path.name for path in locks.glob("trainer-*.lock") if "flash-attn" in path.read_text()] == []
