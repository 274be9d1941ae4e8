from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.unit.trainer.data.families import CALLS, FAMILIES, ONE, SEVEN, family_facts, texts_of
from tests.unit.trainer.small_facts import as_transformers, plain, small_facts
from trainer.data import rendering
from trainer.data.chat import mask_chat, render
from trainer.data.message import Message
from trainer.errors import BaseModelError


def test_text_is_that_of_transformers_for_a_template_that_uses_all_extras() -> None:
    template = (
        "{%- set names = namespace(count=0) -%}\n"
        "{{ bos_token }}{{ strftime_now('%Y') }}\n"
        "{% for message in messages %}\n"
        "    {% if message.role == 'system' %}{% continue %}{% endif %}\n"
        "    {% set names.count = names.count + 1 %}\n"
        "{{ names.count }} {{ message | tojson }}{{ [1, 2] | tojson(indent=1) }}{{ eos_token }}\n"
        "{% endfor %}\n"
        "{%- if add_generation_prompt %}go{% endif %}"
    )
    facts = small_facts(template)
    messages = (*SEVEN["system"][:-1], Message("assistant", "<é & 'quoted'>"))
    expected = as_transformers(facts).apply_chat_template(
        plain(messages), tokenize=False, add_generation_prompt=True, return_dict=False
    )

    assert render(messages, facts, add_generation_prompt=True) == expected


@pytest.mark.parametrize(
    "arguments",
    ["c.function.arguments | tojson", "('' + c.function.arguments)", "c.function.arguments"],
    ids=["a mapping", "fails on a mapping", "writes a mapping in Python's way"],
)
def test_arguments_are_given_in_the_form_that_the_template_takes(arguments: str) -> None:
    template = CALLS.replace("ARGUMENTS", arguments)

    masked = mask_chat(SEVEN["call"], small_facts(template), assistant_only=True)

    assert texts_of(masked) == ['look {"city": "Bad \\"Ems\\"", "days": 2}<|im_end|>', "Wet.<|im_end|>"]


@pytest.mark.parametrize("family", ["Gemma 1", "Mistral v0.3", "Mistral Nemo"])
def test_system_turn_without_a_place_moves_into_the_first_question_on_demand(family: str) -> None:
    facts = family_facts(family)
    with pytest.raises(BaseModelError) as caught:
        mask_chat(SEVEN["system"], facts, assistant_only=True)
    assert "data.system_prompt: first_user_turn" in caught.value.resolution

    asked = replace(facts, system_prompt="first_user_turn")
    masked = mask_chat(SEVEN["system"], asked, assistant_only=True)

    assert "Be short.\n\nQ1?" in masked.text
    assert texts_of(masked) == FAMILIES[family].learned("two")
    assert "Be short.\n\nQ1?" in render(SEVEN["system"][:2], asked, add_generation_prompt=True)


def test_way_out_of_a_system_turn_that_cannot_move_is_another_one() -> None:
    facts = family_facts("Gemma 1")
    chat = (SEVEN["system"][0], Message("assistant", "Hello."), *SEVEN["one"])

    with pytest.raises(BaseModelError) as caught:
        mask_chat(chat, replace(facts, system_prompt="first_user_turn"), assistant_only=True)

    assert caught.value.resolution.startswith("let a question follow the system turn")


def test_system_turn_that_the_template_renders_stays_where_it_is() -> None:
    facts = small_facts()
    asked = replace(facts, system_prompt="first_user_turn")

    assert mask_chat(SEVEN["system"], asked, assistant_only=True) == mask_chat(
        SEVEN["system"], facts, assistant_only=True
    )


@pytest.mark.parametrize("family", ["Llama 3.2", "Mistral Small", "gpt-oss", "Granite"])
def test_template_writes_the_day_that_the_run_has(family: str) -> None:
    facts = replace(family_facts(family), today=date(2024, 2, 29))

    text = render(SEVEN["one"], facts, add_generation_prompt=False)

    assert "2024" in text
    assert "29" in text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[9].content.strip() }}", "has no element 9"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
    ],
    ids=["its own refusal", "missing turn", "break-out"],
)
def test_template_that_fails_is_an_error_of_the_base_model(template: str, words: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        render(ONE, small_facts(template), add_generation_prompt=False)

    assert caught.value.message.startswith("chat template: it refuses these messages: ")
    assert words in caught.value.message


def test_template_that_is_no_jinja_is_named_for_what_it_is() -> None:
    with pytest.raises(BaseModelError, match=r"it is not valid Jinja, in its line 2: .*end of template") as caught:
        render(ONE, small_facts("{{ bos_token }}\n{% for message in messages %}"), add_generation_prompt=False)

    assert "data.chat_template_path" in caught.value.resolution


@pytest.mark.parametrize(
    "expression",
    [
        "m.role", "m.items", "m.items() | list", "m.missing is defined", "m.content.upper()",
        "m.content.nothing is defined", "m.content.format", "'{0.__class__}'.format(m)", "'{0}'.format(m.role)",
        "m.content.__class__", "m.__class__", "ns.x", "ns.missing is defined", "ns.__init__", "ns.text.upper()",
        "loop.index0", "loop.last", "loop.previtem.role", "loop.nextitem.role", "loop.__class__",
        "loop.cycle('a', 'b')", "m.role.__class__.__mro__", "m.pop('role')", "m.update({'role': 'x'})",
        "messages.append(1)",
    ],
)  # fmt: skip
def test_short_way_through_the_sandbox_gives_what_the_long_one_gives(expression: str) -> None:
    template = (
        "{% set ns = namespace(x=1, text='t') %}{% for m in messages %}{% set ns.x = ns.x + 1 %}"
        "[{{ EXPRESSION }}]{% endfor %}"
    ).replace("EXPRESSION", expression)

    def outcome(environment: type[ImmutableSandboxedEnvironment]) -> str:
        try:
            return str(environment().from_string(template).render(messages=plain(SEVEN["two"])))
        except TemplateError as err:
            return f"refused: {err}"

    address = re.compile("0x[0-9a-f]+")

    assert address.sub("", outcome(rendering._Sandbox)) == address.sub("", outcome(ImmutableSandboxedEnvironment))
