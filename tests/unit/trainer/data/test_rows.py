from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.data.message import TOOLS, Message, ToolCall
from trainer.data.rows import EMPTY_SYSTEM, UNANSWERED, RawSample, format_of, other_formats, sample_of
from trainer.data.sources.row import Row
from trainer.errors import EXIT_USAGE, DataError

CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
TURNS = (("user", "Why?"), ("assistant", "Because."))


def sample(values: dict[str, Any], wanted: str = "auto", ignored: frozenset[str] = frozenset()) -> RawSample:
    row = Row(Path("train.jsonl"), 7, values)
    return sample_of(row, format_of(row, wanted), ignored)


def read(values: dict[str, Any], wanted: str = "auto") -> tuple[str, tuple[tuple[str, str], ...]]:
    layout = format_of(Row(Path("train.jsonl"), 7, values), wanted)
    return layout, words(sample(values, wanted, other_formats(wanted)))


def words(raw: RawSample) -> tuple[tuple[str, str], ...]:
    return tuple((message.role, message.content) for message in raw.turns)


def refusal(values: dict[str, Any], wanted: str = "auto") -> DataError:
    with pytest.raises(DataError) as caught:
        read(values, wanted)
    assert caught.value.exit_code == EXIT_USAGE
    assert "\n" not in caught.value.message
    assert caught.value.resolution
    return caught.value


def chat(*turns: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("sample", "layout", "turns"),
    [
        (CHAT, "messages", TURNS),
        ({"id": 7, **CHAT, "prompt": "Why?"}, "messages", TURNS),
        (
            {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
            "messages",
            TURNS,
        ),
        ({"prompt": "Why?", "completion": "Because."}, "prompt_completion", TURNS),
        (
            {"prompt": CHAT["messages"][:1], "completion": CHAT["messages"][1:]},
            "prompt_completion",
            TURNS,
        ),
        ({"instruction": "Why?", "output": "Because."}, "alpaca", TURNS),
        ({"instruction": "Why?", "input": "", "output": "Because."}, "alpaca", TURNS),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Count."},
            "alpaca",
            (("system", "Count."), ("user", "Add.\n\n1 2"), ("assistant", "3")),
        ),
    ],
)
def test_the_format_is_found_by_looking(sample: Any, layout: str, turns: Any) -> None:
    assert read(sample) == (layout, turns)


@pytest.mark.parametrize("prompt", ["Why?", CHAT["messages"][:1], [{"type": "text", "text": "Why?"}]])
@pytest.mark.parametrize("completion", ["Because.", ["Because."], CHAT["messages"][1:]])
def test_prompt_and_completion_may_each_be_a_text_or_a_chat(prompt: Any, completion: Any) -> None:
    assert read({"prompt": prompt, "completion": completion}) == ("prompt_completion", TURNS)


def test_answers_within_a_prompt_are_in_the_context_only_unless_they_say_otherwise() -> None:
    prompt = [*CHAT["messages"], {"role": "user", "content": "And how?"}]
    weighted = [prompt[0], {**prompt[1], "weight": 1}, prompt[2]]

    learned = [
        [turn.learned for turn in sample({"prompt": turns, "completion": "So."}).turns if turn.role == "assistant"]
        for turns in (prompt, weighted)
    ]

    assert learned == [[False, True], [True, True]]


def test_lists_in_the_cells_of_a_table_are_read() -> None:
    assert read({"messages": json.dumps(CHAT["messages"])}) == ("messages", TURNS)
    assert read({"prompt": "Why?", "completion": "Because.", "history": ""}) == ("prompt_completion", TURNS)
    earlier = read({"prompt": "Why?", "completion": "Because.", "history": '[["a", "b"]]'})[1]
    assert earlier == (("user", "a"), ("assistant", "b"), *TURNS)


def test_an_answer_that_is_json_stays_the_text_that_it_is() -> None:
    assert read({"prompt": "Why?", "completion": '["a", "b"]'})[1] == (TURNS[0], ("assistant", '["a", "b"]'))


