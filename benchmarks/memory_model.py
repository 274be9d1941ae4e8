"""The memory model beside what others have published: ``python -m benchmarks.memory_model [--write]``.

``--write`` puts the table into ``docs/memory-model.md``; a test holds the page current and the errors within bounds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import PROJECT, table
from runner.planning.estimate.memory import ALLOCATOR_RESERVE, GIB, Holding, memory_of
from runner.planning.estimate.model_shape import ModelShape, shape_of

PAGE = PROJECT / "docs" / "memory-model.md"
BEGIN, END = "<!-- made by `python -m benchmarks.memory_model --write` from here -->", "<!-- up to here -->"
GB = 1e9 / GIB
"""GiB in a GB."""


def _llama(hidden: int, layers: int, inner: int, vocabulary: int, heads: int, key_heads: int) -> ModelShape:
    return shape_of(
        {
            "model_type": "llama",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "intermediate_size": inner,
            "vocab_size": vocabulary,
            "num_attention_heads": heads,
            "num_key_value_heads": key_heads,
            "tie_word_embeddings": False,
        }
    )


def _qwen(hidden: int, layers: int, inner: int, vocabulary: int, heads: int) -> ModelShape:
    return shape_of(
        {
            "model_type": "qwen",
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "intermediate_size": inner,
            "vocab_size": vocabulary,
            "num_attention_heads": heads,
            "tie_word_embeddings": False,
        }
    )


LLAMA_3_8B = _llama(4096, 32, 14336, 128256, 32, 8)
LLAMA_3_70B = _llama(8192, 80, 28672, 128256, 64, 8)
LLAMA_7B = _llama(4096, 32, 11008, 32000, 32, 32)
LLAMA_33B = _llama(6656, 60, 17920, 32000, 52, 52)
LLAMA_2_70B = _llama(8192, 80, 28672, 32000, 64, 8)
QWEN_2_5_14B = _llama(5120, 48, 13824, 152064, 40, 8)
LLAMA_65B = _llama(8192, 80, 22016, 32000, 64, 64)
QWEN_1_8B = _qwen(2048, 24, 11008, 151936, 16)
QWEN_7B = _qwen(4096, 32, 22016, 151936, 32)
QWEN_14B = _qwen(5120, 40, 27392, 152064, 40)
QWEN_72B = _qwen(8192, 80, 49152, 152064, 64)
QWEN_TARGETS = ["c_attn", "attn.c_proj", "w1", "w2"]

HUGGING_FACE = Holding(unquantised=4, logits=16, saved_input=2, context_gib=0.5, reserve=ALLOCATOR_RESERVE)
"""transformers 4.4x with peft's ``prepare_model_for_kbit_training`` (embedding and head in 32 bits) and a loss over
32-bit logits: the logits, a shifted copy, their log-softmax and its gradient."""
UNSLOTH = Holding(
    saved_input=2,
    norm_input=2,
    mlp_kept=2,
    mlp_gradients=1,
    shares_inputs=True,
    offloads=True,
    context_gib=0.5,
    reserve=ALLOCATOR_RESERVE,
)
"""Unsloth's kernels: norms keep 16 bits, the MLP keeps gate and way up and works in place, adapters share an input,
blocks' inputs wait on the host, and the loss holds no logits."""
TORCHTUNE = Holding(adapter=2, gradient=2, optimizer=4, saved_input=2)
"""torchtune: adapter and AdamW in bfloat16, a chunked loss; its figure is PyTorch's own count of live tensors, so
without reserve and context."""
QWEN_SCRIPT = Holding(
    quantised=0.5 + 2.5 / 128,
    adapter=6,
    gradient=6,
    optimizer=8,
    logits=8,
    context_gib=1.3 * GB,
    reserve=ALLOCATOR_RESERVE,
)
"""Qwen's script: GPTQ in groups of 128, DeepSpeed with 16- and 32-bit copies of the adapter, a loss over 16-bit logits;
CUDA 11 loads all kernels at the start (Hugging Face, "Model training anatomy": 1.3 GB)."""
QLORA_PAPER = Holding(adapter=2, gradient=2, optimizer=8, logits=16, context_gib=0.5, reserve=ALLOCATOR_RESERVE)
"""The paper's own runs: 16-bit adapters on all layers, 32-bit paged Adam, batch size 1, 512 tokens."""
LLAMA_FACTORY = Holding(context_gib=0.5, reserve=ALLOCATOR_RESERVE)
"""Rounded sizes, "estimated", without settings: taken as rank 8, batch size 1, 512 tokens. The columns are 7B, 14B, 30B
and 70B (13B until March 2025); each is read as the Llama of that size in the same README's list of models, 14B, where
there is none, as Qwen's. The first Llama of "33B" is the one that the Hub calls 30B."""


