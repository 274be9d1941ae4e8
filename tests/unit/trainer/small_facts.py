"""Base model facts around a byte-level tokenizer of a few hundred tokens, made in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.message import Message

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|end|>"]
TEXT = ["system user assistant", "What is the answer to the question? The answer is yes.", '{"answer": 12}']


def small_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def small_facts(template: str = CHATML, **changes: Any) -> BaseModelFacts:
    facts = BaseModelFacts(
        tokenizer=small_tokenizer(),
        chat_template=template,
        eos_token="<|im_end|>",
        eos_token_id=2,
        bos_token="<|im_start|>",
        special_tokens=tuple(SPECIAL_TOKENS),
        max_position_embeddings=512,
        source="small",
    )
    return replace(facts, **changes)


def as_transformers(facts: BaseModelFacts) -> Any:
    """Return a tokenizer of transformers with the same template and tokens."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=facts.tokenizer, eos_token=facts.eos_token, bos_token=facts.bos_token
    )
    tokenizer.chat_template = facts.chat_template
    return tokenizer


def plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    """Return messages as transformers takes them."""
    return [{"role": message.role, "content": message.content} for message in messages]
