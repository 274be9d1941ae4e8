"""Sync by hand: what the playbook is told, and what is done without a machine."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.ansible import PlaybookRun
from runner.adapters.machine import LocalMachine
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import UsageError
from runner.lifecycle import sync as syncing
from runner.run.models import Host
from runner.run.run_dir import RunDir, write_json
from runner.run.run_file import RunFile
from runner.store.credentials import Keys
from runner.store.given_remote import GivenRemote
from runner.world import RealWorld
from tests.unit.runner.conftest import CommandLine
from tests.unit.trainer.checkpoints.small_checkpoints import make_checkpoint
from trainer.checkpoints.complete import newest_complete

HERE = Host("localhost", 22, "me", "i", "this-machine", "here", False, 0.0, None, "local")
THERE = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-east-1", False, 0.75, None, "lambda")
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a-secret"}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the playbook was told; credentials as they were in their file then."""
    seen: list[dict[str, Any]] = []

    def play(ctx: Context, playbook: str, inventory: dict[str, Any], variables: dict[str, Any]) -> PlaybookRun:
        file = variables["sync_credentials_file"]
        if file:
            assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
            variables = variables | {"keys": json.loads(Path(file).read_text())}
        seen.append(variables | {"playbook": playbook, "inventory": inventory})
        return PlaybookRun()

    monkeypatch.setattr(syncing, "play", play)
    monkeypatch.setattr(syncing, "machine_keys", lambda run_file, name, world: Keys(KEYS))
    monkeypatch.setattr(Context, "machine", lambda self, host: LocalMachine())
    return seen


def context(tmp_path: Path, url: str | None, *, prefix: str = "/srv", **store: Any) -> Context:
    run = RunDir(tmp_path / "run", RealWorld())
    write_json(run.file("inventory/hosts.json"), {"all": {}})
    values = {"compute": {"env": "lambda", "prefix": prefix}, "store": {"url": url, **store}}
    world = RealWorld({"AWS_ENDPOINT_URL_S3": "http://s3.example:9000"})
    return Context(run, RunFile.model_validate(values), SilentView(), Stop(world), world)


def test_the_machine_brings_its_checkpoints_itself(played: list[dict[str, Any]], tmp_path: Path) -> None:
    syncing.sync_machine(context(tmp_path, "s3://bucket/runs"), THERE, "push")

    (told,) = played
    assert not Path(told.pop("sync_credentials_file")).exists()
    assert told == {
        "playbook": "sync.yml",
        "inventory": {"all": {}},
        "sync_direction": "push",
        "sync_prefix": "/srv/run",
        "sync_url": "s3://bucket/runs/run/checkpoints",
        "sync_endpoint_url": "http://s3.example:9000",
        "keys": KEYS,
    }


def test_the_machine_has_the_certificates_that_the_store_is_judged_by(
    played: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("an authority")
    ctx = context(tmp_path, "s3://bucket/runs", ca_file=str(tmp_path / "ca.pem"), prefix=str(tmp_path / "box"))

    syncing.sync_machine(ctx, THERE, "push")

    assert Path(played[0]["sync_ca_file"]).read_text() == "an authority"
    assert played[0]["sync_ca_file"].startswith(f"{tmp_path}/box/")


def test_a_folder_needs_no_credentials(played: list[dict[str, Any]], tmp_path: Path) -> None:
    syncing.sync_machine(context(tmp_path, "file:///srv/store"), HERE, "pull")

    assert (played[0]["sync_direction"], played[0]["sync_credentials_file"]) == ("pull", "")


def test_a_machine_that_cannot_see_the_folder_is_not_asked(played: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a folder of this machine, and the run is on 203\.0\.113\.7"):
        syncing.sync_machine(context(tmp_path, "file:///srv/store"), THERE, "push")

    assert played == []


def test_a_remote_is_for_this_machines_rclone_alone(played: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"a remote of this machine's rclone, and the run is on 203\.0\.113\.7"
    ) as caught:
        syncing.sync_machine(context(tmp_path, "rclone://drive/runs"), THERE, "push")

    assert "`make collect`" in caught.value.resolution
    assert played == []


def test_a_machine_that_is_given_the_remote_brings_its_checkpoints_itself(
    played: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = GivenRemote(("drive",), json.dumps({"as": "it was"}))
    monkeypatch.setattr(syncing, "given_remote", lambda url, world: given)
    ctx = context(tmp_path, "rclone://drive/runs", rclone_on_machine=True)

    syncing.sync_machine(ctx, THERE, "push")

    (told,) = played
    assert not Path(told["sync_credentials_file"]).exists()
    assert told["sync_url"] == "rclone://drive/runs/run/checkpoints"
    assert told["sync_rclone"] == "/srv/run/rclone/bin/rclone"
    assert told["keys"] == {"as": "it was"}


def test_where_the_run_is_here_its_checkpoints_go_to_the_remote_and_come_from_there(
    played: list[dict[str, Any]], open_remote: Callable[[str], str], tmp_path: Path
) -> None:
    url = open_remote("local")
    here, there = (context(tmp_path, url, prefix=str(tmp_path / name)) for name in ("one", "two"))
    make_checkpoint(tmp_path / "one" / here.run.run_id / "output" / "checkpoints", 4)

    syncing.sync_machine(here, HERE, "push")
    syncing.sync_machine(there, HERE, "pull")

    assert newest_complete(tmp_path / "two" / there.run.run_id / "output" / "checkpoints")[0].step == 4  # type: ignore[union-attr]
    assert played == []


def test_a_machine_without_an_environment_is_not_asked(played: list[dict[str, Any]], tmp_path: Path) -> None:
    ctx = context(tmp_path, "s3://bucket/runs")
    ctx.run.file("inventory/hosts.json").unlink()

    with pytest.raises(UsageError, match="no environment yet"):
        syncing.sync_machine(ctx, THERE, "push")


def test_a_run_without_a_store_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no store"):
        syncing.sync_home(context(tmp_path, None), "push")


def test_a_run_that_is_down_is_synced_from_its_folder_and_back(command_line: CommandLine) -> None:
    store = command_line.folder / "store"
    command_line.train("steps=20", "die_at=8", extra=("--set", f"store.url=file://{store}"))
    run = command_line.latest()
    (store / run.name).rename(command_line.folder / "gone")

    pushed = command_line.run("sync", "push")
    (run / "checkpoints").rename(command_line.folder / "gone as well")
    pulled = command_line.run("sync", "pull")

    assert (pushed.returncode, pulled.returncode) == (0, 0), pushed.stderr + pulled.stderr
    assert f"stored: file://{store}/{run.name}/checkpoints" in pushed.stdout
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-6"]
