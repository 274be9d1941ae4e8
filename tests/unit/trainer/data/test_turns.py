from __future__ import annotations

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.data.families import CALL, FAMILIES, ONE, SEVEN, TWO, family_facts, texts_of
from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.data import rendering
from trainer.data.chat import mask_chat
from trainer.data.message import Message
from trainer.errors import BaseModelError

QUESTION = Message("user", "What is the answer?")
SPECIAL = re.compile(r"<\|[^\s<>|]{1,40}\|>|<｜[^\s<>｜]{1,40}｜>|<(?:start|end)_of_[a-z]+>")
REWRITING = (
    "{% for message in messages %}{{ message.content | replace('A', '|') }}"
    "{% if message.role == 'assistant' %}|{% endif %}{% endfor %}"
)


def count_renderings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that gets an entry for each rendering from now on."""
    found: list[object] = []
    compiled = rendering._compile

    def counted(*arguments: Any) -> Any:
        found.append(arguments)
        return compiled(*arguments)

    monkeypatch.setattr(rendering, "_compile", counted)
    return found


def with_markers(family: str) -> str:
    """Return a family's template with markers around the words and the end token of the assistant."""
    learned = re.compile(rf"( ~ |{{{{- )(m\.content(?: \| trim)?) ~ '({re.escape(FAMILIES[family].end)})")
    turn = "{{- \\2 ~ '\\3' -}}"
    both = (
        "{%- if m.role == 'assistant' -%}{%- generation -%}TURN{%- endgeneration -%}{%- else -%}TURN{%- endif -%}{{- '"
    )

    def marked(found: re.Match[str]) -> str:
        closing = " -}}" if found[1] == " ~ " else ""
        return closing + found.expand(both.replace("TURN", turn))

    template, count = learned.subn(marked, FAMILIES[family].template)
    assert count == 1
    return template


@pytest.mark.parametrize("chat", SEVEN)
@pytest.mark.parametrize("family", FAMILIES)
def test_learned_are_the_words_of_the_assistant_in_every_family(family: str, chat: str) -> None:
    facts, wanted = family_facts(family), FAMILIES[family].learned(chat)
    if isinstance(wanted, str):
        with pytest.raises(BaseModelError) as caught:
            mask_chat(SEVEN[chat], facts, assistant_only=True)
        assert wanted in caught.value.message
        return

    masked = mask_chat(SEVEN[chat], facts, assistant_only=True)

    assert [masked.text[start:end] for start, end in masked.spans] == wanted


@pytest.mark.parametrize("chat", ["one", "two", "system", "tags"])
@pytest.mark.parametrize("family", ["ChatML", "Llama 3", "Phi-3", "Phi-3.5", "Gemma 3"])
def test_learned_is_what_generation_markers_say_where_a_template_has_them(family: str, chat: str) -> None:
    facts, end = family_facts(family), FAMILIES[family].end
    marked = replace(facts, chat_template=with_markers(family))

    by_difference, by_markers = (mask_chat(SEVEN[chat], one, assistant_only=True) for one in (facts, marked))

    assert by_markers.text == by_difference.text
    assert by_markers.spans == by_difference.spans
    assert by_markers.text[slice(*by_markers.spans[-1])].endswith(end)


def ours_and_theirs(name: str, chat: str) -> tuple[list[str], list[str]]:
    """Return what is learned of a chat with a template that TRL ships, and what the markers in its twin say."""
    folder = Path(str(find_spec("trl").origin)).parent / "chat_templates"  # type: ignore[union-attr]
    marked = (folder / f"{name}_training.jinja").read_text(encoding="utf-8")
    plain = (folder / f"{name}.jinja").read_text(encoding="utf-8")
    special = tuple(dict.fromkeys(SPECIAL.findall(plain)))
    facts = small_facts(plain, special_tokens=special, eos_token="<eos>", bos_token="<bos>")

    ours = mask_chat(SEVEN[chat], facts, assistant_only=True)
    theirs = mask_chat(SEVEN[chat], replace(facts, chat_template=marked), assistant_only=True)

    assert ours.text == theirs.text
    return texts_of(ours), texts_of(theirs)


