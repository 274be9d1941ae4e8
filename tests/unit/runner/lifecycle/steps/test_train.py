"""Train: what of the user's secrets is on the machine once the trainer was started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runner.adapters import secrets
from runner.adapters.machine import LocalMachine
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import TrainingFailedError
from runner.lifecycle.steps import train
from runner.run.models import Completed, Host
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.planning.checks.fake_hub import Handler, hub_of, refusing, serving
from tests.unit.runner.planning.checks.small_run import write_model

GATED = refusing(401, "GatedRepo")


class Box(LocalMachine):
    """A folder of this machine as one that is rented; the trainer is not started, only what starts it kept."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.is_set_up = True

    def exists(self, path: str) -> bool:
        return self.is_set_up if path.endswith("/bin/python") else super().exists(path)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] == "mkdir":
            return super().run(argv, **options)
        if "start" in argv:
            self.started = [*argv, *(options.get("env") or {}).values()]
        state = {"state": "none", "exit_code": None, "step": None, "checkpoint": None}
        return Completed(tuple(argv), 0, json.dumps(state))


def secrets_on(
    box: Box,
    handler: Handler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: Mapping[str, str] | None = None,
    **compute: Any,
) -> list[dict[str, str]]:
    """Return what the files that are put on a machine hold, once its trainer was started."""
    memory = tmp_path / "shm"
    memory.mkdir()
    monkeypatch.setattr(secrets, "MEMORY", str(memory))
    monkeypatch.setattr(Context, "machine", lambda self, host: box)
    values = {"data": {"train_path": "x"}, "model": {"base_model": "org/name"}}
    compute = {"env": "runpod", "prefix": str(tmp_path / "box"), **compute}
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    world = RealWorld({"HF_TOKEN": "hf_secret", **(environ or {})})
    ctx = Context(run, RunFile.model_validate(values | {"compute": compute}), SilentView(), Stop(world), world)
    host = Host("203.0.113.7", 22, "root", "p-1", "A40", "any", False, 0.4, None, "runpod")
    with hub_of(handler, tmp_path / "cache", monkeypatch):
        train.launch(ctx, host, resume=False)
    assert "hf_secret" not in " ".join(box.started)
    return [json.loads(path.read_text()) for path in memory.rglob("*.json")]


def test_a_rented_machine_has_the_token_in_its_memory_for_a_gated_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box()

    assert secrets_on(box, GATED, tmp_path, monkeypatch) == [{"HF_TOKEN": "hf_secret"}]
    assert "--secrets" in box.started


def test_a_machine_that_is_not_set_up_trains_nothing_and_the_error_says_what_sets_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box()
    box.is_set_up = False

    with pytest.raises(TrainingFailedError, match=r"is not set up: it has no .*/venv/bin/python") as caught:
        secrets_on(box, GATED, tmp_path, monkeypatch)
    assert "make configure RUN=" in (caught.value.resolution or "")
    assert not box.started


def test_a_rented_machine_has_no_token_for_a_public_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()

    assert secrets_on(box, serving(write_model(tmp_path / "model")), tmp_path, monkeypatch) == []
    assert "--secrets" not in box.started


def test_a_rented_machine_is_led_to_the_hub_that_the_user_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve = serving(write_model(tmp_path / "model"))
    environ = {"HF_ENDPOINT": "http://hub.example:8080"}

    assert secrets_on(Box(), serve, tmp_path, monkeypatch, environ) == [environ]


@pytest.mark.parametrize(("enabled", "held"), [(False, []), (True, [{"HF_TOKEN": "hf_secret"}])])
def test_a_community_machine_has_the_token_only_where_the_run_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool, held: list[dict[str, str]]
) -> None:
    box = Box()
    compute = {"trust": "any", "community_hub_token_enabled": enabled}

    assert secrets_on(box, GATED, tmp_path, monkeypatch, **compute) == held


def started_with(
    store: dict[str, Any], env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, spot: bool = False
) -> list[str]:
    """Return the words by which a trainer is started."""
    box = Box()
    monkeypatch.setattr(Context, "machine", lambda self, host: box)
    given = {"host": "ubuntu@203.0.113.7"} if env == "existing" else {}
    values = {"compute": {"env": env, "prefix": str(tmp_path / "box"), **given}, "store": store}
    world = RealWorld({})
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 28, tzinfo=UTC), world)
    ctx = Context(run, RunFile.model_validate(values), SilentView(), Stop(world), world)
    monkeypatch.setattr(train, "hub_variables", lambda *_: {})
    train.launch(ctx, Host("203.0.113.7", 22, "root", "p-1", "A40", "any", spot, 0.4, None, env), resume=False)
    return box.started


@pytest.mark.parametrize(
    ("store", "env", "has_outbox"),
    [
        ({"url": "s3://bucket/runs"}, "lambda", True),
        ({"url": "s3://bucket/runs"}, "existing", False),
        ({"url": "file:///runs"}, "lambda", False),
        ({}, "lambda", False),
    ],
)
def test_a_machine_that_knows_the_store_brings_its_checkpoints_there(
    store: dict[str, Any], env: str, has_outbox: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = started_with(store, env, tmp_path, monkeypatch)

    assert "start" in started
    assert ("--store" in started) is has_outbox
    if has_outbox:
        assert started[started.index("--store") + 1].endswith("/lease/upload.json")


@pytest.mark.parametrize(
    ("env", "spot", "asked"),
    [("aws", True, ["http://169.254.169.254"]), ("aws", False, []), ("runpod", True, []), ("existing", True, [])],
)
def test_only_a_spot_machine_of_a_cloud_that_gives_notice_asks_for_one(
    env: str, spot: bool, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = started_with({}, env, tmp_path, monkeypatch, spot=spot)

    assert [after for before, after in pairwise(started) if before == "--metadata-url"] == asked
