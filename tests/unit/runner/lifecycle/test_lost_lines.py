"""A journal that is gone: from then on nobody knows what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.adapters.terraform import STATE_FILE
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle.lost_lines import note_lost_lines
from runner.run.journal import JOURNAL_NAME, Journal
from runner.run.run_dir import begin_run, create_run
from runner.run.run_file import RunFile
from runner.run.spend import spend_of
from runner.safety.asked import clouds_asked
from runner.simulation.world import BEGINNING, VirtualWorld


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    world = VirtualWorld()
    run = create_run(tmp_path, "tiny", BEGINNING, world)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    return Context(run, run_file, SilentView(), Stop(world), world)


def end_provision(ctx: Context, status: str) -> None:
    ctx.state.begin("provision")
    ctx.state.end("provision", status, 1.0)


def test_a_journal_that_is_gone_is_damaged_from_then_on(ctx: Context) -> None:
    end_provision(ctx, "done")

    note_lost_lines(ctx)
    Journal(ctx.run).intent("destroy")

    assert Journal(ctx.run).is_damaged
    assert spend_of(ctx.run).total_usd is None


def test_one_that_is_empty_has_lost_its_first_line(ctx: Context) -> None:
    ctx.state.begin("provision")
    ctx.run.file(JOURNAL_NAME).write_bytes(b"")

    note_lost_lines(ctx)

    assert Journal(ctx.run).is_damaged


def test_one_that_is_there_is_left_alone(ctx: Context) -> None:
    end_provision(ctx, "done")
    Journal(ctx.run).intent("provision", environment="lambda")
    before = ctx.run.file(JOURNAL_NAME).read_bytes()

    note_lost_lines(ctx)

    assert ctx.run.file(JOURNAL_NAME).read_bytes() == before
    assert not Journal(ctx.run).is_damaged


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_that_was_handed_no_machine_need_not_have_one(ctx: Context, status: str) -> None:
    end_provision(ctx, status)

    note_lost_lines(ctx)

    assert not ctx.run.file(JOURNAL_NAME).exists()


def test_one_that_is_gone_after_terraform_has_begun_is_damaged_however_that_ended(ctx: Context) -> None:
    begin_run(ctx.run)
    end_provision(ctx, "failed")
    ctx.run.terraform.mkdir(parents=True)
    (ctx.run.terraform / STATE_FILE).write_text("{}")

    assert clouds_asked(ctx.run) is None


def test_one_that_is_gone_while_its_runner_was_killed_at_the_request_is_damaged(ctx: Context) -> None:
    begin_run(ctx.run)
    ctx.state.begin("provision")

    assert clouds_asked(ctx.run) is None
    note_lost_lines(ctx)
    assert Journal(ctx.run).is_damaged


def test_whoever_writes_into_an_empty_one_notes_that_its_lines_are_lost(ctx: Context) -> None:
    ctx.run.file(JOURNAL_NAME).write_bytes(b"")

    assert clouds_asked(ctx.run) is None
    Journal(ctx.run).answer("look", cloud="lambda", machines=[], gone=[])

    assert [line["action"] for line in Journal(ctx.run).entries()] == ["lost", "look"]
