"""A tiny random Llama with its own tokenizer, and a tiny chat data set: what the trainer's tests train.

Both are made from the text in this file alone, so that they are the same bytes on every machine and on every day.
"""

from __future__ import annotations

import json
from pathlib import Path

VOCABULARY = 1000
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if loop.first and message['role'] != 'system' -%}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
PLACES = ("Amber", "Birch", "Cedar", "Dover", "Ember", "Fern", "Grove", "Heron", "Indigo", "Juniper")
THINGS = ("bridge", "tower", "harbour", "garden", "library", "station", "market", "school")
FACTS = ("height in metres", "year of opening", "number of rooms", "yearly visitors")
TEXT = """
The people of the town keep a book in which everything that was built is written down. Some pages are old and
hard to read, others were added last summer. Whoever asks a question gets a short answer and the number of the
page where the answer stands, because an answer without a page cannot be checked. When the book does not know,
it says so. A machine that learns from the book has to do the same: read the question, find the page, write the
answer in the form that was asked for, and stop. Learning means that small numbers are moved a little, many
times over, until the right word is more likely than the wrong one. Most of the numbers stay where they are;
only a thin layer on top is trained, and that layer is what we save, carry home, load again and test. It must
not be empty, it must fit the model it was trained on, and it must answer better than before. Nothing of this is
certain beforehand, so each part is measured: loss before, loss after, the share of answers in the right form,
how many were right. Large machines are rented by the hour and cost money while they wait. Small ones stand
under the table and take their time. Either way a run can be stopped at any moment, by a person, by a power cut,
or by the owner of the machine, and it should continue later as if nothing had happened. Therefore everything
that matters is written to disk, with a checksum, and read back. Weather, colour, river, mountain, winter,
spring, autumn, bread, water, paper, copper, silver, window, kitchen, doctor, teacher, farmer, sailor, engine,
signal, number, letter. Carpenter, lantern, village, mirror, blanket, chimney, orchard, pencil, cabinet,
journey, thunder, velvet, whistle, compass, pepper, marble, basket, candle, feather, saddle, anchor, barrel,
meadow, needle, ribbon, pocket.
"""


RUN_FILE = """
run: {{name: tiny}}
model: {{base_model: {model}}}
data: {{train_path: {data}/train.jsonl, eval_path: {data}/eval.jsonl, max_length: 256}}
training: {{max_steps: 12, gradient_accumulation_steps: 2, learning_rate: 0.01}}
checkpointing: {{save_steps: 2}}
evaluation: {{generation_samples: 1, max_new_tokens: 8, max_eval_samples: 4}}
"""
"""A recipe whose adapter is accepted, within seconds."""


def write_tiny_run_file(path: Path, model: Path, data: Path) -> Path:
    """Write a run file that trains the tiny model in ``model`` on the data set in ``data``, and return its path."""
    path.write_text(RUN_FILE.format(model=model, data=data), encoding="utf-8")
    return path


def make_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write a base model folder: config, safetensors, tokenizer files and a ChatML template.

    Args:
        folder: Where to write; made when missing.
        seed: Seed of the random weights; the tokenizer is the same for all seeds.

    Returns:
        ``folder``.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_train_tokenizer(),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
        model_max_length=512,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.1,  # the usual 0.02 leaves so small a model nearly unable to prefer one token
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        dtype=torch.float32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tiny_dataset(folder: Path, train: int = 60, held_out: int = 8) -> Path:
    """Write ``train.jsonl`` and ``eval.jsonl``: short questions whose answers are JSON with citations.

    Returns:
        ``folder``.
    """
    lines = [json.dumps({"messages": _sample(index)}) for index in range(train + held_out)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("\n".join(lines[:train]) + "\n", encoding="utf-8")
    (folder / "eval.jsonl").write_text("\n".join(lines[train:]) + "\n", encoding="utf-8")
    return folder


def _sample(index: int) -> list[dict[str, str]]:
    place = PLACES[index % len(PLACES)]
    thing = THINGS[index % len(THINGS)]
    fact = FACTS[index // len(PLACES) % len(FACTS)]
    page = index * 7 % 90 + 10
    answer = {"answer": index * 37 % 900 + 100, "unit": fact.split()[0], "citations": [f"page {page}"]}
    return [
        {"role": "user", "content": f"Page {page}: what is the {fact} of the {place} {thing}?"},
        {"role": "assistant", "content": json.dumps(answer)},
    ]


def _train_tokenizer():  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    samples = [message["content"] for index in range(80) for message in _sample(index)]
    tokenizer.train_from_iterator([*TEXT.splitlines(), *samples], trainer)
    return tokenizer
