"""Data sets of an emulated Hub, fetched as its own client fetches them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.data_sets import hub as data_hub
from runner.adapters.data_sets.hub import Asking, fetch_split
from runner.world import RealWorld
from tests.emulated_hub import TOKEN, Account, HubFault, Library, ServedHub, lead_to, served_hub
from trainer.config.paths import WeightedPath
from trainer.errors import EXIT_USAGE, DataError

NAME = "org/name"
FILES = {"README.md": b"# A card", "data/train.jsonl": b'{"prompt": "a", "completion": "b"}\n'}
ASKING = Asking("data.train_path", "train", RealWorld(), lambda *_: None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedHub]:
    library = Library()
    library.add("datasets", NAME, FILES)
    library.add("datasets", "org/gated", FILES, is_gated=True)
    library.add("datasets", "org/private", FILES, is_private=True)
    library.add("datasets", "org/script", {"script.py": b"", "README.md": b""})
    library.add("datasets", "org/outside", FILES | {"../../evil.jsonl": b"{}"})
    library.rename("org/old", NAME)
    library.admit(TOKEN, Account("me", frozenset({"org/private", "org/gated"})))
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "douse"))
    with served_hub(library) as served:
        lead_to(served.endpoint, tmp_path / "cache", monkeypatch)
        yield served


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for `datasets`: what it answers may be changed."""
    answer: dict[str, Any] = {"config": "default", "files": ["data/train.jsonl"]}
    monkeypatch.setattr(data_hub, "run_program", lambda *_, **__: answer)
    return answer


def source(data_set: str = NAME, /, **keys: Any) -> WeightedPath:
    return WeightedPath(path=f"hf://datasets/{data_set}", **keys)


def commit_of(hub: ServedHub, name: str = NAME) -> str:
    found = hub.hub.library.find("datasets", name)
    assert found is not None
    return found.refs["main"]


def refusal(name: str = NAME, **keys: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        fetch_split(source(name, **keys), ASKING)
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.resolution
    assert TOKEN not in f"{caught.value.message} {caught.value.details}"
    return caught.value


def test_a_split_is_fetched_and_pinned_to_the_commit_that_was_seen(hub: ServedHub) -> None:
    found = fetch_split(source(weight=0.5), ASKING)

    assert found.source == source(weight=0.5, name="default", split="train", revision=commit_of(hub))
    assert [file.read_bytes() for file in found.files] == [FILES["data/train.jsonl"]]
    assert found.given_name is None


def test_a_pinned_split_is_taken_from_the_cache_and_nobody_is_asked(
    hub: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch_split(source(), ASKING)
    hub.hub.library.add("datasets", NAME, FILES | {"data/train.jsonl": b"{}\n"})
    asked = len(hub.asked())
    monkeypatch.setattr(data_hub, "run_program", None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert fetch_split(first.source, ASKING) == first
    assert fetch_split(source(revision=first.source.revision), ASKING) == first
    assert len(hub.asked()) == asked


def test_offline_without_a_commit_the_words_say_what_is_missing(
    hub: ServedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert refusal().message == "data: which commit main of org/name is cannot be asked: HF_HUB_OFFLINE is set"
    lost = refusal(revision="a" * 40)
    assert lost.message == "data: org/name is not in the cache, and HF_HUB_OFFLINE is set"


def test_a_hub_that_is_out_of_reach_is_not_waited_for(hub: ServedHub) -> None:
    with pytest.raises(DataError, match=r"cannot be asked: the Hub cannot be reached \(no connection to http"):
        fetch_split(source(), replace(ASKING, reach=lambda _: False))
    assert hub.asked() == []


def test_an_old_name_leads_to_the_new_one_and_is_said(hub: ServedHub) -> None:
    found = fetch_split(source("org/old"), ASKING)

    assert (found.source.path, found.given_name) == ("hf://datasets/org/name", "org/old")


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        ("org/nmae", {}, "org/nmae is neither a file here nor a data set on the Hub, or is private (401)"),
        ("org/private", {}, "org/private is neither a file here nor a data set on the Hub, or is private (401)"),
        ("org/gated", {}, "org/gated is gated, and there is no token (401)"),
        (NAME, {"revision": "v7"}, "org/name has no revision v7 (404)"),
        ("org/script", {}, "org/script is made by a program (script.py), which Douse does not run"),
    ],
)
def test_what_keeps_a_data_set_from_being_had_is_named(
    hub: ServedHub, name: str, keys: dict[str, str], words: str
) -> None:
    assert refusal(name, **keys).message == f"data: {words}"


@pytest.mark.parametrize("name", ["org/private", "org/gated"])
def test_a_token_that_may_read_it_does(
    hub: ServedHub, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead_to(hub.endpoint, tmp_path / "cache", monkeypatch, token=TOKEN)

    assert fetch_split(source(name), ASKING).source.revision == commit_of(hub, name)


def test_too_many_requests_are_named(hub: ServedHub) -> None:
    hub.hub.faults.add(HubFault("too_many", times=9))

    found = refusal()
    assert "the Hub refuses too many requests (429)" in found.message


@pytest.mark.parametrize(
    ("answer", "words", "remedy"),
    [
        ({"problem": "no config", "known": ["main", "b"]}, "has several configs (main, b)", "name: main"),
        ({"problem": "config", "known": ["main"]}, "has no config None", "one of: main"),
        ({"problem": "split", "known": ["test"]}, "has no split train", "split: test"),
        ({"problem": "split", "known": []}, "has no split train", "another data set"),
        ({"problem": "kind", "known": ["imagefolder"]}, "is of the kind imagefolder", "Parquet, Arrow, JSON or CSV"),
        ({"problem": "settings", "known": ["field"]}, "way of reading that Douse lacks (field)", "JSON Lines"),
        ({"problem": "card", "known": ["no files"]}, "has no files that can be found: no files", "download"),
    ],
)
def test_what_a_data_set_lacks_is_named_with_what_it_has(
    hub: ServedHub, names: dict[str, Any], answer: dict[str, Any], words: str, remedy: str
) -> None:
    names.clear()
    names.update(answer)

    found = refusal()
    assert words in found.message
    assert remedy in found.resolution


def test_a_name_that_leads_out_of_the_folder_is_left_out(
    hub: ServedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[list[str]]()

    def look(_: str, folder: str, *__: str, **___: Any) -> dict[str, Any]:
        made.append(sorted(path.name for path in Path(folder).rglob("*") if path.is_file()))
        return {"config": "default", "files": ["data/train.jsonl"]}

    monkeypatch.setattr(data_hub, "run_program", look)
    fetch_split(source("org/outside"), ASKING)

    assert made == [["README.md", "train.jsonl"]]
