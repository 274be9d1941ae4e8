"""The store, against a folder and against S3 over TLS in three manners."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.s3_servers import BUCKET, MANNERS, S3Server
from trainer.__main__ import main
from trainer.checkpoints import bucket as s3
from trainer.checkpoints import places as store_places
from trainer.checkpoints import transfer as store
from trainer.checkpoints.complete import MANIFEST_NAME, REQUIRED_FILES, complete, newest_complete, verify
from trainer.checkpoints.transfer import pull, push
from trainer.errors import StoreError

FINGERPRINTS = {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"}


def make_checkpoint(folder: Path, step: int, *, is_complete: bool = True, best: int | None = None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}")
    if best is not None:
        (path / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": f"/srv/checkpoint-{best}"}))
    if is_complete:
        complete(path, step, FINGERPRINTS)
    return path


def keys(client: Any) -> list[str]:
    return sorted(entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_what_was_pushed_comes_back_as_it_was(any_url: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "more").mkdir(parents=True)
    (tmp_path / "data" / "train.jsonl").write_text("{}\n")
    (tmp_path / "data" / "more" / "ü b.jsonl").write_bytes(b"\x00\xff")
    (tmp_path / "data" / "empty").write_text("")

    sent = push(tmp_path / "data", any_url)
    got = pull(any_url, tmp_path / "back")

    assert files(tmp_path / "back") == files(tmp_path / "data")
    assert (sent.files, sent.size_bytes, got.files, got.size_bytes) == (3, 5, 3, 5)


def test_a_second_time_moves_nothing_either_way(any_url: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("{}\n")
    make_checkpoint(tmp_path / "data", 4)
    push(tmp_path / "data", any_url)
    pull(any_url, tmp_path / "back")

    sent = push(tmp_path / "data", any_url)
    got = pull(any_url, tmp_path / "back")

    assert [(done.files, done.size_bytes, done.unchanged, done.checkpoint) for done in (sent, got)] == [
        (0, 0, 8, 4)
    ] * 2


def test_a_changed_file_of_the_same_size_is_moved_again(any_url: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("one")
    push(tmp_path / "data", any_url)
    pull(any_url, tmp_path / "back")
    (tmp_path / "data" / "a").write_text("two")

    assert (push(tmp_path / "data", any_url).files, pull(any_url, tmp_path / "back").files) == (1, 1)
    assert (tmp_path / "back" / "a").read_text() == "two"


def test_the_manifest_goes_up_last(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_checkpoint(tmp_path / "c", 4)
    monkeypatch.setattr(store, "AT_ONCE", 1)
    before: list[list[str]] = []
    write = store_places.Bucket.write

    def look_first(place: store_places.Bucket, content: bytes, name: str) -> None:
        if name.endswith(MANIFEST_NAME):
            before.append(keys(bucket))
        write(place, content, name)

    monkeypatch.setattr(store_places.Bucket, "write", look_first)

    push(tmp_path / "c", f"s3://{BUCKET}/p")

    assert before == [sorted(f"p/checkpoint-4/{name}" for name in REQUIRED_FILES)]


def test_checksums_go_up_last(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "adapter").mkdir(parents=True)
    for name in ("a.json", "SHA256SUMS", "weights"):
        (tmp_path / "data" / "adapter" / name).write_text(name)
    put: list[str] = []
    for kind in (store_places.Bucket, store_places.Folder):
        monkeypatch.setattr(kind, "put", lambda place, path, name, sha256: put.append(name))

    push(tmp_path / "data", url)

    assert sorted(put) == ["adapter/SHA256SUMS", "adapter/a.json", "adapter/weights"]
    assert put[-1] == "adapter/SHA256SUMS"


def test_what_is_removed_is_gone_and_a_second_time_is_fine(any_url: str, tmp_path: Path) -> None:
    place = store_places.open_place(any_url, None)
    place.write(b"x", "folder/name")

    place.remove("folder/name")
    place.remove("folder/name")

    assert place.sizes() == {}


def test_keys_that_are_given_are_the_ones_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def client(*words: Any, **options: Any) -> Any:
        given.append(options)
        return SimpleNamespace(meta=SimpleNamespace(endpoint_url="https://s3.amazonaws.com"))

    monkeypatch.setattr("boto3.Session.client", client)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-west-1"}

    store_places.open_place(f"s3://{BUCKET}/p", None, keys)
    store_places.open_place(f"s3://{BUCKET}/p", None)

    found = [{name: value for name, value in options.items() if name != "config"} for options in given]
    assert found == [
        {"endpoint_url": None, "aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-west-1"},
        {"endpoint_url": None},
    ]


def test_an_upload_that_is_cut_leaves_no_checkpoint_and_goes_on_where_it_was(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(tmp_path / "c", 4)
    monkeypatch.setattr(store, "AT_ONCE", 1)
    put, left = store_places.Bucket.put, [3]

    def cut(place: store_places.Bucket, path: Path, name: str, sha256: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoreError("cut", resolution="again")
        put(place, path, name, sha256)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_places.Bucket, "put", cut)
        with pytest.raises(StoreError, match="cut"):
            push(tmp_path / "c", f"s3://{BUCKET}/p")
    with pytest.raises(StoreError, match=r"none of 1 checkpoints .* has no manifest: its upload was cut off"):
        pull(f"s3://{BUCKET}/p", tmp_path / "back")

    again = push(tmp_path / "c", f"s3://{BUCKET}/p")

    assert (again.unchanged, again.files, again.checkpoint) == (3, len(REQUIRED_FILES) - 3 + 1, 4)


def test_a_checkpoint_that_is_not_whole_here_stays_here(url: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", 4)
    make_checkpoint(tmp_path / "c", 8, is_complete=False)
    (make_checkpoint(tmp_path / "c", 9) / "optimizer.pt").write_text("changed afterwards")

    done = push(tmp_path / "c", url)

    assert (done.checkpoint, done.files) == (4, len(REQUIRED_FILES) + 1)
    assert sorted(done.remarks) == [
        "checkpoint-8 has no manifest, or was removed meanwhile",
        "checkpoint-9 has a damaged optimizer.pt",
    ]
    pull(url, tmp_path / "back")
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["checkpoint-4"]


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


@pytest.mark.parametrize("manner", MANNERS)
def test_big_files_go_in_parts_and_come_back_whole(
    manner: str,
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_bucket(manner)
    requests = s3_server(manner).requests
    requests.clear()
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    content = bytes(range(256)) * (11 << 12)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big").write_bytes(content)

    push(tmp_path / "data", f"s3://{BUCKET}/p")
    pull(f"s3://{BUCKET}/p", tmp_path / "back")

    parts = [path for method, path, _ in requests if (method, path) == ("PUT", f"/{BUCKET}/p/big")]
    assert len(parts) >= 3
    assert (tmp_path / "back" / "big").read_bytes() == content
    assert pull(f"s3://{BUCKET}/p", tmp_path / "back").files == 0


def test_a_folder_that_keeps_something_else_than_it_was_given_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(tmp_path / "c", 4)
    monkeypatch.setattr("shutil.copyfile", lambda source, target: Path(target).write_bytes(b"x" * 20))

    with pytest.raises(StoreError, match="was written, and the disk has something else"):
        push(tmp_path / "c", f"file://{tmp_path}/store")
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_damaged_checkpoint_of_the_store_is_mended_by_the_next_push(any_url: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "c", 4)
    push(tmp_path / "c", any_url)
    place = store_places.open_place(any_url, None)
    place.remove("checkpoint-4/scheduler.pt")
    place.write(b"cut sh", "checkpoint-4/optimizer.pt")
    with pytest.raises(StoreError, match="none of 1 checkpoints in the store is whole"):
        pull(any_url, tmp_path / "back")

    done = push(tmp_path / "c", any_url)

    assert (done.files, done.unchanged) == (2, len(REQUIRED_FILES) - 1)
    assert pull(any_url, tmp_path / "back").checkpoint == 4


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
    for kind in (store_places.Bucket, store_places.Folder):
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


def test_a_file_that_never_rests_goes_up_as_it_was_at_one_moment(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    log = tmp_path / "data" / "log"
    log.write_text("one\n")
    for kind in (store_places.Bucket, store_places.Folder):
        monkeypatch.setattr(kind, "put", growing(kind.put, log))

    done = push(tmp_path / "data", url)

    assert done.remarks == ["log changes while it is read; push once more when it rests"]
    pull(url, tmp_path / "back")
    assert log.read_text().startswith((tmp_path / "back" / "log").read_text())
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["log"]


def growing(put: Callable[..., None], log: Path) -> Callable[..., None]:
    """Let a file grow between the moment in which it is judged and that in which it is sent."""

    def grow(place: Any, path: Path, name: str, sha256: str) -> None:
        with log.open("a") as file:
            file.write("more\n")
        put(place, path, name, sha256)

    return grow


def test_files_that_are_being_written_stay_here(url: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".a.123.part").write_text("half")
    (tmp_path / "data" / "checkpoint-4.part").mkdir()
    (tmp_path / "data" / "checkpoint-4.part" / "optimizer.pt").write_text("half")
    (tmp_path / "data" / "a").write_text("whole")

    assert push(tmp_path / "data", url).files == 1


@pytest.mark.parametrize("bad", ["https://x/y", "s3://", "s3:///p", "file://host/p", "bucket/prefix", ""])
def test_an_address_of_no_store_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(StoreError, match="is no address of a store"):
        push(tmp_path, bad)


def test_an_empty_store_is_reported(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is nothing in"):
        pull(url, tmp_path / "back")


def test_a_folder_that_is_not_there_is_reported(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        push(tmp_path / "nowhere", url)


def test_a_bucket_that_is_not_there_is_reported(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="s3://no-such/p refuses: NoSuchBucket") as caught:
        pull("s3://no-such/p", tmp_path)

    assert caught.value.resolution == "create the bucket first (infra/store), or correct store.url"


@pytest.mark.parametrize("operation", ["ListObjectsV2", "PutObject"])
@pytest.mark.parametrize(("code", "hint"), [("AccessDenied", "give these"), ("ExpiredToken", "renew the credentials")])
def test_a_refusal_is_reported_with_what_to_do(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, hint: str, operation: str
) -> None:
    (tmp_path / "a").write_text("a")
    call = BaseClient._make_api_call

    def refuse(client: Any, name: str, values: Any) -> Any:
        if name == operation:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, name)
        return call(client, name, values)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)

    with pytest.raises(StoreError, match=f"refuses: {code}") as caught:
        push(tmp_path, f"s3://{BUCKET}/p")
    assert hint in caught.value.resolution


def test_keys_that_are_gone_are_not_used_any_more(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's default session would go on with those that it has found first."""
    store_places.open_place(f"s3://{BUCKET}/p", None).sizes()
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StoreError, match="NoCredentialsError"):
        store_places.open_place(f"s3://{BUCKET}/p", None).sizes()


