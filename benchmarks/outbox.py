"""What the way of checkpoints to a slow store costs training: the time of the save hook beside the outbox and without.

Run it with ``python -m benchmarks.outbox [--pairs 10] [--interval-s 20] [--store-mb-per-s 1] [--json FILE]``. Our
trainer saves a checkpoint of 60 MB in each interval, beside the outbox as the supervisor starts it. In every second
interval the outbox is paused, so that both kinds of saves meet whatever else the machine does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import PROJECT, table
from trainer.files import read_json, write_json

START_S = 120.0
PIECE_BYTES = 64 << 10
LORA_R = 304
"""With the model below an adapter of 5 million weights: 20 MB, and 40 MB of the optimizer's."""
BOUND = 0.01
"""How much of a save interval the outbox may take from training."""


@dataclass(frozen=True)
class Save:
    """One save of a checkpoint.

    Attributes:
        is_beside: Whether the outbox was at work, and not paused.
        is_sending: Whether a checkpoint was on its way to the store when the hook was entered.
        seconds: From entering to leaving the hook.
        size_bytes: Of the checkpoint.
    """

    is_beside: bool
    is_sending: bool
    seconds: float
    size_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table; return 1 where the outbox takes more of an interval than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="saves beside the outbox, and as many without (10)")
    parser.add_argument("--interval-s", type=float, default=20.0, help="seconds of training between two saves (20)")
    parser.add_argument("--store-mb-per-s", type=float, default=1.0, help="what the store takes in a second, in MB (1)")
    parser.add_argument("--json", type=Path, help="file to write the saves to")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="douse-outbox-") as scratch:
        folder = Path(scratch)
        with slow_store(folder, arguments.store_mb_per_s * 1e6) as store:
            saves = measure(folder, store, arguments.pairs, arguments.interval_s)
        taken_bytes = read_json(folder / "taken.json") or {}
    print(show(saves, arguments.interval_s, int(taken_bytes.get("bytes", 0))))
    if arguments.json:
        write_json(arguments.json, [asdict(one) for one in saves])
    return int(beyond_s(saves) > BOUND * arguments.interval_s)


def beyond_s(saves: Sequence[Save]) -> float:
    """Return how much longer the hook took beside the outbox, by the medians."""
    beside, alone = ([one.seconds for one in saves if one.is_beside is kind] for kind in (True, False))
    return median(beside) - median(alone)


def show(saves: Sequence[Save], interval_s: float, taken_bytes: int) -> str:
    """Return the table, and what of it counts."""
    rows = []
    for name, kind in (("paused", False), ("at work", True)):
        found = [one.seconds for one in saves if one.is_beside is kind]
        rows.append([name, len(found), *(f"{value:.3f}" for value in (median(found), min(found), max(found)))])
    sending = sum(one.is_sending for one in saves if one.is_beside)
    size_mb = median(one.size_bytes for one in saves) / 1e6
    beyond = f"{beyond_s(saves) * 1e3:.0f} ms by the medians, {beyond_s(saves) / interval_s:.2%} of an interval"
    lines = [
        table(["the outbox", "saves", "median s", "fastest", "slowest"], rows),
        f"a checkpoint has {size_mb:.1f} MB; the store took {taken_bytes / 1e6:.0f} MB",
        f"at {sending} saves beside the outbox a checkpoint was on its way",
        f"beyond the local write: {beyond} of {interval_s:.0f} s (at most {BOUND:.0%})",
    ]
    return "\n".join(lines)


def measure(folder: Path, store: dict[str, str], pairs: int, interval_s: float) -> list[Save]:
    """Train beside the outbox and return the saves; the first one is not among them, for nothing is sent by then."""
    from transformers import TrainerCallback

    from benchmarks.measuring import make_ours
    from trainer.config.recipe import Recipe
    from trainer.events import EventLog
    from trainer.quiet import silence_libraries, silence_progress_bars

    silence_libraries(telemetry=False)
    silence_progress_bars()
    saves: list[Save] = []

    class Clock(TrainerCallback):
        saved_s = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if time.monotonic() > self.saved_s + interval_s:
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.saved_s = time.monotonic()
            control.should_training_stop = len(saves) > 2 * pairs

    with closing(EventLog(folder / "events.jsonl")) as events:
        trainer = make_ours(Recipe.model_validate(make_recipe(folder)), folder, events)
        output = Path(trainer.args.output_dir).parent
        with outbox_beside(folder, output, store) as let_work:
            trainer._save_checkpoint = timed(trainer._save_checkpoint, output, saves, let_work)
            trainer.add_callback(Clock())
            trainer.train()
    return saves[1:]


