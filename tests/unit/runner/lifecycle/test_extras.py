"""What only some runs need is installed when one of them begins, and never by a verb that ends machines."""

from __future__ import annotations

import ast
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from runner.adapters import packages, rclone
from runner.adapters.packages import ExtraError, provide
from runner.adapters.stop import Stop
from runner.bootstrap import EXTRAS, BootstrapError
from runner.cli import parser as cli
from runner.cli import session
from runner.cli.session import GO_ON
from runner.cli.terminal import SilentView
from runner.cloud_api.absent import AbsentCloud
from runner.clouds.registry import CLOUDS, configured, names_account, open_cloud
from runner.context import Context
from runner.errors import CloudUnavailableError
from runner.lifecycle import extras, finish
from runner.lifecycle.extras import provide_for
from runner.run.run_dir import PROJECT, create_run, write_json
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld
from trainer.checkpoints.places import open_place
from trainer.errors import StoreError

KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
ENDING = {"down", "logs", "runs", "ssh", "status", "sweep", "tensorboard", "watch"}


def run_file(env: str = "local", url: str | None = None) -> RunFile:
    return RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": env}, "store": {"url": url}})


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The control side's environment without extras; collects which are installed."""
    installed: list[str] = []
    monkeypatch.setattr(sys, "prefix", str(PROJECT / ".venv"))
    monkeypatch.setattr(packages, "has", installed.__contains__)
    monkeypatch.setattr(extras, "has", installed.__contains__)
    monkeypatch.setattr(packages, "add_extra", lambda root, name: installed.append(name))
    monkeypatch.setattr(rclone, "ensure", lambda root, target: "rclone" in installed or installed.append("rclone"))
    return installed


@pytest.mark.parametrize(
    ("run", "environ", "wanted"),
    [
        (run_file(), {}, ["pages"]),
        (run_file(), KEYS, ["pages"]),
        (run_file("lambda"), {}, ["pages"]),
        (run_file("lambda"), KEYS, ["aws", "pages"]),
        (run_file("aws"), {}, ["aws", "pages"]),
        (run_file(url="s3://bucket/place"), {}, ["aws", "pages"]),
        (run_file(url="file:///place"), {}, ["pages"]),
        (run_file(url="rclone://drive/place"), {}, ["pages", "rclone"]),
        (run_file(), {"DOUSE_NOTICE_URLS": "ntfy://x"}, ["notices", "pages"]),
    ],
)
def test_a_run_gets_what_it_needs_and_no_more(
    bare: list[str], tmp_path: Path, run: RunFile, environ: dict[str, str], wanted: list[str]
) -> None:
    said: list[str] = []
    world = VirtualWorld(environ=environ | {"HOME": str(tmp_path)})  # without credentials in a file

    provide_for(run, world, said.append, is_dry=False)
    provide_for(run, world, said.append, is_dry=False)

    assert bare == wanted
    lines = {
        "aws": "installing boto3 (needed for AWS and stores on S3)",
        "notices": "installing apprise (needed for notices to webhooks, chats and mail)",
        "pages": "installing plotly (needed for the pages of plans and reports)",
    }
    assert said == [lines[name] for name in wanted if name in lines]  # a set-up says it itself


def out_of_reach(root: Path, name: str) -> None:
    raise BootstrapError("the package index cannot be reached", "connect to the network")


def test_a_run_that_would_cost_money_is_refused_without_what_it_needs(
    bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "add_extra", out_of_reach)

    with pytest.raises(ExtraError) as caught:
        provide_for(run_file("aws"), VirtualWorld(), lambda line: None, is_dry=False)

    assert caught.value.message == (
        "setup: boto3, needed for AWS and stores on S3, cannot be installed: the package index cannot be reached"
    )
    assert caught.value.resolution == "connect to the network"


@pytest.mark.parametrize(("env", "is_dry"), [("aws", True), ("local", False)])
def test_a_plan_and_pages_go_on_without(
    bare: list[str], monkeypatch: pytest.MonkeyPatch, env: str, is_dry: bool
) -> None:
    monkeypatch.setattr(packages, "add_extra", out_of_reach)
    said: list[str] = []

    provide_for(run_file(env), VirtualWorld(), said.append, is_dry=is_dry)

    assert said[-1] == (
        "setup: plotly, needed for the pages of plans and reports, cannot be installed: "
        "the package index cannot be reached; going on without"
    )