def test_an_input_stands_below_its_instruction_whatever_form_both_have() -> None:
    parts = [{"type": "text", "text": "Add."}]

    assert read({"instruction": parts, "input": "1 2", "output": "3"})[1][0] == ("user", "Add.\n\n1 2")
    assert read({"instruction": "", "input": ["1 2"], "output": "3"})[1][0] == ("user", "1 2")


def test_words_are_kept_as_they_are() -> None:
    turns = (("system", " Be kind. "), ("user", "\tWhy?\n"), ("assistant", "é\n\n日本🙂 "))

    assert read(chat(*turns))[1] == turns


def test_a_sample_keeps_its_line() -> None:
    assert sample_of(Row(Path("train.jsonl"), 7, CHAT), "messages").line == 7


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"text": "Why?"}, "does not fit any known format (keys: text)"),
        ({"messages": "Why?"}, "messages is a JSON string, not a list"),
        ({"messages": ["Why?"]}, "turn 1 is a JSON string, not an object"),
        ({"messages": [*CHAT["messages"], {"role": "assistant", "content": "x", "mood": "good"}]},
         "turn 3 has a key that is not supported: mood"),
        (chat(("user", "a"), ("narrator", "b")), "turn 2 has the role 'narrator'"),
        ({"messages": [{"content": "a"}]}, "turn 1 has no `role`"),
        ({"messages": [{"speaker": "user", "content": "a"}]}, "turn 1 has no `role`, but speaker"),
        (chat(("user", "a"), (1, "b")), "turn 2 has the role 1"),
        (chat(("system", "a"), ("user", "b")), "has no assistant turn: nothing would be learned"),
        ({"messages": []}, "has no assistant turn: nothing would be learned"),
        (chat(("user", " \n"), ("assistant", "b")), "turn 1 is empty"),
        ({"prompt": "a", "completion": ""}, "turn 2 is empty"),
        (chat(("user", [{"type": "text"}]), ("assistant", "b")), "turn 1 has a text part without a text"),
        ({"messages": [{"role": "user", "text": "a"}]}, "turn 1 has no `content`, but text"),
        ({"instruction": "a", "input": 3, "output": "b"}, "turn 1 has a JSON number as content, not text"),
        ({"prompt": "a", "completion": ["b", "c"]}, "has 2 texts as `completion`"),
        ({"instruction": ["a", "b"], "output": "c"}, "has 2 texts as `instruction`"),
        ({"prompt": "a", "completion": "b", "history": [["c", ["d", "e"]]]}, "has 2 texts as `history`"),
        ({"instruction": "a", "output": 3}, "turn 2 has a JSON number as content, not text"),
        ({"prompt": {"a": 1}, "completion": "b"}, "turn 1 has a JSON object as content, not text"),
        (chat(("user", "a"), ("assistant", None)), "turn 2 has a JSON null as content, not text"),
        ({"prompt": "\ud83d", "completion": "b"}, "turn 1 holds half of a surrogate pair (\\ud83d)"),
    ],
)  # fmt: skip
def test_broken_sample_is_refused_by_its_line(values: dict[str, Any], problem: str) -> None:
    assert refusal(values).message == f"data: train.jsonl:7 {problem}"


def test_format_that_was_asked_for_must_fit() -> None:
    assert refusal(CHAT, "alpaca").message == "data: train.jsonl:7 does not fit the format alpaca (keys: messages)"
    assert read(CHAT, "messages")[0] == "messages"


def test_format_that_was_asked_for_wins_over_others_that_fit() -> None:
    turns = read({**CHAT, "prompt": "How?", "completion": "So."}, "prompt_completion")[1]

    assert turns == (("user", "How?"), ("assistant", "So."))


