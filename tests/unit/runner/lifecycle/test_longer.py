"""A finished or stopped run is made longer by a resume; another difference is named before anything is rented."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import UsageError
from runner.lifecycle import finish as finishing
from runner.lifecycle.longer import is_made_longer, with_same_steps
from runner.run.models import Host
from runner.run.planned import write_plan
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.conftest import CommandLine
from tests.unit.runner.made_plan import made_plan
from trainer.checkpoints import complete as complete_checkpoints
from trainer.checkpoints.complete import REQUIRED_FILES, complete, verify
from trainer.config.sections import CheckpointingSection

NOW = datetime(2026, 11, 28, tzinfo=UTC)
HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")


def run_file(**training: Any) -> RunFile:
    return RunFile.model_validate({"data": {"train_path": "/x"}, "training": training})


def context(folder: Path, *, has_checkpoint: bool, **training: Any) -> Context:
    world = RealWorld()
    run = create_run(folder, "tiny", NOW, world)
    if has_checkpoint:
        path = run.checkpoints / "checkpoint-4"
        path.mkdir(parents=True)
        for name in REQUIRED_FILES:
            (path / name).write_text(json.dumps({}))
        complete(path, 4, {})
    return Context(run, run_file(**training), SilentView(), Stop(world), world)


def test_another_length_of_a_finished_run_is_gone_on_with(tmp_path: Path) -> None:
    ctx = context(tmp_path, has_checkpoint=True, max_steps=4)

    ctx.state.finish("done")

    assert is_made_longer(ctx, with_same_steps(ctx, run_file(max_steps=8)))
    assert not is_made_longer(ctx, run_file(max_steps=4))
    assert not is_made_longer(ctx, None)


def test_without_a_checkpoint_a_finished_run_is_not_trained_anew(tmp_path: Path) -> None:
    ctx = context(tmp_path, has_checkpoint=False, max_steps=4)
    ctx.state.finish("done")

    with pytest.raises(UsageError, match="no checkpoint of it is here to go on from") as caught:
        with_same_steps(ctx, run_file(max_steps=8))
    assert "checkpointing.bring_home" in caught.value.resolution


def test_the_newest_checkpoint_is_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, has_checkpoint=True, max_steps=4)
    ctx.state.finish("done")
    verified: list[Path] = []
    monkeypatch.setattr(complete_checkpoints, "verify", lambda path: [verified.append(path), verify(path)][1])

    assert is_made_longer(ctx, with_same_steps(ctx, run_file(max_steps=8)))
    assert verified == [ctx.run.checkpoints / "checkpoint-4"]


def test_a_key_that_may_not_differ_is_named_with_both_values_before_anything_is_rented(tmp_path: Path) -> None:
    ctx = context(tmp_path, has_checkpoint=True, max_steps=4)

    with pytest.raises(UsageError, match=r"training\.learning_rate was 0\.0002, is 0\.001"):
        with_same_steps(ctx, run_file(max_steps=8, learning_rate=1e-3))


def test_a_run_that_has_no_checkpoint_may_change(tmp_path: Path) -> None:
    ctx = context(tmp_path, has_checkpoint=False)

    assert with_same_steps(ctx, run_file(learning_rate=1e-3)).training.learning_rate == 1e-3


def test_the_steps_stay_as_the_first_plan_settled_them(tmp_path: Path) -> None:
    ctx = context(tmp_path, has_checkpoint=True)
    write_plan(ctx.run, made_plan(data={"gradient_accumulation_steps": 2}))

    assert with_same_steps(ctx, run_file(num_train_epochs=9)).training.gradient_accumulation_steps == 2


def test_a_finished_run_is_made_longer_with_real_processes(command_line: CommandLine) -> None:
    done = command_line.train("steps=6")
    run = command_line.latest()
    assert (done.returncode, (run / "checkpoints" / "checkpoint-6").is_dir()) == (0, True)

    other = command_line.run("resume", "--set", "training.max_steps=9", "--set", "training.weight_decay=0.1")
    longer = command_line.run("resume", "--set", "training.max_steps=9", "--set", "publishing.tags=[steps=9]")

    assert other.returncode == 2
    assert "training.weight_decay was 0.0, is 0.1" in other.stderr
    assert (longer.returncode, longer.stderr) == (0, "")
    assert "going on from step 6" in longer.stdout
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 9 steps"
    assert json.loads((run / "receipt.json").read_text())["checks"]["trainer_processes"] == 0
    assert "is done already" in command_line.run("resume").stdout


def test_from_another_machine_the_checkpoint_of_a_finished_run_comes_home_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def bring(ctx: Context, host: Host, *, with_checkpoints: bool) -> list[str]:
        asked.append(with_checkpoints)
        return []

    monkeypatch.setattr(finishing.collect, "collect", bring)
    monkeypatch.setattr(finishing.lease, "kept", lambda ctx, host: nullcontext())
    monkeypatch.setattr(Context, "host", lambda self: HOST)
    ctx = context(tmp_path, has_checkpoint=False)
    for wanted in (False, True):
        checkpointing = CheckpointingSection(bring_home=wanted)
        changed = ctx.run_file.model_copy(update={"checkpointing": checkpointing})
        finishing._bring_home(replace(ctx, run_file=changed), None)

    assert asked == [False, True]
