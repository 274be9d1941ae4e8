"""The steps one by one on this machine: exact command lines, exact files, damage refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import Allowance, LocalMachine
from runner.adapters.process import Cancel, ToolCancelledError
from runner.adapters.stop import Stop
from runner.adapters.supervisor import read_status
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import (
    ConnectionLostError,
    MachineLostError,
    RunInterruptedError,
    TrainerLostError,
    TrainingFailedError,
    TransferError,
)
from runner.lifecycle import fetching
from runner.lifecycle.steps import collect, destroy, stage, train
from runner.run.events import LOOK_BYTES, MOST_BYTES
from runner.run.gpu_log import MOST_BYTES as MOST_GPU_LOG_BYTES
from runner.run.gpu_log import read_looks
from runner.run.models import Box, Completed, Host, TrainerStatus
from runner.run.planned import Foreseen, MicroBatch, PlannedMachine
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile, with_settings
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan
from trainer.config.sections import DataSection
from trainer.data.samples import load_dataset

HOST = Host("localhost", 22, "me", "i", "this-machine", "here", False, 0.0, None, "local")
MACHINE = PlannedMachine(HOST.instance_type, HOST.region, False, 0.0, 0.0)
RUNNING = {"state": "running", "exit_code": None, "step": 3, "checkpoint": None}


class Recorder(LocalMachine):
    """This machine, but programs are written down instead of run."""

    def __init__(self, *answers: Mapping[str, Any]) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.answers = [json.dumps(answer) for answer in answers]

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.asked.append(tuple(argv))
        assert options["env"]["PYTHONSAFEPATH"] == "1"
        return Completed(tuple(argv), 0, self.answers.pop(0))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    samples = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(10)]
    (tmp_path / "train.json").write_text(json.dumps(samples))
    (tmp_path / "base.gguf").write_text("weights\n")
    data = {"train_path": str(tmp_path / "train.json")}
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 21, tzinfo=UTC), RealWorld())
    write_json(run.host, HOST.to_mapping())
    ctx = Context(run, RunFile.model_validate({"data": data}), SilentView(), Stop(RealWorld()), RealWorld())
    plan = made_plan(environment="local", model_files=str(tmp_path / "base.gguf"), model_bytes=8, machines=(MACHINE,))
    ctx.keep_plan(plan)
    return ctx


@pytest.fixture
def box(ctx: Context) -> Box:
    found = ctx.box(HOST, LocalMachine())
    Path(found.python).parent.mkdir(parents=True)
    Path(found.python).touch()
    Path(found.output).mkdir()
    return found


def use(monkeypatch: pytest.MonkeyPatch, machine: LocalMachine) -> None:
    monkeypatch.setattr(Context, "machine", lambda self, host: machine)


def put_adapter(box: Box, *, judged: bool = True, **files: str) -> None:
    folder = Path(box.output) / "adapter"
    folder.mkdir()
    if judged:
        files["acceptance.json"] = "{}"
    for name, text in files.items():
        (folder / name).write_text(text)
    sums = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in files.items()]
    (folder / "SHA256SUMS").write_text("".join(sums))


def put_checkpoint(box: Box, step: int, best: int | None = None) -> Path:
    folder = Path(box.checkpoints) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    names = ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt")
    contents = dict.fromkeys(names, b"x")
    state = {"best_model_checkpoint": None if best is None else f"/elsewhere/checkpoint-{best}"}
    contents["trainer_state.json"] = json.dumps(state).encode()
    files = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        files.append({"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    manifest = {"format": 1, "step": step, "files": files, "fingerprints": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(("hours", "limit"), [(24.0, ["--max-hours", "24.0"]), (None, [])])
def test_the_trainer_is_started_with_exactly_this(
    hours: float | None, limit: list[str], ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Recorder(RUNNING | {"state": "none"}, RUNNING)
    use(monkeypatch, machine)
    budget = ctx.run_file.budget.model_copy(update={"max_hours": hours})

    train.launch(replace(ctx, run_file=ctx.run_file.model_copy(update={"budget": budget})), HOST, resume=True)

    prefix = box.prefix
    assert machine.asked == [
        (f"{prefix}/venv/bin/python", "-m", "trainer", "supervise", "status", "--output", f"{prefix}/output"),
        (
            *(f"{prefix}/venv/bin/python", "-m", "trainer", "supervise", "start"),
            *("--config", f"{prefix}/input/recipe.json", "--output", f"{prefix}/output"),
            *("--resume", *limit),
        ),
    ]


def test_a_trainer_that_runs_is_not_started_again(ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Recorder(RUNNING)
    use(monkeypatch, machine)

    train.launch(ctx, HOST, resume=False)

    assert [words[4] for words in machine.asked] == ["status"]


def test_an_impatient_stop_kills(ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Recorder(RUNNING | {"state": "exited", "exit_code": 137})
    use(monkeypatch, machine)
    ctx.stop.count = 2

    assert train.stop_trainer(ctx, HOST) == TrainerStatus("exited", 137, 3, None)
    assert machine.asked[0][3:] == ("supervise", "stop", "--now", "--output", box.output)


@pytest.mark.parametrize(
    ("status", "events", "error", "message"),
    [
        ({"state": "lost"}, [], TrainerLostError, "train: the trainer was killed at step 3"),
        ({"exit_code": 137}, [], TrainerLostError, "train: the trainer was killed by signal 9 at step 3"),
        ({"exit_code": 1}, [], TrainingFailedError, "train: the trainer ended with exit status 1"),
        ({"exit_code": 2}, [("run_ended", "data: line 3 is bad")], TrainingFailedError, "data: line 3 is bad"),
        (
            {"exit_code": 75},
            [("run_ended", "the limit")],
            RunInterruptedError,
            "train: interrupted at step 3: the limit",
        ),
        (
            {"exit_code": 75},
            [("reclaimed", None), ("interrupted", None), ("run_ended", "stopped on request")],
            MachineLostError,
            "train: local takes machine i back; the trainer ended at step 3",
        ),
        ({"exit_code": 137}, [("reclaimed", None)], MachineLostError, "train: local takes machine i back"),
        ({"state": "lost"}, [("reclaimed", None)], MachineLostError, "train: local takes machine i back"),
        (
            {"exit_code": 75},
            [("reclaimed", None), ("phase_started", "data"), ("run_ended", "the limit")],
            RunInterruptedError,
            "train: interrupted at step 3: the limit",
        ),
        (
            {"exit_code": 137},
            [("run_ended", "of an earlier try"), ("run_started", None)],
            TrainerLostError,
            "train: the trainer was killed by signal 9 at step 3",
        ),
    ],
)
def test_each_end_of_training_has_its_error(
    ctx: Context,
    box: Box,
    monkeypatch: pytest.MonkeyPatch,
    status: dict[str, Any],
    events: list[tuple[str, str | None]],
    error: type[Exception],
    message: str,
) -> None:
    use(monkeypatch, Recorder(RUNNING | {"state": "exited"} | status))
    Path(box.output, "exit.json").write_text("{}")
    told = [{"event": event, "message": text, "phase": text, "resolution": "do"} for event, text in events]
    lines = [json.dumps(event) for event in told]
    Path(box.events).write_text("".join(f"{line}\n" for line in lines))

    with pytest.raises(error) as caught:
        train.follow(ctx, HOST)

    assert message in str(caught.value)


def test_a_run_that_is_done_is_done_whatever_becomes_of_its_machine(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Recorder(RUNNING | {"state": "exited", "exit_code": 0}))
    Path(box.output, "exit.json").write_text("{}")
    Path(box.events).write_text('{"event": "reclaimed"}\n')

    train.follow(ctx, HOST)


def test_a_supervisor_that_talks_nonsense_is_an_error(ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Recorder({})
    use(monkeypatch, machine)

    with pytest.raises(TrainingFailedError, match="gave no answer"):
        read_status(machine, box)


@pytest.mark.parametrize(
    "printed",
    [
        "", "[]", "[" * 100_000, '{"state": "odd"}', '{"state": ["running"]}', '{"state": "exited", "exit_code": "0"}',
        '{"state": "exited", "exit_code": 0, "step": 1e400}', '{"state": "exited", "checkpoint": true}',
    ],
)  # fmt: skip
def test_a_status_with_values_that_no_supervisor_gives_is_an_error(
    ctx: Context, box: Box, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Recorder()
    machine.answers = [printed]

    with pytest.raises(TrainingFailedError, match="gave no answer"):
        read_status(machine, box)


def test_of_a_rented_machine_nothing_is_asked_once_the_user_has_no_patience(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    rented = replace(ctx, run_file=RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}}))
    monkeypatch.setattr(Context, "machine", lambda self, host: pytest.fail("it was asked"))
    ctx.stop.count = 2

    assert train.stop_trainer(rented, HOST) == TrainerStatus("none")


class Endless(Recorder):
    """A machine whose events never end; the user loses patience at some look."""

    def __init__(self, ctx: Context, chunk: bytes, *, patience_looks: int) -> None:
        super().__init__(*[RUNNING | {"state": "exited", "exit_code": 0}] * 9)
        self.ctx, self.chunk, self.looks, self.patience_looks = ctx, chunk, 0, patience_looks

    def read_from(self, path: str, offset: int) -> bytes:
        if not path.endswith("events.jsonl"):
            return super().read_from(path, offset)
        self.looks += 1
        self.ctx.stop.count = 2 if self.looks >= self.patience_looks else 0
        return self.chunk


GOOD = b'{"event": "step", "step": 1, "max_steps": 2, "loss": 1.0}\n'


@pytest.mark.parametrize("chunk", [GOOD, b"\n", b"x" * LOOK_BYTES])
@pytest.mark.parametrize("has_ended", [True, False])
def test_a_machine_that_writes_events_for_ever_cannot_keep_the_user_in(
    ctx: Context, box: Box, chunk: bytes, has_ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Endless(ctx, chunk, patience_looks=3)
    use(monkeypatch, machine)
    if has_ended:
        Path(box.output, "exit.json").write_text("{}")

    with pytest.raises(RunInterruptedError):
        train.follow(ctx, HOST)

    assert machine.looks == 3


def test_collecting_from_such_a_machine_ends_as_well(ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Endless(ctx, GOOD, patience_looks=3))

    assert collect.collect(ctx, HOST, with_checkpoints=False) == []


GPU_LOOK = b'{"time": "2026-11-29T12:00:00.000+00:00", "gpus": [{"power_w": 60}], "xids": []}\n'


def test_the_log_of_the_gpus_comes_home_and_a_second_time_changes_nothing(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Recorder())
    Path(box.gpu_log).write_bytes(GPU_LOOK + b"no look\n")

    assert "gpu.jsonl" in collect.collect(ctx, HOST, with_checkpoints=False)
    first = ctx.run.gpu_log.read_bytes()
    collect.collect(ctx, HOST, with_checkpoints=False)

    assert len(read_looks(first)) == 1
    assert ctx.run.gpu_log.read_bytes() == first


def test_a_connection_that_breaks_in_the_log_of_the_gpus_fails_nothing(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaks(Recorder):
        def read_from(self, path: str, offset: int) -> bytes:
            if path == box.gpu_log and offset:
                raise ConnectionLostError("ssh: gone", resolution="wait")
            return super().read_from(path, offset)

    use(monkeypatch, Breaks())
    Path(box.gpu_log).write_bytes(GPU_LOOK)

    assert collect.collect(ctx, HOST, with_checkpoints=False) == ["gpu.jsonl"]


def test_a_machine_whose_log_of_its_gpus_never_ends_is_cut_short(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gabbles(Recorder):
        looks = 0

        def read_from(self, path: str, offset: int) -> bytes:
            self.looks += path == box.gpu_log
            return b"x" * LOOK_BYTES if path == box.gpu_log else b""

    machine = Gabbles()
    use(monkeypatch, machine)

    collect.collect(ctx, HOST, with_checkpoints=False)

    assert machine.looks == MOST_GPU_LOG_BYTES // LOOK_BYTES
    assert not ctx.run.gpu_log.exists()


@pytest.mark.parametrize(
    "bring_home",
    [
        pytest.param(lambda ctx: collect.collect(ctx, HOST, with_checkpoints=False), id="collect"),
        pytest.param(lambda ctx: train.follow(ctx, HOST), id="train, its trainer has ended"),
    ],
)
def test_no_more_than_so_much_of_the_events_comes_home(
    bring_home: Callable[[Context], object], ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Endless(ctx, b"x" * LOOK_BYTES, patience_looks=10_000)
    use(monkeypatch, machine)
    with ctx.run.events.path.open("wb") as file:
        file.truncate(MOST_BYTES - 2 * LOOK_BYTES)

    Path(box.output, "exit.json").write_text("{}")

    bring_home(ctx)

    assert ctx.run.events.size_bytes() == MOST_BYTES
    assert machine.looks == 2


class Listening(SilentView):
    """Keeps what was said and shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def event(self, event: dict[str, Any]) -> None:
        self.events.append(event)


