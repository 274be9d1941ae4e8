"""The store of a run, against a folder and against S3 as moto plays it in this process; machines are folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from runner.adapters.machine import LocalMachine
from runner.errors import TransferError
from runner.run.run_file import RunFile
from runner.store import arming
from runner.store import run_store as storing
from runner.world import RealWorld
from tests.unit.runner.conftest import BUCKET
from tests.unit.runner.store.parts import (
    HOST,
    RUN_ID,
    context,
    make_checkpoint,
    s3,
    said,
    way_to,
)
from trainer.checkpoints.complete import REQUIRED_FILES, newest_complete
from trainer.checkpoints.places import Place, open_place
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.checkpoints.recipes import length_of, recipe_values
from trainer.config.recipe import load_recipe, to_mapping
from trainer.export.checksums import write_checksums

# what can be known before anything is rented


def test_a_world_may_have_another_way_to_its_stores(tmp_path: Path) -> None:
    """As a simulated one has: all that is done with a store goes by it."""
    opened: list[str] = []

    def open_noted(url: str, *words: Any, **more: Any) -> Place:
        opened.append(url)
        return open_place(url, *words, **more)

    ctx, url = context(tmp_path, {"url": f"file://{tmp_path}/the store"}), f"file://{tmp_path}/the store"
    ctx.world.shared(open_place, lambda: open_noted)
    make_checkpoint(ctx.run.checkpoints, 2)

    storing.check_store(ctx.world, ctx.run_file)
    storing.copy_home(ctx, ["checkpoints/checkpoint-2"])
    storing.exchange(ctx, tmp_path / "there", "pull")

    assert opened == [f"{url}/douse-check", *[f"{url}/{RUN_ID}/checkpoints"] * 2]
    assert newest_complete(tmp_path / "there")[0] is not None


def test_a_store_that_works_is_left_as_it_was(store: dict[str, Any], tmp_path: Path) -> None:
    storing.check_store(RealWorld(), context(tmp_path, store).run_file)

    if store["url"].startswith("s3") and "ca_file" not in store:
        assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET)
    elif store["url"].startswith(("file", "rclone")):
        assert list((tmp_path / "the store").rglob("*")) == []


def test_a_private_store_that_works_is_left_as_it_was(
    private: dict[str, Any], s3_client: Callable[[str], Any], tmp_path: Path
) -> None:
    storing.check_store(RealWorld(), context(tmp_path, private).run_file)

    assert "Contents" not in s3_client("gateway").list_objects_v2(Bucket=BUCKET)


def test_without_its_certificates_a_private_store_is_refused_at_plan(private: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"plan: .* has a certificate that is not trusted") as caught:
        storing.check_store(RealWorld(), context(tmp_path, private | {"ca_file": None}).run_file)

    assert "store.ca_file" in caught.value.resolution


def test_a_run_without_a_store_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "place_of", lambda *words: pytest.fail("asked"))
    ctx = context(tmp_path, {})

    storing.check_store(RealWorld(), ctx.run_file)
    arming.arm(ctx, HOST, LocalMachine())
    storing.copy_home(ctx, ["adapter"])
    storing.fetch_past(ctx)

    assert not (tmp_path / "box").exists()


def test_a_bucket_that_is_not_there_is_reported_at_plan(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(TransferError) as caught:
        storing.check_store(RealWorld(), context(tmp_path, {"url": "s3://no-such-bucket/runs"}).run_file)

    assert caught.value.message == "plan: s3://no-such-bucket/runs/douse-check refuses: NoSuchBucket"
    assert "create the bucket first" in caught.value.resolution
    assert "SET=store.url=null" in caught.value.resolution


def test_a_folder_that_cannot_be_written_is_reported_at_plan(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(TransferError, match="plan: cannot write"):
        storing.check_store(RealWorld(), context(tmp_path, {"url": f"file://{tmp_path}/file"}).run_file)


def test_a_store_that_may_not_be_listed_is_reported_at_plan_and_left_clean(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.checkpoints.places.Bucket.sizes", lambda self: {})

    with pytest.raises(TransferError, match="takes a file and does not list it"):
        storing.check_store(RealWorld(), context(tmp_path, s3()).run_file)

    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)


# what comes home goes there


def test_what_came_home_is_in_the_store(store: dict[str, Any], tmp_path: Path) -> None:
    ctx = context(tmp_path, store)
    ctx.run.adapter.mkdir()
    for name in ("SHA256SUMS", "adapter_model.safetensors"):
        (ctx.run.adapter / name).write_text(name)
    make_checkpoint(ctx.run.checkpoints, 4)
    ctx.run.events.path.write_text("{}")

    storing.copy_home(ctx, ["metrics.json", "adapter", "checkpoints/checkpoint-4"])

    pull(f"{store['url']}/{RUN_ID}", tmp_path / "back", **way_to(store))
    names = {path.relative_to(tmp_path / "back").parts[0] for path in (tmp_path / "back").rglob("*")}
    assert names == {"adapter", "checkpoints"}
    assert (tmp_path / "back" / "adapter" / "SHA256SUMS").read_text() == "SHA256SUMS"
    assert newest_complete(tmp_path / "back" / "checkpoints")[0].step == 4  # type: ignore[union-attr]
    assert said(ctx)[-1].startswith(f"stored: {store['url']}/{RUN_ID}/checkpoints (7 files")


def test_a_second_time_moves_nothing(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3())
    make_checkpoint(ctx.run.checkpoints, 4)

    storing.copy_home(ctx, ["checkpoints/checkpoint-4"])
    storing.copy_home(ctx, ["checkpoints/checkpoint-4"])

    assert "(0 files" in said(ctx)[-1]


def test_a_store_that_is_gone_is_an_error_of_the_runner_that_says_where_it_all_is(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, {"url": "s3://no-such-bucket/runs"})
    make_checkpoint(ctx.run.checkpoints, 4)

    with pytest.raises(TransferError) as caught:
        storing.copy_home(ctx, ["checkpoints/checkpoint-4"])

    assert caught.value.message.startswith("store: s3://no-such-bucket/runs")
    assert str(ctx.run.path) in caught.value.resolution


# what a resume takes from there

STEP_4, STEP_5, STEP_8 = (f'{{"event": "step", "step": {step}}}\n' for step in (4, 5, 8))


def put_there(store: dict[str, Any], tmp_path: Path, *steps: int, mark: str = "", events: str = "") -> None:
    """Let a machine bring its output folder to the store before it ends."""
    output = tmp_path / f"machine-{steps}"
    output.mkdir()
    for step in steps:
        make_checkpoint(output / "checkpoints", step, mark)
    if events:
        (output / "events.jsonl").write_text(events)
    push(output, f"{store['url']}/{RUN_ID}", **way_to(store))


def test_a_resume_takes_the_newest_checkpoint_of_the_machine_that_ended_itself(
    store: dict[str, Any], tmp_path: Path
) -> None:
    ctx = context(tmp_path, store)
    make_checkpoint(ctx.run.checkpoints, 4)
    ctx.run.events.path.write_text(STEP_4)
    put_there(store, tmp_path, 8, 12, events=f"{STEP_4}[1]\n{STEP_8}half a l")

    storing.fetch_past(ctx)

    assert newest_complete(ctx.run.checkpoints)[0].step == 12  # type: ignore[union-attr]
    assert ctx.run.events.read_text() == f"{STEP_4}   \n{STEP_8}", "what is no event does not come home"


@pytest.mark.parametrize("step", [8, 12])
def test_a_resume_keeps_what_is_as_new_as_in_the_store(bucket: Any, tmp_path: Path, step: int) -> None:
    ctx = context(tmp_path, s3())
    make_checkpoint(ctx.run.checkpoints, step, mark=" made here")
    put_there(s3(), tmp_path, 8)

    storing.fetch_past(ctx)

    found = newest_complete(ctx.run.checkpoints)[0]
    assert found is not None
    assert "made here" in (ctx.run.checkpoints / f"checkpoint-{step}" / REQUIRED_FILES[0]).read_text()


def test_a_damaged_newest_gives_way_to_the_one_before(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3())
    put_there(s3(), tmp_path, 8, 12)
    bucket.put_object(
        Bucket=BUCKET, Key=f"runs/{RUN_ID}/checkpoints/checkpoint-12/{REQUIRED_FILES[0]}", Body=b"damaged"
    )

    storing.fetch_past(ctx)

    assert newest_complete(ctx.run.checkpoints)[0].step == 8  # type: ignore[union-attr]
    assert any("checkpoint-12" in line for line in said(ctx))


@pytest.mark.parametrize("is_here", [True, False])
def test_a_store_without_a_whole_checkpoint_is_an_error_unless_there_is_one_here(
    bucket: Any, tmp_path: Path, is_here: bool
) -> None:
    ctx = context(tmp_path, s3())
    put_there(s3(), tmp_path, 8)
    bucket.delete_object(Bucket=BUCKET, Key=f"runs/{RUN_ID}/checkpoints/checkpoint-8/{REQUIRED_FILES[0]}")
    if is_here:
        make_checkpoint(ctx.run.checkpoints, 4)
        storing.fetch_past(ctx)
        assert "going on from checkpoint-4" in said(ctx)[-1]
        return
    with pytest.raises(TransferError, match="none of 1 checkpoints in the store is whole"):
        storing.fetch_past(ctx)


def test_an_odd_name_in_the_store_is_no_checkpoint(tmp_path: Path) -> None:
    store = {"url": f"file://{tmp_path}/store"}
    put_there(store, tmp_path, 8)
    for name in ("checkpoint-\N{SUPERSCRIPT TWO}", "checkpoint-" + "9" * 200):
        folder = tmp_path / "store" / RUN_ID / "checkpoints" / name
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
    ctx = context(tmp_path, store)

    storing.fetch_past(ctx)

    assert newest_complete(ctx.run.checkpoints)[0].step == 8  # type: ignore[union-attr]


def test_an_empty_store_is_no_error(store: dict[str, Any], tmp_path: Path) -> None:
    ctx = context(tmp_path, store)

    storing.fetch_past(ctx)

    assert not ctx.run.checkpoints.exists()


def test_a_story_that_is_not_ours_is_not_taken(bucket: Any, tmp_path: Path) -> None:
    ctx = context(tmp_path, s3())
    ctx.run.events.path.write_text(STEP_5)
    put_there(s3(), tmp_path, 8, events=STEP_4 + STEP_8)

    storing.fetch_past(ctx)

    assert ctx.run.events.read_text() == STEP_5


def test_a_folder_that_no_trainer_named_is_no_checkpoint_of_the_store() -> None:
    names = [f"checkpoints/checkpoint-{step}/manifest.json" for step in ("3", "²", "x")]

    assert storing._newest_step(names) == 3


# what a machine had stored when it ended


def stored_adapter(folder: Path, ctx: Any, *, accepted: bool = True, length: dict[str, Any] | None = None) -> Path:
    """Lay an adapter where the run's machine brings it, and return its folder."""
    place = folder / "the store" / RUN_ID / "adapter"
    place.mkdir(parents=True)
    length = length_of(recipe_values(ctx.run_file.recipe())) if length is None else length
    (place / "acceptance.json").write_text(json.dumps({"accepted": accepted}))
    (place / "manifest.json").write_text(json.dumps({"length": length}))
    (place / "adapter_model.safetensors").write_bytes(b"weights")
    write_checksums(place)
    return place


