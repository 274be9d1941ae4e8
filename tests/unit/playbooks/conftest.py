"""What the playbooks' tests share: the programs that roles copy onto a machine, as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
LEASE = PLAYBOOKS / "roles" / "lease" / "files" / "douse_lease.py"
RUNPOD: dict[str, Any] = yaml.safe_load(
    (PLAYBOOKS.parent / "inventories" / "runpod" / "group_vars" / "all" / "roles.yml").read_text(encoding="utf-8")
)
"""The roles' settings on a cloud whose machines terminate themselves through its API."""


def load(path: Path) -> ModuleType:
    """Import a program by its path; it is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lease() -> ModuleType:
    return load(LEASE)