def timed(
    save: Callable[..., None], output: Path, saves: list[Save], let_work: Callable[[bool], None]
) -> Callable[..., None]:
    """Return a save hook that is timed, after each of which the outbox begins to work or pauses, in turns."""

    def timed_save(model: Any, trial: Any) -> None:
        is_beside, is_sending = len(saves) % 2 == 1, any((output / ".outbox").glob("checkpoints/*"))
        begun_s = time.monotonic()
        save(model, trial)
        seconds = time.monotonic() - begun_s
        newest = max((output / "checkpoints").glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
        size_bytes = sum(path.stat().st_size for path in newest.iterdir())
        saves.append(Save(is_beside, is_sending, seconds, size_bytes))
        let_work(not is_beside)

    return timed_save


@contextmanager
def outbox_beside(folder: Path, output: Path, store: dict[str, str]) -> Iterator[Callable[[bool], None]]:
    """Start the outbox as the supervisor does; give what pauses it and lets it go on."""
    order, keys = folder / "order.json", folder / "keys.json"
    write_json(keys, {name: store[name] for name in store if name.startswith("AWS_")})
    write_json(
        order,
        {
            "url": store["url"],
            "endpoint_url": store["endpoint_url"],
            "environment_file": str(keys),
            "ca_file": store["ca_file"],
        },
    )
    output.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "trainer", "supervise", "outbox", "--output", str(output), "--store", str(order)]
    with subprocess.Popen(argv, cwd=PROJECT, stdin=subprocess.PIPE) as process:
        try:
            yield lambda works: os.kill(process.pid, signal.SIGCONT if works else signal.SIGSTOP)
        finally:
            process.kill()


def make_recipe(folder: Path) -> dict[str, Any]:
    """Write a model and a data set, and return the recipe that trains on for as long as saves are wanted."""
    from tests.tiny_model import make_tiny_dataset

    data = make_tiny_dataset(folder / "data")
    return {
        "run": {"name": "outbox", "device": "cpu"},
        "model": {"base_model": str(make_model(folder / "model"))},
        "data": {"train_path": str(data / "train.jsonl"), "eval_path": str(data / "eval.jsonl"), "max_length": 128},
        "adapter": {"lora_r": LORA_R},
        "training": {
            "max_steps": 1_000_000,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": False,
        },
        "evaluation": {"eval_strategy": "no", "eval_steps": None},
        "checkpointing": {"save_steps": 1_000_000, "save_total_limit": 2},
        "monitoring": {"tensorboard": False},
    }


def make_model(folder: Path) -> Path:
    """Write a small base model; a step of it takes a fraction of a second."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_model import make_tiny_model

    config = LlamaConfig.from_pretrained(make_tiny_model(folder))
    config.update({"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4, "head_dim": 64})
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@contextmanager
def slow_store(folder: Path, bytes_per_s: float) -> Iterator[dict[str, str]]:
    """Serve a store on S3 that takes no more than so many bytes in a second, in a process of its own."""
    place = folder / "store.json"
    child = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, bytes_per_s))
    child.start()
    try:
        deadline_s = time.monotonic() + START_S
        while (found := read_json(place)) is None:
            if time.monotonic() > deadline_s or not child.is_alive():
                raise SystemExit("error: the store did not come up")
            time.sleep(0.1)
        yield found
    finally:
        child.terminate()
        child.join()


def serve(folder: Path, bytes_per_s: float) -> None:
    """Be the store: one manner of those that the tests speak to, behind a line of so many bytes in a second."""
    import boto3

    from runner.emulation.s3.account import ACCESS_KEY_ID, BUCKET, SECRET_KEY
    from runner.emulation.s3.server import serve_s3
    from runner.emulation.s3.slow_line import SlowLine

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    line = SlowLine(bytes_per_s, PIECE_BYTES)
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys)
    with serve_s3("strict", folder, line=line) as server:
        client = boto3.client("s3", endpoint_url=server.url, verify=str(server.ca_file))
        client.create_bucket(Bucket=BUCKET)
        url = {"url": f"s3://{BUCKET}/run", "endpoint_url": server.url, "ca_file": str(server.ca_file)}
        write_json(folder / "store.json", {**url, **keys})
        while True:
            time.sleep(1.0)
            write_json(folder / "taken.json", {"bytes": line.taken_bytes})


if __name__ == "__main__":
    raise SystemExit(main())
