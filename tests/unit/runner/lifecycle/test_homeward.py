"""Checkpoints that come home while training goes on: which, when, and what is left of them at the end."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import Allowance, LocalMachine
from runner.adapters.process import Cancel
from runner.adapters.stop import Stop
from runner.context import Context
from runner.errors import ConnectionLostError
from runner.lifecycle import homeward, onward
from runner.lifecycle.homeward import coming_home
from runner.run.models import Host
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.store.one_checkpoint import store_checkpoint
from runner.world import RealWorld
from tests.unit.runner.kept_lines import Lines
from trainer.checkpoints.complete import newest_complete

TIMEOUT_S = 60.0
HOST = Host("203.0.113.7", 22, "root", "p-1", "A40", "any", False, 0.4, None, "lambda")
FILES = ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt")


class There(LocalMachine):
    """A folder of this machine as one that is rented; connections to it can fail."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.failures: list[Exception] = []
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        if self.failures:
            raise self.failures.pop(0)
        super().get(source, target, allowance, cancel=cancel)
        self.fetched.append(Path(source).name)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> There:
    """The machine that is looked at all the time."""
    found = There()
    monkeypatch.setattr(Context, "machine", lambda self, host: found)
    monkeypatch.setattr(homeward, "LOOK_S", 0.01)
    monkeypatch.setattr(homeward, "REST_S", 0.0)
    return found


def context(tmp_path: Path, *, env: str = "lambda", **sections: Any) -> Context:
    values = {"compute": {"env": env, "prefix": str(tmp_path / "box")}, **sections}
    world = RealWorld({})
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 29, tzinfo=UTC), world)
    return Context(run, RunFile.model_validate(values), Lines(), Stop(world), world)


