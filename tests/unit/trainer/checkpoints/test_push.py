"""To the store: a folder, S3 over TLS in three manners, two remotes of rclone's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.manners import MANNERS
from runner.emulation.s3.server import S3Server
from tests.unit.trainer.checkpoints.small_checkpoints import FINGERPRINTS, files, keys, make_checkpoint
from trainer.__main__ import main
from trainer.checkpoints import bucket as s3
from trainer.checkpoints import places as store_places
from trainer.checkpoints.complete import MANIFEST_NAME, REQUIRED_FILES, complete
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import StoreError


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
    monkeypatch.setattr(s3, "FILES_AT_ONCE", 1)
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
    for kind in (store_places.Bucket, store_places.Folder, store_places.Remote):
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
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "c")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "d")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    given = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-west-1"}

    def used(keys: dict[str, str] | None) -> list[tuple[str, str, str]]:
        """Return what boto3 signs with, and what small objects are signed with."""
        place: Any = store_places.open_place(f"s3://{BUCKET}/p", "https://store.example", keys)
        found = [place._client._request_signer._credentials, place._direct._credentials]
        return [(one.access_key, one.secret_key, place._client.meta.region_name) for one in found]

    assert used(given) == [("a", "b", "eu-west-1")] * 2
    assert used(None) == [("c", "d", "us-west-2")] * 2


def test_an_upload_that_is_cut_leaves_no_checkpoint_and_goes_on_where_it_was(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(tmp_path / "c", 4)
    monkeypatch.setattr(s3, "FILES_AT_ONCE", 1)
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


def other_bytes(folder: Path, step: int) -> Path:
    """Make a checkpoint of the same files, of the same sizes, with other content."""
    path = make_checkpoint(folder, step, is_complete=False)
    for name in REQUIRED_FILES:
        (path / name).write_text((path / name).read_text().upper())
    complete(path, step, FINGERPRINTS)
    return path


def test_one_of_the_same_step_with_other_bytes_takes_the_manifest_of_the_other_away_first(
    any_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the middle, its files would not be those of the manifest beside them."""
    make_checkpoint(tmp_path / "a", 4)
    other_bytes(tmp_path / "b", 4)
    push(tmp_path / "a", any_url)
    kind, seen = type(store_places.open_place(any_url, None)), list[bool]()
    put = kind.put

    def look_and_put(place: Any, path: Path, name: str, sha256: str) -> None:
        seen.append(f"checkpoint-4/{MANIFEST_NAME}" in place.sizes())
        put(place, path, name, sha256)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "put", look_and_put)
        push(tmp_path / "b", any_url)
    pull(any_url, tmp_path / "back")

    assert len(seen) >= len(REQUIRED_FILES)
    assert not any(seen)
    assert files(tmp_path / "back") == files(tmp_path / "b")


def test_one_that_is_damaged_here_leaves_the_other_of_its_step_in_the_store(any_url: str, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "a", 4)
    (other_bytes(tmp_path / "b", 4) / "optimizer.pt").write_text("torn")
    push(tmp_path / "a", any_url)

    done = push(tmp_path / "b", any_url)
    pull(any_url, tmp_path / "back")

    assert done.remarks == ["checkpoint-4 has a damaged optimizer.pt"]
    assert files(tmp_path / "back") == files(tmp_path / "a")


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

    parts = [asked for asked in requests if asked[:2] == ("PUT", f"/{BUCKET}/p/big")]
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


def test_a_file_that_never_rests_goes_up_as_it_was_at_one_moment(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    log = tmp_path / "data" / "log"
    log.write_text("one\n")
    for kind in (store_places.Bucket, store_places.Folder, store_places.Remote):
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


@pytest.mark.parametrize(
    "bad",
    [
        "https://x/y",
        "s3://",
        "s3:///p",
        "file://host/p",
        "bucket/prefix",
        "",
        "rclone://",
        "rclone://-x/y",
        "rclone://a b/c",
    ],
)
def test_an_address_of_no_store_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(StoreError, match="is no address of a store"):
        push(tmp_path, bad)


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
