"""Runs a part of a role alone, by a real playbook on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.adapters import ansible
from runner.adapters.ansible import run_playbook
from runner.world import RealWorld
from tests.unit.playbooks.conftest import PLAYBOOKS
from tests.unit.playbooks.test_roles import INVENTORY


def run_part(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    part: str,
    variables: dict[str, Any],
    *after: dict[str, Any],
) -> None:
    """Run a file of a role's tasks, and then tasks of one's own.

    Args:
        folder: An empty folder to work in.
        monkeypatch: Takes the playbook for one of the project's.
        role: The role.
        part: The file in its ``tasks``, without its ending.
        variables: What the tasks before it would have left.
        after: Tasks that look at the result.
    """
    monkeypatch.setattr(ansible, "PROJECT", folder)
    (folder / "playbooks").mkdir()
    (folder / "ansible.cfg").write_text(f"[defaults]\nroles_path = {PLAYBOOKS}/roles\n")
    look = {"name": "Look", "ansible.builtin.include_role": {"name": role, "tasks_from": part}}
    play = {"name": "Try", "hosts": "box", "gather_facts": True, "gather_subset": ["min"], "vars": variables}
    (folder / "playbooks" / "part.yml").write_text(yaml.safe_dump([play | {"tasks": [look, *after]}]))
    run_playbook(
        "part.yml",
        inventory=INVENTORY,
        environment="local",
        variables={},
        world=RealWorld(),
        log=folder / "log",
    )
