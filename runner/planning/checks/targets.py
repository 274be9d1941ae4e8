"""The layers that are to get an adapter, judged as PEFT and TRL will judge them on the machine."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from runner.planning.checks.line import Check, failed, passed, warned
from trainer.config.values import ALL_LINEAR

TARGETS = "target modules"
HEADS = ("lm_head", "embed_out")
"""The output head: TRL computes the loss from its weight, and refuses an adapter on it, which would not be trained."""
EMBEDDINGS = ("embed_tokens", "embed_in", "wte", "wpe", "embed_positions")
"""The embedding: PEFT's adapter for it is another kind of tensor, which acceptance and the merge do not know."""
OTHERS = (
    *(
        "self_attn",
        "attention",
        "attn",
        "mlp",
        "layers",
        "norm",
        "input_layernorm",
        "post_attention_layernorm",
        "q_norm",
    ),
    *("k_norm", "rotary_emb", "act_fn", "pre_feedforward_layernorm", "post_feedforward_layernorm", "model", "ln_f"),
)
"""Parts of a model that are no linear layer: PEFT refuses a name that takes one."""
ATTENTION = (
    *("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "query_key_value", "dense", "out_proj", "c_attn", "Wqkv"),
    *("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"),
)
"""Names of attention's layers; what is not among them is looked for in attention and in the MLP."""
BLOCKS = {"gpt_neox": ("gpt_neox.layers", "attention"), "qwen": ("transformer.h", "attn")}
"""Where the blocks are and what attention is called there; elsewhere as in LLaMA."""
NARROWER = r"narrow it to linear layers, like `.*\.(q_proj|v_proj)`, or set adapter.lora_target_modules to all-linear"
REMEDY = f"set adapter.lora_target_modules to {ALL_LINEAR}"


def check_targets(
    wanted: str | Sequence[str], known: Sequence[str] | None, *, model_type: str = "", layers: int = 1, why: str = ""
) -> Check:
    """Compare ``adapter.lora_target_modules`` with what the base model has.

    A name takes a layer if it is the layer's own, or the end of its path; an expression takes those whose whole path it
    matches. Where nothing is taken, PEFT refuses; where some names take nothing, it trains the others and says nothing.

    Args:
        wanted: ``all-linear``, names, or a regular expression.
        known: Names of the linear layers of a block, or ``None`` where they are not known.
        model_type: The architecture, as transformers calls it.
        layers: How many blocks there are.
        why: Why the layers are not known.
    """
    if wanted == ALL_LINEAR:
        return passed(TARGETS, f"{wanted}: {', '.join(known)}" if known else f"{wanted}; the layers are not known here")
    if not wanted:
        return failed(TARGETS, "the list is empty", REMEDY)
    if isinstance(wanted, str):
        return _expression(wanted, known, model_type, layers, why)
    return _never([name for name in wanted if name not in (known or ())]) or _names(wanted, known, why)


def _never(wanted: Sequence[str]) -> Check | None:
    """Return the line for names that no base model takes an adapter on, or ``None``."""
    last = {name: name.rpartition(".")[2] for name in wanted}
    for kind, names in (("the output head", HEADS), ("the embedding", EMBEDDINGS), ("no linear layer", OTHERS)):
        found = [name for name, end in last.items() if end in names]
        if found:
            return failed(TARGETS, f"{' and '.join(found)}: {kind}, which takes no adapter here", _without(found))
    return None


def _without(found: Sequence[str]) -> str:
    return f"take {' and '.join(found)} out of adapter.lora_target_modules, or set it to {ALL_LINEAR}"


def _names(wanted: Sequence[str], known: Sequence[str] | None, why: str) -> Check:
    if known is None:
        return _unknown(why)
    lost = [name for name in wanted if not _takes_any(name, known)]
    if not lost:
        return passed(TARGETS, ", ".join(wanted))
    close = [name for name in known if difflib.get_close_matches(name, lost, n=1, cutoff=0.5)]
    remedy = f"name layers that it has: {', '.join(close or known)}; or {REMEDY}"
    if len(lost) == len(wanted):
        return failed(TARGETS, f"no layer of the base model is called {' or '.join(lost)}", remedy)
    return warned(TARGETS, f"no layer is called {' or '.join(lost)}: only the others get an adapter", remedy)


def _expression(wanted: str, known: Sequence[str] | None, model_type: str, layers: int, why: str) -> Check:
    stem, attention = BLOCKS.get(model_type, ("model.layers", "self_attn"))
    top = stem.rpartition(".")[0]
    heads, embeddings = list(HEADS), [f"{top}.{name}" for name in EMBEDDINGS]
    parts = [
        top,
        stem,
        f"{top}.norm",
        *(f"{stem}.0{part}" for part in ("", f".{attention}", ".mlp", ".input_layernorm")),
    ]
    for kind, paths in (("the output head", heads), ("the embedding", embeddings), ("no linear layer", parts)):
        found = next((path for path in paths if re.fullmatch(wanted, path)), None)
        if found is not None:
            return failed(TARGETS, f"{wanted} also takes {found}: {kind}, which takes no adapter here", NARROWER)
    if known is None:
        return _unknown(why)
    matched = [
        name for name in known if any(re.fullmatch(wanted, path) for path in _paths(name, stem, attention, layers))
    ]
    if matched:
        return passed(TARGETS, f"{wanted}: {', '.join(matched)}")
    example = next(iter(_paths(known[0], stem, attention, 1)))
    return failed(
        TARGETS, f"{wanted} matches no layer: it has to match a whole path, like {example}", f"correct it, or {REMEDY}"
    )


def _unknown(why: str) -> Check:
    return warned(TARGETS, why, f"look the names up in the model's own code, or {REMEDY}")


def _paths(name: str, stem: str, attention: str, layers: int) -> list[str]:
    """Return the paths that a layer may have, one for each block and each part of it that it may be in."""
    parts = [attention] if name in ATTENTION else [attention, "mlp"]
    tails = [name] if "." in name else [f"{part}.{name}" for part in parts]
    return [f"{stem}.{block}.{tail}" for block in range(layers) for tail in tails]


def _takes_any(wanted: str, known: Sequence[str]) -> bool:
    """Return whether a name takes a layer; one may give more of the path than is known here."""
    return any(name == wanted or name.endswith(f".{wanted}") or wanted.endswith(f".{name}") for name in known)
