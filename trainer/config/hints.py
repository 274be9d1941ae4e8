"""What to write instead of a key that is not known: it may be of another section, of another trainer, or misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from pydantic import BaseModel

from trainer.config.other_trainers import counterpart

Renamed = Mapping[str, Mapping[str, str]]
LIKELY, POSSIBLE = 0.8, 0.5
"""How alike two names are, from 0 to 1, that are taken for one another: in any section, and within one."""
NOT_OFFERED = {
    **dict.fromkeys(
        ("use_dora", "peft_use_dora"),
        "DoRA is not offered, because the memory that it takes is not in the plan's model; leave it out",
    ),
    **dict.fromkeys(
        ("loraplus_lr_ratio", "loraplus_lr_embedding"),
        "LoRA+ is not offered, because the trainer's optimizers have one learning rate; raise training.learning_rate",
    ),
    **dict.fromkeys(
        ("modules_to_save", "lora_modules_to_save", "additional_target"),
        "whole modules are not trained, because acceptance and the merge know adapters alone; leave it out",
    ),
}
"""What libraries of this field can do and Douse does not, by their keys, and why."""


def suggestion(model: type[BaseModel], path: Sequence[str], renamed: Renamed) -> str:
    """Return the end of a sentence that says that a key is not known.

    Args:
        model: The class whose fields are the sections.
        path: Sections, then the key.
        renamed: Older spellings by section.
    """
    *sections, key = path
    homes = [dotted for dotted in _dotted_keys(model, renamed, key) if dotted != ".".join(path)]
    if homes:
        return f"; it belongs to {_section_of(homes[0])}: write `{homes[0]}`"
    if sections and key in model.model_fields and _inner(model, key) is not None:
        return f"; it is a section of its own: write it beside `{sections[0]}`, not in it"
    if key in NOT_OFFERED:
        return f": {NOT_OFFERED[key]}"
    meant = counterpart(key)
    if meant is not None:
        return f"; here it is `{meant}`"
    known = list(section_at(model, sections).model_fields)
    everywhere = dict(_all_keys(model))
    for names in ({name: name for name in known}, everywhere):
        close = difflib.get_close_matches(key, names, n=1, cutoff=LIKELY)
        if close:
            return f"; did you mean `{names[close[0]]}`?"
    close = difflib.get_close_matches(key, known, n=1, cutoff=POSSIBLE)
    return f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}"


def section_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """Return the class of a section; one that may be left out has it beside ``None``."""
    for name in path:
        inner = _inner(model, name)
        if inner is None:
            raise KeyError(name)
        model = inner
    return model


def _inner(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    annotation = model.model_fields[name].annotation
    choices = (annotation, *get_args(annotation))
    return next((one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _all_keys(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Return each key of each section, alone and behind its section."""
    for section in model.model_fields:
        inner = _inner(model, section)
        for key in () if inner is None else inner.model_fields:
            yield key, f"{section}.{key}"


def _dotted_keys(model: type[BaseModel], renamed: Renamed, key: str) -> list[str]:
    """Return where a key is known by today's name or by an older one."""
    found = [dotted for name, dotted in _all_keys(model) if name == key]
    return found + [f"{section}.{keys[key]}" for section, keys in renamed.items() if key in keys]


def _section_of(dotted: str) -> str:
    return dotted.rpartition(".")[0]
