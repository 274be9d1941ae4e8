"""What was done to samples on the way to tokens, as sentences: notes, and warnings where something may be lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.checked import CONTEXT_ONLY, UNLEARNABLE
from trainer.data.collected import Collected
from trainer.data.message import Message
from trainer.data.probes import TWO_ANSWERS
from trainer.data.rendering import render
from trainer.errors import BaseModelError

_INDENTED = re.compile(r"\n*(?:\t| {2,})\S")
_INDENTATION = "    indented"


def notes_of(splits: Sequence[Collected]) -> tuple[str, ...]:
    """Return a sentence for each thing that was done to the samples of some splits, counted over all of them."""
    counts = sum((Counter(split.notes) for split in splits), Counter())
    unused = dict.fromkeys(key for split in splits for key in split.unused)
    unlearnable, context_only = counts.pop(UNLEARNABLE, 0), counts.pop(CONTEXT_ONLY, 0)
    found = {
        f"{unlearnable} samples have no turn that is to be learned, and are left out": unlearnable,
        f"{context_only} turns of the assistant are in the context only, and not learned": context_only,
        f"keys that are not used: {', '.join(unused)}": len(unused),
    }
    return (
        *(sentence for sentence, count in found.items() if count),
        *(f"{count} samples {remark}" for remark, count in sorted(counts.items())),
    )


def losses_of(thoughts: int, indented: int, facts: BaseModelFacts) -> tuple[str, ...]:
    """Return a sentence for each thing that the chat template takes away from training samples.

    Args:
        thoughts: Thoughts of earlier turns that the template leaves out.
        indented: Samples with an answer that begins with an indentation.
        facts: The base model's template.
    """
    found = {
        f"{thoughts} thoughts of earlier turns are left out by the chat template, and not learned": thoughts,
        f"{indented} training samples have an answer that begins with an indentation, which the chat template "
        "strips": indented and _strips_indentation(facts),
    }
    return tuple(sentence for sentence, count in found.items() if count)


def begins_indented(messages: Sequence[Message]) -> bool:
    """Return whether an answer begins with an indentation."""
    return any(_speaks(message) and _INDENTED.match(message.content) is not None for message in messages)


def _speaks(message: Message) -> bool:
    return message.role == "assistant"


def _strips_indentation(facts: BaseModelFacts) -> bool:
    try:
        chat = (TWO_ANSWERS[0], Message("assistant", _INDENTATION))
        return _INDENTATION not in render(chat, facts, add_generation_prompt=False)
    except BaseModelError:
        return False