def assistant(**keys: Any) -> dict[str, Any]:
    """Return a sample with two answers, of which the first has these keys."""
    return {
        "messages": [
            {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", **keys},
            {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"},
        ]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "learned"),
    [
        ({"weight": 0}, False), ({"weight": 1}, True), ({"weight": 0.0}, False), ({"loss_weight": 0}, False),
        ({"train": False}, False), ({"train": True}, True), ({"trainable": 0}, False), ({"masked": True}, False),
        ({"masked": False}, True), ({"mask": 1}, False), ({"weight": 0, "masked": True, "train": False}, False),
        ({"weight": None}, True), ({"loss": False}, False), ({"loss": True}, True), ({}, True),
    ],
)  # fmt: skip
def test_key_of_a_turn_says_whether_it_is_learned(keys: dict[str, Any], learned: bool) -> None:
    assert [message.learned for message in sample(assistant(**keys)).turns] == [True, learned, True, True]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"weight": 0.5}, "turn 2 has `weight: 0.5`"),
        ({"weight": 2}, "turn 2 has `weight: 2`"),
        ({"weight": -1}, "turn 2 has `weight: -1`"),
        ({"loss_weight": "0"}, 'turn 2 has `loss_weight: "0"`'),
        ({"mask": [0]}, "turn 2 has `mask: [0]`"),
        ({"weight": 1, "masked": True}, "turn 2 has keys that disagree: weight, masked"),
        ({"train": True, "trainable": False}, "turn 2 has keys that disagree: train, trainable"),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 1, "train": False}]},
         "turn 2 has `train_detail`: parts of a turn cannot be left out of what is learned"),
    ],
)  # fmt: skip
def test_weight_that_is_neither_nought_nor_one_is_a_bad_line(keys: dict[str, Any], problem: str) -> None:
    assert refusal(assistant(**keys)).message == f"data: train.jsonl:7 {problem}"


def test_weight_of_another_role_is_ignored_if_nought_and_refused_if_one() -> None:
    ignored = {"messages": [{"role": "user", "content": "a", "weight": 0}, {"role": "assistant", "content": "b"}]}
    refused = {"messages": [{"role": "user", "content": "a", "train": True}, {"role": "assistant", "content": "b"}]}

    assert [message.learned for message in sample(ignored).turns if message.role == "assistant"] == [True]
    assert refusal(refused).message == "data: train.jsonl:7 turn 1 (user) is to be learned by its key `train`"


@pytest.mark.parametrize(
    "beside",
    [
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        CHAT,
        {"prompt": "Why?", "completion": "Because."},
        {"prompt": CHAT["messages"][:1], "completion": CHAT["messages"][1:]},
        {"instruction": "Why?", "output": "Because."},
    ],
)
@pytest.mark.parametrize("key", ["system", "system_prompt"])
def test_system_text_beside_the_turns_becomes_the_system_turn(beside: dict[str, Any], key: str) -> None:
    assert words(sample({**beside, key: "Be kind."})) == (("system", "Be kind."), *TURNS)
    assert words(sample({**beside, key: ""})) == words(sample({**beside, key: " \n"})) == TURNS


def test_system_text_beside_a_system_turn_counts_once_or_is_a_bad_line() -> None:
    own = chat(("system", "Be kind."), *TURNS)

    assert words(sample({**own, "system": "Be kind."})) == (("system", "Be kind."), *TURNS)
    assert refusal({**own, "system": "Be short."}).message == (
        "data: train.jsonl:7 has a system text beside a system turn that says something else"
    )


def test_history_becomes_earlier_turns() -> None:
    earlier = (("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2"))
    history = {"history": [["q1", "a1"], ["q2", "a2"]]}

    assert words(sample({"instruction": "Why?", "output": "Because.", **history})) == (*earlier, *TURNS)
    assert words(sample({"prompt": "Why?", "completion": "Because.", "system": "s", **history})) == (
        ("system", "s"), *earlier, *TURNS
    )  # fmt: skip
    assert words(sample({"instruction": "Why?", "output": "Because.", "history": []})) == TURNS


