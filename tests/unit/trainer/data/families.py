"""The model families: the rules of their chat templates, their special tokens, and what is learned with each.

``start`` and ``end`` stand around the words of an answer. ``SEVEN`` are the chats; what a family learns of a chat is a
list with a text for each turn, or the words of the refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from tests.unit.trainer.data.family_templates import (
    CHATML,
    COMMAND_R,
    FALCON,
    GEMMA,
    GEMMA3,
    GLM,
    GPT_OSS,
    GRANITE,
    HERMES_CALLS,
    LLAMA2,
    LLAMA3,
    LLAMA3_2,
    MISTRAL_SMALL,
    NEMOTRON,
    OLMO2,
    PHI3,
    PHI4_MINI,
    QWEN2_5,
    SMOLLM3,
    XML_CALLS,
    deepseek,
    mistral,
    qwen3,
)
from tests.unit.trainer.small_facts import small_facts, small_tokenizer
from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.chat import MaskedText
from trainer.data.message import TOOLS, Message, ToolCall

OFFERED = (
    '[{"type": "function", "function": {"name": "look", "description": "Look up the weather.", "parameters": '
    '{"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}, "required": ["city"]}}}]'
)
CALL = ToolCall("look", '{"city": "Bad \\"Ems\\"", "days": 2}', "call00001")
ASKED = (Message(TOOLS, OFFERED), Message("user", "Weather?"))
ANSWERED = Message("tool", "wet", name="look", call_id="call00001")
ONE = (Message("user", "Q1?"), Message("assistant", "A1."))
TWO = (*ONE, Message("user", "Q2?"), Message("assistant", "A2."))
SEVEN: dict[str, tuple[Message, ...]] = {
    "one": ONE,
    "two": TWO,
    "system": (Message("system", "Be short."), *TWO),
    "thoughts": (
        ONE[0], Message("assistant", "A1.", thought="T1."), TWO[2], Message("assistant", "A2.", thought="T2.")
    ),
    "tags": (
        ONE[0], Message("assistant", "<think>\nT1.\n</think>\n\nA1."),
        TWO[2], Message("assistant", "<think>\nT2.\n</think>\n\nA2."),
    ),
    "call": (*ASKED, Message("assistant", "", calls=(CALL,)), ANSWERED, Message("assistant", "Wet.")),
    "thought call": (
        *ASKED, Message("assistant", "", thought="T1.", calls=(CALL,)), ANSWERED, Message("assistant", "Wet.")
    ),
}  # fmt: skip
# A template whose way with the arguments of a call is put in place of ARGUMENTS.
CALLS = (
    "{{ tools | tojson }}\n{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'tool' %}{{ m.content }}"
    "{% elif m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }} {{ ARGUMENTS }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_TOOLS = "it leaves out the tool 'look'"
NO_THOUGHTS = "it leaves out the thought in turn 2"
NO_SYSTEM = "it leaves out turn 1 (system)"
NO_SYSTEM_ROLE = "System role not supported"


@dataclass(frozen=True)
class Family:
    """One family: its template, its special tokens (the first is the end token of the base), what is learned."""

    template: str
    tokens: tuple[str, ...]
    end: str
    last_end: str | None = None
    start: str = ""
    other: dict[str, list[str] | str] = field(default_factory=dict)

    def learned(self, chat: str) -> list[str] | str:
        last_end = self.end if self.last_end is None else self.last_end
        of_two = [f"{self.start}A1.{self.end}", f"{self.start}A2.{last_end}"]
        tags = [
            f"{self.start}<think>\nT1.\n</think>\n\nA1.{self.end}",
            f"{self.start}<think>\nT2.\n</think>\n\nA2.{last_end}",
        ]
        usual: dict[str, list[str] | str] = {
            "one": [f"{self.start}A1.{last_end}"], "two": of_two, "system": of_two, "thoughts": NO_THOUGHTS,
            "tags": tags, "call": NO_TOOLS, "thought call": NO_TOOLS,
        }  # fmt: skip
        return self.other.get(chat, usual[chat])


IM = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
HERMES_CALL = '<tool_call>\n{"name": "look", "arguments": {"city": "Bad \\"Ems\\"", "days": 2}}\n</tool_call>'
XML_CALL = (
    '<tool_call>\n<function=look>\n<parameter=city>\nBad "Ems"\n</parameter>\n<parameter=days>\n2\n</parameter>\n'
    "</function>\n</tool_call>"
)
JSON_CALL = '{"name": "look", "parameters": {"city": "Bad \\"Ems\\"", "days": 2}}'
GLM_CALL = (
    '<tool_call>look\n<arg_key>city</arg_key>\n<arg_value>Bad "Ems"</arg_value>\n'
    "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"
)
GPT_OSS_CALL = ' to=functions.look<|channel|>commentary json<|message|>{"city": "Bad \\"Ems\\"", "days": 2}<|call|>'
MISTRAL_CALL = '[{"name": "look", "arguments": {"city": "Bad \\"Ems\\"", "days": 2}, "id": "call00001"}]'

DEEPSEEK_TOKENS = (
    "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>",
    "<｜tool▁outputs▁begin｜>",
    "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>",
)  # fmt: skip
_LLAMA_TOKENS = ("<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>")
_MISTRAL_TOKENS = (
    "</s>", "<s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
)  # fmt: skip
_PHI_TOKENS = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|tool|>", "<|/tool|>")
_GEMMA_TOKENS = ("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>")
_LAST_THOUGHT = ["A1.<|im_end|>", "<think>\nT2.\n</think>\n\nA2.<|im_end|>"]
_V3_CALL = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n```json\n"
    '{"city": "Bad \\"Ems\\"", "days": 2}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
)
_V3_LEARNED: list[str] | str = [_V3_CALL, "Wet.<｜end▁of▁sentence｜>"]

FAMILIES: dict[str, Family] = {
    "ChatML": Family(CHATML, IM, "<|im_end|>"),
    "Llama 2": Family(LLAMA2, ("</s>", "<s>"), " </s>", start=" ", other={"call": "roles", "thought call": "roles"}),
    "Llama 3": Family(LLAMA3, _LLAMA_TOKENS, "<|eot_id|>"),
    "Llama 3.2": Family(
        LLAMA3_2, _LLAMA_TOKENS, "<|eot_id|>",
        other={"call": [JSON_CALL + "<|eot_id|>", "Wet.<|eot_id|>"], "thought call": NO_THOUGHTS},
    ),
    "Qwen2.5": Family(
        QWEN2_5, IM, "<|im_end|>",
        other={"call": [HERMES_CALL + "<|im_end|>", "Wet.<|im_end|>"], "thought call": NO_THOUGHTS},
    ),
    "Qwen3": Family(
        qwen3(calls=HERMES_CALLS, prompt="", last_only="loop.last or thought"), IM, "<|im_end|>",
        other={
            "one": ["<think>\n\n</think>\n\nA1.<|im_end|>"],
            "two": ["A1.<|im_end|>", "<think>\n\n</think>\n\nA2.<|im_end|>"],
            "system": ["A1.<|im_end|>", "<think>\n\n</think>\n\nA2.<|im_end|>"],
            "thoughts": _LAST_THOUGHT, "tags": _LAST_THOUGHT,
            "call": [HERMES_CALL + "<|im_end|>", "<think>\n\n</think>\n\nWet.<|im_end|>"],
            "thought call": [
                f"<think>\nT1.\n</think>\n\n{HERMES_CALL}<|im_end|>", "<think>\n\n</think>\n\nWet.<|im_end|>"
            ],
        },
    ),
    "Qwen3.5": Family(
        qwen3(calls=XML_CALLS, prompt="<think>\n", last_only="true"), IM, "<|im_end|>",
        other={
            "one": ["\n</think>\n\nA1.<|im_end|>"],
            "two": ["A1.<|im_end|>", "\n</think>\n\nA2.<|im_end|>"],
            "system": ["A1.<|im_end|>", "\n</think>\n\nA2.<|im_end|>"],
            "thoughts": ["A1.<|im_end|>", "T2.\n</think>\n\nA2.<|im_end|>"],
            "tags": ["A1.<|im_end|>", "T2.\n</think>\n\nA2.<|im_end|>"],
            "call": [f"\n</think>\n\n{XML_CALL}<|im_end|>", "\n</think>\n\nWet.<|im_end|>"],
            "thought call": [f"T1.\n</think>\n\n{XML_CALL}<|im_end|>", "\n</think>\n\nWet.<|im_end|>"],
        },
    ),
    "Phi-3": Family(PHI3, _PHI_TOKENS, "<|end|>"),
    "Phi-3.5": Family("{{- '' -}}" + PHI3.replace("m.content", "m.content | trim"), _PHI_TOKENS, "<|end|>"),
    "Phi-4-mini": Family(PHI4_MINI, _PHI_TOKENS, "<|end|>"),
    "gpt-oss": Family(
        GPT_OSS,
        ("<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>"),
        "<|end|>", "<|return|>", start="<|channel|>final<|message|>",
        other={
            "thoughts": [
                "<|channel|>final<|message|>A1.<|end|>",
                "<|channel|>analysis<|message|>T2.<|end|><|start|>assistant<|channel|>final<|message|>A2.<|return|>",
            ],
            "call": [
                GPT_OSS_CALL,
                "<|channel|>final<|message|>Wet.<|return|>",
            ],
            "thought call": [
                "<|channel|>analysis<|message|>T1.<|end|><|start|>assistant" + GPT_OSS_CALL,
                "<|channel|>final<|message|>Wet.<|return|>",
            ],
        },
    ),
    "R1 distill": Family(
        deepseek(
            words="m.content.split('</think>')[-1]", tools="", prompt="<｜Assistant｜><think>\n",
            arguments="c.function.arguments",
        ),
        DEEPSEEK_TOKENS, "<｜end▁of▁sentence｜>", other={"tags": NO_THOUGHTS},
    ),
    "Nemotron": Family(
        NEMOTRON, ("<SPECIAL_12>", "<SPECIAL_11>"), "\n<SPECIAL_12>",
        other={"tags": NO_THOUGHTS},
    ),
    "GLM-4.5": Family(
        GLM, ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        "<|user|>", "", start="\n<think></think>\n",
        other={
            "thoughts": ["\n<think></think>\nA1.<|user|>", "\n<think>T2.</think>\nA2."],
            "tags": ["\n<think></think>\nA1.<|user|>", "\n<think>T2.</think>\nA2."],
            "call": [
                f"\n<think></think>\n{GLM_CALL}<|observation|>",
                "\n<think></think>\nWet.",
            ],
            "thought call": [
                f"\n<think>T1.</think>\n{GLM_CALL}<|observation|>",
                "\n<think></think>\nWet.",
            ],
        },
    ),
    "Gemma 1": Family(GEMMA, _GEMMA_TOKENS, "<end_of_turn>", other={"system": NO_SYSTEM_ROLE}),
    "Gemma 2": Family(GEMMA, (*_GEMMA_TOKENS, "<pad>"), "<end_of_turn>", other={"system": NO_SYSTEM_ROLE}),
    "Gemma 3": Family(GEMMA3, (*_GEMMA_TOKENS, "<start_of_image>"), "<end_of_turn>"),
    "Mistral v0.3": Family(
        mistral(gap=" "), _MISTRAL_TOKENS, "</s>", start=" ",
        other={
            "system": NO_SYSTEM, "call": [f"[TOOL_CALLS] {MISTRAL_CALL}</s>", " Wet.</s>"],
            "thought call": NO_THOUGHTS,
        },
    ),
    "Mistral Nemo": Family(
        mistral(gap=""), _MISTRAL_TOKENS, "</s>",
        other={
            "system": NO_SYSTEM, "call": [f"[TOOL_CALLS]{MISTRAL_CALL}</s>", "Wet.</s>"], "thought call": NO_THOUGHTS,
        },
    ),
    "Mistral Small": Family(MISTRAL_SMALL, _MISTRAL_TOKENS, "</s>"),
    "DeepSeek V3": Family(
        deepseek(
            words="m.content", tools="{%- for t in tools or [] -%}{{- t | tojson ~ '\n' -}}{%- endfor -%}",
            prompt="<｜Assistant｜>", arguments="('' + c.function.arguments)",
        ),
        DEEPSEEK_TOKENS, "<｜end▁of▁sentence｜>", other={"call": _V3_LEARNED, "thought call": NO_THOUGHTS},
    ),
    "SmolLM3": Family(
        SMOLLM3, IM, "<|im_end|>",
        other={"call": [HERMES_CALL + "<|im_end|>", "Wet.<|im_end|>"], "thought call": NO_THOUGHTS},
    ),
    "Command-R": Family(
        COMMAND_R,
        ("<|END_OF_TURN_TOKEN|>", "<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>",
         "<|SYSTEM_TOKEN|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
        "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>", start="<|START_RESPONSE|>",
    ),
    "Granite": Family(
        GRANITE, ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"), "<|end_of_text|>",
        other={
            "call": [
                '<|tool_call|>[{"name": "look", "arguments": {"city": "Bad \\"Ems\\"", "days": 2}}]<|end_of_text|>',
                "Wet.<|end_of_text|>",
            ],
            "thought call": NO_THOUGHTS,
        },
    ),
    "OLMo2": Family(OLMO2, ("<|endoftext|>",), "<|endoftext|>"),
    "Falcon": Family(
        FALCON, ("<|endoftext|>",), "", start=" ",
        other={
            "tags": [" <think>\nT1.\n</think>\nA1.", " <think>\nT2.\n</think>\nA2."],
        },
    ),
}  # fmt: skip


def texts_of(masked: MaskedText) -> list[str]:
    """Return the parts of a text that are learned."""
    return [masked.text[start:end] for start, end in masked.spans]


@cache
def family_facts(name: str) -> BaseModelFacts:
    """Return facts with a family's template and special tokens."""
    family = FAMILIES[name]
    tokenizer = small_tokenizer()
    tokenizer.add_special_tokens(list(family.tokens))
    return small_facts(
        family.template, tokenizer=tokenizer, special_tokens=family.tokens, eos_token=family.tokens[0],
        bos_token=family.tokens[min(1, len(family.tokens) - 1)],
    )  # fmt: skip
