"""What a base model is called and which bytes it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.base_model.small_gguf import write_small_gguf
from trainer.base_model import origin
from trainer.base_model.origin import Origin, find_origin, weight_files, without_paths
from trainer.config.sections import ModelSection
from trainer.errors import BaseModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def folder_of(path: Path, **files: bytes) -> Path:
    """Make a folder with files, in whose names a dot is written as two underscores."""
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_model_of_the_hub_has_its_name_its_commit_and_the_sums_of_its_weights(tmp_path: Path) -> None:
    snapshot = folder_of(tmp_path / COMMIT, model__safetensors=b"weights", config__json=b"{}")

    found = find_origin(ModelSection(base_model="org/name"), str(snapshot))

    assert found == Origin("hub", "org/name", COMMIT, {"model.safetensors": sha256(b"weights")})
    assert found.loads_by_name


def test_a_local_folder_has_its_own_name_and_no_path(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", model__safetensors=b"weights")

    found = find_origin(ModelSection(base_model=str(folder)), str(folder))

    assert (found.kind, found.name, found.revision, found.loads_by_name) == ("folder", "mine", None, False)


def test_a_folder_that_is_said_to_be_a_copy_has_the_name_of_the_original(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", model__safetensors=b"weights")

    found = find_origin(ModelSection(base_model=str(folder), hub_id="org/name"), str(folder))

    assert (found.kind, found.name, found.revision) == ("folder", "org/name", None)


def test_the_same_bytes_are_the_same_model_whatever_they_are_called(tmp_path: Path) -> None:
    here = folder_of(tmp_path / "here", model__safetensors=b"weights")
    there = folder_of(tmp_path / COMMIT, model__safetensors=b"weights")
    other = folder_of(tmp_path / "other", model__safetensors=b"others")

    sums = [find_origin(ModelSection(base_model=str(path)), str(path)).sha256 for path in (here, there, other)]

    assert sums[0] == sums[1] != sums[2]


def test_weights_that_changed_since_they_were_read_are_read_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", model__safetensors=b"weights")
    model = ModelSection(base_model=str(folder))
    before = find_origin(model, str(folder)).sha256
    (folder / "model.safetensors").write_bytes(b"other weights")

    assert find_origin(model, str(folder)).sha256 != before


@pytest.mark.parametrize(
    ("metadata", "hub_id", "name"),
    [
        ({}, None, "base.gguf"),
        ({"general.source.huggingface.repository": "org/source"}, None, "org/source"),
        ({"general.source.repo_url": "https://huggingface.co/org/source"}, None, "org/source"),
        ({"general.source.url": "https://example.com/org/source"}, None, "base.gguf"),
        ({"general.base_model.0.repo_url": "https://huggingface.co/org/tuned-from"}, None, "base.gguf"),
        ({"general.source.repo_url": "https://huggingface.co/org/source"}, "org/said", "org/said"),
    ],
    ids=["nothing", "repository", "address", "elsewhere", "what-it-was-tuned-from", "said-by-the-user"],
)
def test_a_gguf_file_is_called_by_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any], hub_id: str | None, name: str
) -> None:
    path = write_small_gguf(tmp_path / "base.gguf")
    monkeypatch.setattr(origin, "read_header", lambda _: metadata)

    found = find_origin(ModelSection(base_model=str(path), hub_id=hub_id), "/nowhere")

    assert (found.kind, found.name, found.revision) == ("gguf", name, None)
    assert found.files == {"base.gguf": sha256(path.read_bytes())}


def test_only_the_weights_that_are_loaded_count(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}})
    shards = {"one__safetensors": b"1", "two__safetensors": b"2", "consolidated__safetensors": b"3"}
    folder = folder_of(tmp_path / "mine", pytorch_model__bin=b"4", **shards)
    (folder / "model.safetensors.index.json").write_text(index)

    assert [path.name for path in weight_files(folder)] == ["one.safetensors", "two.safetensors"]


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="mine holds no weights"):
        weight_files(folder_of(tmp_path / "mine", config__json=b"{}"))


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 1}', "{}"])
def test_a_broken_list_of_weights_is_named(tmp_path: Path, text: str) -> None:
    folder = folder_of(tmp_path / "mine")
    (folder / "model.safetensors.index.json").write_text(text)

    with pytest.raises(BaseModelError, match=r"cannot read model\.safetensors\.index\.json"):
        weight_files(folder)


def test_weights_that_are_listed_and_not_there_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')

    with pytest.raises(BaseModelError, match=r"cannot read gone\.safetensors"):
        find_origin(ModelSection(base_model=str(folder)), str(folder))


def test_what_a_manifest_says_reads_back() -> None:
    found = Origin("gguf", "org/name", None, {"base.gguf": "a" * 64})

    assert Origin.from_mapping(found.to_mapping()) == found


def test_no_path_of_this_machine_stays_in_plain_data() -> None:
    values = {
        "train_path": "/home/me/train.jsonl",
        "sources": [{"path": "/data/a b.csv", "weight": 2}],
        "name": "org/x",
    }

    assert without_paths(values) == {
        "train_path": "train.jsonl",
        "sources": [{"path": "a b.csv", "weight": 2}],
        "name": "org/x",
    }
