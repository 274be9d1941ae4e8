"""A person's own way onto a run's machine is the run's way: its file, its keys, nothing of the user's."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.adapters.ssh_config import Hop, write_way
from runner.adapters.stop import Stop
from runner.cli.login import ssh_argv, tensorboard_argv
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.run.models import Host
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld

HOST = Host("203.0.113.7", 2222, "me", "given", "given-machine", "here", False, 0.0, None, "local")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "existing", "host": "box"}})
    return Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())


def test_ssh_is_given_the_runs_own_file(ctx: Context) -> None:
    write_way(ctx.run.ssh_config, (Hop("box", "203.0.113.7", 2222, "me"),))

    assert ssh_argv(ctx, HOST)[:3] == ["ssh", "-F", str(ctx.run.ssh_config)]
    assert ssh_argv(ctx, HOST)[-1] == "me@203.0.113.7"
    assert str(ctx.run.ssh_config) in tensorboard_argv(ctx, HOST)[0]


def test_a_run_of_before_that_file_and_a_rented_machine_have_an_empty_one(ctx: Context) -> None:
    assert ssh_argv(ctx, HOST)[:3] == ["ssh", "-F", os.devnull]

    write_way(ctx.run.ssh_config, (Hop("box", "203.0.113.7", 2222, "me"),))
    rented = dataclasses.replace(
        ctx, run_file=RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    )

    assert ssh_argv(rented, HOST)[:3] == ["ssh", "-F", os.devnull]
