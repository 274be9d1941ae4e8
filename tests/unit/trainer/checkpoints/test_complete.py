from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.checkpoints.complete import (
    MANIFEST_NAME,
    REQUIRED_FILES,
    SCALER,
    WITH_SCALER,
    choose,
    complete,
    list_newest_first,
    newest_complete,
    verify,
)
from trainer.errors import CheckpointError

FINGERPRINTS = {"recipe": "r", "data": "d", "tokenization": "t", "base_model": "b", "environment": "e"}


def make_checkpoint(folder: Path, step: int, *, is_complete: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}")
    if is_complete:
        complete(path, step, FINGERPRINTS)
    return path


def test_a_complete_checkpoint_verifies(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 4)

    found = verify(path)

    assert (found.step, found.fingerprints) == (4, FINGERPRINTS)
    assert found.size_bytes == sum((path / name).stat().st_size for name in REQUIRED_FILES)


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_a_checkpoint_written_without_a_required_file_is_refused(tmp_path: Path, name: str) -> None:
    path = make_checkpoint(tmp_path, 4, is_complete=False)
    (path / name).unlink()

    with pytest.raises(CheckpointError, match=name):
        complete(path, 4, FINGERPRINTS)
    assert not (path / MANIFEST_NAME).exists()


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_a_missing_file_is_found(tmp_path: Path, name: str) -> None:
    path = make_checkpoint(tmp_path, 4)
    (path / name).unlink()

    with pytest.raises(CheckpointError, match=f"{name} missing or cut short"):
        verify(path)


def test_a_file_cut_short_is_found(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 4)
    (path / "optimizer.pt").write_text("opt")

    with pytest.raises(CheckpointError, match=r"optimizer.pt missing or cut short"):
        verify(path)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 4)
    text = (path / "optimizer.pt").read_text()
    (path / "optimizer.pt").write_text(text.replace("step 4", "step 5"))

    with pytest.raises(CheckpointError, match=r"damaged optimizer.pt"):
        verify(path)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", '{"step": "x", "files": []}', '{"step": 1}', '{"step": 1e999, "files": []}',
        '{"step": 1, "files": [], "fingerprints": []}',
    ],
)  # fmt: skip
def test_an_unreadable_manifest_is_found(tmp_path: Path, content: str) -> None:
    path = make_checkpoint(tmp_path, 4)
    (path / MANIFEST_NAME).write_text(content)

    with pytest.raises(CheckpointError, match="unreadable manifest"):
        verify(path)


def test_a_manifest_that_leaves_out_a_required_file_is_refused(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 4)
    manifest = json.loads((path / MANIFEST_NAME).read_text())
    manifest["files"] = [entry for entry in manifest["files"] if entry["name"] != "optimizer.pt"]
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))

    with pytest.raises(CheckpointError, match=r"lists no optimizer.pt"):
        verify(path)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 4)
    manifest = json.loads((path / MANIFEST_NAME).read_text())
    (path / MANIFEST_NAME).write_text(json.dumps({**manifest, "format": 2}))

    with pytest.raises(CheckpointError, match="format 2"):
        verify(path)


def test_the_newest_complete_one_is_taken_by_number_and_not_by_name(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 9)
    make_checkpoint(tmp_path, 10)

    found, problems = newest_complete(tmp_path)

    assert found is not None
    assert (found.step, problems) == (10, [])


def test_an_incomplete_newer_one_is_passed_over_and_reported(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 4)
    make_checkpoint(tmp_path, 8, is_complete=False)

    found, problems = newest_complete(tmp_path)

    assert found is not None
    assert found.step == 4
    assert problems == ["checkpoint: checkpoint-8 has no manifest: its writing was cut off"]


def test_without_any_checkpoint_the_run_starts_from_the_beginning(tmp_path: Path) -> None:
    assert choose(newest_complete(tmp_path), FINGERPRINTS, {}) == (None, [])


