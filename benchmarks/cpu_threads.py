"""The trainer's products on a CPU, alone and beside busy neighbours, under several settings of OpenMP's threads.

"yielding" is what the trainer does (``trainer/threads.py``); the others are fixed settings of OpenMP's variables.
Each setting takes turns with none ("before"), a few steps each; what is compared stands side by side in time. A pair
that met other work of this machine is measured again. Linux only.

Run it with ``python -m benchmarks.cpu_threads [--settings "spin 1000" ...] [--neighbours 0 1 10] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.results import PROJECT, ratios, table
from trainer.files import write_json
from trainer.threads import yield_to_neighbours

BEFORE = "before"
YIELDING = "yielding"
SPINS = (100, 1_000, 3_000, 10_000, 30_000, 100_000)
SETTINGS: dict[str, dict[str, str]] = {
    BEFORE: {},
    YIELDING: {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"spin {count}": {"GOMP_SPINCOUNT": str(count)} for count in SPINS},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
OPENMP = ("OMP_", "GOMP_", "KMP_", "MKL_")
NEIGHBOUR = "while True: pass"
QUIET_S = 0.3
Pair = tuple[float, float]
LAYERS, ROW, SUPERVISED = 2, 512, 100


@dataclass
class Side:
    """One setting: a process that computes steps when it is told to."""

    process: subprocess.Popen[bytes]
    steps: int

    def turn(self) -> float:
        """Compute, and return the seconds of a step."""
        if self.process.stdin is None or self.process.stdout is None:
            raise ValueError("a side has pipes")
        self.process.stdin.write(b"%d\n" % self.steps)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("error: a process has died: run it with --work and give it a number to see why")
        return float(line) / self.steps


@dataclass
class Watch:
    """Says how many cores others than the given processes used since it was made."""

    ours: Sequence[int]

    def __post_init__(self) -> None:
        """Begin."""
        self._processes = [psutil.Process(pid) for pid in self.ours]
        self._begun = self._now()

    def foreign_cores(self) -> float:
        """Return what others used."""
        wall, busy, ours = (now - before for now, before in zip(self._now(), self._begun, strict=True))
        return (busy - ours) / wall

    def _now(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()
        busy = sum(times[:3]) + sum(times[5:8])  # all but idle and waiting for a disk
        return time.monotonic(), busy, sum(sum(process.cpu_times()[:2]) for process in self._processes)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table for each number of neighbours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_threads", description=main.__doc__)
    others = [name for name in SETTINGS if name != BEFORE]
    parser.add_argument("--settings", nargs="+", choices=others, default=others, metavar="NAME", help=", ".join(others))
    parser.add_argument("--neighbours", nargs="+", type=int, default=[0, 1, 10], help="busy processes beside (0 1 10)")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of turns for each setting (9)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn (3)")
    parser.add_argument(
        "--foreign-cores",
        type=float,
        default=0.1,
        help="what others may take of the machine in a pair that counts (0.1)",
    )
    parser.add_argument("--minutes", type=float, default=10, help="give up after so long (10)")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    parser.add_argument("--work", choices=SETTINGS, metavar="NAME", help="be one of the processes that are measured")
    arguments = parser.parse_args(argv)
    if arguments.work:
        if arguments.work == YIELDING:
            yield_to_neighbours()
        work(make_step())
        return
    deadline_s = time.monotonic() + arguments.minutes * 60
    report: dict[int, Any] = {}
    with ExitStack() as stack:
        sides = {name: stack.enter_context(side(name, arguments.steps)) for name in (BEFORE, *arguments.settings)}
        for one in sides.values():
            one.turn()
        for count in arguments.neighbours:
            found = measure_pairs(sides, count, arguments.pairs, arguments.foreign_cores, deadline_s)
            report[count] = summarise(found)
            print(show(count, report[count]), flush=True)
    if arguments.json:
        write_json(arguments.json, report)


@contextmanager
def side(setting: str, steps: int) -> Iterator[Side]:
    """Run one of the processes that are measured, with this setting and no other of OpenMP's variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OPENMP)} | SETTINGS[setting]
    argv = [sys.executable, "-m", "benchmarks.cpu_threads", "--work", setting]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, cwd=PROJECT, env=environment, bufsize=0, **pipes) as process:
        try:
            yield Side(process, steps)
        finally:
            process.kill()


