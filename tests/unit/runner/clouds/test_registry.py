"""Which accounts the environment names, and what to set when it names none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.cli import parser as cli
from runner.cloud_api.address import public_address_cidr
from runner.cloud_api.pacing import Timer
from runner.clouds import registry
from runner.clouds.aws import cloud as aws
from runner.clouds.lambda_cloud.api import LambdaCloud, open_lambda
from runner.clouds.registry import CLOUDS, accounts, configured, open_cloud
from runner.clouds.runpod.api import RunPodCloud, open_runpod
from runner.errors import EXIT_LEFTOVERS, AccountError, CloudUnavailableError, UsageError
from runner.planning.checks.account import check_account
from runner.world import RealWorld

KEYS = {"LAMBDA_API_KEY": "lambda-secret-1", "RUNPOD_API_KEY": "runpod-secret-1"}


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aws, "MACHINE_VENDOR", tmp_path / "no-such-file")


def test_the_clouds_are_named_as_their_environments() -> None:
    assert list(CLOUDS) == ["lambda", "runpod", "aws"]


def test_only_the_named_accounts_are_opened(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}

    assert [cloud.name for cloud in configured(RealWorld(home))] == []
    assert [cloud.name for cloud in configured(RealWorld(KEYS | home))] == ["lambda", "runpod"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lambda", "set LAMBDA_API_KEY, or LAMBDA_API_KEY_FILE"),
        ("runpod", "set RUNPOD_API_KEY"),
        ("aws", "AWS_PROFILE"),
    ],
)
def test_a_missing_account_says_what_to_set(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(AccountError) as caught:
        open_cloud(name, RealWorld({"HOME": str(tmp_path)}))

    assert expected in caught.value.resolution


def test_an_unknown_cloud_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no cloud azure"):
        open_cloud("azure", RealWorld({}))


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_key_file_that_cannot_be_read_is_not_the_same_as_no_account(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)

    with pytest.raises(AccountError):
        configured(RealWorld({"LAMBDA_API_KEY_FILE": str(path), "HOME": str(tmp_path)}))

    known = accounts(RealWorld({"LAMBDA_API_KEY_FILE": str(path), "HOME": str(tmp_path)}))
    assert (list(known.unnamed), list(known.unreadable)) == (["runpod", "aws"], ["lambda"])


NO_WAY_OUT = [
    ({"ALL_PROXY": "socks5://127.0.0.1:1"}, "a SOCKS proxy, and socksio is not installed"),
    ({"SSL_CERT_FILE": "/nowhere/certificates"}, "SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"),
    ({"SSL_CERT_FILE": __file__}, "SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"),
    ({"HTTPS_PROXY": "nonsense://x"}, "a proxy variable or the address is of no use"),
    ({"ALL_PROXY": "http://[::1"}, "a proxy variable or the address is of no use"),
]


@pytest.mark.parametrize(("variables", "words"), NO_WAY_OUT)
def test_a_network_that_nobody_can_use_is_said_in_its_own_words(
    variables: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    world = RealWorld(KEYS | {"HOME": str(tmp_path)})

    for name in ("lambda", "runpod"):
        with pytest.raises(AccountError, match=words) as caught:
            open_cloud(name, world)
        assert "unset SSL_CERT_FILE" in caught.value.resolution
    (line, _) = check_account("lambda", world)
    assert (line.status, words in line.value) == ("fail", True)
    with pytest.raises(CloudUnavailableError, match=words):
        public_address_cidr({})


def test_an_address_that_is_none_closes_its_own_cloud_alone(tmp_path: Path) -> None:
    world = RealWorld(KEYS | {"HOME": str(tmp_path), "DOUSE_LAMBDA_ENDPOINT": "http://[::1"})

    known = accounts(world)

    assert ([cloud.name for cloud in known.opened], list(known.unreadable)) == (["runpod"], ["lambda"])


def test_an_endpoint_of_aws_that_is_none_is_said(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIAREHEARSAL0000000", "AWS_SECRET_ACCESS_KEY": "x", "DOUSE_AWS_REGIONS": "us-east-1"}
    world = RealWorld({"HOME": str(tmp_path), "AWS_ENDPOINT_URL": "nonsense", **keys})

    with pytest.raises(AccountError, match="nonsense is no address"):
        open_cloud("aws", world).account()


def test_whatever_one_client_raises_the_other_clouds_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(environ: object, **named: object) -> LambdaCloud:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(registry, "CLOUDS", {**CLOUDS, "lambda": replace(CLOUDS["lambda"], open=fail)})

    known = accounts(RealWorld(KEYS | {"HOME": str(tmp_path)}))

    assert ([cloud.name for cloud in known.opened], list(known.unreadable)) == (["runpod"], ["lambda"])


def test_status_is_three_where_a_key_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = RealWorld({"LAMBDA_API_KEY_FILE": str(tmp_path / "gone"), "HOME": str(tmp_path)})

    assert cli.main(["status", "--runs-dir", str(tmp_path / "runs")], world) == EXIT_LEFTOVERS
    assert "lambda: something may be billing that was not seen" in capsys.readouterr().out


def test_the_endpoints_come_from_the_environment() -> None:
    given = KEYS | {
        "DOUSE_LAMBDA_ENDPOINT": "http://127.0.0.1:1/api/v1",
        "DOUSE_RUNPOD_ENDPOINT": "http://127.0.0.1:2/v2",
        "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": "http://127.0.0.1:3/graphql",
    }

    assert (
        repr(open_lambda(given, timer=Timer(RealWorld()))) == "LambdaCloud(Api('lambda', 'http://127.0.0.1:1/api/v1'))"
    )
    assert repr(open_runpod(given, timer=Timer(RealWorld()))) == "RunPodCloud(Api('runpod', 'http://127.0.0.1:2/v2'))"
    assert (
        repr(open_runpod(given, timer=Timer(RealWorld()))._graphql_api) == "Api('runpod', 'http://127.0.0.1:3/graphql')"
    )


def test_the_endpoints_are_the_vendors_unless_told_otherwise() -> None:
    assert (
        repr(open_lambda(KEYS, timer=Timer(RealWorld())))
        == "LambdaCloud(Api('lambda', 'https://cloud.lambda.ai/api/v1'))"
    )
    assert repr(open_runpod(KEYS, timer=Timer(RealWorld()))) == "RunPodCloud(Api('runpod', 'https://api.runpod.io/v2'))"
    assert (
        repr(open_runpod(KEYS, timer=Timer(RealWorld()))._graphql_api)
        == "Api('runpod', 'https://api.runpod.io/graphql')"
    )


def test_the_clients_are_of_the_right_kind() -> None:
    assert isinstance(open_cloud("lambda", RealWorld(KEYS)), LambdaCloud)
    assert isinstance(open_cloud("runpod", RealWorld(KEYS)), RunPodCloud)
