"""Small cases of what people bring, kept beside the checkout: what is learned of each, or why it is refused.

Each kind has an example of our own as well, another one than the case:

====  ===================================  =============================================================
case  kind                                 example of our own
====  ===================================  =============================================================
01    a turn that is not to be learned     test_rows: test_key_of_a_turn_says_whether_it_is_learned
02    weights of both kinds                test_rows: test_weight_that_is_neither_nought_nor_one_…
04    a system text beside the turns       test_rows: test_system_text_beside_the_turns_…
06    earlier turns in a key               test_rows: test_history_becomes_earlier_turns
08    pictures                             test_rows: test_mark_of_a_picture_in_a_question_is_refused
09    JSON in another layout               sources/test_reader: test_json_is_read_however_it_is_laid_out
11    objects over several lines           sources/test_json_values: test_a_row_has_the_line_on_which_it_begins
12    packed files                         sources/test_reader: test_packed_files_are_read_whatever_…
14    columns of other names               test_row_hints: test_a_shape_that_files_often_have_…
16    tools and calls                      test_row_calls, test_turns (chats "call" and "thought call")
17    text in parts                        test_row_text: test_a_part_that_is_no_text_…
18    an empty system turn                 test_rows: test_empty_system_turn_counts_as_none_…
20    turns that nobody answers            test_rows: test_turns_without_an_answer_at_the_end_…
22    names of roles                       test_rows: test_roles_have_the_names_that_people_give_them
23    many bad lines                       test_bad_samples: test_all_bad_samples_of_both_splits_…
24    long samples                         test_long_samples: test_many_long_samples_are_listed_in_a_file
25    turns that depend on later ones      test_turns (Qwen3, Qwen3.5, GLM-4.5, gpt-oss)
27    an end after the whole chat          test_turns (Phi-3, Phi-3.5, Phi-4-mini)
29    a system turn without a place        test_rendering: test_system_turn_without_a_place_moves_…
31    the day in a template                test_template_date, test_rendering (four families)
33    numbers that are too long            sources/test_json_lines: test_a_line_that_cannot_be_read_…
35    UTF-16                               sources/test_reader: test_a_byte_order_mark_says_how_…
36    what is no data                      sources/test_reader: test_what_holds_no_samples_is_refused_…
39    thoughts                             test_left_out, test_turns (chats "thoughts" and "tags")
====  ===================================  =============================================================

The other cases are about run files and base models: tests/unit/trainer/test_recipe_cases.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.trainer.data.families import CALLS, family_facts
from tests.unit.trainer.small_facts import small_facts
from trainer.base_model.tokenization import BaseModelFacts
from trainer.config.recipe import Recipe, resolve_paths
from trainer.data.chat import mask_chat
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.errors import TrainerError

CASES = Path(__file__).resolve().parents[4].parent / "shared" / "cases" / "data"
SHELF = ["Part 1 is on shelf 11.<|im_end|>"]
LEARNED = {
    "01-weight-zero": ["RIGHT-1<|im_end|>"],
    "02-weight-zero-and-one": ["RIGHT-1<|im_end|>"],
    "04-system-beside-conversations": ["Bird 1, on a wire.<|im_end|>"],
    "06-alpaca-history": ["1 is small.<|im_end|>", "1 is small.<|im_end|>"],
    "09-json-array": ["2<|im_end|>"],
    "11-objects-over-several-lines": SHELF,
    "12-gzip": SHELF,
    "17-text-parts": ["Shelf 11.<|im_end|>"],
    "18-empty-system": ["A1.<|im_end|>"],
    "20-ends-with-user": SHELF,
    "22-developer-role": ["A1.<|im_end|>"],
    "25-thinking-template-multi-turn": ["1 cents.<|im_end|>", "<think>\n\n</think>\n\n2 cents.<|im_end|>"],
    "27-end-of-text-after-the-last-turn": ["1 cents.<|im_end|>", "2 cents.<|im_end|>"],
    "31-date-in-template": SHELF,
    "35-utf16": SHELF,
}
REFUSED = {
    "08-images-beside-messages": ("`images`", "text alone"),
    "14-question-answer-columns": ("keys: question, answer", "data.columns: {prompt: question, completion: answer}"),
    "16-tool-calls": ("the tool 'stock_of'", "data.chat_template_path"),
    "23-many-bad-lines": ("20 of 60 samples cannot be used", "all are listed in"),
    "29-system-in-the-last-user-turn": ("turn 1 (system)", "data.system_prompt: first_user_turn"),
    "33-very-long-number": ("train.jsonl:1 holds a number of too many digits", "write it as text"),
    "36-lfs-pointer": ("is a Git LFS pointer", "git lfs pull"),
    "39-reasoning-content": ("the thought in turn 2", "data.chat_template_path"),
}
NOTES = {
    "01-weight-zero": "8 turns of the assistant are in the context only, and not learned",
    "18-empty-system": "8 samples have an empty system turn, which counts as none",
    "20-ends-with-user": "end with turns that the assistant does not answer, which are left out",
}
SKIPPED = {"23-many-bad-lines": 20, "33-very-long-number": 1}


def encoded(case: str, base: BaseModelFacts | None = None, **changes: Any) -> tuple[EncodedDataset, BaseModelFacts]:
    """Return all samples of a case as a run would have them, and the base model's facts."""
    folder = CASES / case
    if not folder.is_dir():
        pytest.skip("the cases are not beside this checkout (../shared/cases/data)")
    recipe = resolve_paths(Recipe.model_validate(yaml.safe_load((folder / "run.yml").read_text())), folder)
    data = recipe.data.model_copy(update=changes)
    if base is None:
        template = data.chat_template_path
        base = small_facts() if template is None else small_facts(Path(template).read_text())
    facts = replace(base, system_prompt=data.system_prompt)
    return encode(load_dataset(data, seed=42), facts, data), facts


