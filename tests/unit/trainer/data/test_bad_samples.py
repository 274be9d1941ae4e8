"""Samples that cannot be used: all in one error, or left out and counted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.config.sections import DataSection
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.errors import BaseModelError, DataError

TEMPLATE = CHATML + "{% if '7' in messages[0].content %}{{ raise_exception('no sevens') }}{% endif %}"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))


def good(number: int) -> dict[str, str]:
    return {"prompt": f"What is {number}?", "completion": f"It is {number}."}


def bad(number: int) -> dict[str, str]:
    return {"prompt": f"What is {number}?", "completion": ""}


def write(path: Path, *samples: Any) -> str:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in samples))
    return str(path)


def section(folder: Path, train: list[Any], held_out: list[Any], **keys: Any) -> DataSection:
    return DataSection(
        train_path=write(folder / "train.jsonl", *train), eval_path=write(folder / "eval.jsonl", *held_out), **keys
    )


def encoded(data: DataSection, template: str = CHATML) -> EncodedDataset:
    return encode(load_dataset(data, 1), small_facts(template), data)


def listed(text: str) -> list[str]:
    found = re.search(r"listed in (\S+\.txt)\)", text)
    assert found is not None
    return Path(found[1]).read_text().splitlines()


def test_one_bad_sample_has_its_own_words(tmp_path: Path) -> None:
    data = section(tmp_path, [good(1), bad(2)], [good(3)])

    with pytest.raises(DataError) as caught:
        load_dataset(data, 1)

    assert caught.value.message == f"data: {data.train_path}:2 turn 2 is empty"
    assert caught.value.resolution == "fill the turn, or take the sample out"


def test_all_bad_samples_of_both_splits_are_named_in_one_go(tmp_path: Path) -> None:
    train = [good(1), *(bad(n) for n in range(2, 8)), "{half", '{"id": ' + "9" * 5000 + "}"]
    data = section(tmp_path, train, [good(10), bad(11)])

    with pytest.raises(DataError) as caught:
        load_dataset(data, 1)

    error = caught.value
    assert error.message == f"data: 9 of 11 samples cannot be used; the first: {data.train_path}:2 turn 2 is empty"
    assert error.details == "\n".join(f"{data.train_path}:{n} turn 2 is empty" for n in range(2, 7))
    assert "data.on_bad_sample: skip" in error.resolution
    assert listed(error.resolution) == [
        *(f"{data.train_path}:{n} turn 2 is empty" for n in range(2, 8)),
        f"{data.train_path}:8 is not valid JSON at column 2: Expecting property name enclosed in double quotes",
        f"{data.train_path}:9 holds a number of too many digits to be read",
        f"{data.eval_path}:2 turn 2 is empty",
    ]


def test_bad_samples_are_left_out_where_the_run_file_says_so(tmp_path: Path) -> None:
    train = [good(1), *(bad(n) for n in range(2, 8)), good(8), "{half"]
    data = section(tmp_path, train, [good(10), bad(11)], on_bad_sample="skip")

    result = encoded(data)

    summary = result.summary
    assert [sample.line for sample in result.dataset.train] == [1, 8]
    assert (len(result.train), len(result.eval)) == (2, 1)
    assert (summary.left_out.bad, summary.left_out.eval_bad) == (7, 1)
    assert len(listed(summary.warnings[0])) == 7
    assert summary.warnings[0].startswith(
        "7 of 9 training samples cannot be used and are left out: line 2, 3, 4, 5, 6 and 2 more (all are listed in "
    )
    assert summary.warnings[1] == "1 of 2 eval samples cannot be used and are left out: line 2"


@pytest.mark.parametrize("policy", ["refuse", "skip"])
def test_a_split_of_bad_samples_alone_is_refused(tmp_path: Path, policy: Any) -> None:
    data = section(tmp_path, [good(1)], [bad(2), bad(3)], on_bad_sample=policy)

    with pytest.raises(DataError, match="2 of 3 samples cannot be used"):
        load_dataset(data, 1)


def test_samples_that_the_template_refuses_are_named_in_one_go(tmp_path: Path) -> None:
    data = section(tmp_path, [good(1), good(7), good(17)], [good(70), good(2)])

    with pytest.raises(BaseModelError) as caught:
        encoded(data, TEMPLATE)

    assert caught.value.message == (
        f"data: 3 of 5 samples cannot be used; the first: {data.train_path}:2 chat template: it refuses these "
        "messages: no sevens"
    )
    assert len(listed(caught.value.resolution)) == 3


def test_samples_that_the_template_refuses_are_left_out_where_the_run_file_says_so(tmp_path: Path) -> None:
    data = section(tmp_path, [good(1), good(7), good(2)], [good(70), good(3)], on_bad_sample="skip")

    result = encoded(data, TEMPLATE)

    texts = [small_facts().tokenizer.decode(sample.input_ids) for sample in result.train]
    assert [f"What is {n}?" in text for n, text in zip((1, 2), texts, strict=True)] == [True, True]
    assert [sample.line for sample in result.dataset.eval] == [2]
    assert (result.summary.left_out.bad, result.summary.left_out.eval_bad) == (1, 1)


def test_a_template_that_refuses_a_whole_split_is_no_matter_of_samples(tmp_path: Path) -> None:
    data = section(tmp_path, [good(1)], [good(7)], on_bad_sample="skip")

    with pytest.raises(BaseModelError, match="no sevens"):
        encoded(data, TEMPLATE)


def test_a_file_keeps_one_format_unless_any_is_asked_for(tmp_path: Path) -> None:
    mixed = [good(1), {"instruction": "Add.", "output": "3"}, good(2)]
    data = section(tmp_path, mixed, [good(3)])

    with pytest.raises(DataError) as caught:
        load_dataset(data, 1)

    assert caught.value.message == (
        f"data: {data.train_path}:2 is in the format alpaca, but the lines before are prompt_completion"
    )
    dataset = load_dataset(data.model_copy(update={"format": "any"}), 1)
    assert (len(dataset.train), dataset.format) == (3, "prompt_completion + alpaca")


def test_a_list_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "file"))

    with pytest.raises(DataError, match=r"2 of 4 samples cannot be used") as caught:
        load_dataset(section(tmp_path, [good(1), bad(2), bad(3)], [good(4)]), 1)

    assert caught.value.resolution.startswith("mend them, or set")


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (r'{"prompt": "a\u0000b", "completion": "c"}',
         "1 training samples hold NUL or other control characters, which are learned as they stand: line 2"),
        ('{"prompt": "a\x9fb", "completion": "c"}',
         "1 training samples hold NUL or other control characters, which are learned as they stand: line 2"),
        ('{"prompt": "caf\ufffd", "completion": "c"}',
         "1 training samples hold U+FFFD (\ufffd), which stands for characters that were lost before: line 2"),
        ('{"prompt": "a", "completion": "b", "completion": "c"}',
         "1 training samples have a key twice, of which the last one counts: line 2"),
    ],
    ids=["nul", "c1", "u+fffd", "key twice"],
)  # fmt: skip
def test_what_is_odd_in_a_row_is_a_warning(tmp_path: Path, line: str, warning: str) -> None:
    summary = encoded(section(tmp_path, [good(1), line, good(2)], [good(3)])).summary

    assert summary.warnings == (warning,)


def test_what_only_looks_odd_is_no_warning(tmp_path: Path) -> None:
    fine = {"prompt": "a\\u0000 \\b \\f C:\\u0010", "completion": "tab\t line\r\nnext\u0085 \u2028 é"}

    assert encoded(section(tmp_path, [good(1), fine], [good(3)])).summary.warnings == ()


def test_a_column_that_no_file_has_is_refused(tmp_path: Path) -> None:
    data = section(tmp_path, [{"question": "a", "answer": "b"}], [good(3)], columns={"prompt": "quesion"})

    with pytest.raises(DataError) as caught:
        load_dataset(data, 1)

    assert (
        caught.value.message == f"data: data.columns names the column 'quesion', which {data.train_path} does not have"
    )
    assert caught.value.resolution == "name columns that are there: question, answer, prompt, completion"


def test_columns_that_are_named_are_read(tmp_path: Path) -> None:
    data = section(
        tmp_path,
        [{"question": "a", "answer": "b", "completion": "old"}],
        [{"question": "c", "answer": "d"}],
        columns={"prompt": "question", "completion": "answer"},
    )

    result = encoded(data)

    assert [message.content for message in result.dataset.train[0].messages] == ["a", "b"]
    assert result.summary.warnings == (
        "1 training samples have a column that data.columns replaces by another one: line 1",
    )


def test_a_file_of_unknown_columns_gets_the_hint_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(section(tmp_path, [{"question": "a", "answer": "b"}], [good(3)]), 1)

    assert caught.value.resolution == "set `data.columns: {prompt: question, completion: answer}`"
