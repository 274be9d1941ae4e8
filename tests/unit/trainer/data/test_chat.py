from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tokenizers import processors

from tests.unit.trainer.small_facts import CHATML, as_transformers, plain, small_facts
from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.chat import IGNORE_INDEX, EncodedSample, Message, encode_chat
from trainer.errors import BaseModelError

QUESTION = Message("user", "What is the answer?")
ANSWER = Message("assistant", '{"answer": 12}')
TWO_TURNS = (
    Message("system", "Be short."),
    QUESTION,
    ANSWER,
    Message("user", "Is it yes?"),
    Message("assistant", "yes"),
)
MARKED = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\n' }}"
    "{% if message.role == 'assistant' %}"
    "{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|im_end|>' }}{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def encode(messages: tuple[Message, ...], facts: BaseModelFacts, **options: Any) -> EncodedSample:
    return encode_chat(messages, facts, **{"max_length": 512, "assistant_only": True, **options})


def supervised_text(sample: EncodedSample, facts: BaseModelFacts) -> str:
    kept = [label for label in sample.labels if label != IGNORE_INDEX]
    return str(facts.tokenizer.decode(kept, skip_special_tokens=False))


@pytest.mark.parametrize("template", [CHATML, MARKED], ids=["plain", "with generation markers"])
def test_ids_are_those_of_transformers(template: str) -> None:
    facts = small_facts(template)
    expected = as_transformers(facts).apply_chat_template(plain(TWO_TURNS), return_dict=False)

    assert encode(TWO_TURNS, facts).input_ids == expected


def test_labels_are_those_of_transformers_for_a_template_with_generation_markers() -> None:
    facts = small_facts(MARKED)
    expected = as_transformers(facts).apply_chat_template(
        plain(TWO_TURNS), return_dict=True, return_assistant_tokens_mask=True
    )

    sample = encode(TWO_TURNS, facts)

    assert [label != IGNORE_INDEX for label in sample.labels] == [bool(bit) for bit in expected["assistant_masks"]]


@pytest.mark.parametrize("template", [CHATML, MARKED], ids=["by difference", "by markers"])
def test_assistant_words_and_end_token_are_learned_and_nothing_else(template: str) -> None:
    facts = small_facts(template)

    sample = encode(TWO_TURNS, facts)

    assert supervised_text(sample, facts) == '{"answer": 12}<|im_end|>yes<|im_end|>'
    assert sample.turn_end == "<|im_end|>"
    assert len(sample.input_ids) == len(sample.labels) == sample.total_tokens
    assert all(label in (IGNORE_INDEX, token) for token, label in zip(sample.input_ids, sample.labels, strict=True))
    assert facts.tokenizer.decode(sample.input_ids[-1:]) == "\n"
    assert sample.labels[-1] == IGNORE_INDEX


def test_same_words_in_the_question_are_not_learned() -> None:
    facts = small_facts()

    sample = encode((Message("user", ANSWER.content), ANSWER), facts)

    assert supervised_text(sample, facts) == ANSWER.content + "<|im_end|>"
    assert sample.labels.index(IGNORE_INDEX) == 0
    assert sample.supervised_tokens < len(sample.labels) / 2


def test_everything_is_learned_without_assistant_only() -> None:
    sample = encode(TWO_TURNS, small_facts(), assistant_only=False)

    assert sample.labels == sample.input_ids


def test_cut_keeps_the_start_and_the_length_before_it() -> None:
    facts = small_facts()
    whole = encode(TWO_TURNS, facts)

    cut = encode(TWO_TURNS, facts, max_length=20)

    assert (cut.input_ids, cut.labels) == (whole.input_ids[:20], whole.labels[:20])
    assert cut.total_tokens == len(whole.input_ids)


def test_answer_that_holds_the_end_token_is_learned_to_its_last_one() -> None:
    facts = small_facts()

    sample = encode((QUESTION, Message("assistant", "say <|im_end|> twice")), facts)

    assert supervised_text(sample, facts) == "say <|im_end|> twice<|im_end|>"


