"""The script most people start from: QLoRA with TRL's SFTTrainer, from its own documentation, and nothing of ours.

It is the other side of every comparison: in ``benchmarks/`` for speed, in ``tests/`` for the traps it falls into.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def make_plain_trainer(base_model: str, data_folder: Path, output: Path, **options: Any) -> Any:
    """Return a plain ``SFTTrainer`` on a 4-bit base.

    Args:
        base_model: Folder of the base model.
        data_folder: Folder with ``train.jsonl``.
        output: Where it saves.
        options: Fields of ``SFTConfig``, and ``lora_dropout``.
    """
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    dataset = load_dataset("json", data_files=str(data_folder / "train.jsonl"), split="train", cache_dir=str(output))
    dropout = options.pop("lora_dropout", 0.05)
    config = SFTConfig(output_dir=str(output), report_to=[], disable_tqdm=True, logging_steps=1, **options)
    return SFTTrainer(
        model=base_model,
        args=config,
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(base_model),
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32 if config.use_cpu else torch.bfloat16,
        ),
        peft_config=LoraConfig(
            r=16, lora_alpha=32, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
