"""Which kinds of model there are, and which of them no machine could train."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from runner.errors import UsageError

FIELDS = Path(__file__).with_name("fields.json")
EXPERTS = re.compile(r"(?:^|_)(?:n|num)_(?!shared)(?:\w+_)?experts$")
"""Keys that count experts: ``num_experts``, ``num_local_experts``, ``n_routed_experts``, ``moe_num_experts``."""
WITH_EYES = ("gemma3",)
"""Types of which the part that sees is built as well; their sizes are those of the text part."""
SWITCHES = ("is_moe", "enable_moe_block")
"""Keys by which a family leaves the experts out that its configuration counts."""


class UnknownShapeError(UsageError):
    """The layers of a base model are not known here: what memory it takes is not either."""


class UntrainableModelError(UnknownShapeError):
    """A base model of a kind that cannot be trained here, on whichever machine."""


@dataclass(frozen=True)
class Kinds:
    """What the locked transformers knows; made by ``python -m benchmarks.model_families --write``.

    Attributes:
        transformers: Its version.
        causal: Types of model that ``AutoModelForCausalLM`` takes, and the type of what it builds of each.
        eager: Types whose attention is eager, for lack of any other.
        experts: Types that are a mixture of experts where a configuration does not count them.
        fields: By type, the values that it takes where a configuration says nothing, and its names of common keys.
    """

    transformers: str
    causal: Mapping[str, str]
    eager: frozenset[str]
    experts: frozenset[str]
    fields: Mapping[str, Mapping[str, Mapping[str, Any]]]


@cache
def kinds() -> Kinds:
    """Return what the locked transformers knows."""
    found = json.loads(FIELDS.read_text(encoding="utf-8"))
    return Kinds(
        found["transformers"], found["causal"], frozenset(found["eager"]), frozenset(found["experts"]), found["fields"]
    )


def text_part(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the type of what ``AutoModelForCausalLM`` builds of a configuration, and the part that describes it.

    Raises:
        UntrainableModelError: If that is no model of text alone whose linear layers can be quantised.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise UntrainableModelError(
            f"plan: the base model's config.json has model_type: {json.dumps(kind)[:40]}",
            resolution="set model.base_model to a model that transformers loads: its config.json names its type",
        )
    built = kinds().causal.get(kind, kind)
    has_text_part = built != kind or kind in WITH_EYES
    part = config.get("text_config") if has_text_part else config
    if not isinstance(part, Mapping):
        raise UntrainableModelError(
            f"plan: the configuration of a {kind} model has no text_config, which describes what is trained",
            resolution="use the model's own config.json",
        )
    _refuse_two_halves(kind, config)
    _refuse_experts(kind, part)
    return built, part


def needs_own_code(config: Mapping[str, Any]) -> bool:
    """Return whether only code that lies beside the weights can load a model: transformers has no such type."""
    return config.get("model_type") not in kinds().causal and _has_own_code(config)


def refuse_foreign(kind: str, config: Mapping[str, Any]) -> None:
    """Refuse a type of model that is not among those which transformers can train as a language model.

    Raises:
        UntrainableModelError: If it is not, and brings no code of its own.
    """
    if kind in kinds().causal.values() or _has_own_code(config):
        return
    raise UntrainableModelError(
        f"plan: transformers {kinds().transformers} has no causal language model of type {kind}",
        resolution="take a causal language model; of one that sees images or hears, the version for text alone",
    )


def _has_own_code(config: Mapping[str, Any]) -> bool:
    code = config.get("auto_map")
    return isinstance(code, Mapping) and "AutoModelForCausalLM" in code


def _refuse_two_halves(kind: str, config: Mapping[str, Any]) -> None:
    if config.get("is_encoder_decoder"):
        raise UntrainableModelError(
            f"plan: a {kind} model is an encoder and a decoder, and Douse trains decoders alone",
            resolution="take a causal language model",
        )


def _refuse_experts(kind: str, part: Mapping[str, Any]) -> None:
    """Refuse a mixture of experts: transformers holds these in three dimensions, bitsandbytes quantises two."""
    said = next((f"{key}: {count}" for key, count in _experts(part)), None)
    if said is None and kinds().causal.get(kind, kind) in kinds().experts and not _counts_experts(part):
        said = "by its type"
    if said is None:
        return
    raise UntrainableModelError(
        f"plan: this {kind} model is a mixture of experts ({said}), and experts are neither quantised nor adapted "
        "rightly by the libraries that Douse trains with",
        resolution="take a dense base model; `make compare` shows what one costs",
    )


def _experts(part: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the keys that count experts, with more than one; those of parts that see or hear do not matter."""
    if any(part.get(switch) is False for switch in SWITCHES):
        return
    for key, value in part.items():
        if isinstance(value, Mapping) and not key.startswith(("vision", "audio")):
            yield from _experts(value)
        elif EXPERTS.search(key) and _most(value) > 1:
            yield key, value


def _counts_experts(part: Mapping[str, Any]) -> bool:
    """Return whether a configuration says how many experts there are, or leaves them out."""
    return any(
        (_counts_experts(value) if isinstance(value, Mapping) else key in SWITCHES or EXPERTS.search(key) is not None)
        for key, value in part.items()
    )


def _most(value: Any) -> int:
    """Return a count, or the largest of those that a configuration has for each block."""
    counts = value if isinstance(value, list) else [value]
    return max((int(one) for one in counts if isinstance(one, int) or str(one).isdecimal()), default=0)