@pytest.mark.parametrize("history", ["q", ["q"], [["q"]], [["q", "a", "b"]], {"q": "a"}])
def test_history_that_is_no_list_of_pairs_is_a_bad_line(history: Any) -> None:
    assert "`history`" in refusal({"instruction": "Why?", "output": "Because.", "history": history}).message


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("label", False, "preference data"), ("label", 0, "preference data"), ("label", "joy", "label 'joy'"),
        ("chosen", "x", "preference data"), ("rejected", "x", "preference data"), ("score", 0.9, "preference data"),
        ("rating", 1, "preference data"), ("images", ["a.png"], "not supported"), ("image", "a.png", "not supported"),
        ("videos", ["a"], "not supported"), ("audio", {"path": "a"}, "not supported"),
        ("history", [["q", "a"]], "not used: history"), ("quality", 3, "not used: quality"),
        ("completion", "something else", "not used: completion"), ("weight", 0, "not used: weight"),
        ("train_detail", [1], "not used: train_detail"), ("criteria", [{"name": "f"}], "not used: criteria"),
    ],
)  # fmt: skip
def test_key_that_changes_what_is_to_be_learned_is_refused_by_name(key: str, value: Any, kind: str) -> None:
    error = refusal({**CHAT, key: value})

    assert key in error.message
    assert kind in error.message


@pytest.mark.parametrize("values", [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"images": ["a"], "caption": "b"}])
def test_sample_of_another_kind_of_training_is_named_for_what_it_is(values: dict[str, Any]) -> None:
    assert any(words in refusal(values).message for words in ("preference data", "not supported"))


@pytest.mark.parametrize(
    ("values", "unused"),
    [
        ({"id": 7, "source": "web", "__index_level_0__": 3}, ("id", "source", "__index_level_0__")),
        ({"label": True}, ("label",)),
        ({"text": "### Question\nWhy?\n### Answer\nBecause."}, ("text",)),
        ({"prompt": "Why?", "prompt_id": "x"}, ("prompt", "prompt_id")),
        ({"images": [], "score": None, "category": ""}, ()),
        ({"weight": 1.0, "train": True, "masked": False}, ()),
        ({"Unnamed: 0": 3, "Unnamed: 0.1": "3"}, ("Unnamed: 0", "Unnamed: 0.1")),
    ],
)
def test_harmless_keys_are_listed(values: dict[str, Any], unused: tuple[str, ...]) -> None:
    raw = sample({**CHAT, **values})

    assert (words(raw), raw.unused) == (TURNS, unused)


def test_key_that_is_ignored_on_purpose_is_listed_too() -> None:
    raw = sample({**assistant(mood="good"), "quality": 3, "score": 1}, ignored=frozenset({"mood", "quality", "score"}))

    assert raw.unused == ("quality", "score", "mood")


@pytest.mark.parametrize("question", ["<image>What is this?", [{"type": "text", "text": "What is <image>?"}]])
def test_mark_of_a_picture_in_a_question_is_refused(question: Any) -> None:
    assert "<image>" in refusal(chat(("user", question), ("assistant", "A box."))).message


def test_text_parts_are_joined_and_other_parts_refused_by_name() -> None:
    parts = [{"type": "text", "text": "Why"}, "?"]
    picture = [*parts, {"type": "image_url", "image_url": {"url": "a"}}]

    assert words(sample(chat(("user", parts), ("assistant", [{"type": "text", "text": "Because."}])))) == TURNS
    assert refusal(chat(("user", picture), ("assistant", "b"))).message == (
        "data: train.jsonl:7 turn 1 has a part that is not text: image_url"
    )


def test_roles_have_the_names_that_people_give_them() -> None:
    turns = [("developer", "s"), (" Human ", "a"), ("chatgpt", "b"), ("USER", "c"), ("model", "d")]

    assert [role for role, _ in words(sample(chat(*turns)))] == ["system", "user", "assistant", "user", "assistant"]


def test_empty_system_turn_counts_as_none_and_is_counted() -> None:
    raw = sample(chat(("system", " "), *TURNS))

    assert (words(raw), raw.remarks) == (TURNS, (EMPTY_SYSTEM,))


def test_turns_without_an_answer_at_the_end_are_cut_and_counted() -> None:
    raw = sample(chat(*TURNS, ("user", "Thanks!"), ("user", "Hello?")))

    assert (words(raw), raw.remarks) == (TURNS, (UNANSWERED,))


