"""Plan: every bad input is told in three lines, with status 2, before anything is there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.adapters import machine
from runner.adapters.stop import Stop
from runner.cli import parser as cli
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import NoPlaceError, TerraformError, TransferError, UnknownEnvironmentError, UsageError
from runner.lifecycle.steps import plan
from runner.planning.checks import reading
from runner.planning.estimate.disk import disk_needed_gib
from runner.run.planned import read_plan
from runner.run.run_dir import RunDir, create_run
from runner.run.run_file import RunFile, load_run_file, parse_address
from runner.world import RealWorld
from tests.unit.runner.lifecycle.steps.test_provision import HERE, planned

PROJECT = Path(__file__).resolve().parents[5]
GOOD = '{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]}\n'
OTHER = '{"messages": [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "Then."}]}\n'


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    (tmp_path / "train.jsonl").write_text(GOOD * 1)
    (tmp_path / "eval.jsonl").write_text(OTHER)
    (tmp_path / "run.yml").write_text(
        f"run:\n  name: tiny\nmodel:\n  base_model: {tiny_model}\n"
        "data:\n  train_path: train.jsonl\n  eval_path: eval.jsonl\n  max_length: 64\n"
    )
    return tmp_path


def ask(folder: Path, capsys: pytest.CaptureFixture[str], *words: str, verb: str = "plan") -> tuple[int, list[str]]:
    status = cli.main([verb, "--config", str(folder / "run.yml"), "--runs-dir", str(folder / "runs"), *words])
    return status, capsys.readouterr().err.splitlines()


def edit(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "run.yml").read_text()
        assert old in text
        (folder / "run.yml").write_text(text.replace(old, new))

    return change


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


@pytest.mark.parametrize(
    ("break_it", "words", "message", "hint"),
    [
        (edit("max_length", "max_lenght"), [], "data.max_lenght is not a known key; did you mean `max_length`?", ""),
        (edit("64", "long"), [], "run.yml:8 data.max_length is 'long': input should be a valid integer", ""),
        (lambda folder: (folder / "train.jsonl").unlink(), [], "train.jsonl", ""),
        (write("train.jsonl", ""), [], "train.jsonl", ""),
        (write("train.jsonl", GOOD + "{half\n"), [], "train.jsonl:2", ""),
        (edit("max_length: 64", "max_length: 16"), [], "train.jsonl", ""),
        (lambda folder: None, ["--env", "locl"], "plan: there is no environment locl", "did you mean ENV=local?"),
        (lambda folder: None, ["--env", "existing", "--host", "me@"], "neither user@address[:port]", "HOST=me@"),
        (edit("max_length: 64", "max_length: 4096"), [], "4,096 tokens, the base model holds", "max_length"),
        (lambda folder: (folder / "run.yml").unlink(), [], "cannot read", "CONFIG="),
        (lambda folder: None, ["--data", "/no/such/folder"], "data: there is no folder /no/such/folder", "DATA="),
        (lambda folder: None, ["--set", "model.base_model=pypi:other"], "no such package is locked", "pypi:"),
    ],
    ids=[
        "unknown-key", "wrong-type", "missing-file", "empty-file", "broken-json", "all-masked", "unknown-env",
        "bad-host", "too-long-for-the-model", "missing-run-file", "missing-folder", "unknown-package",
    ],
)  # fmt: skip
def test_a_bad_input_is_reported_in_three_lines_before_anything_is_there(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Path], None],
    words: list[str],
    message: str,
    hint: str,
) -> None:
    break_it(folder)

    status, lines = ask(folder, capsys, *words, verb="train")

    assert (status, len(lines)) == (2, 3), lines
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert lines[1].startswith("hint:  ")
    assert hint in lines[1]
    log = Path(lines[2].removeprefix("log:   "))
    assert "Traceback" in log.read_text()
    assert [path.name for path in (folder / "runs").iterdir()] == ["last-error.log"]


@pytest.mark.enable_socket
@pytest.mark.parametrize("verb", ["plan", "train"])
def test_a_machine_that_cannot_be_reached_is_reported_and_leaves_nothing_behind(
    folder: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        host = f"me@127.0.0.1:{taken.getsockname()[1]}"
        status, lines = ask(folder, capsys, "--env", "existing", "--host", host, verb=verb)

    assert (status, len(lines)) == (2, 3), lines
    assert lines[0] == f"error: ssh: cannot reach {host}: nothing listens at this port (connection refused)"
    assert "check the port" in lines[1]
    assert [path.name for path in (folder / "runs").iterdir()] == ["last-error.log"]


def test_a_run_that_moves_to_another_machine_forgets_what_it_pinned_of_the_first(folder: Path) -> None:
    run = create_run(folder / "runs", "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    run_file = load_run_file(folder / "run.yml", settings={"compute.env": "existing", "compute.host": "me@first:2222"})
    ctx = Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())
    pinned = "[first]:2222 ssh-ed25519 AAAA\n"
    run.known_hosts.write_text(pinned)

    plan._record_way(ctx, "me@first:2222")
    assert run.known_hosts.read_text() == pinned
    assert "HostName first" in run.ssh_config.read_text()

    plan._record_way(ctx, "me@second:2222")
    assert not run.known_hosts.exists()
    assert "HostName second" in run.ssh_config.read_text()


def test_a_full_disk_is_reported_before_anything_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**28))

    status, lines = ask(folder, capsys, verb="train")

    assert (status, len(lines)) == (2, 3)
    assert "0.2 GiB are free at" in lines[0]
    assert [path.name for path in (folder / "runs").iterdir()] == ["last-error.log"]


def test_a_store_that_cannot_be_written_is_reported_before_anything_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines = ask(folder, capsys, "--set", f"store.url=file://{folder}/run.yml", verb="train")

    assert (status, len(lines)) == (2, 3)
    assert lines[0].startswith(f"error: plan: cannot write {folder}/run.yml/")
    assert "SET=store.url=null" in lines[1]
    assert [path.name for path in (folder / "runs").iterdir()] == ["last-error.log"]


def test_a_remote_that_rclone_does_not_know_is_reported_before_anything_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str], open_remote: Callable[[str], str]
) -> None:
    open_remote("local")

    status, lines = ask(folder, capsys, "--set", "store.url=rclone://elsewhere/runs", verb="train")

    assert (status, len(lines)) == (2, 3)
    assert lines[0] == "error: plan: rclone://elsewhere/runs/douse-check: rclone has no remote elsewhere"
    assert "`rclone config`" in lines[1]
    assert "SET=store.url=null" in lines[1]
    assert [path.name for path in (folder / "runs").iterdir()] == ["last-error.log"]


def test_a_store_that_cannot_be_reached_is_a_warning_for_a_plan_and_stops_a_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(world: object, run_file: RunFile) -> None:
        raise TransferError(f"plan: cannot write {run_file.store.url}: no answer", resolution="-")

    monkeypatch.setattr(plan, "check_store", refuse)  # the client's own tries take many seconds
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    words = ["--set", "store.url=s3://bucket/runs", "--set", f"store.endpoint_url={address}"]

    assert cli.main(["plan", "--config", str(folder / "run.yml"), "--runs-dir", str(folder / "runs"), *words]) == 0
    assert "warn  store" in capsys.readouterr().out

    status, lines = ask(folder, capsys, *words, verb="train")
    assert (status, len(lines)) == (1, 3)
    assert "s3://bucket/runs" in lines[0]


def test_plan_starts_nothing_and_leaves_a_folder_to_look_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["plan", "--config", str(folder / "run.yml"), "--runs-dir", str(folder / "runs")])

    (run,) = [path for path in (folder / "runs").iterdir() if path.is_dir()]
    out = capsys.readouterr().out
    assert status == 0
    assert "supervised tokens" in out
    assert read_plan(RunDir(run, RealWorld())).train_samples == 1
    assert not (run / "host.json").exists()
    assert not (run / "terraform").exists()


def a_run_that_has_spent(folder: Path, usd: float) -> str:
    """Make the folder of a run whose machine cost so much in the last hours; return its id."""
    run_id = "20261101-000000-spent-aaaa"
    now = datetime.now(UTC)
    begun = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ended = begun + (now - begun) / 2
    price = usd / ((ended - begun).total_seconds() / 3600)
    candidates = [{"max_price_usd_per_h": price}]
    lines = [
        {"time": begun.isoformat(), "kind": "intent", "action": "provision", "candidates": candidates},
        {"time": ended.isoformat(), "kind": "answer", "action": "destroy", "left": []},
    ]
    (folder / "runs" / run_id).mkdir(parents=True)
    (folder / "runs" / run_id / "config.json").write_text("{}")
    (folder / "runs" / run_id / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run_id


def test_a_month_that_other_runs_have_spent_is_refused_before_anything_is_rented(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = a_run_that_has_spent(folder, 30.0)

    status, errors = ask(folder, capsys, "--env", "lambda", "--set", "budget.month_usd=30.01")

    assert status == 2
    assert "budget.month_usd is 30.01, of which all runs have spent at most $30.0" in errors[0]
    assert f"{run_id} $30.0" in errors[0]
    assert [path.name for path in (folder / "runs").iterdir() if path.is_dir() and path.name != "logs"] == [run_id]


def test_a_month_with_money_left_has_a_line_in_the_plan_and_in_the_costs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = a_run_that_has_spent(folder, 3.0)
    words = ["--runs-dir", str(folder / "runs")]

    assert cli.main(["plan", "--config", str(folder / "run.yml"), "--env", "lambda", *words,
                     "--set", "budget.month_usd=30"]) == 0  # fmt: skip
    planned = capsys.readouterr().out
    assert cli.main(["costs", *words]) == 0
    costs = capsys.readouterr().out

    assert "the limit of all runs is $30.00 (budget.month_usd)" in " ".join(planned.split())
    assert "this month: at most $3.0" in costs
    assert run_id in costs


def test_plan_prints_json_alone_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", str(folder / "run.yml"), "--runs-dir", str(folder / "runs"), "--json"]

    assert cli.main(["plan", *words]) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["environment"], told["train_samples"], told["eval_samples"]) == (2, "local", 1, 1)
    assert {"name": "environment", "status": "pass", "value": "local", "remedy": ""} in told["checks"]


def test_data_check_shows_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["data-check", "--config", str(folder / "run.yml"), "--runs-dir", str(folder / "runs")])

    assert (status, "supervised tokens" in capsys.readouterr().out) == (0, True)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("me@there", ("me", "there", 22)),
        ("me@203.0.113.7:2222", ("me", "203.0.113.7", 2222)),
        ("me@[2001:db8::7]:2222", ("me", "2001:db8::7", 2222)),
        ("me@[2001:db8::7]", ("me", "2001:db8::7", 22)),
    ],
)
def test_an_address_is_taken_apart(text: str, parts: tuple[str, str, int]) -> None:
    assert parse_address(text) == parts


@pytest.mark.parametrize("text", ["", "there", "@there", "me@", "me@there:70000", "me@a b", "me@x:y", "-l@x"])
def test_an_address_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"neither user@address\[:port\]"):
        parse_address(text)


def test_every_environment_with_its_nearest_name(folder: Path) -> None:
    run_file = load_run_file(folder / "run.yml", settings={"compute.env": "vultr"})

    with pytest.raises(UnknownEnvironmentError) as caught:
        reading.check_environment(run_file)

    assert caught.value.resolution == "known: aws, existing, lambda, local, runpod"


@pytest.mark.parametrize(
    ("env", "words", "way_out"),
    [
        ("local", "the machine is this one", "your system's own packages"),
        ("runpod", "runpod has containers, which use their hosts' driver", "leave compute.driver out"),
    ],
)
def test_a_driver_that_cannot_be_installed_there_is_refused(folder: Path, env: str, words: str, way_out: str) -> None:
    run_file = load_run_file(folder / "run.yml", settings={"compute.env": env, "compute.driver": "install"})

    with pytest.raises(UsageError, match=f"compute.driver is install, and .*{words}") as caught:
        reading.check_environment(run_file)

    assert way_out in caught.value.resolution


@pytest.mark.parametrize(
    ("compute", "words", "way_out"),
    [
        ({"recover_on": ["local"], "recoveries": 1}, "compute.recover_on has local, where nothing is rented", "ENV="),
        ({"recover_on": ["runpod"]}, "compute.recover_on is runpod, but compute.recoveries is 0", "compute.recoveries"),
        ({"recover_on": ["vultr"], "recoveries": 1}, "there is no environment vultr", "known: aws"),
    ],
)
def test_another_cloud_to_go_on_with_has_to_be_one_and_to_be_of_use(
    compute: dict[str, object], words: str, way_out: str, folder: Path
) -> None:
    settings = {"compute.env": "lambda", **{f"compute.{name}": value for name, value in compute.items()}}

    with pytest.raises(UsageError, match=words) as caught:
        reading.check_environment(load_run_file(folder / "run.yml", settings=settings))

    assert way_out in caught.value.resolution


def test_a_run_that_may_go_on_elsewhere_needs_the_key_of_that_cloud_from_the_beginning(folder: Path) -> None:
    settings = {"compute.env": "lambda", "compute.recoveries": 1, "compute.recover_on": ["runpod"]}
    run_file, world = load_run_file(folder / "run.yml", settings=settings), RealWorld({"LAMBDA_API_KEY": "secret"})

    with pytest.raises(UsageError, match=r"RUNPOD_API_KEY is not set, and compute\.recover_on has runpod"):
        plan.check(run_file, folder, SilentView(), Stop(world), world)


def test_a_bigger_model_and_more_checkpoints_need_more_disk(folder: Path) -> None:
    run_file = load_run_file(folder / "run.yml")
    keeps_more = load_run_file(folder / "run.yml", overrides=["checkpointing.save_total_limit=9"])
    merges = load_run_file(folder / "run.yml", overrides=["artifacts.merged_model=true"])

    def needed(wanted, **changes):  # type: ignore[no-untyped-def]
        facts = {"model_bytes": 2**30, "is_gguf": False, "environment_cached": True} | changes
        return disk_needed_gib(wanted, **facts)

    base = needed(run_file)
    assert needed(run_file, model_bytes=2**33) > base
    assert needed(run_file, is_gguf=True) > base
    assert needed(run_file, environment_cached=False) > base
    assert needed(keeps_more) > base
    assert needed(merges) > base


class Refusing:
    """Stands for Terraform, whose plan fails; whatever else it is asked for is done."""

    def __init__(self, details: str) -> None:
        self._details = details

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    def make_plan(self) -> None:
        raise TerraformError("terraform: plan failed", details=self._details, resolution="see the log")


@pytest.mark.parametrize(
    ("details", "kind"), [("no matching EC2 VPC found", NoPlaceError), ("Plugin did not respond", TerraformError)]
)
def test_what_the_cloud_says_to_terraforms_plan_is_reported_as_the_clouds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, details: str, kind: type[Exception]
) -> None:
    ctx = planned(tmp_path, HERE)
    monkeypatch.setattr(plan, "terraform_of", lambda *_, **__: Refusing(details))
    monkeypatch.setattr(plan, "check_providers", lambda _: None)

    with pytest.raises(kind):
        plan.record(ctx, ctx.plan)


def test_a_stop_is_heard_while_planning(folder: Path) -> None:
    stop = Stop(RealWorld())
    stop.count = 1

    with pytest.raises(Exception, match="run: stopped on request"):
        plan.check(load_run_file(folder / "run.yml"), folder, SilentView(), stop, RealWorld())


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = (
        "pydantic",
        "yaml",
        "rich",
        "paramiko",
        "ansible_runner",
        "python_terraform",
        "trainer",
        "plotly",
        "psutil",
    )
    script = (
        "import sys, runner.cli.parser\n"
        "try:\n    runner.cli.parser.main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [name for name in {heavy!r} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, timeout=240)

    assert "watch" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_a_defect_is_three_lines_too(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(plan, "check", break_down)

    status, lines = ask(folder, capsys)

    assert (status, len(lines), lines[0]) == (1, 3, "error: runner: ZeroDivisionError: oh")


def test_the_schema_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", "--runs-dir", str(tmp_path)]) == 0

    assert json.loads(capsys.readouterr().out)["title"] == "Douse run file"