def test_what_is_finished_in_the_store_comes_home_whole(tmp_path: Path) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    there = stored_adapter(tmp_path, ctx)

    names = storing.finished_work(ctx, most_bytes=1000)
    storing.fetch_work(ctx, names)

    assert names == ["adapter"]
    assert (ctx.run.path / "adapter" / "adapter_model.safetensors").read_bytes() == b"weights"
    assert {path.name for path in (ctx.run.path / "adapter").iterdir()} == {path.name for path in there.iterdir()}
    assert not (ctx.run.path / "adapter.part").exists()


@pytest.mark.parametrize("training", [{}, {"max_steps": 7}, {"num_train_epochs": 2.5}])
def test_the_trainer_reads_the_length_that_the_runner_asks_for(tmp_path: Path, training: dict[str, Any]) -> None:
    run_file = RunFile.model_validate({"training": training})
    (tmp_path / "recipe.json").write_text(json.dumps(to_mapping(run_file.recipe())))

    read = length_of(recipe_values(load_recipe(tmp_path / "recipe.json")))

    assert json.loads(json.dumps(read)) == length_of(recipe_values(run_file.recipe()))


@pytest.mark.parametrize("missing", storing.FINISHED)
def test_an_adapter_of_which_something_is_missing_is_not_finished(tmp_path: Path, missing: str) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    (stored_adapter(tmp_path, ctx) / missing).unlink()

    assert storing.finished_work(ctx, most_bytes=None) == []


