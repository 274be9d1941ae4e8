"""What a run does with less memory: which measure comes next, what it changes, and how long it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.checkpoints.test_complete import make_checkpoint
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.checkpoints.complete import complete
from trainer.config.recipe import Recipe
from trainer.errors import OutOfMemoryError
from trainer.events import EventLog, read_events
from trainer.shortage.forms import Shortage, Work
from trainer.shortage.measures import (
    FILE,
    Measure,
    apply_measures,
    begin,
    next_measure,
    open_work,
    read_measures,
    take_measure,
    write_measures,
)


def recipe_of(rows: int | str = 4, steps: int = 2, **sections: dict[str, Any]) -> Recipe:
    training = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": steps}
    return tiny_recipe(Path("/model"), Path("/data"), training=training | sections.pop("training", {}), **sections)


def all_measures(recipe: Recipe, work: Work, *, device: str = "cpu", has_checkpoint: bool = False) -> list[Measure]:
    found: list[Measure] = []
    while True:
        used = apply_measures(recipe, tuple(found))
        one = next_measure(used, work, device=device, has_checkpoint=has_checkpoint)
        if one is None:
            return found
        found.append(one)


@pytest.mark.parametrize(
    ("rows", "steps", "wanted"),
    [
        (8, 2, [(4, 4), (2, 8), (1, 16)]),
        (6, 1, [(3, 2), (1, 6)]),
        (5, 2, [(2, 5), (1, 10)]),
        (3, 1, [(1, 3)]),
        (7, 1, [(1, 7)]),
        ("auto", 16, []),
    ],
)
def test_rows_are_halved_until_one_and_the_step_keeps_its_rows(
    rows: int | str, steps: int, wanted: list[tuple[int, int]]
) -> None:
    recipe = recipe_of(rows, steps, training={"gradient_checkpointing": True})

    found = all_measures(recipe, "training", has_checkpoint=True)

    assert [tuple(one.changes.values()) for one in found] == wanted


def test_then_comes_gradient_checkpointing_then_the_paged_optimizer() -> None:
    found = all_measures(recipe_of(2), "training")

    assert [one.changes for one in found] == [
        {"training.per_device_train_batch_size": 1, "training.gradient_accumulation_steps": 4},
        {"training.gradient_checkpointing": True},
        {"training.optim": "paged_adamw_32bit"},
    ]
    assert found[0].words == "micro-batches of 1 row instead of 2"


def test_max_length_is_never_touched() -> None:
    recipe = recipe_of(8)
    found = (*all_measures(recipe, "training"), *all_measures(recipe, "evaluation"))

    assert apply_measures(recipe, found).data == recipe.data


@pytest.mark.parametrize(
    ("optim", "device", "has_checkpoint", "paged"),
    [
        ("adamw_8bit", "cuda", False, "paged_adamw_8bit"),
        ("adamw_torch", "cuda", False, "paged_adamw_32bit"),
        ("auto", "cuda", False, None),  # it is paged as it is
        ("paged_adamw_8bit", "cuda", False, None),
        ("adamw_8bit", "cuda", True, None),  # a checkpoint holds the state of its optimizer
    ],
)
def test_the_optimizer_is_paged_only_before_the_first_checkpoint(
    optim: str, device: str, has_checkpoint: bool, paged: str | None
) -> None:
    recipe = recipe_of(1, training={"gradient_checkpointing": True, "optim": optim})

    found = next_measure(recipe, "training", device=device, has_checkpoint=has_checkpoint)

    assert (None if found is None else found.changes) == (None if paged is None else {"training.optim": paged})


def test_evaluation_halves_its_rows_and_the_answers_at_a_time() -> None:
    recipe = recipe_of(evaluation={"per_device_eval_batch_size": 3, "generation_batch_size": 4})

    found = all_measures(recipe, "evaluation")

    assert [tuple(one.changes.values()) for one in found] == [(1, 2), (1, 1)]
    assert found[0].words == "evaluation of 1 row at a time instead of 3 and 2 answers at a time instead of 4"
    assert found[1].words == "evaluation of 1 answer at a time instead of 2"
    assert apply_measures(recipe, tuple(found)).training == recipe.training


def test_for_loading_there_is_no_measure() -> None:
    assert next_measure(recipe_of(8), "other", device="cuda", has_checkpoint=False) is None


@pytest.mark.parametrize(
    ("work", "words", "key"),
    [
        ("training", "with one row at a time and gradient checkpointing: CUDA out of memory", "data.max_length"),
        ("evaluation", "with one row and one answer at a time: CUDA out of memory", "evaluation.max_new_tokens"),
        ("other", "out of memory: CUDA out of memory", "model.base_model"),
    ],
)
def test_where_nothing_is_left_words_say_so_and_the_event_has_no_measure(
    tmp_path: Path, work: Work, words: str, key: str
) -> None:
    smallest = {"evaluation": {"generation_batch_size": 1}, "training": {"gradient_checkpointing": True}}
    recipe = recipe_of(1, **smallest)
    (tmp_path / "checkpoints").mkdir()
    events = EventLog(tmp_path / "events.jsonl")
    complete(make_checkpoint(tmp_path / "checkpoints", 3), 3, {})

    with pytest.raises(OutOfMemoryError, match=words) as caught:
        take_measure(tmp_path, recipe, events, Shortage(work, "CUDA out of memory"))

    events.close()
    assert key in caught.value.resolution
    assert "compute.min_gpu_memory_gib" in caught.value.resolution
    assert read_events(events.path)[-1]["measure"] is None


def test_a_measure_is_kept_reported_and_added_to_those_before(tmp_path: Path) -> None:
    recipe, events = recipe_of(4), EventLog(tmp_path / "events.jsonl")
    events.write("step", step=7)

    for _ in range(2):
        take_measure(tmp_path, recipe, events, Shortage("training", "CUDA out of memory"))

    events.close()
    told = [event for event in read_events(events.path) if event["event"] == "out_of_memory"]
    assert [event["measure"] for event in told] == [one.words for one in read_measures(tmp_path, recipe)]
    assert apply_measures(recipe, read_measures(tmp_path, recipe)).training.micro_batch_rows == 1
    assert (told[0]["step"], told[0]["work"], told[0]["message"]) == (7, "training", "CUDA out of memory")


def test_a_step_keeps_the_rows_that_were_settled_for_a_small_data_set(tmp_path: Path) -> None:
    recipe, events = recipe_of(4, training={"gradient_accumulation_steps": "auto"}), EventLog(tmp_path / "events.jsonl")
    events.write("run_started", device="cpu", effective_batch_rows=8)

    measure = take_measure(tmp_path, recipe, events, Shortage("training", "CUDA out of memory"))

    events.close()
    assert measure.changes == {"training.per_device_train_batch_size": 2, "training.gradient_accumulation_steps": 4}


def test_a_fresh_start_forgets_the_measures_and_a_resumed_one_keeps_them(tmp_path: Path) -> None:
    recipe, measure = recipe_of(4), Measure("m", {"training.gradient_checkpointing": True})
    write_measures(tmp_path, recipe, (measure,))

    assert begin(tmp_path, recipe, resume=True) == (measure,)
    assert begin(tmp_path, recipe, resume=False) == ()
    assert not (tmp_path / FILE).exists()


def test_with_settings_of_his_own_the_user_begins_anew(tmp_path: Path) -> None:
    write_measures(tmp_path, recipe_of(4, 1), (Measure("m", {"training.per_device_train_batch_size": 2}),))

    assert begin(tmp_path, recipe_of(1, 4), resume=True) == ()


def test_a_checkpoint_keeps_its_optimizer_on_another_machine_and_nothing_else(tmp_path: Path) -> None:
    recipe, paged = recipe_of(2), Measure("p", {"training.optim": "paged_adamw_32bit"})
    folder = make_checkpoint(tmp_path / "checkpoints", 3)
    write_measures(folder, recipe, (Measure("r", {"training.per_device_train_batch_size": 1}), paged))
    complete(folder, 3, {})

    assert begin(tmp_path, recipe, resume=True) == (paged,)
    assert read_measures(tmp_path, recipe) == (paged,)  # and the next checkpoint as well


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"measures": [{"words": 1}]}'])
def test_a_damaged_file_holds_no_measures(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)

    assert read_measures(tmp_path, recipe_of(4)) == ()


@pytest.mark.parametrize(
    ("events", "work"),
    [
        ([("phase_started", "data"), ("phase_ended", "data"), ("phase_started", "train")], "training"),
        ([("phase_started", "acceptance")], "evaluation"),
        ([("phase_started", "evaluate_base"), ("phase_ended", "evaluate_base")], "other"),
        ([("phase_started", "load_model")], "other"),
        ([], "other"),
    ],
)
def test_a_killed_trainers_work_is_that_of_its_open_phase(
    tmp_path: Path, events: list[tuple[Any, str]], work: Work
) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    for name, phase in events:
        log.write(name, phase=phase)
    log.close()

    assert open_work(tmp_path) == work