@dataclass(frozen=True)
class Point:
    """A published figure.

    Attributes:
        source: Whose it is.
        model: The base model in words.
        tokens: Tokens in a micro-batch.
        published: The figure, in ``unit``.
        unit: ``GiB``, or ``GB`` of 10⁹ bytes.
    """

    source: str
    model: str
    shape: ModelShape
    holding: Holding
    tokens: int
    rank: int
    targets: str | list[str]
    published: float
    unit: str = "GiB"

    @property
    def predicted(self) -> float:
        """What the model says, in the same unit."""
        found = memory_of(self.shape, self.holding, tokens=self.tokens, rank=self.rank, targets=self.targets)
        return found.total_gib / (GB if self.unit == "GB" else 1.0)

    @property
    def error(self) -> float:
        """Share by which the prediction is over the figure."""
        return self.predicted / self.published - 1


def _points() -> list[Point]:
    every = "all-linear"
    contexts = "Unsloth, context length benchmarks"
    factory, paper = "LLaMA-Factory, hardware requirements", "QLoRA paper, sizes of GPU"
    hugging_face = ((932, 12), (2551, 16), (5789, 24), (12264, 40), (15502, 48), (28454, 80))
    unsloth = ((2972, 8), (21848, 12), (40724, 16), (78475, 24), (153977, 40), (191728, 48), (342733, 80))
    sizes = (
        ("7B: Llama 2 7B", LLAMA_7B, 6),
        ("14B: Qwen2.5 14B", QWEN_2_5_14B, 12),
        ("30B: LLaMA 33B", LLAMA_33B, 24),
        ("70B: Llama 2 70B", LLAMA_2_70B, 48),
    )
    rows = (
        ("1.8B", QWEN_1_8B, (5.8, 6.0, 6.6, 7.8, 10.2, 15.8)),
        ("7B", QWEN_7B, (11.5, 11.5, 12.3, 13.9, 16.9, 23.5)),
        ("14B", QWEN_14B, (18.7, 18.4, 18.9, 19.9, 23.0, 27.9)),
        ("72B", QWEN_72B, (61.4, 61.4, 62.9, 64.1, 68.0, 75.6)),
    )
    return [
        *(
            Point(f"{contexts}, HF + FA2", "Llama 3.1 8B", LLAMA_3_8B, HUGGING_FACE, tokens, 32, every, gib)
            for tokens, gib in hugging_face
        ),
        Point(f"{contexts}, HF + FA2", "Llama 3.3 70B", LLAMA_3_70B, HUGGING_FACE, 6916, 32, every, 80),
        *(
            Point(f"{contexts}, Unsloth", "Llama 3.1 8B", LLAMA_3_8B, UNSLOTH, tokens, 32, every, gib)
            for tokens, gib in unsloth
        ),
        *(
            Point(f"{contexts}, Unsloth", "Llama 3.3 70B", LLAMA_3_70B, UNSLOTH, tokens, 32, every, gib)
            for tokens, gib in ((12106, 48), (89389, 80))
        ),
        Point("torchtune README, RTX 4090", "Llama 3.1 8B", LLAMA_3_8B, TORCHTUNE, 2 * 2048, 8, every, 7.4),
        *(
            Point("Qwen README, Q-LoRA", f"Qwen {name}", shape, QWEN_SCRIPT, tokens, 64, QWEN_TARGETS, gb, "GB")
            for name, shape, figures in rows
            for tokens, gb in zip((256, 512, 1024, 2048, 4096, 8192), figures, strict=True)
        ),
        Point(paper, "LLaMA 65B", LLAMA_65B, QLORA_PAPER, 512, 64, every, 48),
        *(Point(factory, name, shape, LLAMA_FACTORY, 512, 8, every, gib) for name, shape, gib in sizes),
    ]


POINTS = _points()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_model", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/memory-model.md")
    if parser.parse_args(argv).write:
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(show())


def show() -> str:
    """Return every figure with its prediction, and the errors' median and largest."""
    rows = [
        [
            point.source,
            point.model,
            f"{point.tokens:,}",
            f"{point.published:g} {point.unit}",
            f"{point.predicted:.1f}",
            f"{point.error:+.0%}",
        ]
        for point in POINTS
    ]
    errors = [abs(point.error) for point in POINTS]
    last = f"{len(POINTS)} figures; error: median {median(errors):.1%}, largest {max(errors):.1%}"
    return f"{table(['whose figure', 'base model', 'tokens', 'published', 'predicted', 'error'], rows)}\n\n{last}"


def renewed(page: str) -> str:
    """Return the page with the table of now between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{show()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    main()