@pytest.mark.parametrize(
    "made",
    [{"accepted": False}, {"length": {}}, {"length": {"training.max_steps": 1, "training.num_train_epochs": 1.0}}],
)
def test_an_adapter_that_was_refused_or_is_of_another_length_is_not_what_the_run_was_to_make(
    tmp_path: Path, made: dict[str, Any]
) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    stored_adapter(tmp_path, ctx, **made)

    assert storing.finished_work(ctx, most_bytes=None) == []


@pytest.mark.parametrize("content", ["[]", "no JSON", '{"length": 1e999}'])
def test_a_manifest_that_is_none_is_no_reason_to_fail(tmp_path: Path, content: str) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    (stored_adapter(tmp_path, ctx) / "manifest.json").write_text(content)

    assert storing.finished_work(ctx, most_bytes=None) == []


@pytest.mark.parametrize("size_bytes", [0, storing.SMALL_BYTES + 1])
def test_a_verdict_that_is_empty_or_huge_is_not_read(tmp_path: Path, size_bytes: int) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    (stored_adapter(tmp_path, ctx) / "acceptance.json").write_bytes(b" " * size_bytes)

    assert storing.finished_work(ctx, most_bytes=None) == []


def test_a_merged_model_comes_along_where_the_run_makes_one(tmp_path: Path) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    merged = stored_adapter(tmp_path, ctx).with_name("merged")
    merged.mkdir()
    (merged / "model.safetensors").write_bytes(b"all of it")
    write_checksums(merged)
    artifacts = ctx.run_file.artifacts.model_copy(update={"merged_model": True})
    wanting = replace(ctx, run_file=ctx.run_file.model_copy(update={"artifacts": artifacts}))

    assert storing.finished_work(ctx, most_bytes=None) == ["adapter"]
    storing.fetch_work(wanting, storing.finished_work(wanting, most_bytes=None))

    assert (ctx.run.path / "merged" / "model.safetensors").read_bytes() == b"all of it"


def test_an_adapter_that_is_larger_than_it_may_be_stays_where_it_is(tmp_path: Path) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    stored_adapter(tmp_path, ctx)

    with pytest.raises(TransferError, match=r"the adapter in file:.* has \d+ bytes, and may have 10"):
        storing.finished_work(ctx, most_bytes=10)


def test_an_adapter_that_is_damaged_in_the_store_takes_no_place_here(tmp_path: Path) -> None:
    ctx = context(tmp_path, {"url": f"file://{tmp_path}/the store"})
    (stored_adapter(tmp_path, ctx) / "adapter_model.safetensors").write_bytes(b"torn")
    (ctx.run.path / "adapter").mkdir()

    with pytest.raises(TransferError, match=r"is damaged: .*adapter_model"):
        storing.fetch_work(ctx, ["adapter"])

    assert list((ctx.run.path / "adapter").iterdir()) == []
    assert not (ctx.run.path / "adapter.part").exists()
