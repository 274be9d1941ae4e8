"""The Hub's small files: each way in which they cannot be had, in words of ours; the cache where nobody answers."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest

from tests.unit.runner.planning.checks.fake_hub import Handler, breaking, hub_of, refusing, serving
from tests.unit.runner.planning.checks.small_run import write_model
from trainer.base_model import hub_files
from trainer.base_model.hub_files import HubUnreachableError, fetch_tokenizer_files, find_small_files
from trainer.errors import BaseModelError

MODEL = "org/name"
NO_CREDENTIALS = "Invalid credentials in Authorization header"


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", os.devnull)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def refusal(handler: Handler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseModelError:
    with hub_of(handler, tmp_path / "cache", monkeypatch), pytest.raises(BaseModelError) as caught:
        find_small_files(MODEL, None)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("handler", "token", "problem", "remedy"),
    [
        (
            refusing(401, None, NO_CREDENTIALS),
            "hf_x",
            "cannot be read: the Hub does not take the token of HF_TOKEN (401)",
            "make a token at https://",
        ),
        (
            refusing(401, "RepoNotFound"),
            None,
            "is not on the Hub, or is private (401)",
            "correct model.base_model, or log in",
        ),
        (
            refusing(401, "RepoNotFound"),
            "hf_x",
            "is not on the Hub, or the token of HF_TOKEN may not read it (401)",
            "correct model.base_model",
        ),
        (refusing(404), None, "is not on the Hub, or is private (404)", "correct model.base_model"),
        (refusing(404, "RevisionNotFound"), None, "has no revision main", "correct model.revision"),
        (
            refusing(404, "EntryNotFound"),
            None,
            "has no config.json on the Hub",
            "take a base model in transformers format",
        ),
        (
            refusing(401, "GatedRepo"),
            None,
            "is gated, and there is no token (401)",
            "accept https://huggingface.co/org/name; make a token",
        ),
        (
            refusing(401, "GatedRepo"),
            "hf_x",
            "is gated, and the Hub does not know the token of HF_TOKEN (401)",
            "make a token",
        ),
        (
            refusing(403, "GatedRepo"),
            "hf_x",
            "is gated, and the account of the token of HF_TOKEN has no access yet (403)",
            "accept the terms at",
        ),
        (refusing(403), "hf_x", "may not be read with the token of HF_TOKEN (403)", "give it that right at https://"),
        (refusing(403), None, "may not be read (403)", "make a token at https://"),
        (
            refusing(403, None, "Access to this resource is disabled."),
            None,
            "is disabled on the Hub (403)",
            "take another base model",
        ),
        (refusing(418), None, "cannot be fetched: the Hub answers 418", "check HF_ENDPOINT"),
    ],
    ids=[
        *("bad-token", "private", "private-to-this-token", "no-such-model", "no-revision", "no-config", "gated"),
        *("gated-bad-token", "gated-not-let-in", "no-right", "forbidden", "disabled", "another-status"),
    ],
)
def test_a_refusal_says_what_the_hub_said_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Handler, token: str | None, problem: str, remedy: str
) -> None:
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)

    err = refusal(handler, tmp_path, monkeypatch)

    assert err.message == f"base model: {MODEL} {problem}"
    assert err.resolution.startswith(remedy)
    assert not isinstance(err, HubUnreachableError)


def no_hub(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, request=request)


@pytest.mark.parametrize(
    ("handler", "trouble"),
    [
        (breaking(httpx2.ConnectError), "the Hub cannot be reached (no way there)"),
        (breaking(httpx2.ReadTimeout), "the Hub cannot be reached (no way there)"),
        (breaking(httpx2.ProxyError), "the Hub cannot be reached (no way there)"),
        (breaking(httpx2.RemoteProtocolError), "the Hub cannot be reached (no way there)"),
        (breaking(httpx2.UnsupportedProtocol), "the Hub cannot be asked: no way there"),
        (refusing(429), "the Hub refuses too many requests (429)"),
        (refusing(503), "the Hub is in trouble (it answers 503)"),
        (no_hub, "what answers at https://huggingface.co is not the Hub"),
    ],
    ids=["down", "hangs", "broken-proxy", "cut-off", "no-address", "too-many", "in-trouble", "a-login-page"],
)
def test_a_hub_that_gives_no_answer_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Handler, trouble: str
) -> None:
    err = refusal(handler, tmp_path, monkeypatch)

    assert isinstance(err, HubUnreachableError)
    assert err.message == f"base model: {MODEL} is not in the cache, and {trouble}"
    assert err.resolution


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9", "http://[::bad"], ids=["no-package", "scheme", "address"]
)
def test_a_proxy_that_cannot_be_one_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils._http import default_client_factory

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    huggingface_hub.set_client_factory(default_client_factory)  # a new client, which reads the variable

    with pytest.raises(HubUnreachableError, match="the Hub cannot be asked: ") as caught:
        find_small_files(MODEL, None)

    assert "HTTPS_PROXY" in caught.value.resolution


def test_a_download_that_breaks_in_the_middle_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve = serving(write_model(tmp_path / "model"))

    def break_off(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            raise httpx2.UnsupportedProtocol("sent elsewhere", request=request)
        return serve(request)

    assert "the Hub cannot be asked: sent elsewhere" in refusal(break_off, tmp_path, monkeypatch).message


def test_a_lost_connection_does_not_pass_for_a_model_without_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = serving(write_model(tmp_path / "model"))

    def lose(request: httpx2.Request) -> httpx2.Response:
        is_template = request.url.path.endswith("chat_template.jinja")
        return breaking(httpx2.ProxyError)(request) if is_template else serve(request)

    assert "the Hub cannot be reached" in refusal(lose, tmp_path, monkeypatch).message


def test_offline_a_file_that_is_not_in_the_cache_is_taken_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    with hub_of(serving(write_model(tmp_path / "model")), tmp_path / "cache", monkeypatch):
        find_small_files(MODEL, None)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        files, trouble, _ = find_small_files(MODEL, None)

    assert sorted(files) == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert trouble == "HF_HUB_OFFLINE is set"


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")

    err = refusal(serving(write_model(tmp_path / "model")), tmp_path, monkeypatch)

    assert err.message.startswith(f"base model: {MODEL} cannot be fetched into {tmp_path}/cache: ")
    assert "HF_HOME" in err.resolution


def test_the_token_is_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def leak(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"header {request.headers['Authorization']}", request=request)

    err = refusal(leak, tmp_path, monkeypatch)

    assert "hf_secret" not in f"{err.message} {err.resolution} {err.details}"


def test_the_cache_is_taken_where_nobody_answers_and_asked_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[httpx2.Request] = []

    def refuse(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return refusing(503)(request)

    with hub_of(serving(write_model(tmp_path / "model")), tmp_path / "cache", monkeypatch):
        fetched = find_small_files(MODEL, None)
    with hub_of(refuse, tmp_path / "cache", monkeypatch):
        cached = find_small_files(MODEL, None)

    assert (fetched.trouble, cached.trouble) == (None, "the Hub is in trouble (it answers 503)")
    assert cached.files == fetched.files
    assert sorted(cached.files) == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert len(asked) == 1


def test_a_machine_with_time_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve, waited = serving(write_model(tmp_path / "model")), list[float]()
    monkeypatch.setattr(hub_files.time, "sleep", waited.append)

    def wake_up(request: httpx2.Request) -> httpx2.Response:
        return serve(request) if len(waited) == 2 else refusing(503)(request)

    with hub_of(wake_up, tmp_path / "cache", monkeypatch):
        files = fetch_tokenizer_files(MODEL, None)

    assert "config.json" in files
    assert waited == [1.0, 2.0]


def test_nobody_is_waited_for_who_is_not_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with hub_of(refusing(503), tmp_path / "cache", monkeypatch):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE is set"):
            fetch_tokenizer_files(MODEL, None)


def test_a_wait_that_is_no_number_is_none() -> None:
    from huggingface_hub.errors import HfHubHTTPError

    request = httpx2.Request("GET", "https://huggingface.co/org/name")
    answer = httpx2.Response(429, headers=[(b"Retry-After", "²".encode("latin-1"))], request=request)

    found = hub_files._as_refusal(HfHubHTTPError("too many", response=answer), MODEL, None)

    assert isinstance(found, HubUnreachableError)
    assert found.retry_after_s == 0.0