def save(ctx: Context, machine: There, step: int, *, best: int | None = None, damaged: bool = False) -> Path:
    """Put a complete checkpoint onto the machine."""
    folder = Path(ctx.box(HOST, machine).checkpoints) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    state = {"best_model_checkpoint": None if best is None else f"/elsewhere/checkpoint-{best}"}
    contents = dict.fromkeys(FILES, b"x") | {"trainer_state.json": json.dumps(state).encode()}
    listed = []
    for name, content in contents.items():
        (folder / name).write_bytes(b"y" if damaged else content)
        listed.append({"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {"format": 1, "step": step, "files": listed, "fingerprints": {}}
    part = folder.with_name("manifest.part")
    part.write_text(json.dumps(manifest))
    part.replace(folder / "manifest.json")
    return folder


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


def followed(ctx: Context, train: Callable[[], None]) -> None:
    with coming_home(ctx, HOST):
        train()


def at_home(ctx: Context) -> list[str]:
    return sorted(name for name in ctx.world.disk.names(ctx.run.checkpoints) if not name.endswith(".part"))


def newest_at_home(ctx: Context) -> int | None:
    found, _ = newest_complete(ctx.run.checkpoints)
    return None if found is None else found.step


def stored_lines(ctx: Context) -> list[str]:
    said: list[str] = ctx.view.said  # type: ignore[attr-defined]
    return [line for line in said if line.startswith("stored: ")]


def test_each_checkpoint_comes_home_and_replaces_the_one_before(tmp_path: Path, machine: There) -> None:
    ctx = context(tmp_path)

    def train() -> None:
        for step in (2, 4):
            save(ctx, machine, step)
            wait_for(lambda step=step: at_home(ctx) == [f"checkpoint-{step}"])  # type: ignore[misc]
        shutil.rmtree(tmp_path / "box")
        raise ConnectionLostError("the machine is gone", resolution="resume")

    with pytest.raises(ConnectionLostError):
        followed(ctx, train)

    assert newest_at_home(ctx) == 4
    assert machine.fetched == ["checkpoint-2", "checkpoint-4"]
    assert ctx.view.said == ["came home: checkpoint-2", "came home: checkpoint-4"]  # type: ignore[attr-defined]


def test_word_of_a_checkpoint_brings_it_home_and_on_to_the_store_before_anybody_would_look(
    tmp_path: Path, machine: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (homeward, onward):
        monkeypatch.setattr(module, "LOOK_S", 10 * TIMEOUT_S)
    ctx = context(tmp_path, store={"url": f"file://{tmp_path}/store"})

    with coming_home(ctx, HOST) as look_for_it:
        for step in (2, 4):
            save(ctx, machine, step)
            look_for_it()
            wait_for(lambda step=step: f"came home: checkpoint-{step}" in ctx.view.said)  # type: ignore[misc, attr-defined]
            wait_for(lambda step=step: any(f"checkpoint-{step}" in line for line in stored_lines(ctx)))  # type: ignore[misc]

    assert machine.fetched == ["checkpoint-2", "checkpoint-4"]


def test_between_two_looks_there_is_a_pause_however_often_word_comes(
    tmp_path: Path, machine: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeward, "REST_S", 10 * TIMEOUT_S)
    ctx, begun_s = context(tmp_path), time.monotonic()

    with coming_home(ctx, HOST) as look_for_it:
        save(ctx, machine, 2)
        look_for_it()
        time.sleep(0.2)

    assert machine.fetched == []
    assert time.monotonic() - begun_s < TIMEOUT_S, "the end of the block waits for no pause"


def test_the_best_checkpoint_stays_beside_the_newest(tmp_path: Path, machine: There) -> None:
    ctx = context(tmp_path, checkpointing={"bring_home": True})

    def train() -> None:
        for step, best in ((2, 2), (4, 2), (6, 2)):
            save(ctx, machine, step, best=best)
            wait_for(lambda step=step: newest_at_home(ctx) == step)  # type: ignore[misc]
        wait_for(lambda: at_home(ctx) == ["checkpoint-2", "checkpoint-6"])

    followed(ctx, train)


def test_what_was_here_before_is_never_removed(tmp_path: Path, machine: There) -> None:
    ctx = context(tmp_path)
    kept = ctx.run.checkpoints / "checkpoint-1"
    kept.mkdir(parents=True)

    with coming_home(ctx, HOST):
        save(ctx, machine, 2)
        wait_for(lambda: "checkpoint-2" in at_home(ctx))

    assert at_home(ctx) == ["checkpoint-1"]


def test_one_that_is_still_going_on_to_the_store_stays_until_it_is_there(
    tmp_path: Path, machine: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    ctx = context(tmp_path, store={"url": f"file://{tmp_path}/store"}, checkpointing={"bring_home": True})
    slow = store_checkpoint

    def store(ctx: Context, name: str) -> None:
        if name == "checkpoint-2":
            assert may_end.wait(TIMEOUT_S)
        slow(ctx, name)

    monkeypatch.setattr(onward, "LOOK_S", 0.01)
    monkeypatch.setattr(onward, "store_checkpoint", store)
    with coming_home(ctx, HOST):
        for step in (2, 4):
            save(ctx, machine, step)
            wait_for(lambda step=step: newest_at_home(ctx) == step)  # type: ignore[misc]
        assert at_home(ctx) == ["checkpoint-2", "checkpoint-4"]
        may_end.set()
        wait_for(lambda: any("checkpoint-4" in line for line in stored_lines(ctx)))
        save(ctx, machine, 6)
        wait_for(lambda: at_home(ctx) == ["checkpoint-6"])


@pytest.mark.parametrize("bring_home", [False, True])
def test_after_a_good_end_they_are_kept_only_where_the_run_file_says_so(
    tmp_path: Path, machine: There, bring_home: bool
) -> None:
    ctx = context(tmp_path, checkpointing={"bring_home": bring_home})

    with coming_home(ctx, HOST):
        save(ctx, machine, 2)
        wait_for(lambda: at_home(ctx) == ["checkpoint-2"])

    assert at_home(ctx) == (["checkpoint-2"] if bring_home else [])
    assert ctx.run.checkpoints.exists() is bring_home


def test_a_failure_costs_one_look_and_the_connection(tmp_path: Path, machine: There) -> None:
    ctx = context(tmp_path, checkpointing={"bring_home": True})
    machine.failures = [ConnectionLostError("no answer", resolution="wait"), OSError(28, "No space left on device")]

    with coming_home(ctx, HOST):
        save(ctx, machine, 2)
        wait_for(lambda: at_home(ctx) == ["checkpoint-2"])

    said: list[str] = ctx.view.said  # type: ignore[attr-defined]
    assert "No space left on device; the checkpoint stays on the machine for now" in said[0]
    assert said[1:] == ["came home: checkpoint-2"]
    assert machine.closed == len(["no answer", "no space", "the end"])


class Pauses(threading.Event):
    """Never set until it was waited for so often; knows for how long each time."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.waited_s: list[float] = []
        self._times = times

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s.append(timeout or 0.0)
        if len(self.waited_s) > self._times:
            self.set()
        return self.is_set()


def test_a_checkpoint_for_which_there_is_no_room_is_not_fetched_without_end(
    tmp_path: Path, machine: There, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homeward, "LONGEST_REST_S", 0.09)
    ctx, over = context(tmp_path), Pauses(7)
    save(ctx, machine, 2)
    machine.failures = [OSError(28, "No space left on device")] * 4 + [ConnectionLostError("cut", resolution="wait")]

    homeward._Homeward(ctx, HOST, None, ctx.world.bell()).go_on(over)

    assert machine.fetched == ["checkpoint-2"]
    assert over.waited_s == [0.0, 0.02, 0.04, 0.08, 0.09, 0.09, 0.0, 0.0]


def test_one_that_is_damaged_there_does_not_come_and_the_next_one_does(tmp_path: Path, machine: There) -> None:
    ctx = context(tmp_path, checkpointing={"bring_home": True})
    save(ctx, machine, 2, damaged=True)

    with coming_home(ctx, HOST):
        wait_for(lambda: any("damaged" in line for line in ctx.view.said))  # type: ignore[attr-defined]
        assert at_home(ctx) == []
        save(ctx, machine, 4)
        wait_for(lambda: at_home(ctx) == ["checkpoint-4"])


def test_what_came_before_stays_while_nothing_newer_is_whole(tmp_path: Path, machine: There) -> None:
    ctx = context(tmp_path, checkpointing={"bring_home": True})

    with coming_home(ctx, HOST):
        first = save(ctx, machine, 2)
        wait_for(lambda: at_home(ctx) == ["checkpoint-2"])
        shutil.rmtree(first)
        save(ctx, machine, 4, damaged=True)
        wait_for(lambda: any("damaged" in line for line in ctx.view.said))  # type: ignore[attr-defined]

    assert at_home(ctx) == ["checkpoint-2"]


@pytest.mark.parametrize(
    ("env", "store", "is_local"),
    [("lambda", {"url": "s3://bucket/runs"}, False), ("local", {}, True)],
)
def test_where_the_work_is_safe_already_nothing_is_fetched(
    tmp_path: Path, machine: There, env: str, store: dict[str, str], is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path, env=env, store=store)
    begun: list[str] = []
    monkeypatch.setattr(homeward, "beside", lambda *_, **options: begun.append(options["name"]))
    host = replace(HOST, cloud=env, instance_type="this-machine" if is_local else "A40")

    with coming_home(ctx, host):
        pass

    assert host.is_this_machine is is_local
    assert begun == []