def test_when_none_verifies_resuming_is_refused_instead_of_starting_afresh(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 4, is_complete=False)

    with pytest.raises(CheckpointError, match="none of 1 checkpoints verifies"):
        choose(newest_complete(tmp_path), FINGERPRINTS, {})


@pytest.mark.parametrize("kind", ["recipe", "data", "tokenization", "base_model"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    make_checkpoint(tmp_path, 4)

    with pytest.raises(CheckpointError, match=f"another {kind.replace('_', ' ')}"):
        choose(newest_complete(tmp_path), {**FINGERPRINTS, kind: "other"}, {})


def test_a_checkpoint_of_a_version_that_knew_fewer_kinds_is_taken(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 4)

    found, remarks = choose(newest_complete(tmp_path), {**FINGERPRINTS, "another": "kind"}, {})

    assert (found is None, remarks) == (False, [])


def test_a_changed_environment_is_only_remarked_on(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 4)

    found, remarks = choose(newest_complete(tmp_path), {**FINGERPRINTS, "environment": "other"}, {})

    assert found is not None
    assert ["environment has changed" in remark for remark in remarks] == [True]


def make_scaled_checkpoint(folder: Path, step: int) -> Path:
    path = make_checkpoint(folder, step, is_complete=False)
    (path / SCALER).write_text("a gradient scaler")
    complete(path, step, FINGERPRINTS | WITH_SCALER)
    return path


def test_in_float16_a_checkpoint_without_its_scaler_is_not_complete(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"written without scaler\.pt"):
        complete(make_checkpoint(tmp_path, 4, is_complete=False), 4, FINGERPRINTS | WITH_SCALER)


def test_in_float16_a_scaler_that_went_missing_or_is_not_listed_is_found(tmp_path: Path) -> None:
    path = make_scaled_checkpoint(tmp_path, 4)
    (path / SCALER).unlink()
    with pytest.raises(CheckpointError, match=r"has scaler\.pt missing"):
        verify(path)

    manifest = json.loads((path / MANIFEST_NAME).read_text())
    manifest["files"] = [entry for entry in manifest["files"] if entry["name"] != SCALER]
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"lists no scaler\.pt"):
        verify(path)


def test_a_run_in_float16_goes_on_with_its_own_scaler_and_with_no_fresh_one(tmp_path: Path) -> None:
    make_scaled_checkpoint(tmp_path / "scaled", 4)
    make_checkpoint(tmp_path / "plain", 4)

    found, remarks = choose(newest_complete(tmp_path / "scaled"), FINGERPRINTS | WITH_SCALER, {})
    assert found is not None
    assert (found.step, remarks) == (4, [])
    with pytest.raises(CheckpointError, match="was trained in bfloat16 or float32, this run computes in float16"):
        choose(newest_complete(tmp_path / "plain"), FINGERPRINTS | WITH_SCALER, {})
    with pytest.raises(CheckpointError, match="was trained in float16, this run computes in bfloat16 or float32"):
        choose(newest_complete(tmp_path / "scaled"), FINGERPRINTS, {})


@pytest.mark.parametrize("name", ["checkpoint-²", "checkpoint-٣", "checkpoint-", "checkpoint-5-old"])
def test_a_folder_that_no_trainer_named_is_none_of_the_checkpoints(tmp_path: Path, name: str) -> None:
    make_checkpoint(tmp_path, 4)
    (tmp_path / name).mkdir()

    assert [path.name for path in list_newest_first(tmp_path)] == ["checkpoint-4"]


def test_a_manifest_that_lists_a_name_which_no_disk_takes_is_reported(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 4)
    manifest = json.loads((path / MANIFEST_NAME).read_text())
    manifest["files"].append({"name": "n" * 5000, "size_bytes": 1, "sha256": ""})
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))

    with pytest.raises(CheckpointError, match="names that no disk takes"):
        verify(path)
