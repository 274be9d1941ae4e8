"""What a rented machine is told of the store, against S3 as moto plays it in this process; machines are folders."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import LocalMachine
from runner.clouds.aws.api import AwsCloud, PrefixCredentials
from runner.clouds.own_sections import run_file_class
from runner.context import Context
from runner.errors import AccountError, BadRequestError, CloudUnavailableError
from runner.run.models import Completed, Host
from runner.run.run_file import parse_run_file, run_file_mapping
from runner.store import arming
from runner.store import credentials as store_keys
from runner.store import run_store as storing
from runner.world import RealWorld
from tests.unit.runner.conftest import BUCKET
from tests.unit.runner.store.parts import (
    HOST,
    ROLE,
    RUN_ID,
    context,
    make_checkpoint,
    order_of,
    s3,
    said,
)
from trainer.checkpoints.complete import newest_complete
from trainer.checkpoints.keys import ENDS_AT

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
WAIT_S = 240.0


# what a rented machine is told


def test_a_rented_machine_learns_where_to_bring_its_work(bucket: Any, memory: Path, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3(role_arn=ROLE))

    arming.arm(ctx, HOST, LocalMachine())

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

    arming.arm(ctx, HOST, LocalMachine())

    assert order_of(tmp_path).get("own_rights") == rights


def test_what_the_machine_is_told_brings_its_work_there(
    bucket: Any, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.__main__ import main

    ctx = context(tmp_path, s3(role_arn=ROLE))
    arming.arm(ctx, HOST, LocalMachine())
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
    arming.arm(ctx, HOST, LocalMachine())
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

    arming.arm(ctx, HOST, LocalMachine())

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

    arming.arm(ctx, HOST, LocalMachine())

    keys = json.loads(Path(order_of(tmp_path)["environment_file"]).read_text())
    assert keys == {**own, "AWS_DEFAULT_REGION": "us-east-1"}
    assert "your own AWS credentials" in said(ctx)[-1]


def test_a_user_without_keys_is_told(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.Session.get_credentials", lambda self: None)

    with pytest.raises(AccountError, match="no AWS credentials"):
        arming.arm(context(tmp_path, s3()), HOST, LocalMachine())


@pytest.mark.parametrize(("env", "url"), [("local", f"s3://{BUCKET}/runs"), ("lambda", "file:///srv/store")])
def test_only_a_rented_machine_that_can_reach_the_store_gets_its_keys(
    env: str, url: str, memory: Path, tmp_path: Path
) -> None:
    arming.arm(context(tmp_path, {"url": url}, env=env), HOST, LocalMachine())

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

    arming.arm(ctx, HOST, Shell(tmp_path / "bin", uid=1000, linger=linger))

    assert (tmp_path / "bin" / "asked").read_text() == "asked: -n loginctl enable-linger ubuntu\n"
    assert any("forget the store's credentials" in line for line in said(ctx)) is told
    assert order_of(tmp_path)["environment_file"]


def test_root_keeps_its_memory_anyway(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grants(monkeypatch)
    ctx = context(tmp_path, s3(role_arn=ROLE))

    arming.arm(ctx, HOST, Shell(tmp_path / "bin", uid=0, linger="exit 1"))

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

    arming.arm(context(tmp_path, s3(role_arn=ROLE), max_hours=max_hours), HOST, LocalMachine())

    assert asked == [(BUCKET, f"runs/{RUN_ID}", ROLE, seconds)]


def test_a_role_that_grants_less_is_asked_for_an_hour(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = grants(monkeypatch, most_s=3600)

    arming.arm(context(tmp_path, s3(role_arn=ROLE)), HOST, LocalMachine())

    assert [duration_s for *_, duration_s in asked] == [43_200, 3600]


@pytest.fixture
def armed(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    grants(monkeypatch, most_s=3600)
    monkeypatch.setattr(Context, "machine", lambda self, host: LocalMachine())
    ctx = context(tmp_path, s3(role_arn=ROLE))
    arming.arm(ctx, HOST, LocalMachine())
    return ctx


def key_on_machine(tmp_path: Path) -> str:
    return str(json.loads(Path(order_of(tmp_path)["environment_file"]).read_text())["AWS_ACCESS_KEY_ID"])


@pytest.mark.parametrize(("minutes", "key"), [(14, "id-2"), (16, "id-4")])
def test_credentials_are_renewed_long_before_they_end(armed: Context, tmp_path: Path, minutes: int, key: str) -> None:
    renewed = arming.renew_if_due(armed, HOST, datetime.now(UTC) + timedelta(minutes=minutes))

    assert (renewed, key_on_machine(tmp_path)) == (minutes == 16, key)


def test_another_machine_gets_none_before_it_is_armed(armed: Context, tmp_path: Path) -> None:
    other = Host("localhost", 22, "me", "i-2", "gpu_1x_a10", "us-east-1", False, 0.75, None, "lambda")

    assert arming.renew_if_due(armed, other, datetime.now(UTC) + timedelta(hours=1)) is False
    assert key_on_machine(tmp_path) == "id-2"


def test_keys_of_a_session_are_brought_anew_and_lasting_ones_are_not(
    bucket: Any, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "machine", lambda self, host: LocalMachine())
    ctx, later = context(tmp_path, s3()), datetime.now(UTC) + timedelta(minutes=16)

    arming.arm(ctx, HOST, LocalMachine())
    assert arming.renew_if_due(ctx, HOST, later) is False
    ctx = replace(ctx, world=RealWorld({**ctx.world.environ, "AWS_SESSION_TOKEN": "my-token"}))
    arming.arm(ctx, HOST, LocalMachine())
    assert arming.renew_if_due(ctx, HOST, later) is True


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

    monkeypatch.setattr(arming, "renew_if_due", renew)
    monkeypatch.setattr(arming, "LOOK_S", 0.001)

    with arming.kept_open(armed, HOST):
        assert again.wait(240)

    assert said(armed)[-1].startswith("aws: out of reach")


# community machines


def on_community(tmp_path: Path, **store: Any) -> Context:
    ctx = context(tmp_path, s3(**store), env="runpod")
    compute = ctx.run_file.compute.model_copy(update={"trust": "any"})
    return replace(ctx, run_file=ctx.run_file.model_copy(update={"compute": compute}))


def test_a_community_machine_is_never_handed_the_users_own_keys(tmp_path: Path, bucket: Any, memory: Path) -> None:
    ctx = on_community(tmp_path)

    with pytest.raises(AccountError) as caught:
        arming.arm(ctx, HOST, LocalMachine())

    assert "compute.trust is any" in caught.value.message
    assert "store.role_arn" in caught.value.resolution
    assert list(memory.rglob("*.json")) == []
    assert not (tmp_path / "box").exists()


def test_a_community_machine_is_handed_the_keys_of_a_role(tmp_path: Path, bucket: Any, memory: Path) -> None:
    arming.arm(on_community(tmp_path, role_arn=ROLE), HOST, LocalMachine())

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

    monkeypatch.setattr(arming, "_renew", renew)
    monkeypatch.setattr(arming, "LOOK_S", WAIT_S)

    with arming.kept_open(armed, HOST):
        assert began.wait(WAIT_S)
        armed.stop.count = 2

    assert not hung.is_set(), "nobody waited for its end"
    hung.set()
