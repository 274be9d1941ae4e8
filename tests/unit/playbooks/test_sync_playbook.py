"""sync.yml, on this machine and against a folder as the store."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.ansible import PlaybookRun, run_playbook
from runner.errors import PlaybookFailedError
from runner.world import RealWorld
from tests.unit.playbooks.test_roles import INVENTORY, own_python

SECRET = "a-very-secret-key"


@pytest.fixture
def box(tmp_path: Path) -> Path:
    folder = tmp_path / "box"
    own_python(folder)
    (folder / "output" / "checkpoints").mkdir(parents=True)
    (folder / "output" / "checkpoints" / "notes.txt").write_text("abc")
    (tmp_path / "memory").mkdir()
    (tmp_path / "credentials.json").write_text(json.dumps({"AWS_SECRET_ACCESS_KEY": SECRET}))
    return folder


def sync(box: Path, direction: str, **changes: Any) -> PlaybookRun:
    folder = box.parent
    variables = {
        "sync_direction": direction,
        "sync_prefix": str(box),
        "sync_url": f"file://{folder}/store",
        "sync_credentials_file": str(folder / "credentials.json"),
        "sync_memory_folder": str(folder / "memory"),
    } | changes
    return run_playbook(
        "sync.yml", inventory=INVENTORY, environment="local", variables=variables, world=RealWorld(), log=folder / "log"
    )


def test_it_pushes_once_and_then_nothing_and_leaves_no_credentials(box: Path) -> None:
    changed = [sync(box, "push").changed for _ in range(2)]

    assert changed == [1, 0]
    assert (box.parent / "store" / "notes.txt").read_text() == "abc"
    assert list((box.parent / "memory").iterdir()) == []
    assert SECRET not in (box.parent / "log").read_text()


def test_the_trainer_reads_the_credentials_from_a_file_that_only_its_user_reads(box: Path) -> None:
    spy = box / "venv" / "bin" / "python"
    real = spy.read_text()
    look = f'for w in "$@"; do case $w in */environment.json) test -e "$w" && cp -p "$w" {box}/seen;; esac; done'
    spy.write_text(real.replace("\n", f'\n{look}\necho "$@" >> {box}/words\n', 1))

    sync(box, "push", sync_ca_file="/srv/store-ca.pem")

    assert json.loads((box / "seen").read_text()) == {"AWS_SECRET_ACCESS_KEY": SECRET}
    assert stat.S_IMODE((box / "seen").stat().st_mode) == 0o600
    assert SECRET not in (box / "words").read_text()
    assert "--ca-file /srv/store-ca.pem" in (box / "words").read_text()


def test_a_remote_is_opened_with_the_configuration_that_was_brought(box: Path) -> None:
    spy = box / "venv" / "bin" / "python"
    real = spy.read_text()
    keep = f'cp -p "$RCLONE_CONFIG" {box}/seen; echo "$@" > {box}/words; echo \'{{"files": 1}}\'; exit 0'
    look = f'case "$*" in *"trainer sync"*) {keep};; esac'
    spy.write_text(real.replace("\n", f"\n{look}\n", 1))
    (box.parent / "secret").write_text(f"[x]\npass = {SECRET}\n")

    sync(box, "push", sync_url="rclone://x/runs", sync_rclone="/r", sync_credentials_file=str(box.parent / "secret"))

    assert (box / "seen").read_text() == f"[x]\npass = {SECRET}\n"
    assert stat.S_IMODE((box / "seen").stat().st_mode) == 0o600
    assert (box / "words").read_text().split()[-4:] == ["--url", "rclone://x/runs", "--rclone", "/r"]
    assert list((box.parent / "memory").iterdir()) == []
    assert SECRET not in (box.parent / "log").read_text()


def test_what_fails_leaves_no_credentials_either(box: Path) -> None:
    with pytest.raises(PlaybookFailedError, match="Move what is not there yet") as caught:
        sync(box, "pull")

    assert "there is nothing in" in str(caught.value.details)
    assert list((box.parent / "memory").iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [{"sync_direction": "sideways"}, {"sync_url": "https://x/y"}, {"sync_url": "rclone://x/y"}]
)
def test_a_wrong_request_is_refused_before_anything_happens(box: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(PlaybookFailedError, match="sync_direction must be push or pull"):
        sync(box, "push", **wrong)
