"""A run with the real trainer, from the plan to the receipt: what is judged of it on every cloud."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.run.run_dir import read_json
from tests.rehearsal.conftest import Stage
from tests.rehearsal.watching import HUB_TOKEN, Watcher, leaks


def look_at_a_whole_life(
    cloud: str,
    settings: Sequence[str],
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    *,
    store: str | None = None,
    hub: Path | None = None,
) -> None:
    """Rehearse a run with the real trainer, and judge its adapter, its receipt and what was to be kept secret."""
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)

    with tempfile.TemporaryDirectory(prefix="dt-") as scratch:
        monkeypatch.setenv("TMPDIR", scratch)
        passing = (Path(scratch), "douse-*"), (stage.folder, "r*/boxes/boxes/*/console.log")
        with Watcher(*passing) as watcher:
            verdict = stage.rehearse(cloud, "", *settings, program="runner", store=store, hub=hub)

    run = stage.run()
    assert (verdict.broken, verdict.exit_code) == ([], 0), stage.said()
    assert [machine["is_billing"] for machine in verdict.machines] == [False]
    assert read_json(run.adapter / "acceptance.json")["accepted"]
    receipt = json.loads(run.receipt.read_text())
    assert receipt["checks"]["clouds"] == {cloud: 0}
    assert receipt["checks"]["terraform_resources"] == 0
    assert receipt["ended_by_the_sweep"] == []
    assert 0 < receipt["cost_usd"] < 1
    assert {"ansible-playbook", "terraform"} <= watcher.programs
    assert {"command", "stdout"} <= watcher.files, "what Ansible leaves for a while was not seen"
    assert (watcher.found, leaks(stage.folder / f"r{stage.count}")) == (set(), [])
