from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.trainer.data.families import SEVEN
from tests.unit.trainer.small_facts import small_facts
from trainer.data.message import Message
from trainer.data.shown import LONGEST_PART, PARTS, Part, ShownSample, show_sample, shown_text, visible

CHAT = (Message("user", "Why?"), Message("assistant", "Because."))
PARTS_OF_CHAT = (
    Part("<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n", learned=False),
    Part("Because.<|im_end|>", learned=True),
    Part("\n", learned=False),
)


def show(chat: tuple[Message, ...], **options: Any) -> ShownSample:
    return show_sample(7, chat, small_facts(), **{"max_length": 512, "assistant_only": True, **options})


def test_parts_of_a_sample_are_what_is_learned_and_what_is_not() -> None:
    assert show(CHAT) == ShownSample(7, PARTS_OF_CHAT)


def test_turn_that_is_not_learned_is_no_part_of_its_own() -> None:
    chat = (SEVEN["two"][0], replace(SEVEN["two"][1], learned=False), *SEVEN["two"][2:])

    assert [part.text for part in show(chat).parts if part.learned] == ["A2.<|im_end|>"]


def test_what_is_cut_is_not_shown() -> None:
    whole, cut = show(CHAT), show(CHAT, max_length=12)

    text = "".join(part.text for part in cut.parts)
    assert len(text) < len("".join(part.text for part in whole.parts))
    assert "".join(part.text for part in whole.parts).startswith(text)


def test_everything_is_one_part_where_everything_is_learned() -> None:
    assert [part.learned for part in show(CHAT, assistant_only=False).parts] == [True]


def test_long_parts_lose_their_middle_and_many_turns_their_rest() -> None:
    long = show((CHAT[0], Message("assistant", "a" * 5000)), max_length=9000)
    many = show(CHAT * 40, max_length=9000)

    assert all(len(part.text) < LONGEST_PART + 40 for part in long.parts)
    assert f"{5010 - LONGEST_PART:,} characters" in long.parts[1].text
    assert len(many.parts) == PARTS


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\n\ttext é日🙂", "plain\n\ttext é日🙂"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("a\rb\x00", "a\\x0db\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\U000f5e05", "\\U000f5e05"),
    ],
)
def test_what_would_steer_a_terminal_is_shown_as_an_escape(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_hostile_words_reach_no_terminal() -> None:
    hostile = show((Message("user", "\x1b[31mred\u202e"), Message("assistant", "\x1b]52;c;b3duZWQ=\x07")))

    assert "\x1b" not in shown_text([hostile], colour=False)
    assert "\x1b]" not in shown_text([hostile], colour=True)


def test_what_is_learned_stands_between_marks() -> None:
    assert shown_text([ShownSample(7, PARTS_OF_CHAT)], colour=False).splitlines() == [
        "What is learned, between [[ and ]], of the first training samples",
        "line 7",
        "  <|im_start|>user",
        "  Why?<|im_end|>",
        "  <|im_start|>assistant",
        "  [[Because.<|im_end|>]]",
        "  ",
    ]


def test_on_a_terminal_each_line_that_is_learned_is_green_by_itself() -> None:
    sample = ShownSample(1, (Part("Why? ", learned=False), Part("One.\nTwo.\nThree.", learned=True)))

    assert shown_text([sample], colour=True).splitlines()[2:] == [
        "  Why? \x1b[32mOne.\x1b[0m",
        "  \x1b[32mTwo.\x1b[0m",
        "  \x1b[32mThree.\x1b[0m",
    ]


def test_no_line_is_wider_than_the_page() -> None:
    sample = ShownSample(1, tuple(Part("word " * 60 + "x" * 150, learned=bool(number % 2)) for number in range(4)))

    assert max(len(line) for line in shown_text([sample], colour=False).splitlines()) <= 100


def test_samples_outlive_plain_data() -> None:
    sample = show(CHAT)

    assert ShownSample.from_mapping(json.loads(json.dumps(sample.to_mapping()))) == sample