@pytest.mark.parametrize(
    "turns",
    [
        (("assistant", "Hello."), ("user", "a"), ("assistant", "b")),
        (("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d")),
        (("system", "a"), ("assistant", "b")),
        (("user", "a"), ("assistant", "b"), ("system", "c"), ("user", "d"), ("assistant", "e")),
    ],
)
def test_order_of_the_roles_is_left_to_the_template(turns: tuple[tuple[str, str], ...]) -> None:
    assert words(sample(chat(*turns))) == turns


CALLING = {
    "tools": [{"name": "look", "parameters": {}}],
    "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"city": "Ems"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "wet"},
        {"role": "assistant", "content": "Wet.", "reasoning_content": "I looked."},
    ],
}  # fmt: skip
OFFERED = '[{"type": "function", "function": {"name": "look", "parameters": {}}}]'
LOOK = ToolCall("look", '{"city": "Ems"}', "c1")


def test_tools_calls_and_thoughts_are_read() -> None:
    assert sample(CALLING).turns == (
        Message(TOOLS, OFFERED),
        Message("user", "Weather?"),
        Message("assistant", "", calls=(LOOK,)),
        Message("tool", "wet", name="look", call_id="c1"),
        Message("assistant", "Wet.", thought="I looked."),
    )


def test_tools_and_calls_may_be_json_text_and_calls_may_be_turns_of_their_own() -> None:
    turns = [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"city": "Ems"}}'},
        {"from": "observation", "value": "wet"},
        {"from": "gpt", "value": "Wet."},
    ]

    raw = sample({"conversations": turns, "tools": '[{"name": "look", "parameters": {}}]'})

    assert raw.turns[0] == Message(TOOLS, OFFERED)
    assert raw.turns[2] == Message("assistant", "", calls=(ToolCall("look", '{"city": "Ems"}'),))
    assert raw.turns[3] == Message("tool", "wet")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"tools": "[{"}, "has `tools` that are not valid JSON"),
        ({"tools": [{"description": "x"}]}, "has `tools` of which one has no name"),
        ({"tools": {"name": "x"}}, "has `tools` of which one has no name"),
        (assistant(tool_calls=[{"function": {}}]), "turn 2 has a call without the name of a tool"),
        (assistant(tool_calls={"name": "f"}), "turn 2 has `tool_calls` that are no list"),
        (assistant(tool_calls=[{"name": "f", "arguments": "{"}]), "turn 2 has a call that is not valid JSON"),
        (assistant(tool_calls=[{"name": "f", "arguments": [1]}]),
         "turn 2 calls 'f' with arguments that are a JSON list, not an object"),
        (assistant(thinking="a", reasoning="b"), "turn 2 (assistant) has two different thoughts"),
        (assistant(content="<think>a</think>b", reasoning="c"),
         "turn 2 has one thought in its content and another beside it"),
        ({"messages": [{"role": "user", "content": "a", "thinking": "b"}, CHAT["messages"][1]]},
         "turn 1 (user) has a thought"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [{"name": "f"}]}, CHAT["messages"][1]]},
         "turn 1 (user) has `tool_calls`"),
        (assistant(images=["a.png"]), "has `images`, which is not supported"),
        (assistant(score=3), "turn 2 has `score`: preference data, which DPO or KTO learn from"),
    ],
)  # fmt: skip
def test_broken_tools_calls_and_thoughts_are_refused_by_name(values: dict[str, Any], problem: str) -> None:
    assert refusal({**CHAT, **values}).message == f"data: train.jsonl:7 {problem}"


def test_a_thought_that_stands_in_the_content_as_well_counts_once() -> None:
    turns = sample({**CHAT, **assistant(content="<think>\na\n</think>\n\nb", reasoning_content=" a")}).turns

    assert turns[1] == Message("assistant", "<think>\na\n</think>\n\nb")


def test_null_columns_count_as_absent() -> None:
    columns = {"messages": None, "conversations": None, "score": None, "system": None, "history": None, "input": None}

    assert read({**columns, "instruction": "Why?", "output": "Because."}) == ("alpaca", TURNS)
