"""The emulated Hub, judged by the Hub's own client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from runner.emulation.hub import Account, HubFault, Library, read_library
from runner.errors import UsageError
from tests.emulated_hub import TOKEN, ServedHub, lead_to, served_hub

MIB = 1 << 20
FILES = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": b"123", "sub/notes.txt": b"notes"}


@pytest.fixture
def hub() -> Iterator[ServedHub]:
    library = Library()
    library.add("models", "org/open", {"config.json": b"{}"})
    library.add("models", "org/open", FILES)
    library.add("models", "org/private", FILES, is_private=True)
    library.add("models", "org/gated", FILES, is_gated=True)
    library.add("datasets", "org/data", {"train.parquet": b"PAR1"})
    library.rename("org/old", "org/open")
    library.admit(TOKEN, Account("me", frozenset({"org/private", "org/gated"})))
    library.admit("hf_other", Account("other"))
    with served_hub(library) as served:
        yield served


@pytest.fixture
def cache(hub: ServedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lead_to(hub.endpoint, tmp_path / "cache", monkeypatch)
    return tmp_path / "cache"


def test_a_snapshot_has_the_files_of_the_newest_commit(hub: ServedHub, cache: Path) -> None:
    folder = Path(snapshot_download("org/open"))

    assert folder.name == HfApi().model_info("org/open").sha
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def test_an_earlier_commit_stays_what_it_was(hub: ServedHub, cache: Path) -> None:
    found = hub.hub.library.find("models", "org/open")
    assert found is not None
    first, second = found.commits

    assert found.refs["main"] == second
    assert [file.name for file in Path(snapshot_download("org/open", revision=first)).iterdir()] == ["config.json"]


def test_a_data_set_is_one_and_no_model(hub: ServedHub, cache: Path) -> None:
    assert Path(hf_hub_download("org/data", "train.parquet", repo_type="dataset")).read_bytes() == b"PAR1"
    with pytest.raises(RepositoryNotFoundError):
        HfApi().model_info("org/data")


@pytest.mark.parametrize(
    ("name", "token", "error", "status"),
    [
        ("org/none", None, RepositoryNotFoundError, 401),
        ("org/none", TOKEN, RepositoryNotFoundError, 404),
        ("org/private", None, RepositoryNotFoundError, 401),
        ("org/private", "hf_other", RepositoryNotFoundError, 404),
        ("org/gated", None, GatedRepoError, 401),
        ("org/gated", "hf_other", GatedRepoError, 403),
        ("org/open", "hf_unknown", HfHubHTTPError, 401),
    ],
)
def test_who_may_not_read_is_refused_as_the_hub_does(
    hub: ServedHub,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    token: str | None,
    error: type[HfHubHTTPError],
    status: int,
) -> None:
    with pytest.raises(error) as caught:
        HfApi(token=token or False).hf_hub_download(name, "config.json")
    refused = caught.value if isinstance(caught.value, HfHubHTTPError) else caught.value.__cause__
    assert isinstance(refused, HfHubHTTPError)
    assert refused.response.status_code == status
    assert isinstance(refused, RepositoryNotFoundError) == (error is not HfHubHTTPError)


@pytest.mark.parametrize("name", ["org/private", "org/gated"])
def test_who_may_read_gets_the_files(hub: ServedHub, cache: Path, name: str) -> None:
    assert Path(hf_hub_download(name, "config.json", token=TOKEN)).read_bytes() == b"{}"
    assert HfApi().whoami(token=TOKEN)["name"] == "me"
    assert {one.who for one in hub.hub.log()} == {"me"}


def test_an_old_name_leads_to_the_new_one(hub: ServedHub, cache: Path) -> None:
    assert Path(hf_hub_download("org/old", "config.json")).read_bytes() == b"{}"
    assert HfApi().model_info("org/old").id == "org/open"


def test_what_is_not_there_is_named(hub: ServedHub, cache: Path) -> None:
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("org/open", "nothing.json")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("org/open", "config.json", revision="nowhere")


def test_a_download_that_is_cut_off_goes_on_with_a_range(hub: ServedHub, cache: Path) -> None:
    weights = os.urandom(MIB) * 31
    hub.hub.library.add("models", "org/large", {"model.safetensors": weights})
    hub.hub.faults.add(HubFault("cut", after_bytes=20 * MIB))

    path = Path(hf_hub_download("org/large", "model.safetensors"))

    assert path.read_bytes() == weights
    gets = [one for one in hub.hub.log() if one.method == "GET"]
    assert [(one.status, one.fault) for one in gets] == [(200, "cut"), (206, None)]
    assert gets[0].range == ""
    first = int(gets[1].range.removeprefix("bytes=").rstrip("-"))
    assert 0 < first <= 20 * MIB
    assert gets[1].sent_bytes == len(weights) - first


def test_too_many_requests_are_refused_with_a_time_to_wait(hub: ServedHub, cache: Path) -> None:
    hub.hub.faults.add(HubFault("too_many", retry_after_s=7))

    with pytest.raises(HfHubHTTPError) as caught:
        HfApi().model_info("org/open")

    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "7"
    assert HfApi().model_info("org/open").id == "org/open"


def test_a_hub_that_is_down_says_so_as_often_as_it_was_to(hub: ServedHub, cache: Path) -> None:
    hub.hub.faults.add(HubFault("down", path="/api/models/"))

    with pytest.raises(HfHubHTTPError):
        HfApi().model_info("org/open")
    assert HfApi().model_info("org/open").id == "org/open"
    assert [one.status for one in hub.hub.log()] == [503, 200]


def test_a_library_is_read_from_a_folder(tmp_path: Path) -> None:
    model = tmp_path / "models" / "org" / "name"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    settings = {
        "private": ["org/name"],
        "accounts": {TOKEN: {"name": "me", "reads": ["org/name"]}},
        "renamed": {"org/old": "org/name"},
        "faults": [{"kind": "cut", "after_bytes": 3}],
    }
    (tmp_path / "hub.json").write_text(json.dumps(settings))

    library, faults = read_library(tmp_path)

    found = library.find("models", "org/name")
    assert found is not None
    assert (found.is_private, found.is_gated, library.new_name("org/old")) == (True, False, "org/name")
    assert library.accounts[TOKEN] == Account("me", frozenset({"org/name"}))
    assert faults == [HubFault("cut", after_bytes=3)]


@pytest.mark.parametrize("text", ["{", "[]", '{"faults": [{"kindd": 1}]}', '{"accounts": {"hf_x": {}}}'])
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hub.json").write_text(text)

    with pytest.raises(UsageError, match=r"cannot read .*hub\.json"):
        read_library(tmp_path)
