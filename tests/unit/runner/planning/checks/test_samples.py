"""The samples' lines: files, template, tokens to learn, lengths."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.planning.checks.line import Check
from runner.planning.checks.samples import check_dataset, check_template, check_tokens
from tests.unit.runner.planning.checks.small_run import chat, make_run
from tests.unit.trainer.small_facts import CHATML, small_facts

LLAMA3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' + message['content'] "
    "+ '<end_of_turn>\n' }}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token }}{% endfor %}"
)


def test_samples_are_counted(tmp_path: Path) -> None:
    dataset, line = check_dataset(make_run(tmp_path))

    assert dataset is not None
    assert line == Check("dataset", "pass", "1 sample to train on, 1 to evaluate on (messages)")


@pytest.mark.parametrize(
    ("text", "value"),
    [("", "train.jsonl"), (chat() + "{half\n", "train.jsonl:2"), (chat("When?", "Then."), "in the training file too")],
    ids=["empty", "broken", "leak"],
)
def test_a_broken_file_fails_with_its_line(tmp_path: Path, text: str, value: str) -> None:
    run_file = make_run(tmp_path)
    (tmp_path / "train.jsonl").write_text(text)

    dataset, line = check_dataset(run_file)

    assert (dataset, line.status) == (None, "fail")
    assert value in line.value
    assert line.remedy


def test_a_template_of_the_base_models_own_marks_passes() -> None:
    assert check_template(small_facts(CHATML), None).status == "pass"


@pytest.mark.parametrize(
    ("template", "marks"),
    [(LLAMA3, "<|start_header_id|>, <|end_header_id|>, <|eot_id|>"), (GEMMA, "<start_of_turn>, <end_of_turn>")],
    ids=["llama-3", "gemma"],
)
def test_a_template_of_another_model_fails(template: str, marks: str) -> None:
    line = check_template(small_facts(template), None)

    assert line.status == "fail"
    assert line.value == f"a template of another model: {marks} are not tokens of small"
    assert line.remedy.startswith("take the base model's own template")


def test_marks_that_only_open_a_turn_may_be_plain_text_and_are_reported() -> None:
    line = check_template(small_facts(ZEPHYR), None)

    assert (line.status, line.value) == (
        "warn",
        "<|user|>, <|assistant|> are not tokens of small: they are read as plain text",
    )


def test_marks_that_people_write_are_not_the_templates(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    (tmp_path / "train.jsonl").write_text(chat("What is <|eot_id|>?", "A mark like <|eom_id|>."))
    dataset, _ = check_dataset(run_file)

    assert check_template(small_facts(CHATML), dataset).status == "pass"


def test_words_that_are_a_part_of_a_mark_hide_none(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    (tmp_path / "train.jsonl").write_text(chat("start", "e"))
    dataset, _ = check_dataset(run_file)

    assert check_template(small_facts(LLAMA3), dataset).status == "fail"


@pytest.mark.parametrize(
    ("template", "words"),
    [("{% for %}", "it is not valid Jinja, in its line 1"), ("{{ raise_exception('system first') }}", "system first")],
)
def test_a_template_that_refuses_the_samples_fails(template: str, words: str) -> None:
    line = check_template(small_facts(template), None)

    assert line.status == "fail"
    assert words in line.value


def test_tokens_to_learn_are_counted(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    dataset, _ = check_dataset(run_file)

    encoded, lines = check_tokens(run_file, dataset, small_facts())

    assert encoded is not None
    assert [check.status for check in lines] == ["pass", "pass"]
    assert lines[0].value.startswith(f"{encoded.summary.train.supervised_tokens} of {encoded.summary.train.tokens} ")


def test_samples_with_all_labels_masked_fail(tmp_path: Path) -> None:
    run_file = make_run(tmp_path, data={"max_length": 16})
    (tmp_path / "train.jsonl").write_text(chat("Where? " * 40))
    dataset, _ = check_dataset(run_file)

    encoded, lines = check_tokens(run_file, dataset, small_facts())

    assert (encoded, [check.status for check in lines]) == (None, ["fail", "skip"])
    assert "1 sample(s) with nothing to learn within max_length 16: line 1" in lines[0].value
    assert lines[0].remedy.startswith("raise data.max_length")


def test_a_sample_of_forty_thousand_tokens_is_reported_with_its_line(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    (tmp_path / "train.jsonl").write_text(chat() + chat("Why?", "Z" * 40_000))
    dataset, _ = check_dataset(run_file)

    _, (_, line) = check_tokens(run_file, dataset, small_facts())

    assert line.status == "warn"
    assert line.value.startswith("1 sample is cut at 64 (")
    assert "the longest, training line 2, has 40," in line.value
    assert line.remedy == "split the long samples, or take them out"


def test_a_longer_sequence_is_proposed_where_the_base_model_holds_it(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    (tmp_path / "eval.jsonl").write_text(chat("Why?", "Z" * 200))
    dataset, _ = check_dataset(run_file)

    encoded, (_, line) = check_tokens(run_file, dataset, small_facts())

    assert encoded is not None
    assert "the longest, eval line 1, has" in line.value
    assert line.remedy.startswith(f"set data.max_length to {encoded.eval[0].total_tokens}, split")


def test_copies_are_worth_a_look(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    (tmp_path / "train.jsonl").write_text(chat() * 2)
    dataset, _ = check_dataset(run_file)

    _, (line, _) = check_tokens(run_file, dataset, small_facts())

    assert line.status == "warn"
    assert "1 training samples are copies of others" in line.value


def test_tokens_need_samples_and_a_base_model(tmp_path: Path) -> None:
    run_file = make_run(tmp_path)
    dataset, _ = check_dataset(run_file)

    without_samples = check_tokens(run_file, None, small_facts())
    without_model = check_tokens(run_file, dataset, None)

    assert [check.value for check in without_samples[1]] == ["needs the samples"] * 2
    assert [check.value for check in without_model[1]] == ["needs the base model"] * 2
