from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.data_sets.hub import Asking, HubSplit
from runner.planning.checks import data_files, samples
from runner.planning.checks.data_files import DataFiles, fetch_data
from runner.planning.checks.samples import check_samples
from runner.world import RealWorld, World
from tests.unit.runner.planning.checks.small_run import chat, make_run
from trainer.config.paths import WeightedPath
from trainer.config.sections import DataSection
from trainer.data.collected import no_progress
from trainer.errors import DataError

ADDRESS = "hf://datasets/org/name"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """A stand-in for the Hub: each split is one file; what is asked for is noted."""
    seen = list[tuple[str, str | None]]()

    def fetch(source: WeightedPath, asking: Asking) -> HubSplit:
        seen.append((asking.key, asking.split))
        split = source.split or asking.split or ""
        path = tmp_path / f"{split}-rows.jsonl"
        path.write_text(chat(split))
        return HubSplit(source.model_copy(update={"split": split, "revision": "c" * 40}), (path,))

    monkeypatch.setattr(data_files, "fetch_split", fetch)
    return seen


def test_files_of_this_machine_stay_as_they_are(tmp_path: Path) -> None:
    data = make_run(tmp_path).data

    found = fetch_data(data, RealWorld(), no_progress)

    assert (found.here, found.pinned, found.sets) == (data, {}, ())


def test_data_sets_become_files_in_their_places_with_their_weights(
    tmp_path: Path, asked: list[tuple[str, str | None]]
) -> None:
    (tmp_path / "own.jsonl").write_text(chat())
    own = str(tmp_path / "own.jsonl")
    data = DataSection(
        train_path=[own, WeightedPath(path=ADDRESS, weight=0.5)],
        eval_path=[WeightedPath(path=ADDRESS, split="test")],
    )

    found = fetch_data(data, RealWorld(), no_progress)

    train = [WeightedPath(path=own), WeightedPath(path=str(tmp_path / "train-rows.jsonl"), weight=0.5)]
    assert found.here.train_path == train
    assert found.here.eval_path == [WeightedPath(path=str(tmp_path / "test-rows.jsonl"))]
    assert found.pinned == {
        "train_path": [
            {"path": own, "weight": 1.0},
            {"path": ADDRESS, "weight": 0.5, "split": "train", "revision": "c" * 40},
        ],
        "eval_path": [{"path": ADDRESS, "weight": 1.0, "split": "test", "revision": "c" * 40}],
    }
    assert asked == [("data.train_path", "train"), ("data.eval_path", None)]


def test_tables_of_both_splits_are_turned_into_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()

    def read_tables(paths: Sequence[Path], world: World, progress: Any) -> None:
        read.extend(path.name for path in paths)

    monkeypatch.setattr(data_files, "read_tables", read_tables)
    fetch_data(make_run(tmp_path).data, RealWorld(), no_progress)

    assert read == ["train.jsonl", "eval.jsonl"]


def test_what_cannot_be_fetched_is_the_line_of_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> None:
        raise DataError("data: org/name is gated", resolution="accept its terms")

    monkeypatch.setattr(samples, "fetch_data", fetch)

    files, dataset, line = check_samples(make_run(tmp_path), RealWorld())

    assert (files, dataset, line.status, line.value) == (None, None, "fail", "org/name is gated")


def test_a_data_set_that_was_renamed_is_a_warning_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = make_run(tmp_path)
    one = WeightedPath(path="hf://datasets/org/new", name="main", split="train", revision="c" * 40)
    found = DataFiles(run_file.data, {}, (HubSplit(one, (), given_name="org/old"),))
    monkeypatch.setattr(samples, "fetch_data", lambda *_: found)

    _, _, line = check_samples(run_file, RealWorld())

    assert line.status == "warn"
    assert line.value.endswith("org/new (main, train) at commit cccccccccccc; org/old is called org/new by now")
    assert line.remedy == "set data.train_path or data.eval_path to org/new"
