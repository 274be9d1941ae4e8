from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.data.families import family_facts
from tests.unit.trainer.data.test_samples import section
from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.samples import encode, load_dataset
from trainer.data.summary import DataSummary
from trainer.errors import DataError


def chat(*answers: Any, **keys: Any) -> dict[str, Any]:
    """Return a sample with these answers, each a text or the assistant's whole message."""
    turns: list[Any] = []
    for number, answer in enumerate(answers):
        turns.append({"role": "user", "content": f"Question {number}?"})
        turns.append({"role": "assistant", **(answer if isinstance(answer, dict) else {"content": answer})})
    return {"messages": turns, **keys}


LEFT_OUT = {"content": "wrong", "weight": 0}


def summary_of(tmp_path: Path, samples: list[Any], facts: BaseModelFacts | None = None, **keys: Any) -> DataSummary:
    data = section(
        tmp_path,
        samples,
        [{"prompt": "Else?", "completion": "Kept."}],
        **keys,
    )
    return encode(load_dataset(data, seed=1), facts or small_facts(), data).summary


def test_turns_that_are_in_the_context_only_are_counted(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, [chat(LEFT_OUT, "right"), chat(LEFT_OUT, LEFT_OUT, "right too")])

    assert summary.notes == ("3 turns of the assistant are in the context only, and not learned",)
    assert summary.warnings == ()


def test_sample_without_a_turn_to_learn_is_left_out_and_counted(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, [chat(LEFT_OUT), chat("right")])

    assert summary.train.samples == 1
    assert summary.notes == ("1 samples have no turn that is to be learned, and are left out",)


def test_sample_without_a_turn_to_learn_stays_where_questions_are_learned(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, [chat(LEFT_OUT), chat("right")], assistant_only_loss=False)

    assert summary.train.samples == 2
    assert 0 < summary.train.supervised_share < 1


def test_file_without_any_turn_to_learn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no turn that is to be learned"):
        summary_of(tmp_path, [chat(LEFT_OUT), chat({"content": "x", "train": False})])


def test_what_was_done_to_samples_is_listed_once_over_both_splits(tmp_path: Path) -> None:
    system = {"role": "system", "content": ""}
    samples = [chat("a", id=1, source="web"), chat("b", id=2), {"messages": [system, *chat("c")["messages"]]}]
    samples += [{"messages": [*chat(letter)["messages"], {"role": "user", "content": "Thanks!"}]} for letter in "de"]

    assert summary_of(tmp_path, samples).notes == (
        "keys that are not used: id, source",
        "2 samples end with turns that the assistant does not answer, which are left out",
        "1 samples have an empty system turn, which counts as none",
    )


def test_keys_that_are_left_out_on_purpose_are_listed(tmp_path: Path) -> None:
    assert summary_of(tmp_path, [chat("a", mood="good")], ignore_keys=["mood"]).notes == (
        "keys that are not used: mood",
    )


def test_thoughts_that_the_template_drops_are_a_warning_with_their_number(tmp_path: Path) -> None:
    thinking = [{"content": letter, "reasoning_content": f"It is {letter}."} for letter in "abc"]
    facts = family_facts("Qwen3")

    assert summary_of(tmp_path, [chat(*thinking)], facts).warnings == (
        "2 thoughts of earlier turns are left out by the chat template, and not learned",
    )


@pytest.mark.parametrize(
    ("template", "answer", "is_lost"),
    [
        (CHATML.replace("message['content'] +", "message['content'].strip() +"), "    return 1", True),
        (CHATML.replace("message['content'] +", "message['content'].strip() +"), "\treturn 1", True),
        (CHATML.replace("message['content'] +", "message['content'].strip() +"), " Paris", False),
        (CHATML, "    return 1", False),
    ],
)
def test_indentation_that_the_template_strips_is_a_warning(
    tmp_path: Path, template: str, answer: str, is_lost: bool
) -> None:
    warnings = summary_of(tmp_path, [chat(answer)], small_facts(template)).warnings

    assert warnings == (
        ("1 training samples have an answer that begins with an indentation, which the chat template strips",)
        if is_lost
        else ()
    )


def test_notes_outlive_plain_data_and_old_summaries_have_none(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, [chat("a", id=1)])
    mapping = summary.to_mapping()

    assert DataSummary.from_mapping(mapping).notes == summary.notes
    del mapping["notes"]
    assert DataSummary.from_mapping(mapping).notes == ()
