"""What every step is handed: plan and state are made once, and never older than the files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner import context as contexts
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import RunNotFoundError
from runner.run.models import Host
from runner.run.planned import write_plan
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.run.state import RunState
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.29, None, "lambda")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    return Context(
        run, RunFile.model_validate({"data": {"train_path": "x"}}), SilentView(), Stop(RealWorld()), RealWorld()
    )


def test_the_plan_is_made_once(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx.keep_plan(made_plan())
    first = ctx.plan
    monkeypatch.setattr(contexts, "read_plan", lambda run: pytest.fail("it was made already"))

    assert ctx.plan is first


def test_a_plan_that_is_made_anew_takes_the_place_of_the_old_one(ctx: Context) -> None:
    ctx.keep_plan(made_plan(base_model="old"))
    assert ctx.plan.base_model == "old"

    ctx.keep_plan(made_plan(base_model="new"))
    assert ctx.plan.base_model == "new"

    write_plan(ctx.run, made_plan(base_model="of another process"))
    assert ctx.plan.base_model == "of another process"


def test_a_run_without_a_plan_says_so_until_it_has_one(ctx: Context) -> None:
    with pytest.raises(RunNotFoundError, match="missing"):
        _ = ctx.plan

    ctx.keep_plan(made_plan())

    assert ctx.plan == made_plan()


def test_the_state_is_made_once_and_again_when_another_process_has_written_it(ctx: Context) -> None:
    ctx.state.begin("plan")
    before = ctx.state
    assert ctx.state is before

    RunState(ctx.run).end("plan", "done", 1.0)

    assert ctx.state.is_done("plan")


def test_what_one_writes_does_not_undo_what_another_wrote_meanwhile(ctx: Context) -> None:
    """A step once kept the state from its beginning and wrote that back at its end."""
    ctx.state.begin("provision")
    RunState(ctx.run).begin("train")

    ctx.state.end("provision", "done", 1.0)

    assert {name: step["status"] for name, step in RunState(ctx.run).steps.items()} == {
        "provision": "done",
        "train": "running",
    }


def test_a_machine_is_up_until_it_is_given_back(ctx: Context) -> None:
    assert ctx.host_up() is None

    write_json(ctx.run.host, HOST.to_mapping())
    assert ctx.host_up() == HOST

    ctx.state.end("destroy", "done", 1.0)
    assert ctx.host_up() is None
    assert ctx.host() == HOST


def test_another_run_file_is_another_context_of_the_same_run(ctx: Context) -> None:
    ctx.keep_plan(made_plan())
    moved = replace(ctx, run_file=RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}}))

    assert (ctx.environment.name, moved.environment.name) == ("local", "lambda")
    assert moved.plan == ctx.plan


def test_a_run_on_disk_is_opened_with_the_keys_of_its_cloud(ctx: Context) -> None:
    write_json(ctx.run.config, {"compute": {"env": "aws", "aws": {"instance_profile": "trainers"}}})

    opened = contexts.open_context(ctx.run, ctx.view, ctx.stop, ctx.world)

    assert opened.run_file.compute.own_sections()["aws"].model_dump()["instance_profile"] == "trainers"