def learned(case: str, base: BaseModelFacts | None = None, **changes: Any) -> list[str]:
    """Return what is learned of the first sample, once the whole file was read."""
    samples, facts = encoded(case, base, **changes)
    first = min((*samples.dataset.train, *samples.dataset.eval), key=lambda sample: sample.line)
    masked = mask_chat(first.messages, facts, assistant_only=True)
    return [masked.text[start:end] for start, end in masked.spans]


@pytest.mark.parametrize("case", LEARNED)
def test_case_is_learned_as_it_should_be(case: str) -> None:
    assert learned(case) == LEARNED[case]


@pytest.mark.parametrize("case", REFUSED)
def test_case_is_refused_with_its_cause_and_the_way_out(case: str) -> None:
    with pytest.raises(TrainerError) as caught:
        encoded(case)

    problem, remedy = REFUSED[case]
    assert problem in caught.value.message
    assert remedy in caught.value.resolution


@pytest.mark.parametrize("case", NOTES)
def test_what_was_done_to_the_samples_of_a_case_is_counted(case: str) -> None:
    assert any(NOTES[case] in note for note in encoded(case)[0].summary.notes)


@pytest.mark.parametrize("case", SKIPPED)
def test_bad_samples_of_a_case_are_left_out_on_demand(case: str) -> None:
    summary = encoded(case, on_bad_sample="skip")[0].summary

    assert summary.left_out.bad + summary.left_out.eval_bad == SKIPPED[case]


def test_long_samples_are_left_out_on_demand_and_stop_the_run_otherwise() -> None:
    case = "24-one-sample-too-long"
    with pytest.raises(TrainerError, match="nothing to learn") as caught:
        encoded(case, max_length=256)

    left = encoded(case, max_length=256, on_long_sample="skip")[0]

    assert "data.on_long_sample: skip" in caught.value.resolution
    assert max(sample.total_tokens for sample in (*left.train, *left.eval)) <= 256


def test_columns_that_the_hint_offers_are_learned_from() -> None:
    columns = {"prompt": "question", "completion": "answer"}

    assert learned("14-question-answer-columns", columns=columns) == ["1+1=2\n#### 2<|im_end|>"]


def test_system_turn_without_a_place_is_learned_from_by_the_switch() -> None:
    assert learned("29-system-in-the-last-user-turn", system_prompt="first_user_turn") == ["1 cents.<|im_end|>"]


def test_a_day_in_a_template_is_the_one_that_the_run_has() -> None:
    template = (CASES / "31-date-in-template" / "template.jinja").read_text() if CASES.is_dir() else ""
    days = [small_facts(template, today=date(2026, 1, day)) for day in (1, 1, 2)]

    ids = [encoded("31-date-in-template", facts)[0].train[0].input_ids for facts in days]

    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    "arguments", ["c.function.arguments | tojson", "('' + c.function.arguments)"], ids=["a mapping", "a string"]
)
def test_calls_of_a_case_are_learned_whether_a_template_takes_a_mapping_or_a_string(arguments: str) -> None:
    answers = learned("16-tool-calls", small_facts(CALLS.replace("ARGUMENTS", arguments)))

    assert len(answers) == 2
    assert answers[0].startswith('stock_of {"part": ')
    assert "\\" not in answers[0]
    assert all(answer.endswith("<|im_end|>") for answer in answers)


@pytest.mark.parametrize("family", ["Qwen2.5", "Qwen3", "Qwen3.5", "Llama 3.2", "GLM-4.5", "gpt-oss", "DeepSeek V3"])
def test_calls_of_a_case_are_learned_with_templates_that_have_tools(family: str) -> None:
    answers = learned("16-tool-calls", family_facts(family))

    assert len(answers) == 2
    assert "stock_of" in answers[0]
    assert "stock_of" not in answers[1]


@pytest.mark.parametrize("family", ["Qwen3", "Qwen3.5", "GLM-4.5", "gpt-oss"])
def test_thoughts_of_a_case_are_learned_with_templates_that_render_them(family: str) -> None:
    (answer,) = learned("39-reasoning-content", family_facts(family))

    assert answer.index("Count one up.") < answer.index("2")


def test_every_case_has_a_test() -> None:
    if not CASES.is_dir():
        pytest.skip("the cases are not beside this checkout (../shared/cases/data)")
    sources = [Path(__file__), Path(__file__).parents[1] / "test_recipe_cases.py"]
    text = "".join(path.read_text(encoding="utf-8").partition('"""\n\nfrom')[2] for path in sources)

    assert [folder.name for folder in CASES.iterdir() if f'"{folder.name}"' not in text] == []