@contextmanager
def neighbours(count: int) -> Iterator[list[int]]:
    """Keep so many processes busy, and return their numbers; only while it is measured, for others need the machine."""
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen([sys.executable, "-c", NEIGHBOUR])) for _ in range(count)]
        for process in running:
            stack.callback(process.kill)
        if running:
            time.sleep(QUIET_S)  # until they are what they are going to be
        yield [process.pid for process in running]


def measure_pairs(
    sides: Mapping[str, Side], count: int, pairs: int, allowed_cores: float, deadline_s: float
) -> dict[str, list[Pair]]:
    """Return pairs of seconds of a step, before and with the setting, for each setting; the order alternates."""
    found: dict[str, list[Pair]] = {name: [] for name in sides if name != BEFORE}
    while missing := [name for name, done in found.items() if len(done) < pairs]:
        for name in missing:
            wait_for_quiet([one.process.pid for one in sides.values()], allowed_cores, deadline_s)
            order = (BEFORE, name) if len(found[name]) % 2 else (name, BEFORE)
            with neighbours(count) as pids:
                watch = Watch([*pids, *(one.process.pid for one in sides.values())])
                seconds = {which: sides[which].turn() for which in order}
                if watch.foreign_cores() <= allowed_cores:
                    found[name].append((seconds[BEFORE], seconds[name]))
    return found


def wait_for_quiet(ours: Sequence[int], allowed_cores: float, deadline_s: float) -> None:
    """Return when others leave the machine alone.

    Raises:
        SystemExit: If they have not until the deadline.
    """
    while time.monotonic() < deadline_s:
        watch = Watch(ours)
        time.sleep(QUIET_S)
        if watch.foreign_cores() <= allowed_cores:
            return
    raise SystemExit("error: the machine is too busy to measure: wait, or allow more with --foreign-cores")


def summarise(found: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """Return steps a second, and the ratios of each pair."""
    before = [pair[0] for pairs in found.values() for pair in pairs]
    report: dict[str, Any] = {BEFORE: {"steps_per_s": 1 / median(before), "ratio": ratios(before, before)}}
    for name, pairs in found.items():
        befores, withs = zip(*pairs, strict=True)
        report[name] = {"steps_per_s": 1 / median(withs), "ratio": ratios(befores, withs)}
    return report


def show(count: int, report: Mapping[str, Any]) -> str:
    """Return the table for so many neighbours."""
    rows = [
        [name, f"{one['steps_per_s']:.2f}", *(f"{one['ratio'][key]:.2f}" for key in ("median", "lowest", "highest"))]
        for name, one in report.items()
    ]
    return table([f"{count} neighbours", "steps/s", "times before, median of pairs", "lowest", "highest"], rows) + "\n"


def work(step: Callable[[], object]) -> None:
    """Compute as many steps as each line of the standard input says, and answer with their seconds."""
    while line := sys.stdin.readline():
        begun = time.monotonic()
        for _ in range(int(line)):
            step()
        print(time.monotonic() - begun, flush=True)


def make_step() -> Callable[[], object]:
    """Return an optimizer step of the quickstart's shape: SmolLM2-135M's layers, two of 30, in 4 bits with LoRA."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(42)
    shape = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
    config = LlamaConfig(vocab_size=49152, num_hidden_layers=LAYERS, tie_word_embeddings=True, **shape)
    base: Any = LlamaForCausalLM(config)
    for name, module in list(base.model.named_modules()):
        if isinstance(module, torch.nn.Linear):
            packed = Linear4bit(module.in_features, module.out_features, bias=False, quant_type="nf4")
            packed.weight = Params4bit(module.weight.data, requires_grad=False, quant_type="nf4", module=packed)
            packed.support_avx512bf16_for_cpu = False
            parent, _, leaf = name.rpartition(".")
            setattr(base.model.get_submodule(parent), leaf, packed.to("cpu"))
    model: Any = get_peft_model(base, LoraConfig(r=16, lora_dropout=0.05, target_modules="all-linear"))
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-3)
    ids = torch.randint(0, config.vocab_size, (1, ROW))
    kept = torch.arange(0, ROW, ROW // SUPERVISED)  # the head runs on supervised positions only, as in the trainer

    def step() -> None:
        logits = model(input_ids=ids, logits_to_keep=kept).logits[0]
        torch.nn.functional.cross_entropy(logits, ids[0, kept]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
