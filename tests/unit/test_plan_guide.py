"""The guide to the plan has a row for each check there is."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import iter_modules

import pytest

from runner.planning import checks as preflight
from runner.run.run_dir import PROJECT

GUIDE = PROJECT / "docs" / "plan.md"
NAMES = {
    "account": ("KEY", "BALANCE", "BILLING"),
    "base_model": ("TEMPLATE", "LENGTH"),
    "ends": ("ENDS",),
    "examine": ("STORE",),
    "given_machine": ("LOGIN", "PYTHON"),
    "gpus": ("GPU", "GPU_HERE"),
    "hub": ("NAME", "TOKEN"),
    "hub_token": ("TOKEN",),
    "kind_of_model": ("KIND",),
    "machines": ("MACHINES", "MEMORY", "BUDGET", "PRICES"),
    "month": ("MONTH",),
    "places": ("PLACE",),
    "quota": ("QUOTA",),
    "recipe": ("STEPS", "ATTENTION"),
    "samples": ("DATASET", "TOKENS", "LENGTHS"),
    "targets": ("TARGETS",),
    "this_machine": ("ENVIRONMENT", "TERRAFORM", "ANSIBLE", "HERE", "THERE"),
}
WITHOUT_LINES = {"asking", "data_files", "line", "reading"}


def rows() -> list[str]:
    lines = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [name for line in lines for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


@pytest.mark.parametrize("module", sorted(NAMES))
def test_every_check_has_its_row(module: str) -> None:
    made = import_module(f"runner.planning.checks.{module}")

    assert [name for constant in NAMES[module] if (name := getattr(made, constant)) not in rows()] == []


def test_no_module_with_checks_is_forgotten() -> None:
    assert {module.name for module in iter_modules(preflight.__path__)} == set(NAMES) | WITHOUT_LINES
