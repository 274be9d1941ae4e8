"""Secrets on their way: a file of the user's own in memory, and nowhere else."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from runner.adapters import secrets
from runner.adapters.machine import LocalMachine
from runner.adapters.secrets import hub_secrets, put_secrets
from runner.world import RealWorld


def test_only_the_user_can_read_them(memory: Path, tmp_path: Path) -> None:
    target = Path(put_secrets(RealWorld(), LocalMachine(), "run", str(tmp_path), {"HF_TOKEN": "hf_x"}))

    assert json.loads(target.read_text()) == {"HF_TOKEN": "hf_x"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700
    assert [path for path in memory.rglob("*") if path.is_file()] == [target]


def test_each_name_holds_a_set_of_its_own(memory: Path, tmp_path: Path) -> None:
    hub = put_secrets(RealWorld(), LocalMachine(), "run", str(tmp_path), {"HF_TOKEN": "hf_x"})
    store = put_secrets(RealWorld(), LocalMachine(), "run", str(tmp_path), {"AWS_ACCESS_KEY_ID": "x"}, name="store")

    assert [Path(path).name for path in (hub, store)] == ["variables.json", "store.json"]
    assert json.loads(Path(hub).read_text()) == {"HF_TOKEN": "hf_x"}


def test_a_machine_without_memory_files_keeps_them_in_the_runs_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "MEMORY", str(tmp_path / "none"))

    target = put_secrets(RealWorld(), LocalMachine(), "run", str(tmp_path / "input"), {"HF_TOKEN": "hf_x"})

    assert target.startswith(str(tmp_path / "input"))


@pytest.mark.parametrize(("token", "found"), [("hf_x", {"HF_TOKEN": "hf_x"}), (None, {})])
def test_without_a_token_there_is_no_secret(
    token: str | None, found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)

    assert hub_secrets(RealWorld({})) == found