def test_what_is_no_event_is_skipped_and_counted_and_the_run_goes_on(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = Listening()
    use(monkeypatch, Recorder(RUNNING | {"state": "exited", "exit_code": 0}))
    Path(box.output, "exit.json").write_text("{}")
    Path(box.events).write_bytes(b'{"event": "step", "step": "x"}\n' + GOOD + b"[]\n")

    train.follow(replace(ctx, view=view), HOST)

    assert [event["step"] for event in view.events] == [1]
    assert view.lines == ["events: 2 lines of the machine are no events; skipped"]
    assert ctx.run.events.size_bytes() == Path(box.events).stat().st_size


class Scripted(Recorder):
    """A machine that shows its events look by look, and has written how training ended when they are over."""

    def __init__(self, *looks: bytes) -> None:
        super().__init__(RUNNING | {"state": "exited", "exit_code": 0})
        self.looks = list(looks)

    def read_from(self, path: str, offset: int) -> bytes:
        if path.endswith("exit.json"):
            return b"" if self.looks else b"{}"
        return self.looks.pop(0) if self.looks else b""


def test_who_follows_asks_more_seldom_while_nothing_comes(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(ctx.stop, "wait", pauses.append)
    machine = Scripted(b"", GOOD, b"", b"", b"", b"", GOOD, b'{"event": "run_ended"}\n')
    use(monkeypatch, machine)

    train.follow(ctx, HOST)

    assert pauses == [1.0, 0.5, 1.0, 2.0, 4.0, 4.0, 0.5, 0.5]


def test_word_of_each_saved_checkpoint_is_passed_on(ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = b'{"event": "checkpoint_saved", "step": 2}\n'
    machine, words = Scripted(GOOD + saved, GOOD, saved, b'{"event": "run_ended"}\n'), list[int]()
    use(monkeypatch, machine)

    train.follow(ctx, HOST, on_saved=lambda: words.append(len(machine.looks)))

    assert words == [3, 1]


def test_after_the_time_of_the_run_its_trainer_is_followed_no_longer(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_s = [0.0]
    monkeypatch.setattr(type(ctx.world), "monotonic_s", lambda self: passed_s[-1])
    monkeypatch.setattr(ctx.stop, "wait", lambda seconds: passed_s.append(passed_s[-1] + 600.0))
    monkeypatch.setattr(train, "hours_to_follow", lambda ctx: 0.5)
    use(monkeypatch, Recorder(*[RUNNING] * 9))

    with pytest.raises(RunInterruptedError, match=r"the time of the run is over \(its hours, or what"):
        train.follow(ctx, HOST)

    assert passed_s[-1] == 2400.0


def test_who_follows_a_trainer_hears_that_most_of_its_time_is_used(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = Listening()
    run_file = with_settings(ctx.run_file, overrides=["budget.max_hours=1"], settings={}, folder=ctx.run.path)
    use(monkeypatch, Recorder(RUNNING | {"state": "exited", "exit_code": 0}))
    Path(box.output, "exit.json").write_text("{}")
    Path(box.events).write_text(
        '{"event": "run_started", "time": "2026-11-29T10:00:00+00:00"}\n'
        '{"event": "step", "step": 1, "time": "2026-11-29T10:50:00+00:00"}\n'
    )

    train.follow(replace(ctx, view=view, run_file=run_file), HOST)

    assert view.lines == ["budget: 0.8 of 1 h (budget.max_hours) are used; at the end training stops and saves"]


def test_the_planned_rows_go_into_the_recipe_and_a_step_stays_the_same(ctx: Context, box: Box) -> None:
    ctx.keep_plan(replace(ctx.plan, machines=(replace(MACHINE, micro_batch=MicroBatch(4)),)))

    stage.stage(ctx, HOST, resume=False)

    training = json.loads(Path(box.recipe).read_text())["training"]
    assert (training["per_device_train_batch_size"], training["gradient_accumulation_steps"]) == (4, 4)


def test_a_machine_that_the_plan_does_not_know_computes_one_row_at_once(ctx: Context, box: Box) -> None:
    stage.stage(ctx, HOST, resume=False)

    training = json.loads(Path(box.recipe).read_text())["training"]
    assert (training["per_device_train_batch_size"], training["gradient_accumulation_steps"]) == (1, 16)


def rows_there(ctx: Context, box: Box, host: Host) -> int:
    """Return the rows that a machine is told to compute at once."""
    recipe, _ = stage.box_recipe(ctx, box, host, ctx.run_file.data)
    return int(recipe["training"]["per_device_train_batch_size"])


def test_of_one_kind_in_two_regions_and_with_and_without_spot_each_has_its_own_rows(ctx: Context, box: Box) -> None:
    """Once the last machine of a kind decided for all of them."""
    host = replace(HOST, instance_type="gpu_1x_a10", region="us-west-1")
    places = [("us-west-1", False, 2), ("us-east-1", False, 4), ("us-west-1", True, 8), ("any", True, 1)]
    machines = [
        PlannedMachine("gpu_1x_a10", region, spot, 1.0, 1.0, micro_batch=MicroBatch(rows))
        for region, spot, rows in places
    ]
    ctx.keep_plan(replace(ctx.plan, machines=tuple(machines)))

    assert rows_there(ctx, box, host) == 2
    assert rows_there(ctx, box, replace(host, region="us-east-1")) == 4
    assert rows_there(ctx, box, replace(host, spot=True)) == 8
    assert rows_there(ctx, box, replace(host, spot=True, region="eu-central-1")) == 1
    assert rows_there(ctx, box, replace(host, region="eu-central-1")) == 1, "it is not in the plan"


def test_a_number_of_rows_in_the_run_file_counts(ctx: Context, box: Box) -> None:
    training = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    changed = {f"training.{key}": training[key] for key in training}
    fixed = with_settings(ctx.run_file, overrides=(), settings=changed, folder=ctx.world.folder)
    ctx.keep_plan(replace(ctx.plan, machines=(replace(MACHINE, micro_batch=MicroBatch(4)),)))

    stage.stage(replace(ctx, run_file=fixed), HOST, resume=False)

    assert json.loads(Path(box.recipe).read_text())["training"].items() >= training.items()


def test_what_is_staged_is_what_the_recipe_names(ctx: Context, box: Box) -> None:
    assert stage.stage(ctx, HOST, resume=False) is False

    recipe = json.loads(Path(box.recipe).read_text())
    assert recipe["data"]["train_path"] == f"{box.input}/train.jsonl"
    assert recipe["data"]["eval_path"] == f"{box.input}/eval.jsonl"
    assert recipe["model"]["base_model"] == f"{box.input}/model/base.gguf"
    assert recipe["model"]["hub_id"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert set(recipe) == set(RunFile.model_fields) - {"compute", "budget", "store", "notices"}
    manifest = json.loads(ctx.run.file("data_manifest.json").read_text())
    assert [entry["name"] for entry in manifest["files"]] == ["train.jsonl", "eval.jsonl", "model/base.gguf"]
    assert {entry["source"] for entry in manifest["files"][:2]} == {ctx.run_file.data.train_path}


def test_the_samples_are_staged_as_json_lines_that_give_what_was_planned(ctx: Context, box: Box) -> None:
    stage.stage(ctx, HOST, resume=False)

    planned = load_dataset(ctx.run_file.data, ctx.run_file.run.seed)
    there = load_dataset(DataSection.model_validate(json.loads(Path(box.recipe).read_text())["data"]), 7)
    assert [sample.messages for sample in there.train] == [sample.messages for sample in planned.train]
    assert [sample.messages for sample in there.eval] == [sample.messages for sample in planned.eval]
    manifest = json.loads(ctx.run.file("data_manifest.json").read_text())
    sums = [entry["sha256"] for entry in manifest["files"][:2]]
    assert sums == [planned.train_sha256, planned.eval_sha256] == [there.train_sha256, there.eval_sha256]
    assert sums[0] == hashlib.sha256(Path(box.input, "train.jsonl").read_bytes()).hexdigest()


def test_a_resume_takes_the_checkpoint_along(ctx: Context, box: Box) -> None:
    folder = put_checkpoint(box, 4)
    ctx.run.checkpoints.mkdir()
    folder.rename(ctx.run.checkpoints / "checkpoint-4")
    ctx.run.events.path.write_text('{"event": "step"}\n')

    assert stage.stage(ctx, HOST, resume=True) is True

    assert Path(box.checkpoints, "checkpoint-4", "manifest.json").exists()
    assert Path(box.events).read_text() == '{"event": "step"}\n'


@pytest.mark.parametrize("name", ["checkpoint-6.part", "checkpoint-6"])
def test_a_checkpoint_that_came_home_in_half_is_not_taken_along(ctx: Context, box: Box, name: str) -> None:
    folder = put_checkpoint(box, 4)
    ctx.run.checkpoints.mkdir()
    folder.rename(ctx.run.checkpoints / "checkpoint-4")
    (ctx.run.checkpoints / name).mkdir()
    (ctx.run.checkpoints / name / "optimizer.pt").write_bytes(b"half")

    assert stage.stage(ctx, HOST, resume=True) is True

    assert [path.name for path in Path(box.checkpoints).iterdir()] == ["checkpoint-4"]


def test_a_damaged_adapter_does_not_take_its_place(ctx: Context, box: Box) -> None:
    put_adapter(box, weights="good")
    Path(box.output, "adapter", "weights").write_text("bad")

    with pytest.raises(TransferError, match="adapter came home damaged: weights does not match its checksum"):
        collect.collect(ctx, HOST, with_checkpoints=False)

    assert not ctx.run.adapter.exists()


def test_a_missing_file_of_the_adapter_is_named(ctx: Context, box: Box) -> None:
    put_adapter(box, weights="good", card="x")
    Path(box.output, "adapter", "card").unlink()

    with pytest.raises(TransferError, match="card has a checksum and is missing"):
        collect.collect(ctx, HOST, with_checkpoints=False)


def test_an_adapter_whose_list_of_checksums_did_not_arrive_is_damaged(ctx: Context, box: Box) -> None:
    put_adapter(box, weights="good")
    Path(box.output, "adapter", "SHA256SUMS").unlink()

    with pytest.raises(TransferError, match="adapter came home damaged: SHA256SUMS is missing"):
        collect.collect(ctx, HOST, with_checkpoints=False)

    assert not ctx.run.adapter.exists()


def test_a_file_that_no_line_of_the_list_names_is_damage(ctx: Context, box: Box) -> None:
    put_adapter(box, weights="good")
    Path(box.output, "adapter", "extra").write_text("x")

    with pytest.raises(TransferError, match="adapter came home damaged: extra has no checksum"):
        collect.collect(ctx, HOST, with_checkpoints=False)


class Measured(LocalMachine):
    """This machine; what each folder may have is written down."""

    def __init__(self) -> None:
        self.allowed: dict[str, int] = {}

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        self.allowed[Path(source).name] = allowance.size_bytes
        super().get(source, target, allowance, cancel=cancel)


@pytest.mark.parametrize(
    ("work", "most_bytes"),
    [({"adapter_bytes": 10 << 20}, (20 + 256) << 20), ({}, round((2 * 40.25 + 1) * (1 << 30)))],
    ids=["planned", "unplanned"],
)
def test_an_adapter_may_have_twice_what_was_planned_and_its_tokenizer(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch, work: dict[str, int], most_bytes: int
) -> None:
    foreseen = Foreseen("A10", "A10", 24.0, 10.2, True, 14, work, None, None)
    ctx.keep_plan(made_plan(environment="local", machines=(replace(MACHINE, forecast=foreseen),)))
    put_adapter(box, weights="good")
    machine = Measured()
    use(monkeypatch, machine)

    collect.collect(ctx, HOST, with_checkpoints=False)

    assert machine.allowed["adapter"] == most_bytes


def test_a_damaged_adapter_does_not_keep_the_checkpoint_from_coming_home(ctx: Context, box: Box) -> None:
    put_adapter(box, weights="good")
    Path(box.output, "adapter", "weights").write_text("bad")
    put_checkpoint(box, 2)

    with pytest.raises(TransferError, match="adapter came home damaged"):
        collect.collect(ctx, HOST, with_checkpoints=True)

    assert [path.name for path in ctx.run.checkpoints.iterdir()] == ["checkpoint-2"]


def test_the_newest_and_the_best_checkpoint_come_home(ctx: Context, box: Box) -> None:
    for step in (2, 4, 6):
        put_checkpoint(box, step, best=2)
    put_checkpoint(box, 8).joinpath("manifest.json").unlink()

    assert collect.collect(ctx, HOST, with_checkpoints=True) == ["checkpoints/checkpoint-6", "checkpoints/checkpoint-2"]
    assert sorted(path.name for path in ctx.run.checkpoints.iterdir()) == ["checkpoint-2", "checkpoint-6"]


def test_a_damaged_checkpoint_does_not_come_home(ctx: Context, box: Box) -> None:
    put_checkpoint(box, 2).joinpath("optimizer.pt").write_bytes(b"y")

    with pytest.raises(TransferError, match="checkpoint-2 came home damaged"):
        collect.collect(ctx, HOST, with_checkpoints=True)

    assert not (ctx.run.checkpoints / "checkpoint-2").exists()


@pytest.mark.parametrize("damaged", [(6,), (6, 4)])
def test_the_one_before_a_damaged_checkpoint_comes_home_in_its_place(
    ctx: Context, box: Box, damaged: tuple[int, ...]
) -> None:
    """The machine goes after this, and with it whatever is not here."""
    for step in (2, 4, 6):
        put_checkpoint(box, step)
    for step in damaged:
        Path(box.checkpoints, f"checkpoint-{step}", "optimizer.pt").write_bytes(b"y")

    with pytest.raises(TransferError, match="checkpoint-6 came home damaged"):
        collect.collect(ctx, HOST, with_checkpoints=True)

    assert [path.name for path in ctx.run.checkpoints.iterdir()] == [f"checkpoint-{damaged[-1] - 2}"]


def test_a_damaged_best_checkpoint_does_not_keep_the_newest_from_coming_home(ctx: Context, box: Box) -> None:
    for step in (2, 4, 6):
        put_checkpoint(box, step, best=2)
    Path(box.checkpoints, "checkpoint-2", "optimizer.pt").write_bytes(b"y")

    with pytest.raises(TransferError, match="checkpoint-2 came home damaged"):
        collect.collect(ctx, HOST, with_checkpoints=True)

    assert [path.name for path in ctx.run.checkpoints.iterdir()] == ["checkpoint-6"]


def test_an_adapter_without_a_verdict_stays_behind(ctx: Context, box: Box) -> None:
    put_adapter(box, judged=False, weights="good")

    assert collect.collect(ctx, HOST, with_checkpoints=True) == []


class Limited(LocalMachine):
    """This machine, which notes what it is asked for and refuses some of it, as one behind SSH does."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.asked: dict[str, Allowance] = {}

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        name = Path(source).name
        self.asked[name] = allowance
        assert cancel is not None
        if cancel():
            raise ToolCancelledError("over", resolution="-")
        if name in self.refuses:
            raise TransferError(f"{name} is refused", resolution="-")
        super().get(source, target, allowance, cancel=cancel)


def test_what_comes_home_has_a_limit_and_a_file_that_is_refused_keeps_nothing_else_back(
    ctx: Context, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, machine = Listening(), Limited("trainer.log")
    use(monkeypatch, machine)
    ctx.keep_plan(replace(ctx.plan, disk_needed_gib=3.0))
    put_adapter(box, weights="good")
    for name in ("metrics.json", "trainer.log"):
        Path(box.output, name).write_text("{}")

    assert collect.collect(replace(ctx, view=view), HOST, with_checkpoints=False) == ["metrics.json", "adapter"]
    assert view.lines == ["trainer.log is refused"]
    assert {name: one.size_bytes for name, one in machine.asked.items()} == {
        "metrics.json": 64 << 20, "trainer.log": 256 << 20, "adapter": 7 << 30,
    }  # fmt: skip
    assert {(one.files, one.depth) for one in machine.asked.values()} == {(10_000, 8)}


@pytest.mark.parametrize("plan", [None, b"", b"{}", b"[]"])
def test_results_come_home_without_a_plan_that_can_be_read(ctx: Context, box: Box, plan: bytes | None) -> None:
    put_adapter(box, weights="good")
    entry = ctx.run.file("plan.json")
    entry.unlink() if plan is None else entry.write_bytes(plan)

    assert collect.collect(ctx, HOST, with_checkpoints=False) == ["adapter"]


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_collecting_ends_when_its_time_is_over_or_the_user_has_no_patience(
    ctx: Context, box: Box, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Limited())
    monkeypatch.setattr(fetching, "hours_to_collect", lambda ctx: hours)
    ctx.stop.count = 2 if hours > 0 else 0
    put_adapter(box, weights="good")

    with pytest.raises(ToolCancelledError):
        collect.collect(ctx, HOST, with_checkpoints=False)


def test_of_checkpoints_with_odd_names_none_is_looked_for(ctx: Context, box: Box) -> None:
    put_checkpoint(box, 4)
    for name in ("checkpoint-²", "checkpoint-", "checkpoint-" + "9" * 200, "4"):
        Path(box.checkpoints, name).mkdir()

    assert collect.collect(ctx, HOST, with_checkpoints=True) == ["checkpoints/checkpoint-4"]


@pytest.mark.parametrize("hours", [-1.0, 1.0])
def test_staging_is_asked_all_the_while_whether_it_is_to_go_on(
    ctx: Context, box: Box, hours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    class Slow(LocalMachine):
        def put(self, source: Path, target: str, *, cancel: Cancel | None = None) -> None:
            assert cancel is not None
            ctx.stop.count = 1 if hours > 0 else 0
            seen.append(cancel())
            raise ToolCancelledError("over", resolution="-")

    use(monkeypatch, Slow())
    monkeypatch.setattr(stage, "hours_to_stage", lambda ctx: hours)

    with pytest.raises(ToolCancelledError):
        stage.stage(ctx, HOST, resume=False)

    assert seen == [True]


def test_collecting_twice_is_the_same_as_once(ctx: Context, box: Box) -> None:
    put_adapter(box, weights="good")

    first, second = (collect.collect(ctx, HOST, with_checkpoints=False) for _ in range(2))

    assert first == second == ["adapter"]
    assert (ctx.run.adapter / "weights").read_text() == "good"


def test_destroy_takes_everything_and_a_second_time_finds_nothing(ctx: Context, box: Box) -> None:
    first = destroy.destroy(ctx, keep_output=False)
    second = destroy.destroy(ctx, keep_output=False)

    assert not Path(box.prefix).exists()
    assert first["checks"] == second["checks"] == {
        "trainer_processes": 0, "terraform_resources": 0, "files_on_machine": [], "clouds": {},
    }  # fmt: skip