@pytest.mark.parametrize("name", ["llama3", "deepseekv3", "gptoss", "gemma3", "phi3", "qwen2_5", "cohere"])
def test_learned_agrees_with_the_markers_in_templates_of_another_trainer(name: str) -> None:
    """They differ from ours in the header and the line after a turn only, and Phi-3's end of the text is one more."""
    ours, theirs = ours_and_theirs(name, "two")

    assert len(ours) == 2
    assert all(
        there.rstrip().removesuffix("<|endoftext|>").rstrip().endswith(here)
        for here, there in zip(ours, theirs, strict=False)
    )


@pytest.mark.parametrize(
    ("name", "chat"),
    [
        *((name, "call") for name in ("qwen2_5", "qwen3_instruct_2507", "qwen3_vl", "lfm2_v2")),
        *((name, chat) for name in ("qwen3_5_think", "qwen3_6") for chat in ("call", "thought call")),
        *(
            (name, chat)
            for name in ("gptoss", "qwen3_8", "nemotron_3_nano", "muse_glimmer")
            for chat in ("thoughts", "call", "thought call")
        ),
        ("qwen3", "thought call"),
    ],
)
def test_calls_and_thoughts_agree_with_the_markers_in_templates_of_another_trainer(name: str, chat: str) -> None:
    ours, theirs = ours_and_theirs(name, chat)

    assert len(ours) == 2
    assert all(there.rstrip().endswith(here) for here, there in zip(ours, theirs, strict=True))
    said = ("T2.", "A2.") if chat == "thoughts" else ("look", "Ems")
    assert all(word in ours[1 if chat == "thoughts" else 0] for word in said)


def test_chat_of_two_thousand_turns_is_masked_with_two_renderings(monkeypatch: pytest.MonkeyPatch) -> None:
    renderings = count_renderings(monkeypatch)
    facts = small_facts()
    mask_chat(TWO, facts, assistant_only=True)  # what is asked of a template once
    renderings.clear()

    masked = mask_chat(ONE * 1000, facts, assistant_only=True)

    assert [masked.text[start:end] for start, end in masked.spans] == ["A1.<|im_end|>"] * 1000
    assert len(renderings) == 2


def test_chats_of_one_form_are_rendered_with_stand_ins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    renderings = count_renderings(monkeypatch)
    facts = small_facts()
    mask_chat(TWO, facts, assistant_only=True)
    renderings.clear()

    same, other = ((QUESTION, Message("assistant", words)) * 2 for words in ("Other words.", "  Other words."))
    masked = [mask_chat(chat, facts, assistant_only=True) for chat in (same, other)]

    assert [texts_of(one) for one in masked] == [["Other words.<|im_end|>"] * 2, ["  Other words.<|im_end|>"] * 2]
    assert len(renderings) == 1 + 2  # white space around words is another form: templates look at it


def test_what_a_template_drops_of_a_form_is_refused_each_time() -> None:
    facts = small_facts("{% for m in messages if m.role != 'system' %}{{ m.content }}<|im_end|>{% endfor %}")
    chats = [(Message("system", words), QUESTION, Message("assistant", words)) for words in ("One.", "Two.")]

    for chat in chats:
        with pytest.raises(BaseModelError, match=r"leaves out turn 1 \(system\)"):
            mask_chat(chat, facts, assistant_only=True)


def test_template_that_looks_at_the_words_of_a_question_costs_one_rendering_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = CHATML.replace(
        "'<|im_start|>' +", "('short ' if 'short' in messages[0]['content'] else '') + '<|im_start|>' +"
    )
    facts = small_facts(template)
    mask_chat(ONE, facts, assistant_only=True)
    renderings = count_renderings(monkeypatch)

    masked = mask_chat(SEVEN["system"], facts, assistant_only=True)

    assert texts_of(masked) == ["A1.<|im_end|>", "A2.<|im_end|>"]
    assert len(renderings) == 3


