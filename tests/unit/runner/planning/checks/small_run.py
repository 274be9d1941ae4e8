"""A run whose base model is a folder with a small tokenizer, a configuration and weights of no bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.run.run_file import RunFile
from tests.unit.trainer.small_facts import CHATML, small_tokenizer

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


def write_model(folder: Path, *, template: str | None = CHATML, weights: bool = True, **changes: Any) -> Path:
    """Write a base model; ``changes`` replace keys of its configuration, ``None`` leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in (CONFIG | changes).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(small_tokenizer().to_str())
    told = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    if weights:
        (folder / "model.safetensors").write_bytes(b"")
    return folder


def chat(question: str = "Where?", answer: str = "There.") -> str:
    """Return a line of a data file."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


def make_run(folder: Path, **sections: dict[str, Any]) -> RunFile:
    """Return a run on a small model and two samples, with ``sections`` of the run file replaced key by key."""
    if not (folder / "model").exists():
        write_model(folder / "model")
    for name, line in (("train.jsonl", chat()), ("eval.jsonl", chat("When?", "Then."))):
        if not (folder / name).exists():
            (folder / name).write_text(line)
    whole: dict[str, dict[str, Any]] = {
        "model": {"base_model": str(folder / "model")},
        "data": {
            "train_path": str(folder / "train.jsonl"),
            "eval_path": str(folder / "eval.jsonl"),
            "max_length": 64,
        },
    }
    for name, keys in sections.items():
        whole[name] = whole.get(name, {}) | keys
    return RunFile.model_validate(whole)
