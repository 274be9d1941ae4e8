"""The store of a run, against a folder and against S3 as moto plays it in this process; machines are folders."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from runner.adapters import secrets
from runner.adapters.machine import LocalMachine
from runner.adapters.stop import Stop
from runner.clouds.aws.api import AwsCloud, PrefixCredentials
from runner.clouds.own_sections import run_file_class
from runner.context import Context
from runner.emulation.s3.server import S3Server
from runner.errors import AccountError, BadRequestError, CloudUnavailableError, TransferError
from runner.run.models import Completed, Host
from runner.run.run_dir import RunDir
from runner.run.run_file import RunFile, parse_run_file, run_file_mapping
from runner.store import credentials as store_keys
from runner.store import run_store as storing
from runner.world import RealWorld
from tests.unit.runner.fake_run import run_named
from trainer.checkpoints.complete import REQUIRED_FILES, complete, newest_complete
from trainer.checkpoints.keys import ENDS_AT
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push

BUCKET = "a-bucket"
ROLE = "arn:aws:iam::123456789012:role/douse-runs"
HOST = Host("localhost", 22, "me", "i-1", "gpu_1x_a10", "us-east-1", False, 0.75, None, "lambda")
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
RUN_ID = "20261121-090000-tiny"


WAIT_S = 240.0


class Lines:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def line(self, text: str) -> None:
        self.said.append(text)

    def progress(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "my-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def private(
    open_bucket: Callable[[str], Any], s3_server: Callable[[str], S3Server], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The section ``store`` for a gateway of one's own, which only the section itself leads to and vouches for."""
    open_bucket("gateway")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name)
    server = s3_server("gateway")
    return s3(endpoint_url=server.url, ca_file=str(server.ca_file))


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(secrets, "MEMORY", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_logind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logins of this machine alone."""
    if "linger" not in request.fixturenames and "root" not in request.node.name:
        monkeypatch.setattr(storing, "STAY", "exit 0")


@pytest.fixture(params=["s3", "s3-role", "s3-private", "file", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The section ``store`` for an empty store of each kind."""
    if request.param == "file":
        return {"url": f"file://{tmp_path}/the%20store"}
    if request.param == "s3-private":
        return dict(request.getfixturevalue("private"))
    if request.param == "rclone":
        return {"url": request.getfixturevalue("open_remote")("local")}
    request.getfixturevalue("bucket")
    return s3(role_arn=ROLE if request.param == "s3-role" else None)


def way_to(store: dict[str, Any]) -> dict[str, Any]:
    """How the trainer's ``push`` and ``pull`` get there."""
    ca_file = store.get("ca_file")
    return {"endpoint_url": store.get("endpoint_url"), "ca_file": None if ca_file is None else Path(ca_file)}


def s3(**more: Any) -> dict[str, Any]:
    return {"url": f"s3://{BUCKET}/runs", **more}


def context(
    tmp_path: Path, store: dict[str, Any], *, env: str = "lambda", environ: dict[str, str] | None = None, **budget: Any
) -> Context:
    run = RunDir(tmp_path / "runs" / RUN_ID, RealWorld())
    if not run.path.exists():
        run = run_named(tmp_path / "runs", RUN_ID)
    values = {"compute": {"env": env, "prefix": str(tmp_path / "box")}, "budget": budget, "store": store}
    return Context(run, RunFile.model_validate(values), Lines(), Stop(RealWorld()), RealWorld(environ))  # type: ignore[arg-type]


def make_checkpoint(folder: Path, step: int, mark: str = "") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}{mark}")
    complete(path, step, {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"})
    return path


def order_of(tmp_path: Path) -> dict[str, Any]:
    order: dict[str, Any] = json.loads((tmp_path / "box" / RUN_ID / "lease" / "upload.json").read_text())
    return order


def said(ctx: Context) -> list[str]:
    return ctx.view.said  # type: ignore[attr-defined, no-any-return]


# what can be known before anything is rented


def test_a_store_that_works_is_left_as_it_was(store: dict[str, Any], tmp_path: Path) -> None:
    storing.check_store(RealWorld(), context(tmp_path, store).run_file)

    if store["url"].startswith("s3") and "ca_file" not in store:
        assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    elif store["url"].startswith(("file", "rclone")):
        assert list((tmp_path / "the store").rglob("*")) == []


def test_a_private_store_that_works_is_left_as_it_was(
    private: dict[str, Any], s3_client: Callable[[str], Any], tmp_path: Path
) -> None:
    storing.check_store(RealWorld(), context(tmp_path, private).run_file)

    assert "Contents" not in s3_client("gateway").list_objects_v2(Bucket=BUCKET)


def test_without_its_certificates_a_private_store_is_refused_at_plan(private: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"plan: .* has a certificate that is not trusted") as caught:
        storing.check_store(RealWorld(), context(tmp_path, private | {"ca_file": None}).run_file)

    assert "store.ca_file" in caught.value.resolution


def test_a_run_without_a_store_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "open_place", lambda *words: pytest.fail("asked"))
    ctx = context(tmp_path, {})

    storing.check_store(RealWorld(), ctx.run_file)
    storing.arm(ctx, HOST, LocalMachine())
    storing.copy_home(ctx, ["adapter"])
    storing.fetch_past(ctx)

    assert not (tmp_path / "box").exists()


def test_a_bucket_that_is_not_there_is_reported_at_plan(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(TransferError) as caught:
        storing.check_store(RealWorld(), context(tmp_path, {"url": "s3://no-such-bucket/runs"}).run_file)

    assert caught.value.message == "plan: s3://no-such-bucket/runs/douse-check refuses: NoSuchBucket"
    assert "create the bucket first" in caught.value.resolution
    assert "SET=store.url=null" in caught.value.resolution


def test_a_folder_that_cannot_be_written_is_reported_at_plan(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(TransferError, match="plan: cannot write"):
        storing.check_store(RealWorld(), context(tmp_path, {"url": f"file://{tmp_path}/file"}).run_file)


def test_a_store_that_may_not_be_listed_is_reported_at_plan_and_left_clean(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.checkpoints.places.Bucket.sizes", lambda self: {})

    with pytest.raises(TransferError, match="takes a file and does not list it"):
        storing.check_store(RealWorld(), context(tmp_path, s3()).run_file)

    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)


# what a rented machine is told


def test_a_rented_machine_learns_where_to_bring_its_work(bucket: Any, memory: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3(role_arn=ROLE))

    storing.arm(ctx, HOST, LocalMachine())

    order = order_of(tmp_path)
    assert order == {
        "folder": f"{tmp_path}/box/{RUN_ID}/output",
        "url": f"s3://{BUCKET}/runs/{RUN_ID}",
        "endpoint_url": None,
        "environment_file": f"{memory}/douse-{RUN_ID}/store.json",
    }
    keys = Path(order["environment_file"])
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert set(json.loads(keys.read_text())) == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        ENDS_AT,
    }


@pytest.mark.parametrize(
    ("more", "environ", "rights"),
    [
        ({}, {}, "instance profile trainers"),
        ({"endpoint_url": "http://127.0.0.1:9"}, {}, None),
        ({}, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, None),
    ],
)
def test_a_machine_with_rights_of_its_own_in_the_account_hears_of_them(
    more: dict[str, str],
    environ: dict[str, str],
    rights: str | None,
    memory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grants(monkeypatch)
    ctx = context(tmp_path, s3(role_arn=ROLE, **more), env="aws", environ=environ)
    values = run_file_mapping(ctx.run_file)
    values["compute"]["aws"] = {"instance_profile": "trainers"}
    ctx = replace(ctx, run_file=parse_run_file(values, "config.json", run_file_class()))

    storing.arm(ctx, HOST, LocalMachine())

    assert order_of(tmp_path).get("own_rights") == rights


def test_what_the_machine_is_told_brings_its_work_there(
    bucket: Any, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.__main__ import main

    ctx = context(tmp_path, s3(role_arn=ROLE))
    storing.arm(ctx, HOST, LocalMachine())
    make_checkpoint(tmp_path / "box" / RUN_ID / "output" / "checkpoints", 8)
    order = order_of(tmp_path)
    monkeypatch.setattr("trainer.__main__.os.environ", {})  # the machine's own are other ones

    words = ["--folder", order["folder"], "--url", order["url"], "--environment-file", order["environment_file"]]
    assert main(["sync", "push", *words]) == 0

    storing.fetch_past(ctx)
    assert newest_complete(ctx.run.checkpoints)[0].step == 8  # type: ignore[union-attr]


def test_a_machine_that_is_told_of_a_private_store_has_its_certificates(
    private: dict[str, Any], memory: Path, tmp_path: Path
) -> None:
    from trainer.__main__ import main

    ctx = context(tmp_path, private)
    storing.arm(ctx, HOST, LocalMachine())
    make_checkpoint(tmp_path / "box" / RUN_ID / "output" / "checkpoints", 8)
    order = order_of(tmp_path)

    assert Path(order["ca_file"]).read_bytes() == Path(private["ca_file"]).read_bytes()
    assert order["ca_file"].startswith(f"{tmp_path}/box/")
    words = ["--folder", order["folder"], "--url", order["url"], "--ca-file", order["ca_file"]]
    assert main(["sync", "push", *words, "--endpoint-url", order["endpoint_url"]]) == 0
    storing.fetch_past(ctx)
    assert newest_complete(ctx.run.checkpoints)[0].step == 8  # type: ignore[union-attr]


def test_no_secret_is_kept_outside_of_the_machines_memory(bucket: Any, memory: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3(role_arn=ROLE))

    storing.arm(ctx, HOST, LocalMachine())

    keys = json.loads(Path(order_of(tmp_path)["environment_file"]).read_text())
    others = [path for path in tmp_path.rglob("*") if path.is_file() and memory not in path.parents]
    assert others
    for value in ("my-secret", keys["AWS_SECRET_ACCESS_KEY"], keys["AWS_SESSION_TOKEN"]):
        assert not any(value in path.read_text() for path in others)
        assert not any(value in line for line in said(ctx))
    assert keys["AWS_SECRET_ACCESS_KEY"] not in repr(store_keys.machine_keys(ctx.run_file, RUN_ID, ctx.world))


def test_without_a_role_the_machine_gets_the_users_own_keys_and_he_is_told(memory: Path, tmp_path: Path) -> None:
    own = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "my-secret", "AWS_SESSION_TOKEN": "my-token"}
    ctx = context(tmp_path, s3(), environ={**own, "AWS_DEFAULT_REGION": "us-east-1", "LAMBDA_API_KEY": "another"})

    storing.arm(ctx, HOST, LocalMachine())

    keys = json.loads(Path(order_of(tmp_path)["environment_file"]).read_text())
    assert keys == {**own, "AWS_DEFAULT_REGION": "us-east-1"}
    assert "your own AWS credentials" in said(ctx)[-1]


def test_a_user_without_keys_is_told(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.Session.get_credentials", lambda self: None)

    with pytest.raises(AccountError, match="no AWS credentials"):
        storing.arm(context(tmp_path, s3()), HOST, LocalMachine())


@pytest.mark.parametrize(("env", "url"), [("local", f"s3://{BUCKET}/runs"), ("lambda", "file:///srv/store")])
def test_only_a_rented_machine_that_can_reach_the_store_gets_its_keys(
    env: str, url: str, memory: Path, tmp_path: Path
) -> None:
    storing.arm(context(tmp_path, {"url": url}, env=env), HOST, LocalMachine())

    assert not (tmp_path / "box").exists()
    assert list(memory.iterdir()) == []


def test_the_endpoint_is_the_run_files_else_that_of_the_environment(tmp_path: Path) -> None:
    environ = {"AWS_ENDPOINT_URL": "http://one.example:9000"}
    plain = context(tmp_path, s3()).run_file

    assert store_keys.endpoint_url(plain, environ) == "http://one.example:9000"
    environ["AWS_ENDPOINT_URL_S3"] = "http://two.example:9000"
    assert store_keys.endpoint_url(plain, environ) == "http://two.example:9000"
    given = context(tmp_path, s3(endpoint_url="http://three.example:9000")).run_file
    assert store_keys.endpoint_url(given, environ) == "http://three.example:9000"
    assert store_keys.endpoint_url(context(tmp_path, {"url": "file:///srv/store"}).run_file, environ) is None


class Shell(LocalMachine):
    """This machine, as another user, with the programs of a folder alone."""

    def __init__(self, programs: Path, *, uid: int, linger: str) -> None:
        programs.mkdir()
        self._path = programs
        for name, text in {
            "id": f'[ "$1" = -un ] && echo ubuntu || echo {uid}',
            "loginctl": "exit 9",
            "sudo": f'echo "asked: $*" >> "{programs}/asked"; {linger}',
            "timeout": 'shift; exec "$@"',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        return super().run(argv, **options | {"env": {"PATH": f"{self._path}:/usr/bin:/bin"}})


@pytest.mark.parametrize(("linger", "told"), [("exit 0", False), ("exit 1", True)])
def test_the_machine_keeps_its_memory_when_nobody_is_logged_in(
    linger: str, told: bool, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grants(monkeypatch)
    ctx = context(tmp_path, s3(role_arn=ROLE))

    storing.arm(ctx, HOST, Shell(tmp_path / "bin", uid=1000, linger=linger))

    assert (tmp_path / "bin" / "asked").read_text() == "asked: -n loginctl enable-linger ubuntu\n"
    assert any("forget the store's credentials" in line for line in said(ctx)) is told
    assert order_of(tmp_path)["environment_file"]


def test_root_keeps_its_memory_anyway(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grants(monkeypatch)
    ctx = context(tmp_path, s3(role_arn=ROLE))

    storing.arm(ctx, HOST, Shell(tmp_path / "bin", uid=0, linger="exit 1"))

    assert not (tmp_path / "bin" / "asked").exists()
    assert said(ctx) == []


# how long credentials last


def grants(monkeypatch: pytest.MonkeyPatch, *, most_s: int = 43_200) -> list[tuple[str, str, str, int]]:
    """Let the role grant so many seconds at most; return what it was asked for."""
    asked: list[tuple[str, str, str, int]] = []

    def answer(self: AwsCloud, bucket: str, prefix: str, role_arn: str, duration_s: int = 3600) -> PrefixCredentials:
        asked.append((bucket, prefix, role_arn, duration_s))
        if duration_s > most_s:
            raise BadRequestError("aws: too long", resolution="ask for less")
        return PrefixCredentials(
            f"id-{len(asked)}", "secret", "token", datetime.now(UTC) + timedelta(seconds=duration_s)
        )

    monkeypatch.setattr(AwsCloud, "sts_credentials_for_prefix", answer)
    return asked


@pytest.mark.parametrize(("max_hours", "seconds"), [(0.5, 5400), (2.0, 10_800), (24.0, 43_200)])
def test_credentials_last_as_long_as_the_run_may_and_open_its_folder_only(
    max_hours: float, seconds: int, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = grants(monkeypatch)

    storing.arm(context(tmp_path, s3(role_arn=ROLE), max_hours=max_hours), HOST, LocalMachine())

    assert asked == [(BUCKET, f"runs/{RUN_ID}", ROLE, seconds)]


def test_a_role_that_grants_less_is_asked_for_an_hour(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = grants(monkeypatch, most_s=3600)

    storing.arm(context(tmp_path, s3(role_arn=ROLE)), HOST, LocalMachine())

    assert [duration_s for *_, duration_s in asked] == [43_200, 3600]


@pytest.fixture
def armed(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    grants(monkeypatch, most_s=3600)
    monkeypatch.setattr(Context, "machine", lambda self, host: LocalMachine())
    ctx = context(tmp_path, s3(role_arn=ROLE))
    storing.arm(ctx, HOST, LocalMachine())
    return ctx


def key_on_machine(tmp_path: Path) -> str:
    return str(json.loads(Path(order_of(tmp_path)["environment_file"]).read_text())["AWS_ACCESS_KEY_ID"])


@pytest.mark.parametrize(("minutes", "key"), [(14, "id-2"), (16, "id-4")])
def test_credentials_are_renewed_long_before_they_end(armed: Context, tmp_path: Path, minutes: int, key: str) -> None:
    renewed = storing.renew_if_due(armed, HOST, datetime.now(UTC) + timedelta(minutes=minutes))

    assert (renewed, key_on_machine(tmp_path)) == (minutes == 16, key)


def test_another_machine_gets_none_before_it_is_armed(armed: Context, tmp_path: Path) -> None:
    other = Host("localhost", 22, "me", "i-2", "gpu_1x_a10", "us-east-1", False, 0.75, None, "lambda")

    assert storing.renew_if_due(armed, other, datetime.now(UTC) + timedelta(hours=1)) is False
    assert key_on_machine(tmp_path) == "id-2"


def test_keys_of_a_session_are_brought_anew_and_lasting_ones_are_not(
    bucket: Any, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "machine", lambda self, host: LocalMachine())
    ctx, later = context(tmp_path, s3()), datetime.now(UTC) + timedelta(minutes=16)

    storing.arm(ctx, HOST, LocalMachine())
    assert storing.renew_if_due(ctx, HOST, later) is False
    ctx = replace(ctx, world=RealWorld({**ctx.world.environ, "AWS_SESSION_TOKEN": "my-token"}))
    storing.arm(ctx, HOST, LocalMachine())
    assert storing.renew_if_due(ctx, HOST, later) is True


def test_a_runner_renews_them_while_it_is_there(
    armed: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    again = threading.Event()

    def renew(ctx: Context, host: Host, now: datetime) -> bool:
        tries.append(1)
        if len(tries) == 1:
            raise CloudUnavailableError("aws: out of reach", resolution="wait")
        again.set()
        return True

    monkeypatch.setattr(storing, "renew_if_due", renew)
    monkeypatch.setattr(storing, "LOOK_S", 0.001)

    with storing.kept_open(armed, HOST):
        assert again.wait(240)

    assert said(armed)[-1].startswith("aws: out of reach")


# what comes home goes there


def test_what_came_home_is_in_the_store(store: dict[str, Any], tmp_path: Path) -> None:
    ctx = context(tmp_path, store)
    ctx.run.adapter.mkdir()
    for name in ("SHA256SUMS", "adapter_model.safetensors"):
        (ctx.run.adapter / name).write_text(name)
    make_checkpoint(ctx.run.checkpoints, 4)
    ctx.run.events.path.write_text("{}")

    storing.copy_home(ctx, ["metrics.json", "adapter", "checkpoints/checkpoint-4"])

    pull(f"{store['url']}/{RUN_ID}", tmp_path / "back", **way_to(store))
    names = {path.relative_to(tmp_path / "back").parts[0] for path in (tmp_path / "back").rglob("*")}
    assert names == {"adapter", "checkpoints"}
    assert (tmp_path / "back" / "adapter" / "SHA256SUMS").read_text() == "SHA256SUMS"
    assert newest_complete(tmp_path / "back" / "checkpoints")[0].step == 4  # type: ignore[union-attr]
    assert said(ctx)[-1].startswith(f"stored: {store['url']}/{RUN_ID}/checkpoints (7 files")


def test_a_second_time_moves_nothing(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3())
    make_checkpoint(ctx.run.checkpoints, 4)

    storing.copy_home(ctx, ["checkpoints/checkpoint-4"])
    storing.copy_home(ctx, ["checkpoints/checkpoint-4"])

    assert "(0 files" in said(ctx)[-1]


def test_a_store_that_is_gone_is_an_error_of_the_runner_that_says_where_it_all_is(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, {"url": "s3://no-such-bucket/runs"})
    make_checkpoint(ctx.run.checkpoints, 4)

    with pytest.raises(TransferError) as caught:
        storing.copy_home(ctx, ["checkpoints/checkpoint-4"])

    assert caught.value.message.startswith("store: s3://no-such-bucket/runs")
    assert str(ctx.run.path) in caught.value.resolution


# what a resume takes from there

STEP_4, STEP_5, STEP_8 = (f'{{"event": "step", "step": {step}}}\n' for step in (4, 5, 8))


def put_there(store: dict[str, Any], tmp_path: Path, *steps: int, mark: str = "", events: str = "") -> None:
    """Let a machine bring its output folder to the store before it ends."""
    output = tmp_path / f"machine-{steps}"
    output.mkdir()
    for step in steps:
        make_checkpoint(output / "checkpoints", step, mark)
    if events:
        (output / "events.jsonl").write_text(events)
    push(output, f"{store['url']}/{RUN_ID}", **way_to(store))


def test_a_resume_takes_the_newest_checkpoint_of_the_machine_that_ended_itself(
    store: dict[str, Any], tmp_path: Path
) -> None:
    ctx = context(tmp_path, store)
    make_checkpoint(ctx.run.checkpoints, 4)
    ctx.run.events.path.write_text(STEP_4)
    put_there(store, tmp_path, 8, 12, events=f"{STEP_4}[1]\n{STEP_8}half a l")

    storing.fetch_past(ctx)

    assert newest_complete(ctx.run.checkpoints)[0].step == 12  # type: ignore[union-attr]
    assert ctx.run.events.read_text() == f"{STEP_4}   \n{STEP_8}", "what is no event does not come home"


@pytest.mark.parametrize("step", [8, 12])
def test_a_resume_keeps_what_is_as_new_as_in_the_store(bucket: Any, tmp_path: Path, step: int) -> None:
    ctx = context(tmp_path, s3())
    make_checkpoint(ctx.run.checkpoints, step, mark=" made here")
    put_there(s3(), tmp_path, 8)

    storing.fetch_past(ctx)

    found = newest_complete(ctx.run.checkpoints)[0]
    assert found is not None
    assert "made here" in (ctx.run.checkpoints / f"checkpoint-{step}" / REQUIRED_FILES[0]).read_text()


def test_a_damaged_newest_gives_way_to_the_one_before(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3())
    put_there(s3(), tmp_path, 8, 12)
    bucket.put_object(
        Bucket=BUCKET, Key=f"runs/{RUN_ID}/checkpoints/checkpoint-12/{REQUIRED_FILES[0]}", Body=b"damaged"
    )

    storing.fetch_past(ctx)

    assert newest_complete(ctx.run.checkpoints)[0].step == 8  # type: ignore[union-attr]
    assert any("checkpoint-12" in line for line in said(ctx))


@pytest.mark.parametrize("is_here", [True, False])
def test_a_store_without_a_whole_checkpoint_is_an_error_unless_there_is_one_here(
    bucket: Any, tmp_path: Path, is_here: bool
) -> None:
    ctx = context(tmp_path, s3())
    put_there(s3(), tmp_path, 8)
    bucket.delete_object(Bucket=BUCKET, Key=f"runs/{RUN_ID}/checkpoints/checkpoint-8/{REQUIRED_FILES[0]}")
    if is_here:
        make_checkpoint(ctx.run.checkpoints, 4)
        storing.fetch_past(ctx)
        assert "going on from checkpoint-4" in said(ctx)[-1]
        return
    with pytest.raises(TransferError, match="none of 1 checkpoints in the store is whole"):
        storing.fetch_past(ctx)


def test_an_odd_name_in_the_store_is_no_checkpoint(tmp_path: Path) -> None:
    store = {"url": f"file://{tmp_path}/store"}
    put_there(store, tmp_path, 8)
    for name in ("checkpoint-\N{SUPERSCRIPT TWO}", "checkpoint-" + "9" * 200):
        folder = tmp_path / "store" / RUN_ID / "checkpoints" / name
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
    ctx = context(tmp_path, store)

    storing.fetch_past(ctx)

    assert newest_complete(ctx.run.checkpoints)[0].step == 8  # type: ignore[union-attr]


def test_an_empty_store_is_no_error(store: dict[str, Any], tmp_path: Path) -> None:
    ctx = context(tmp_path, store)

    storing.fetch_past(ctx)

    assert not ctx.run.checkpoints.exists()


def test_a_story_that_is_not_ours_is_not_taken(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3())
    ctx.run.events.path.write_text(STEP_5)
    put_there(s3(), tmp_path, 8, events=STEP_4 + STEP_8)

    storing.fetch_past(ctx)

    assert ctx.run.events.read_text() == STEP_5


# community machines


def on_community(tmp_path: Path, **store: Any) -> Context:
    ctx = context(tmp_path, s3(**store), env="runpod")
    compute = ctx.run_file.compute.model_copy(update={"trust": "any"})
    return replace(ctx, run_file=ctx.run_file.model_copy(update={"compute": compute}))


def test_a_community_machine_is_never_handed_the_users_own_keys(tmp_path: Path, bucket: Any, memory: Path) -> None:
    ctx = on_community(tmp_path)

    with pytest.raises(AccountError) as caught:
        storing.arm(ctx, HOST, LocalMachine())

    assert "compute.trust is any" in caught.value.message
    assert "store.role_arn" in caught.value.resolution
    assert list(memory.rglob("*.json")) == []
    assert not (tmp_path / "box").exists()


def test_a_community_machine_is_handed_the_keys_of_a_role(tmp_path: Path, bucket: Any, memory: Path) -> None:
    storing.arm(on_community(tmp_path, role_arn=ROLE), HOST, LocalMachine())

    (file,) = memory.rglob("*.json")
    assert "AWS_SESSION_TOKEN" in file.read_text()
    assert "my-secret" not in file.read_text()


def test_a_second_ctrl_c_ends_the_wait_for_whoever_renews_credentials(
    armed: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, began = threading.Event(), threading.Event()

    def renew(ctx: Context, host: Host, over: object) -> None:
        began.set()
        hung.wait(WAIT_S)

    monkeypatch.setattr(storing, "_renew", renew)
    monkeypatch.setattr(storing, "LOOK_S", WAIT_S)

    with storing.kept_open(armed, HOST):
        assert began.wait(WAIT_S)
        armed.stop.count = 2

    assert not hung.is_set(), "nobody waited for its end"
    hung.set()


def test_a_folder_that_no_trainer_named_is_no_checkpoint_of_the_store() -> None:
    names = [f"checkpoints/checkpoint-{step}/manifest.json" for step in ("3", "²", "x")]

    assert storing._newest_step(names) == 3
