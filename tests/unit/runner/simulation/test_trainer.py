"""The trainer without a model: what stands on its machine at each moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.simulation.flaws import SPOILED_ADAPTER
from runner.simulation.trainer import LOAD_S, SAVE_S, Course, SimulatedTrainer
from trainer.checkpoints.complete import verify
from trainer.export.checksums import checksum_problems

COURSE = Course(steps=10, step_s=5.0, save_every=4)
ENDS_S = 100.0 + LOAD_S + 50.0 + 15.0


def trainer(**given: float) -> SimulatedTrainer:
    return SimulatedTrainer(COURSE, 100.0, **given)  # type: ignore[arg-type]


def names(one: SimulatedTrainer, now_s: float) -> list[str]:
    return [json.loads(line)["event"] for line in one.events(now_s).splitlines()]


def laid_down(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_it_goes_from_step_to_step_and_ends(tmp_path: Path) -> None:
    one = trainer()

    assert (one.step(100.0), one.step(100.0 + LOAD_S + 12.0), one.step(1e9)) == (0, 2, 10)
    assert (one.exit_code(ENDS_S - 0.1), one.exit_code(ENDS_S)) == (None, 0)
    assert one.checkpoints(1e9) == [4, 8, 10]
    assert names(one, 100.0) == ["run_started"]
    assert names(one, ENDS_S)[-1] == "run_ended"
    laid_down(tmp_path, one.files(ENDS_S))
    assert checksum_problems(tmp_path / "adapter") == []
    assert verify(tmp_path / "checkpoints" / "checkpoint-8").step == 8


def test_a_folder_holds_what_is_there_at_the_time_whoever_looked_before() -> None:
    one, spoiled = trainer(), SimulatedTrainer(COURSE, 100.0, flaws=frozenset({SPOILED_ADAPTER}))
    saved_s = 100.0 + LOAD_S + 20.0

    before, after, ended = (one.files(at_s, "/output/") for at_s in (saved_s - 0.1, saved_s, ENDS_S))

    assert not before
    assert {name.split("/")[2] for name in after} == {"checkpoints"}
    assert {name.removeprefix("/output/") for name in ended} == set(one.files(ENDS_S))
    weights = "/output/adapter/adapter_model.safetensors"
    assert spoiled.files(ENDS_S, "/output/")[weights] != ended[weights]


def test_its_events_only_grow() -> None:
    one, before = trainer(), b""
    for now_s in range(90, 220, 3):
        now = one.events(float(now_s))
        assert now.startswith(before)
        before = now


def test_one_that_is_asked_to_stop_saves_where_it_is() -> None:
    one = trainer()
    one.stop(100.0 + LOAD_S + 27.0)

    assert one.checkpoints(1e9) == [4, 5]
    assert (one.exit_code(1e9), one.exit_code(100.0 + LOAD_S + 27.0)) == (75, None)
    assert names(one, 1e9)[-2:] == ["checkpoint_saved", "run_ended"]
    assert not [name for name in one.files(1e9) if name.startswith("adapter")]


def test_one_that_is_killed_leaves_what_was_there() -> None:
    one = trainer()
    one.kill(100.0 + LOAD_S + 27.0)

    assert one.checkpoints(1e9) == [4]
    assert one.exit_code(1e9) == 137
    assert names(one, 1e9)[-1] == "step"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_nothing_changes_one_that_has_ended(end: str) -> None:
    one = trainer()

    getattr(one, end)(ENDS_S + 1.0)

    assert one.exit_code(1e9) == 0


def test_it_stops_at_its_limit_and_dies_at_its_hour() -> None:
    assert trainer(limit_s=LOAD_S + 22.0).exit_code(100.0 + LOAD_S + 22.0 + SAVE_S) == 75
    assert trainer(dies_s=130.0).exit_code(130.0) == 137


def test_one_that_goes_on_begins_where_the_other_was() -> None:
    one = trainer(resumed=8)

    assert json.loads(one.events(100.0))["resumed_from_step"] == 8
    assert (one.step(100.0), one.step(100.0 + LOAD_S + 5.0)) == (8, 9)
    assert one.exit_code(100.0 + LOAD_S + 10.0 + 15.0) == 0
