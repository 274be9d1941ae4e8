from __future__ import annotations

import pytest

from tests.unit.trainer.data.families import CALLS, SEVEN, family_facts
from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.data.chat import mask_chat
from trainer.data.message import Message
from trainer.errors import BaseModelError


def test_template_that_loses_turns_is_refused_also_when_everything_is_learned() -> None:
    template = "{% for message in messages %}{% if loop.last %}{{ message.content }}{% endif %}{% endfor %}"

    for assistant_only in (True, False):
        with pytest.raises(BaseModelError, match=r"it leaves out turn 1 \(system\)"):
            mask_chat(SEVEN["system"], small_facts(template), assistant_only=assistant_only)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("{{ tools | tojson }}", ""), "it leaves out the tool 'look'"),
        (("{{ c.function.name }}", ""), "it leaves out the call of 'look' in turn 2"),
        (("ARGUMENTS", "{'days': c.function.arguments.days} | tojson"),
         "it leaves out the argument 'city' of a call in turn 2"),
        (("ARGUMENTS", "{'city': c.function.arguments.city} | tojson"),
         "it leaves out the argument 'days' of a call in turn 2"),
        (("ARGUMENTS", "c.function.arguments | tojson | tojson"),
         "it encodes the arguments of 'look' in turn 2 twice (JSON within JSON)"),
        (("{% if m.role == 'tool' %}{{ m.content }}", "{% if m.role == 'tool' %}"), "it leaves out turn 3 (tool)"),
    ],
)  # fmt: skip
def test_part_of_a_call_that_the_template_loses_is_refused_by_name(change: tuple[str, str], problem: str) -> None:
    template = CALLS.replace(*change).replace("ARGUMENTS", "c.function.arguments | tojson")

    with pytest.raises(BaseModelError) as caught:
        mask_chat(SEVEN["call"], small_facts(template), assistant_only=True)

    assert caught.value.message == f"chat template: {problem}"
    assert "data.chat_template_path" in caught.value.resolution


def test_earlier_thought_that_a_template_drops_is_counted_and_not_learned() -> None:
    masked = mask_chat(SEVEN["thoughts"], family_facts("Qwen3"), assistant_only=True)

    assert masked.dropped_thoughts == 1
    assert "T1." not in masked.text


@pytest.mark.parametrize(
    ("template", "chat"),
    [
        (CHATML, "thoughts"),
        (CHATML.replace("message['content'] +", "message['content'].split('</think>')[-1] +"), "tags"),
    ],
    ids=["beside the words", "among the words"],
)
def test_thought_is_refused_where_the_template_renders_none(template: str, chat: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        mask_chat(SEVEN[chat], small_facts(template), assistant_only=True)

    assert caught.value.message == "chat template: it leaves out the thought in turn 2"
    assert caught.value.resolution


def test_thought_of_the_last_answer_that_a_template_drops_is_refused() -> None:
    without = "(message['content'].split('</think>')[-1] if loop.last and loop.length > 2 else message['content']) +"
    facts = small_facts(CHATML.replace("message['content'] +", without))

    with pytest.raises(BaseModelError, match="it leaves out the thought in turn 4"):
        mask_chat(SEVEN["tags"], facts, assistant_only=True)


@pytest.mark.parametrize("said", ["Well. <think>\nT.\n</think>\n\nA.", "<think>T.</think>A.<think>U.</think>B."])
def test_words_around_a_thought_are_no_thought(said: str) -> None:
    chat = (SEVEN["one"][0], Message("assistant", said))

    with pytest.raises(BaseModelError, match=r"it leaves out turn 2 \(assistant\)"):
        mask_chat(chat, family_facts("Qwen3"), assistant_only=True)
    assert said in mask_chat(chat, small_facts(), assistant_only=True).text


@pytest.mark.parametrize(
    ("condition", "remedy"),
    [
        ("loop.first or message.role != 'system'", "join them into one"),
        ("message.role != 'system'", "first_user_turn"),
    ],
    ids=["a place for one system turn", "none"],
)
def test_system_turn_without_a_place_is_refused_with_what_helps_there(condition: str, remedy: str) -> None:
    template = CHATML.replace("{{ '<|im_start|>' +", f"{{% if {condition} %}}{{{{ '<|im_start|>' +", 1)
    template = template.replace("{% endfor %}", "{% endif %}{% endfor %}", 1)
    chat = (SEVEN["system"][0], Message("system", "Be kind."), *SEVEN["one"])

    with pytest.raises(BaseModelError, match="it leaves out turn") as caught:
        mask_chat(chat, small_facts(template), assistant_only=True)

    assert remedy in caught.value.resolution
