"""A GGUF file that holds a tokenizer and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.trainer.small_facts import CHATML, SPECIAL_TOKENS, small_tokenizer

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def write_small_gguf(path: Path, **changes: Any) -> Path:
    """Write the small tokenizer; ``changes`` replace metadata by key, ``None`` leaves it out."""
    from gguf import GGUFWriter

    model = json.loads(small_tokenizer().to_str())["model"]
    tokens = [*sorted(model["vocab"], key=model["vocab"].__getitem__), "<think>", "[mis labelled]"]
    types = [CONTROL if token in SPECIAL_TOKENS else NORMAL for token in tokens[:-2]]
    values = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": tokens,
        "types": [*types, USER_DEFINED, CONTROL],
        "merges": [" ".join(pair) for pair in model["merges"]],
        "eos": 2,
        "template": CHATML,
        **changes,
    }
    writer = GGUFWriter(path, values.get("architecture", "llama"))
    adders = {
        "model": writer.add_tokenizer_model,
        "pre": writer.add_tokenizer_pre,
        "tokens": writer.add_token_list,
        "types": writer.add_token_types,
        "merges": writer.add_token_merges,
        "eos": writer.add_eos_token_id,
        "template": writer.add_chat_template,
    }
    for key, add in adders.items():
        if values[key] is not None:
            add(values[key])
    writer.add_bos_token_id(1)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_context_length(512)
    _add_shape(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_shape(writer: Any) -> None:
    """Add what transformers wants to know of a model before it reads the tokenizer."""
    import numpy as np

    writer.add_block_count(1)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(8)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tensor("token_embd.weight", np.zeros((4, 8), dtype=np.float32))