def test_answers_that_a_template_rewrites_into_its_own_words_are_found_one_at_a_time() -> None:
    chat = (QUESTION, Message("assistant", "A1"), Message("assistant", "AA"), Message("assistant", "2A"))

    masked = mask_chat(chat, small_facts(REWRITING), assistant_only=True)

    assert masked.text == QUESTION.content + "|1|" + "|||" + "2||"
    assert texts_of(masked) == ["|1|", "|||", "2||"]


def test_many_answers_that_cannot_be_distinguished_from_the_rest_are_refused_with_ways_out() -> None:
    chat = (QUESTION, *[Message("assistant", "AA")] * 65)

    with pytest.raises(BaseModelError, match="it changes the assistant's words") as caught:
        mask_chat(chat, small_facts(REWRITING), assistant_only=True)

    assert "data.chat_template_path" in caught.value.resolution


NO_PROMPT = CHATML.partition("{% if add_generation_prompt %}")[0]


def test_question_that_a_template_writes_twice_is_not_learned_where_it_has_no_generation_prompt() -> None:
    facts = small_facts(NO_PROMPT.replace("message['content'] +", "message['content'] * 2 +"))

    masked = mask_chat(TWO, facts, assistant_only=True)

    assert texts_of(masked) == [f"<|im_start|>assistant\nA{n}.A{n}.<|im_end|>" for n in (1, 2)]


def test_question_that_a_template_changes_is_never_learned() -> None:
    changed = CHATML.replace("message['content'] +", "message['content'] | replace('?', '!') +")

    assert texts_of(mask_chat(TWO, small_facts(changed), assistant_only=True)) == ["A1.<|im_end|>", "A2.<|im_end|>"]
    without_prompt = small_facts(changed.partition("{% if add_generation_prompt %}")[0])
    for question in ("Q2?", "m?", "m"):  # an m stands in special tokens too
        chat = (*ONE, Message("user", "Q1?"), Message("user", question), TWO[3])
        with pytest.raises(BaseModelError, match="it changes the user's words"):
            mask_chat(chat, without_prompt, assistant_only=True)


def test_template_without_any_end_token_does_not_learn_the_header_of_the_next_turn() -> None:
    facts = small_facts(CHATML.replace("'<|im_end|>' + ", ""))

    assert texts_of(mask_chat(SEVEN["two"], facts, assistant_only=True)) == ["A1.", "A2."]


@pytest.mark.parametrize("end", ["EOT", "|end of turn|", "▁<EOT>", "###"])
def test_end_token_may_look_like_anything(end: str) -> None:
    facts = small_facts(CHATML.replace("<|im_end|>", end), eos_token=end, special_tokens=(end, "<|im_start|>"))

    assert texts_of(mask_chat(SEVEN["two"], facts, assistant_only=True)) == [f"A1.{end}", f"A2.{end}"]


def test_turns_of_the_assistant_may_stand_first_and_together() -> None:
    chat = (Message("assistant", "Hello."), *ONE, Message("assistant", "A2."))

    masked = mask_chat(chat, small_facts(), assistant_only=True)

    assert texts_of(masked) == ["Hello.<|im_end|>", "A1.<|im_end|>", "A2.<|im_end|>"]


def test_calls_without_a_text_among_their_arguments_are_found_by_the_name_of_the_tool() -> None:
    call = replace(CALL, arguments='{"days": 2}')
    chat = (*SEVEN["call"][:2], Message("assistant", "", calls=(call, call)), *SEVEN["call"][3:])

    masked = mask_chat(chat, family_facts("Qwen2.5"), assistant_only=True)

    one = '<tool_call>\n{"name": "look", "arguments": {"days": 2}}\n</tool_call>'
    assert texts_of(masked) == [f"{one}\n{one}<|im_end|>", "Wet.<|im_end|>"]