def test_template_with_an_end_token_of_its_own_is_learned_up_to_it() -> None:
    template = CHATML.replace("<|im_end|>", "<|end|>")
    facts = small_facts(template)

    sample = encode((QUESTION, ANSWER), facts)

    assert supervised_text(sample, facts) == ANSWER.content + "<|end|>"
    assert sample.turn_end == "<|end|>"


def test_template_without_any_end_token_is_learned_by_its_words() -> None:
    template = CHATML.replace("'<|im_end|>' + ", "")
    facts = small_facts(template)

    sample = encode((QUESTION, ANSWER), facts)

    assert supervised_text(sample, facts) == ANSWER.content
    assert sample.turn_end is None


@pytest.mark.parametrize("content", ["  \nyes  ", "é日本🙂", "\u2028next", "a\n\n\nb"])
def test_unusual_words_are_learned_whole(content: str) -> None:
    facts = small_facts()

    sample = encode((QUESTION, Message("assistant", content)), facts)

    assert supervised_text(sample, facts).strip() == (content + "<|im_end|>").strip()


def test_spaces_that_the_tokenizer_gives_no_width_keep_their_side() -> None:
    template = CHATML.replace("assistant\n", "assistant:   ").replace(
        "message['role'] + '\n'", "message['role'] + (':   ' if message['role'] == 'assistant' else '\n')"
    )
    messages = (QUESTION, Message("assistant", "3   3 "))
    plain_facts, trimming_facts = small_facts(template), small_facts(template)
    trimming_facts.tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)

    samples = [encode(messages, facts) for facts in (plain_facts, trimming_facts)]

    assert samples[0] == samples[1]
    assert supervised_text(samples[1], trimming_facts) == "3   3 <|im_end|>"


def test_words_that_the_template_changes_are_learned_to_the_last_end_token() -> None:
    template = CHATML.replace("message['content']", "message['content'] | upper | replace('STOP', '<|im_end|>')")
    facts = small_facts(template)

    sample = encode((QUESTION, Message("assistant", "stop it")), facts)

    assert supervised_text(sample, facts) == "<|im_end|> IT<|im_end|>"


def test_template_that_rewrites_earlier_turns_is_learned_as_it_renders_them() -> None:
    template = (
        "{% for message in messages %}{{ message.role }}:"
        "{% if loop.last %}{{ message.content }}{% else %}{{ message.content | upper }}{% endif %}<|im_end|>"
        "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
    )
    facts = small_facts(template)

    assert supervised_text(encode(TWO_TURNS, facts), facts) == '{"ANSWER": 12}<|im_end|>yes<|im_end|>'


@pytest.mark.parametrize("template", [CHATML, MARKED], ids=["by difference", "by markers"])
def test_turn_that_is_not_to_be_learned_stays_in_the_context_only(template: str) -> None:
    facts = small_facts(template)
    wrong = (*TWO_TURNS[:2], replace(ANSWER, learned=False), *TWO_TURNS[3:])

    sample, all_learned = (encode(turns, facts) for turns in (wrong, TWO_TURNS))

    assert sample.input_ids == all_learned.input_ids
    assert supervised_text(sample, facts) == "yes<|im_end|>"


def test_turn_that_is_not_to_be_learned_has_no_label_where_everything_else_has_one() -> None:
    facts = small_facts()
    wrong = (*TWO_TURNS[:2], replace(ANSWER, learned=False), *TWO_TURNS[3:])

    sample = encode(wrong, facts, assistant_only=False)

    whole = facts.tokenizer.decode(sample.input_ids, skip_special_tokens=False)
    assert supervised_text(sample, facts) == whole.replace(ANSWER.content + "<|im_end|>", "")


def test_markers_that_change_the_text_are_refused() -> None:
    template = (
        "{% for message in messages %}{{ message.content }}{% endfor %}"
        "{% set said %}{% generation %}{{ messages[-1].content }}{% endgeneration %}{% endset %}{{ said | length }}"
    )

    with pytest.raises(BaseModelError, match="markers change the text"):
        encode((QUESTION, ANSWER), small_facts(template))
