"""A disk that takes no more ends a run in words, whichever library wrote."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.errors import TrainingError
from trainer.training import phases
from trainer.training.write_errors import write_errors_explained

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@needs_full
def test_a_full_disk_behind_a_file_is_explained() -> None:
    with (
        pytest.raises(TrainingError, match="cannot write what the run makes: No space left") as caught,
        write_errors_explained(),
        FULL.open("wb") as file,
    ):
        file.write(b"0" * 100_000)

    assert "make resume" in caught.value.resolution


@needs_full
def test_a_full_disk_behind_torchs_writer_is_explained(tmp_path: Path) -> None:
    (tmp_path / "optimizer.pt").symlink_to(FULL)

    with pytest.raises(TrainingError, match="cannot write"), write_errors_explained():
        torch.save({"a": torch.zeros(100_000)}, tmp_path / "optimizer.pt")


def test_a_folder_that_takes_no_weights_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot write"), write_errors_explained():
        save_file({"a": torch.zeros(2)}, tmp_path / "nowhere" / "adapter_model.safetensors")


@pytest.mark.parametrize(
    "other", [FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("shapes"), SafetensorError("header too large")]
)
def test_other_errors_go_through(other: Exception) -> None:
    with pytest.raises(type(other)), write_errors_explained():
        raise other


def test_a_run_on_a_full_disk_ends_in_words_though_its_events_cannot_be_written(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "events.jsonl")

    monkeypatch.setattr("trainer.events.EventLog.write", refuse)

    with pytest.raises(TrainingError, match=r"cannot write events\.jsonl: No space left on device"):
        phases.train(tiny_recipe(tiny_model, tiny_dataset), tmp_path / "output", resume=False)
