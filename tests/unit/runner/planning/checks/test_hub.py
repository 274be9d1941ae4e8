"""The Hub's lines: a model that is there, gated, private, out of reach; a token that may and one that may not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runner.planning.checks.hub import Found, check_token, find_model
from runner.planning.checks.line import Check, from_error
from tests.unit.runner.planning.checks.fake_hub import COMMIT, Handler, breaking, hub_of, refusing, serving
from tests.unit.runner.planning.checks.small_run import write_model
from trainer.base_model.hub_files import HubUnreachableError, cached_folder
from trainer.errors import BaseModelError

MODEL = "org/name"


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", os.devnull)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def line_of(handler: Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_token: bool = False) -> Check:
    if has_token:
        monkeypatch.setenv("HF_TOKEN", "hf_x")
    with hub_of(handler, tmp_path / "cache", monkeypatch), pytest.raises(BaseModelError) as caught:
        find_model(MODEL, None)
    return from_error("base model", caught.value)


def test_small_files_are_fetched_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path / "model")

    with hub_of(serving(model), tmp_path / "cache", monkeypatch):
        before = cached_folder(MODEL, None)
        folder, trouble, commit, true_name = find_model(MODEL, None)

    assert (before, trouble, commit, true_name) == (None, None, COMMIT, MODEL)
    assert folder.name == COMMIT
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert cached_folder(MODEL, None) == folder


def test_a_gated_model_without_a_token_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_of(refusing(401, "GatedRepo"), tmp_path, monkeypatch)

    assert (line.status, line.value) == ("fail", "org/name is gated, and there is no token (401)")
    assert line.remedy.startswith("accept https://huggingface.co/org/name; make a token at https://")


def test_a_gated_model_whose_terms_are_not_accepted_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = line_of(refusing(403, "GatedRepo"), tmp_path, monkeypatch, has_token=True)

    assert (line.status, line.value) == (
        "fail", "org/name is gated, and the account of the token of HF_TOKEN has no access yet (403)",
    )  # fmt: skip
    assert line.remedy.startswith("accept the terms at https://huggingface.co/org/name")


@pytest.mark.parametrize(
    ("handler", "value"),
    [
        (refusing(401, "GatedRepo"), "org/name is gated, and the Hub does not know the token of HF_TOKEN (401)"),
        (refusing(404, "RepoNotFound"), "org/name is not on the Hub, or the token of HF_TOKEN may not read it (404)"),
        (refusing(404, "EntryNotFound"), "org/name has no config.json on the Hub"),
        (refusing(404, "RevisionNotFound"), "org/name has no revision main"),
        (
            refusing(401, None, "Invalid credentials in Authorization header"),
            "org/name cannot be read: the Hub does not take the token of HF_TOKEN (401)",
        ),
        (refusing(403, None, "Forbidden"), "org/name may not be read with the token of HF_TOKEN (403)"),
    ],
    ids=["gated-bad-token", "private", "no-config", "no-revision", "bad-token", "no-right"],
)
def test_a_model_that_cannot_be_had_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Handler, value: str
) -> None:
    line = line_of(handler, tmp_path, monkeypatch, has_token=True)

    assert (line.status, line.value) == ("fail", value)
    assert line.remedy


@pytest.mark.parametrize(
    "handler",
    [breaking(httpx2.ConnectError), breaking(httpx2.ConnectTimeout), refusing(503), breaking(httpx2.ProxyError)],
    ids=["down", "slow", "in-trouble", "proxy"],
)
def test_a_hub_out_of_reach_fails_where_nothing_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Handler
) -> None:
    line = line_of(handler, tmp_path, monkeypatch)

    assert line.status == "fail"
    assert line.value.startswith("org/name is not in the cache, and the Hub ")
    assert "model.base_model" in line.remedy


@pytest.mark.parametrize("handler", [breaking(httpx2.ConnectError), refusing(503)], ids=["down", "in-trouble"])
def test_what_is_in_the_cache_is_taken_where_the_hub_gives_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Handler
) -> None:
    with hub_of(serving(write_model(tmp_path / "model")), tmp_path / "cache", monkeypatch):
        folder = find_model(MODEL, None).folder

    with hub_of(handler, tmp_path / "cache", monkeypatch):
        found = find_model(MODEL, None)

    assert found.folder == folder
    assert found.trouble is not None
    assert found.trouble.startswith("the Hub ")


def test_a_user_who_works_offline_gets_what_is_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with hub_of(serving(write_model(tmp_path / "model")), tmp_path / "cache", monkeypatch):
        found = find_model(MODEL, None)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

        assert find_model(MODEL, None) == Found(found.folder, None)


def test_a_name_that_is_none_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_of(refusing(404), tmp_path / "cache", monkeypatch), pytest.raises(BaseModelError) as caught:
        find_model("a/b/c", None)

    assert "is neither a Hub id (org/name) nor a local folder" in caught.value.message


def test_offline_and_not_cached_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    with pytest.raises(HubUnreachableError) as caught:
        find_model(MODEL, None)

    assert caught.value.message == "base model: org/name is not in the cache, and HF_HUB_OFFLINE is set"
    assert caught.value.resolution.startswith("unset HF_HUB_OFFLINE, or set model.base_model to ")


def whoami(status: int = 200, **access: Any) -> httpx2.MockTransport:
    told = {"name": "me", "auth": {"accessToken": access}}
    return httpx2.MockTransport(lambda request: httpx2.Response(status, json=told))


def test_the_token_travels_to_the_hub_and_into_no_line() -> None:
    asked: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        raise httpx2.ConnectError("header hf_secret", request=request)

    line = check_token("hf_secret", reads_hub=True, transport=httpx2.MockTransport(handle))

    assert (asked[0].url.path, asked[0].headers["Authorization"]) == ("/api/whoami-v2", "Bearer hf_secret")
    assert line.status == "warn"
    assert "hf_secret" not in f"{line}"


@pytest.mark.parametrize(
    ("access", "value"),
    [
        ({"role": "read"}, "read token of me"),
        ({"role": "write"}, "write token of me"),
        ({"role": "fineGrained", "fineGrained": {"global": [], "scoped": []}}, "fineGrained token of me"),
        ({}, "unknown token of me"),
    ],
)
def test_a_token_that_the_hub_knows_passes_with_its_kind_and_owner(access: dict[str, Any], value: str) -> None:
    line = check_token("hf_x", reads_hub=True, transport=whoami(**access))

    assert (line.status, line.value, line.remedy) == ("pass", value, "")


def test_a_token_that_the_hub_does_not_know_fails() -> None:
    line = check_token("hf_x", reads_hub=True, transport=whoami(401))

    assert (line.status, line.value) == ("fail", "the Hub does not take the token (401)")


@pytest.mark.parametrize(
    "transport",
    [whoami(429), whoami(503), httpx2.MockTransport(lambda request: httpx2.Response(200, text="<html>"))],
    ids=["too-many", "in-trouble", "a-page"],
)
def test_an_answer_that_is_none_is_a_warning(transport: httpx2.MockTransport) -> None:
    assert check_token("hf_x", reads_hub=True, transport=transport).status == "warn"


@pytest.mark.parametrize(
    ("variable", "value"), [("SSL_CERT_FILE", "/nowhere/certificates"), ("ALL_PROXY", "socks5://127.0.0.1:9")]
)
def test_a_network_that_nobody_can_use_is_a_warning(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    line = check_token("hf_x", reads_hub=True, reach=lambda url: True)

    assert line.status == "warn"
    assert "the Hub gives no answer" in line.value


def test_a_token_that_no_public_model_needs_may_be_missing() -> None:
    assert check_token(None, reads_hub=True).status == "skip"
    assert check_token("hf_x", reads_hub=False).status == "skip"


def test_nobody_is_asked_where_the_hub_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert check_token("hf_x", reads_hub=True).status == "warn"
