"""What was done to samples on the way to tokens, as sentences: notes, and warnings where something may be lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.chat import EncodedSample
from trainer.data.message import Message
from trainer.data.probes import TWO_ANSWERS
from trainer.data.rendering import render
from trainer.errors import BaseModelError

if TYPE_CHECKING:
    from trainer.data.samples import Dataset, Sample

_INDENTED = re.compile(r"\n*(?:\t| {2,})\S")
_INDENTATION = "    indented"


def notes_of(dataset: Dataset) -> tuple[str, ...]:
    """Return a sentence for each thing that was done to samples, counted over both splits."""
    samples = [*dataset.train, *dataset.eval]
    remarks = Counter(remark for sample in samples for remark in sample.remarks)
    context_only = sum(not message.learned for sample in samples for message in sample.messages if _speaks(message))
    unused = dict.fromkeys(key for sample in samples for key in sample.unused)
    found = {
        f"{dataset.unlearnable} samples have no turn that is to be learned, and are left out": dataset.unlearnable,
        f"{context_only} turns of the assistant are in the context only, and not learned": context_only,
        f"keys that are not used: {', '.join(unused)}": len(unused),
    }
    return (
        *(sentence for sentence, count in found.items() if count),
        *(f"{count} samples {remark}" for remark, count in sorted(remarks.items())),
    )


def losses_of(samples: Sequence[Sample], encoded: Sequence[EncodedSample], facts: BaseModelFacts) -> tuple[str, ...]:
    """Return a sentence for each thing that the chat template takes away from training samples.

    Args:
        samples: The training samples.
        encoded: The same samples as tokens.
        facts: The base model's template.
    """
    thoughts = sum(sample.dropped_thoughts for sample in encoded)
    indented = sum(any(_is_indented(message) for message in sample.messages) for sample in samples)
    found = {
        f"{thoughts} thoughts of earlier turns are left out by the chat template, and not learned": thoughts,
        f"{indented} training samples have an answer that begins with an indentation, which the chat template "
        "strips": indented and _strips_indentation(facts),
    }
    return tuple(sentence for sentence, count in found.items() if count)


def _speaks(message: Message) -> bool:
    return message.role == "assistant"


def _is_indented(message: Message) -> bool:
    return _speaks(message) and _INDENTED.match(message.content) is not None


def _strips_indentation(facts: BaseModelFacts) -> bool:
    try:
        chat = (TWO_ANSWERS[0], Message("assistant", _INDENTATION))
        return _INDENTATION not in render(chat, facts, add_generation_prompt=False)
    except BaseModelError:
        return False
