"""Checkpoints that go on from home to the store while training goes on: which, when, and what is left of them there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.context import Context
from runner.lifecycle import onward as onwards
from runner.lifecycle.onward import Onward, going_on
from runner.run.models import Host
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.kept_lines import Lines
from tests.unit.trainer.checkpoints.small_checkpoints import make_checkpoint
from trainer.checkpoints.places import Folder, Place, open_place
from trainer.checkpoints.pull import pull
from trainer.errors import StoreError

TIMEOUT_S = 60.0
HOST = Host("203.0.113.7", 22, "root", "p-1", "A40", "any", False, 0.4, None, "lambda")


@pytest.fixture(params=["file", "rclone"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that only this machine reaches."""
    if request.param == "file":
        return f"file://{tmp_path}/store"
    open_remote: Callable[[str], str] = request.getfixturevalue("open_remote")
    return open_remote("local")


def context(tmp_path: Path, url: str | None, env: str = "lambda") -> Context:
    world = RealWorld()
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 30, tzinfo=UTC), world)
    values = {"compute": {"env": env}, "store": {"url": url}}
    return Context(run, RunFile.model_validate(values), Lines(), Stop(world), world)


def place_of(ctx: Context, url: str) -> Place:
    return open_place(f"{url}/{ctx.run.run_id}", None)


def stored(ctx: Context, url: str) -> set[str]:
    return {name.split("/")[1] for name in place_of(ctx, url).sizes()}


def test_what_came_home_is_in_the_store_and_what_went_here_goes_there(url: str, tmp_path: Path) -> None:
    ctx = context(tmp_path, url)
    onward = Onward(ctx)
    make_checkpoint(ctx.run.checkpoints, 2)
    onward.look()
    first = stored(ctx, url)
    make_checkpoint(ctx.run.checkpoints, 4)
    shutil.rmtree(ctx.run.checkpoints / "checkpoint-2")

    onward.look()

    assert (first, stored(ctx, url)) == ({"checkpoint-2"}, {"checkpoint-4"})
    assert pull(f"{url}/{ctx.run.run_id}/checkpoints", tmp_path / "back").checkpoint == 4


def test_only_what_this_runner_has_sent_is_removed_there(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    ctx = context(tmp_path, url)
    place_of(ctx, url).write(b"of an earlier try", "checkpoints/checkpoint-1/manifest.json")
    make_checkpoint(ctx.run.checkpoints, 2)

    Onward(ctx).look()

    assert stored(ctx, url) == {"checkpoint-1", "checkpoint-2"}


def test_a_folder_that_is_emptied_at_the_end_empties_nothing_there(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    ctx = context(tmp_path, url)
    onward = Onward(ctx)
    make_checkpoint(ctx.run.checkpoints, 2)
    onward.look()
    shutil.rmtree(ctx.run.checkpoints)
    onward.look()
    ctx.run.checkpoints.mkdir()

    onward.look()

    assert stored(ctx, url) == {"checkpoint-2"}


def test_without_a_new_one_the_store_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, f"file://{tmp_path}/store")
    onward = Onward(ctx)
    onward.look()
    make_checkpoint(ctx.run.checkpoints, 2)
    onward.look()
    monkeypatch.setattr(onwards, "store_checkpoint", lambda *_: pytest.fail("asked"))

    onward.look()


def test_an_upload_that_failed_is_shown_once_tried_again_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/store"
    ctx, lines = context(tmp_path, url), Lines()
    ctx = replace(ctx, view=lines)
    monkeypatch.setattr(onwards, "LOOK_S", 0.01)
    write, is_full = Folder.write, [True]

    def fail(place: Folder, content: bytes, name: str) -> None:
        if is_full[0]:
            raise StoreError("sync: the disk is full", resolution="make room")
        write(place, content, name)

    monkeypatch.setattr(Folder, "write", fail)  # the manifest, behind all files
    with going_on(ctx, HOST):
        make_checkpoint(ctx.run.checkpoints, 2)
        wait_for(lambda: lines.said != [])
        is_full[0] = False
        make_checkpoint(ctx.run.checkpoints, 4)
        shutil.rmtree(ctx.run.checkpoints / "checkpoint-2")
        wait_for(lambda: stored(ctx, url) == {"checkpoint-4"})

    assert lines.said[0] == "store: the disk is full; the checkpoint is here, and is sent again"
    assert len([line for line in lines.said if "disk is full" in line]) == 1


def test_what_is_being_sent_is_known_until_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, f"file://{tmp_path}/store")
    onward = Onward(ctx)
    make_checkpoint(ctx.run.checkpoints, 2)
    during: list[str] = []
    monkeypatch.setattr(onwards, "store_checkpoint", lambda *_: during.append(onward.sending))

    onward.look()

    assert (during, onward.sending) == (["checkpoint-2"], "")


@pytest.mark.parametrize(
    ("env", "url", "is_here"),
    [("lambda", "s3://bucket/runs", False), ("lambda", None, False), ("local", "file:///x", True)],
)
def test_where_another_brings_it_there_or_nobody_nothing_is_begun(
    env: str, url: str | None, is_here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onwards, "beside", lambda *_, **__: pytest.fail("begun"))
    host = replace(HOST, cloud=env, instance_type="this-machine" if is_here else "A40")

    with going_on(context(tmp_path, url, env), host) as onward:
        assert onward is None


def wait_for(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)
