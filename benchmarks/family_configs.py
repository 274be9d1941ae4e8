"""The configurations in which ``benchmarks.model_families`` builds each family: small ones, and published ones."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.results import PROJECT

PUBLISHED = PROJECT / "benchmarks" / "published_configs.json"
FAMILIES = PROJECT / "runner" / "planning" / "estimate" / "families"
SMALL = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "max_position_embeddings": 128,
}
"""A shape of which no two numbers are the same, by transformers' common names."""
SEEING = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_channels": 3,
    "image_size": 28,
    "patch_size": 7,
}
"""The shape of a part that sees."""
LATENT = {"q_lora_rank": 40, "kv_lora_rank": 20, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 10}
OWN: Mapping[str, Mapping[str, Any]] = {
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "ctrl": {"dff": 160},
    "diffllama": {"head_dim": 16},
    "falcon": {"ffn_hidden_size": 160, "num_kv_heads": 2},
    "gpt_neo": {"attention_types": [[["global"], 3]]},
    "helium": {"head_dim": 16},
    "minicpm3": LATENT,
    "opt": {"ffn_dim": 160, "word_embed_proj_dim": 64},
    "stablelm": {"head_dim": 16},
    "xglm": {"ffn_dim": 160},
    "youtu": LATENT,
}
"""What single families have besides, or otherwise."""
TOGETHER = {"internlm3": ("attention_bias", "mlp_bias")}
"""Switches of a family that it takes together or not at all."""
SIGHTED = ("gemma3",)
"""Families of which a part that sees is built as well; their text is of the type of that name with ``_text``."""
OLDER = {"bloom": {"n_embed": "hidden_size"}, "falcon": {"n_embed": "hidden_size"}}
"""Names in older files that single families read before their own; source: their ``__post_init__``."""
TIE = "tie_word_embeddings"
NO_FORM = ("is_encoder_decoder", "is_moe")
"""Switches that make another kind of model, which is refused."""


def configurations(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the configurations of a family: what is special about each, and what its ``config.json`` holds."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind in SIGHTED:
        yield from _sighted(kind)
        return
    of_kind = CONFIG_MAPPING[kind]
    sizes = {**{name: size for name, size in SMALL.items() if _takes(of_kind, name)}, **OWN.get(kind, {})}
    switches = {name: not value for name, value in own_values(of_kind).items() if isinstance(value, bool)}
    tied = switches.pop(TIE)
    changes: dict[str, Mapping[str, Any]] = {"by default": {}, "tied" if tied else "untied": {TIE: tied}}
    for names in (TOGETHER.get(kind, (name,)) for name in switches):
        changes[", ".join(names)] = {name: switches[name] for name in names}
    changes["all switches"] = switches | {TIE: tied}
    for what, change in changes.items():
        yield what, _complete(of_kind, sizes | change, OWN.get(kind, {}))
    yield from _published(kind)


def _published(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in json.loads(PUBLISHED.read_text(encoding="utf-8")):
        if row["config"]["model_type"] == kind:
            yield row["name"], row["config"]


def _sighted(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the configurations of a family of which a part that sees is built as well."""
    text = {"model_type": f"{kind}_text", **SMALL}
    whole = {"model_type": kind, "text_config": text, "vision_config": SEEING}
    yield "by default", whole
    yield "untied", whole | {TIE: False}
    yield "no head that sees", whole | {"vision_config": SEEING | {"vision_use_head": False}}
    yield "attention_bias", whole | {"text_config": text | {"attention_bias": True}}
    yield from _published(kind)


def _takes(of_kind: Any, name: str) -> bool:
    """Return whether a configuration has a number; many models look for ``head_dim`` though it is no field."""
    own = {field.name for field in dataclasses.fields(of_kind)} | set(getattr(of_kind, "attribute_map", {}))
    return name in own or (name == "head_dim" and not isinstance(getattr(of_kind, name, None), property))


def _complete(of_kind: Any, values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and switches of a configuration as ``config.json`` holds them."""
    whole = of_kind(**values).to_diff_dict()
    kept = {"model_type", *_mentioned(of_kind), *own}
    return {name: whole[name] for name in sorted(whole) if name in kept}


def _mentioned(of_kind: Any) -> set[str]:
    """Return the keys of a configuration that our reading looks at, by the family's own names."""
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(FAMILIES.glob("*.py")))
    others = getattr(of_kind, "attribute_map", {})
    return {others.get(name, name) for name in re.findall(r'"(\w+)"', sources)} | {TIE}


def own_values(of_kind: Any) -> dict[str, Any]:
    """Return the numbers and switches that a family takes where its configuration says nothing."""
    mentioned = _mentioned(of_kind)
    return {
        field.name: field.default
        for field in dataclasses.fields(of_kind)
        if field.name in mentioned and isinstance(field.default, int) and field.name not in NO_FORM
    }


def own_names(of_kind: Any) -> dict[str, str]:
    """Return a family's own names by those that may stand there instead."""
    mentioned, others = _mentioned(of_kind), getattr(of_kind, "attribute_map", {})
    named = {name: own for name, own in others.items() if own in mentioned}
    return named | OLDER.get(of_kind.model_type, {})