def test_missing_credentials_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(StoreError, match="cannot reach s3://b/p: NoCredentialsError"):
        pull("s3://b/p", tmp_path)


def test_the_command_line_takes_credentials_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOUSE_TEST", "before")
    (tmp_path / "env.json").write_text('{"DOUSE_TEST": "secret"}')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("abc")
    words = ["--folder", str(tmp_path / "data"), "--url", f"file://{tmp_path}/s"]

    assert main(["sync", "push", *words, "--environment-file", str(tmp_path / "env.json")]) == 0

    assert os.environ["DOUSE_TEST"] == "secret"
    said = json.loads(capsys.readouterr().out)
    assert (said["direction"], said["files"], said["size_bytes"]) == ("push", 1, 3)


@pytest.mark.parametrize("content", ["", "[]", '{"A": 1}'])
def test_a_file_without_variables_is_refused(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env.json").write_text(content)
    words = ["--folder", str(tmp_path), "--url", f"file://{tmp_path}/s"]

    assert main(["sync", "push", *words, "--environment-file", str(tmp_path / "env.json")]) == 2
    assert "holds no variables" in capsys.readouterr().err


def test_a_folder_that_no_trainer_named_is_plain(url: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "run", 4)
    (tmp_path / "run" / "checkpoint-²").mkdir()
    (tmp_path / "run" / "checkpoint-²" / "notes").write_text("mine")

    push(tmp_path / "run", url)
    got = pull(url, tmp_path / "back")

    assert got.checkpoint == 4
    assert (tmp_path / "back" / "checkpoint-²" / "notes").read_text() == "mine"


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
