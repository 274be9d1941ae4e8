"""From the store: a folder, S3 over TLS in three manners, two remotes of rclone's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.s3.account import BUCKET
from tests.unit.trainer.checkpoints.small_checkpoints import FINGERPRINTS, files, make_checkpoint
from trainer.checkpoints import places as store_places
from trainer.checkpoints.complete import REQUIRED_FILES, complete, newest_complete, verify
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import StoreError


def test_the_newest_whole_checkpoint_comes_down_and_verifies(any_url: str, tmp_path: Path) -> None:
    for step in (9, 10):
        make_checkpoint(tmp_path / "c", step)
    push(tmp_path / "c", any_url)

    done = pull(any_url, tmp_path / "back")

    assert (done.checkpoint, done.remarks) == (10, [])
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["checkpoint-10"]
    assert verify(tmp_path / "back" / "checkpoint-10").fingerprints == FINGERPRINTS


def damage(client: Any, key: str, how: str) -> None:
    if how == "removed":
        client.delete_object(Bucket=BUCKET, Key=key)
        return
    size = client.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
    client.put_object(Bucket=BUCKET, Key=key, Body=b"x" * (size - (how == "cut short")))


@pytest.mark.parametrize(
    ("name", "how", "why"),
    [
        ("optimizer.pt", "removed", "has optimizer.pt missing or cut short"),
        ("optimizer.pt", "cut short", "has optimizer.pt missing or cut short"),
        ("optimizer.pt", "damaged", "has a damaged optimizer.pt"),
        ("manifest.json", "removed", "has no manifest: its upload was cut off"),
        ("manifest.json", "damaged", "has an unreadable manifest"),
    ],
)
def test_a_broken_newest_checkpoint_falls_back_to_the_one_before(
    bucket: Any, tmp_path: Path, name: str, how: str, why: str
) -> None:
    for step in (4, 8):
        make_checkpoint(tmp_path / "c", step)
    push(tmp_path / "c", f"s3://{BUCKET}/p")
    damage(bucket, f"p/checkpoint-8/{name}", how)

    done = pull(f"s3://{BUCKET}/p", tmp_path / "back")

    assert done.checkpoint == 4
    assert [remark.startswith(f"checkpoint-8 {why}") for remark in done.remarks] == [True]
    found, _ = newest_complete(tmp_path / "back")
    assert found is not None
    assert found.step == 4
    assert not (tmp_path / "back" / "checkpoint-8").exists()


def test_when_no_checkpoint_is_whole_the_store_says_so(bucket: Any, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", 4)
    push(tmp_path / "c", f"s3://{BUCKET}/p")
    damage(bucket, "p/checkpoint-4/scheduler.pt", "damaged")

    with pytest.raises(StoreError, match=r"none of 1 checkpoints in the store is whole: checkpoint-4 has a damaged"):
        pull(f"s3://{BUCKET}/p", tmp_path / "back")


def test_a_download_that_was_cut_goes_on_where_it_was(any_url: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", 4)
    push(tmp_path / "c", any_url)
    part = tmp_path / "back" / ".checkpoint-4.part"
    part.mkdir(parents=True)
    (part / "optimizer.pt").write_text("optimizer.pt of step 4")
    (part / "scheduler.pt").write_text("sche")

    done = pull(any_url, tmp_path / "back")

    assert (done.unchanged, done.files) == (1, len(REQUIRED_FILES))
    assert verify(tmp_path / "back" / "checkpoint-4").step == 4


def test_a_damaged_local_checkpoint_is_replaced(url: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", 4)
    push(tmp_path / "c", url)
    pull(url, tmp_path / "back")
    (tmp_path / "back" / "checkpoint-4" / "optimizer.pt").write_text("x")

    pull(url, tmp_path / "back")

    assert verify(tmp_path / "back" / "checkpoint-4").step == 4


@pytest.mark.parametrize("manner", ["amazon", "strict"])
def test_a_plain_file_that_came_down_damaged_is_reported(
    manner: str, open_bucket: Callable[[str], Any], tmp_path: Path
) -> None:
    open_bucket(manner).put_object(Bucket=BUCKET, Key="p/a", Body=b"abc", Metadata={"sha256": "0" * 64})

    with pytest.raises(StoreError, match="a came down damaged"):
        pull(f"s3://{BUCKET}/p", tmp_path / "back")
    assert files(tmp_path / "back") == {}


@pytest.mark.parametrize("manner", ["amazon", "strict"])
def test_a_file_that_others_put_there_is_moved_only_once(
    manner: str, open_bucket: Callable[[str], Any], tmp_path: Path
) -> None:
    """Where ETags are no MD5 nothing says that it is the same: it comes again, and is taken."""
    open_bucket(manner).put_object(Bucket=BUCKET, Key="p/a", Body=b"abc")

    moved = [pull(f"s3://{BUCKET}/p", tmp_path / "back").files for _ in range(2)]

    assert moved == [1, 0]


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc/passwd"])
def test_a_name_that_leads_out_of_the_folder_is_refused(bucket: Any, tmp_path: Path, key: str) -> None:
    bucket.put_object(Bucket=BUCKET, Key=f"p/{key}", Body=b"abc")

    with pytest.raises(StoreError, match="holds a file named"):
        pull(f"s3://{BUCKET}/p", tmp_path / "back")


def test_a_manifest_that_leads_out_of_the_checkpoint_is_refused(bucket: Any, tmp_path: Path) -> None:
    entry = {"name": "../../x", "size_bytes": 1, "sha256": "0"}
    bucket.put_object(Bucket=BUCKET, Key="p/checkpoint-1/manifest.json", Body=json.dumps({"files": [entry]}).encode())

    with pytest.raises(StoreError, match="files outside of the checkpoint"):
        pull(f"s3://{BUCKET}/p", tmp_path / "back")


def test_a_checkpoint_that_could_not_be_resumed_from_gives_way_to_the_one_before(url: str, tmp_path: Path) -> None:
    for step in (4, 8, 9):
        make_checkpoint(tmp_path / "c", step)
    push(tmp_path / "c", url)
    place = store_places.open_place(url, None)
    manifest = json.loads(place.read("checkpoint-9/manifest.json"))
    place.write(json.dumps(manifest | {"format": 2}).encode(), "checkpoint-9/manifest.json")
    manifest["files"] = [entry for entry in manifest["files"] if entry["name"] != "optimizer.pt"]
    place.write(json.dumps(manifest).encode(), "checkpoint-8/manifest.json")

    done = pull(url, tmp_path / "back")

    assert done.checkpoint == 4
    assert done.remarks == ["checkpoint-9 has format 2, this version reads 1", "checkpoint-8 lists no optimizer.pt"]


def test_a_checkpoint_that_is_removed_meanwhile_gives_way_to_the_one_before(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (4, 8):
        make_checkpoint(tmp_path / "c", step)
    push(tmp_path / "c", url)
    there = store_places.open_place(url, None).sizes()
    store_places.open_place(url, None).remove("checkpoint-8/manifest.json")
    for kind in (store_places.Bucket, store_places.Folder, store_places.Remote):
        monkeypatch.setattr(kind, "sizes", lambda place: there)

    done = pull(url, tmp_path / "back")

    assert (done.checkpoint, done.remarks) == (4, ["checkpoint-8 was removed from the store meanwhile"])


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_best_checkpoint_comes_down_with_the_newest(url: str, tmp_path: Path, is_lost: bool) -> None:
    """A run takes its adapter from there at its end; without it, another one would come home."""
    for step in (4, 8, 12):
        make_checkpoint(tmp_path / "c", step, best=4)
    push(tmp_path / "c", url)
    if is_lost:
        store_places.open_place(url, None).remove("checkpoint-4/manifest.json")

    done = pull(url, tmp_path / "back")

    came = sorted(path.name for path in (tmp_path / "back").iterdir())
    assert came == (["checkpoint-12"] if is_lost else ["checkpoint-12", "checkpoint-4"])
    lost = ["checkpoint-4, the best by eval loss so far, has no manifest: its upload was cut off"]
    assert (done.checkpoint, done.remarks) == (12, lost if is_lost else [])


@pytest.mark.parametrize("best", ["../../etc", "checkpoint-12", "checkpoint-7", 5])
def test_a_best_checkpoint_that_is_none_is_not_looked_for_elsewhere(url: str, tmp_path: Path, best: Any) -> None:
    path = make_checkpoint(tmp_path / "c", 12, is_complete=False)
    (path / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": best}))
    complete(path, 12, FINGERPRINTS)
    push(tmp_path / "c", url)

    done = pull(url, tmp_path / "back")

    assert [path.name for path in (tmp_path / "back").iterdir()] == ["checkpoint-12"]
    assert done.remarks == (
        ["checkpoint-7, the best by eval loss so far, is not in the store"] if best == "checkpoint-7" else []
    )


def test_an_empty_store_is_reported(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is nothing in"):
        pull(url, tmp_path / "back")


@pytest.mark.parametrize("name", ["n" * 300, "half \ud800", "a/../b", "/a", "a//b", "a\0"])
def test_a_manifest_with_a_name_that_no_folder_takes_is_not_whole(url: str, tmp_path: Path, name: str) -> None:
    path = make_checkpoint(tmp_path / "run", 4)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][0]["name"] = name
    (path / "manifest.json").write_text(json.dumps(manifest))

    done = push(tmp_path / "run", url)

    assert done.checkpoint is None
    assert done.remarks == [
        "checkpoint-4 has a manifest that lists files outside of the checkpoint, or names that no disk takes"
    ]


@pytest.mark.parametrize("size", ["Infinity", "-1", "1e400", "null"])
def test_a_manifest_with_an_absurd_size_is_not_whole(url: str, tmp_path: Path, size: str) -> None:
    path = make_checkpoint(tmp_path / "run", 4)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][0]["size_bytes"] = "SIZE"
    (path / "manifest.json").write_text(json.dumps(manifest).replace('"SIZE"', size))

    done = push(tmp_path / "run", url)

    assert done.checkpoint is None
    assert done.remarks[0].startswith("checkpoint-4 has ")