def test_nothing_is_installed_into_an_environment_that_is_not_ours(
    bare: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    with pytest.raises(ExtraError) as caught:
        provide("aws", lambda line: None)

    assert bare == []
    assert caught.value.resolution.endswith("-m pip install boto3")


def test_what_can_be_imported_is_there() -> None:
    assert all(packages.has(name) for name in EXTRAS)  # contributors have all of them


def test_every_extra_of_a_cloud_is_one_that_there_is() -> None:
    named = {record.name: record.extra for record in CLOUDS.values() if isinstance(record.extra, str)}

    assert named == {"aws": "aws"}
    assert set(named.values()) <= EXTRAS.keys()


def callers(names: set[str]) -> set[str]:
    """Return the functions of the runner that call one of these, as ``file:function``."""
    found = set()
    for path in sorted((PROJECT / "runner").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
                if any(isinstance(call, ast.Name) and call.id in names for call in calls):
                    found.add(f"{path.stem}:{function.name}")
    return found


def test_only_what_begins_or_goes_on_with_a_run_installs() -> None:
    assert callers({"provide", "provide_for", "provide_rclone", "add_extra"}) == {
        "packages:provide",
        "extras:provide_for",
        "plan:check",
        "session:context",
        "verbs:report",
        "notify:send_test",
        "account_verbs:prices",
        "store:provide_store",  # of a rehearsal, before it begins
    }
    verbs = next(action.choices for action in cli.make_parser()._actions if action.dest == "verb")
    assert verbs is not None
    assert set(verbs) >= ENDING
    assert not ENDING & set(GO_ON)


@pytest.mark.parametrize(
    ("verb", "installs"), [*((verb, True) for verb in GO_ON), *((verb, False) for verb in sorted(ENDING))]
)
def test_a_run_that_is_gone_on_with_gets_what_it_needs_and_one_that_is_ended_or_shown_does_not(
    verb: str, installs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(session, "provide_for", lambda run_file, *_, **__: wanted.append(run_file.compute.env))
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 21, tzinfo=UTC), RealWorld())
    write_json(run.config, {"data": {"train_path": "x"}})

    session.Session(Namespace(runs_dir=tmp_path, verb=verb, run=run.run_id), RealWorld()).context()

    assert wanted == (["local"] if installs else [])


@pytest.fixture
def without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [name for name in sys.modules if name.startswith("boto3.")]  # imported by tests before this one
    for name in ("boto3", *parts):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_boto3")
def test_an_account_whose_client_is_missing_is_there_and_never_empty() -> None:
    world = VirtualWorld(environ=KEYS)

    (cloud,) = configured(world)

    assert isinstance(cloud, AbsentCloud)
    asked: tuple[Callable[[], object], ...] = (
        cloud.account, cloud.offers, cloud.listing, lambda: cloud.quotas([]), lambda: cloud.end(None),  # type: ignore[arg-type]
    )  # fmt: skip
    for ask in asked:
        with pytest.raises(CloudUnavailableError, match="boto3 is not installed here, so aws cannot be asked"):
            ask()
    assert open_cloud("aws", world).name == "aws"


@pytest.mark.usefixtures("without_boto3")
def test_the_sweep_reports_an_account_that_it_cannot_read_and_installs_nothing(
    bare: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("LAMBDA_API_KEY", "LAMBDA_API_KEY_FILE", "RUNPOD_API_KEY", "RUNPOD_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)

    assert cli.main(["sweep", "--runs-dir", str(tmp_path)]) == 3

    assert "aws: boto3 is not installed here" in capsys.readouterr().err
    assert bare == []


@pytest.mark.usefixtures("without_boto3")
def test_a_store_on_s3_says_what_is_missing() -> None:
    with pytest.raises(StoreError, match="boto3 is not installed here, and s3://bucket needs it"):
        open_place("s3://bucket/place", None)


@pytest.mark.parametrize(
    ("name", "environ", "named"),
    [
        ("lambda", {"LAMBDA_API_KEY": "x"}, True),
        ("lambda", {"LAMBDA_API_KEY": " "}, False),
        ("runpod", {"RUNPOD_API_KEY_FILE": "x"}, True),
        ("aws", KEYS, True),
        ("runpod", KEYS, False),
    ],
)
def test_an_account_is_known_by_its_name_alone(name: str, environ: dict[str, str], named: bool) -> None:
    nobody = httpx2.MockTransport(lambda request: httpx2.Response(500))

    assert names_account(CLOUDS[name], VirtualWorld(environ=environ, transport=nobody)) is named


def test_the_end_of_a_run_writes_what_it_can_without_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    view = SilentView()
    monkeypatch.setattr(view, "line", said.append)
    monkeypatch.setattr(packages, "has", lambda name: False)
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    world = VirtualWorld()
    ctx = Context(run, run_file(), view, Stop(world), world)

    finish._report(ctx)

    assert said[-1] == f"there is no page of it yet; make it with `make report RUN={run.run_id}`"
    assert (run.file("report.json").exists(), run.file("report.html").exists()) == (True, False)


PAGES = {
    "runner.report.figure",
    "runner.report.page",
    "runner.report.plan.figures",
    "runner.report.plan.page",
    "runner.report.run.figures",
    "runner.report.run.page",
    "runner.simulation.life_figure",
    "runner.simulation.page",
}
"""What draws: nothing else of the runner may need plotly."""


def test_the_runner_imports_nothing_that_is_an_extra() -> None:
    blocked = [extra.module for extra in EXTRAS.values()] + ["botocore", "numpy", "gguf"]
    program = f"""
import importlib, pkgutil, sys
for name in {blocked}:
    sys.modules[name] = None
import runner
for found in pkgutil.walk_packages(runner.__path__, "runner."):
    is_apart = any(part in found.name for part in ("emulat", "simulated", "rehearsal", "__main__"))
    if not is_apart and found.name not in {PAGES}:
        importlib.import_module(found.name)
print("well")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=120)

    assert done.stdout == "well\n", done.stderr
