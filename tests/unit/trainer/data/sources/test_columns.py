from __future__ import annotations

import pytest

from trainer.data.sources.columns import columns_hint, renamed


def test_columns_get_the_names_that_are_known_and_null_ones_are_absent() -> None:
    values, replaced = renamed(
        {"question": "1+1?", "answer": "2", "id": 7, "system": None, "output": None},
        {"prompt": "question", "completion": "answer", "input": "missing"},
    )

    assert values == {"id": 7, "prompt": "1+1?", "completion": "2"}
    assert replaced == []


def test_a_column_that_another_one_replaces_is_named() -> None:
    assert renamed({"prompt": "a", "question": "b"}, {"prompt": "question"}) == ({"prompt": "b"}, ["prompt"])
    assert renamed({"prompt": None, "question": "b"}, {"prompt": "question"}) == ({"prompt": "b"}, [])


def test_two_columns_may_change_places() -> None:
    swapped = renamed({"prompt": "a", "completion": "b"}, {"prompt": "completion", "completion": "prompt"})

    assert swapped == ({"prompt": "b", "completion": "a"}, [])


def test_one_column_may_have_two_meanings() -> None:
    assert renamed({"text": "a"}, {"prompt": "text", "completion": "text"})[0] == {"prompt": "a", "completion": "a"}


@pytest.mark.parametrize(
    ("names", "prompt", "completion"),
    [
        (("question", "answer"), "question", "answer"),
        (("id", "Question", "Answer"), "Question", "Answer"),
        (("instruction", "response"), "instruction", "response"),
        (("input", "output"), "input", "output"),
        (("problem", "solution"), "problem", "solution"),
        (("query", "response", "source"), "query", "response"),
    ],
)
def test_a_hint_names_the_columns_that_seem_meant(names: tuple[str, ...], prompt: str, completion: str) -> None:
    assert columns_hint(names) == f"set `data.columns: {{prompt: {prompt}, completion: {completion}}}`"


@pytest.mark.parametrize(
    ("names", "prompt", "context", "completion"),
    [
        (("instruction", "context", "response", "category"), "instruction", "context", "response"),
        (("Question", "Context", "Answer"), "Question", "Context", "Answer"),
        (("instruction", "input", "response"), "instruction", "input", "response"),
    ],
)
def test_a_hint_names_the_text_that_a_question_is_about(
    names: tuple[str, ...], prompt: str, context: str, completion: str
) -> None:
    named = f"{{instruction: {prompt}, input: {context}, output: {completion}}}"
    assert columns_hint(names) == f"set `data.columns: {named}`"


@pytest.mark.parametrize("names", [("text",), ("question",), ("answer",), (), ("input", "label")])
def test_there_is_no_hint_where_nothing_seems_meant(names: tuple[str, ...]) -> None:
    assert columns_hint(names) is None
