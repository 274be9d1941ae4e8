"""One measured training run, ours or the plain script's: what a child process of the benchmarks does."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import Job, Measurement

if TYPE_CHECKING:
    from trainer.base_model.tokenization import BaseModelFacts
    from trainer.config.recipe import Recipe
    from trainer.data.samples import EncodedDataset
    from trainer.events import EventLog

SHARED_OPTIONS = (
    "seed",
    "data_seed",
    "use_cpu",
    "bf16",
    "max_length",
    "packing",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "optim",
    "activation_checkpointing",
    "gradient_checkpointing",
    "save_strategy",
    "save_steps",
    "dataloader_pin_memory",
)
"""Fields of ``SFTConfig`` that the plain script gets from our recipe, so that both train by the same one."""


@dataclass
class Meter:
    """Counts what the model is given, and times each optimizer step from its first forward pass to its update.

    Attributes:
        wait: Called before each step; returns when it is this run's turn.
        done: Called after each step.
        marks: Wall time, CPU time, tokens and positions of each step.
    """

    wait: Callable[[], object] = lambda: None
    done: Callable[[], object] = lambda: None
    marks: list[tuple[float, float, int, int]] = field(default_factory=list)
    _tokens: int = 0
    _positions: int = 0
    _begun: tuple[float, float] = (0.0, 0.0)

    def count(self, module: Any, args: Any, inputs: dict[str, Any]) -> None:
        """Take one micro-batch; a forward pre-hook."""
        mask = inputs.get("attention_mask")
        self._positions += inputs["input_ids"].numel()
        self._tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())

    def begin(self) -> None:
        """Wait for our turn, then begin a step."""
        self.wait()
        self._tokens = self._positions = 0
        self._begun = time.monotonic(), time.process_time()

    def end(self) -> None:
        """End a step."""
        wall, cpu = time.monotonic() - self._begun[0], time.process_time() - self._begun[1]
        self.marks.append((wall, cpu, self._tokens, self._positions))
        self.done()

    def result(self, loss: float, peak_memory_gib: float) -> Measurement:
        """Return the measurement of all steps after the first."""
        if len(self.marks) < 2:
            raise SystemExit(f"error: {len(self.marks)} steps were done, and the first does not count: train for more")
        seconds, cpu_seconds, tokens, positions = zip(*self.marks[1:], strict=True)
        return Measurement(list(tokens), list(seconds), sum(positions), sum(cpu_seconds), loss, peak_memory_gib)


def measure(job: Job, meter: Meter) -> Measurement:
    """Train as the job says, in this process."""
    from transformers import TrainerCallback

    from trainer.config.recipe import Recipe
    from trainer.environment import memory_peak_gib
    from trainer.events import EventLog
    from trainer.quiet import silence_libraries, silence_progress_bars

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            meter.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            meter.end()

    silence_libraries(telemetry=False)
    silence_progress_bars()
    make = {"ours": make_ours, "plain": make_plain}[job.side]
    with closing(EventLog(Path(job.folder) / "events.jsonl")) as events:
        trainer = make(Recipe.model_validate(job.recipe), Path(job.folder), events)
        trainer.add_callback(Clock())
        trainer.model.register_forward_pre_hook(meter.count, with_kwargs=True)
        trainer.train()
    steps = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    if not all(entry["grad_norm"] > 0 for entry in steps):
        raise SystemExit("error: a gradient's norm is zero: this run learnt nothing, and its speed means nothing")
    return meter.result(steps[-1]["loss"], memory_peak_gib(trainer.args.device))


def make_ours(recipe: Recipe, folder: Path, events: EventLog) -> Any:
    """Return our trainer, ready to train."""
    from trainer.base_model.load import load_base, load_tokenizer, resolve_device
    from trainer.training.fitting import build_trainer
    from trainer.training.run import Run
    from trainer.training.stopping import StopRequest

    facts, encoded = encode_data(recipe)
    location = recipe.model.base_model
    model = load_base(recipe, location, quantised=True)
    tokenizer = load_tokenizer(location, facts, recipe.model)
    run = Run(recipe, folder / "output", events, StopRequest())
    fingerprints = {"recipe": "", "data": "", "environment": "", "base_model": ""}
    return build_trainer(run, model, tokenizer, encoded, fingerprints, resolve_device(recipe.run))


def make_plain(recipe: Recipe, folder: Path, events: EventLog) -> Any:  # noqa: ARG001 (as for ours)
    """Return the plain script's trainer: same recipe, and the token ids and labels that ours learns from."""
    from benchmarks.plain_sft import make_plain_trainer
    from trainer.base_model.load import resolve_device
    from trainer.training.fitting import sft_config

    rows = folder / "rows"
    rows.mkdir(parents=True)
    samples = encode_data(recipe)[1].train
    lines = [json.dumps({"input_ids": sample.input_ids, "labels": sample.labels}) for sample in samples]
    (rows / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = sft_config(recipe, folder / "output", resolve_device(recipe.run))
    options = {name: getattr(config, name) for name in SHARED_OPTIONS}
    options["lora_dropout"] = recipe.adapter.lora_dropout
    return make_plain_trainer(recipe.model.base_model, rows, folder / "output", **options)


def encode_data(recipe: Recipe) -> tuple[BaseModelFacts, EncodedDataset]:
    """Return what is known of the base model, and the data as its tokens."""
    from trainer.base_model.tokenization import load_base_model_facts
    from trainer.data.samples import encode, load_dataset

    facts = load_base_model_facts(recipe.model, recipe.data)
    return facts, encode(load_dataset(recipe.data, recipe.run.seed), facts, recipe.data)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the job in a folder; the other scripts start this one, and give it its turns through its streams."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measuring", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder with job.json; measurement.json is written there")
    folder = parser.parse_args(argv).folder
    turns_out = os.dup(1)
    os.dup2(2, 1)  # what the libraries print is no turn

    def wait() -> None:
        if not os.read(0, 1):
            raise SystemExit("error: nobody waits for this measurement any more")

    meter = Meter(wait, done=lambda: os.write(turns_out, b"."))
    result = measure(Job(**json.loads((folder / "job.json").read_text(encoding="utf-8"))), meter)
    (folder / "measurement.json").write_text(json.dumps(asdict(result)), encoding="utf-8")


if __name__ == "__main__":
    main()
