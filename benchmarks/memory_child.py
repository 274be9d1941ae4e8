"""One point of ``benchmarks.memory_measured``: two steps of our trainer in this process, and their peak.

Before anything is measured a model of next to nothing is trained, so that code, caches and threads are there already:
they count as the process.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import make_ours
from tests.tiny_model import make_tiny_dataset, make_tiny_model

if TYPE_CHECKING:
    import torch

GIB = 2**30


@dataclass(frozen=True)
class PointFacts:
    """What a point showed.

    Attributes:
        device: ``cpu`` or ``cuda``.
        tokens: Most tokens in a micro-batch, padding included.
        row_tokens: Longest row as attention sees it.
        supervised_share: Of these tokens, the positions whose logits are computed.
        process_gib: What the process held before the model was loaded; on CUDA what the driver holds.
        peak_gib: Most that was held in training; on CUDA of the GPU, the allocator's reserve included.
    """

    device: str
    tokens: int
    row_tokens: int
    supervised_share: float
    process_gib: float
    peak_gib: float


@dataclass
class Batches:
    """Looks at the micro-batches on their way: a data collator around another."""

    collate: Any
    tokens: int = 0
    row_tokens: int = 0
    supervised: int = 0

    def __call__(self, rows: Any) -> Any:
        """Collate, and keep the largest sizes."""
        batch = self.collate(rows)
        labels = batch["labels"]
        positions = (labels[:, 1:] != -100).any(dim=0).sum()
        self.tokens = max(self.tokens, labels.numel())
        self.row_tokens = max(self.row_tokens, labels.shape[1])
        self.supervised = max(self.supervised, int(positions) * labels.shape[0])
        return batch


def measure(job: Mapping[str, Any], folder: Path) -> PointFacts:
    """Train as the job says, in this process."""
    from trainer.base_model.load import load_tokenizer, resolve_device
    from trainer.quiet import silence_libraries, silence_progress_bars

    silence_libraries(telemetry=False)
    silence_progress_bars()
    recipe = job["recipe"]
    if not Path(recipe["model"]["base_model"]).exists():
        make_random_model(job["config"], Path(job["tokenizer"]), Path(recipe["model"]["base_model"]))
    _train(_tiny(recipe, folder), folder / "tiny")
    from benchmarks.measuring import encode_data
    from trainer.config.recipe import Recipe

    checked = Recipe.model_validate(recipe)
    facts, _ = known = encode_data(checked)
    tokenizer = load_tokenizer(recipe["model"]["base_model"], facts, checked.model)
    gc.collect()
    device = resolve_device(checked.run)
    process_gib = held_gib(device)
    batches, peak_gib = _train(recipe, folder / "point")
    del known, tokenizer
    share = batches.supervised / batches.tokens
    return PointFacts(device.type, batches.tokens, batches.row_tokens, share, process_gib, peak_gib)


def _tiny(recipe: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the recipe for a tiny model and its data."""
    model, data = make_tiny_model(folder / "tiny-model"), make_tiny_dataset(folder / "tiny-data")
    paths = {"train_path": str(data / "train.jsonl"), "eval_path": str(data / "eval.jsonl"), "max_length": 128}
    changed = {"model": {"base_model": str(model)}, "data": paths}
    return {name: {**section, **changed.get(name, {})} for name, section in recipe.items()}


def make_random_model(config: Mapping[str, Any], tokenizer: Path, target: Path) -> None:
    """Write a Llama of random weights with another model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    values = {name: value for name, value in config.items() if name != "model_type"}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**values, dtype=torch.bfloat16)).to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(target)


def _train(recipe: Mapping[str, Any], folder: Path) -> tuple[Batches, float]:
    """Train, and return what its batches were and the peak, in GiB."""
    from trainer.config.recipe import Recipe
    from trainer.events import EventLog

    folder.mkdir()
    with closing(EventLog(folder / "events.jsonl")) as events:
        trainer = make_ours(Recipe.model_validate(recipe), folder, events)
        trainer.data_collator = batches = Batches(trainer.data_collator)
        gc.collect()
        forget_peak(trainer.args.device)
        trainer.train()
        peak = peak_gib(trainer.args.device)
    return batches, peak


def held_gib(device: torch.device) -> float:
    """Return what the process holds now; on CUDA what others than PyTorch's allocator hold of the GPU."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(device)
        return (total - free - torch.cuda.memory_reserved(device)) / GIB
    return _status_kib("VmRSS") / 2**20


def forget_peak(device: torch.device) -> None:
    """Let the peak begin at what is held now."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")  # man 5 proc


def peak_gib(device: torch.device) -> float:
    """Return the most that was held since ``forget_peak``; on CUDA with what others hold of the GPU."""
    if device.type == "cuda":
        import torch

        reserved = torch.cuda.max_memory_reserved(device) / GIB
        return reserved + held_gib(device)
    return _status_kib("VmHWM") / 2**20


def _status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the job in a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_child", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder with job.json; facts.json is written there")
    folder = parser.parse_args(argv).folder
    found = measure(json.loads((folder / "job.json").read_text(encoding="utf-8")), folder)
    (folder / "facts.json").write_text(json.dumps(asdict(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
