"""``data-check`` on large chats, beside the tokenizer alone on the same texts: time, memory, the bar, a second call.

Run it with ``python -m benchmarks.data_check_speed [--megabytes 200] [--template qwen3] [--rare-words 0]``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil

from benchmarks.results import PROJECT, table
from benchmarks.trainer_speed import add_model
from runner.adapters.packages import packaged_model
from runner.world import RealWorld
from tests.tiny_model import TEXT
from tests.unit.trainer.data.family_templates import HERMES_CALLS, qwen3
from trainer.base_model.tokenization import BaseModelFacts, load_base_model_facts
from trainer.config.sections import DataSection, ModelSection
from trainer.data.chat import Message, render
from trainer.files import cache_folder, write_json

TEMPLATES = {"own": None, "qwen3": qwen3(calls=HERMES_CALLS, prompt="", last_only="loop.last or thought")}
"""``own`` is the base model's. The other has the rules of Qwen3's: what it writes of a turn depends on later ones."""
MOST_RATIO = {"own": 1.6, "qwen3": 2.5}
MOST_GIB, MOST_AGAIN_S, MOST_FIRST_SIGN_S = 1.5, 5.0, 2.0
MAX_LENGTH = 512
QUESTION_WORDS, ANSWER_WORDS = (10, 40), (40, 120)
RARE_SHARE = 0.15
"""Share of words put together from two: a tokenizer keeps those that it knows, and real text has others as well."""
BATCH = 1000
SAMPLE_EVERY_S = 0.3
TIMEOUT_S = 3600


@dataclass(frozen=True)
class Alone:
    """The tokenizer alone.

    Attributes:
        seconds: Wall time, on all cores.
        cpu_s: CPU time.
    """

    seconds: float
    cpu_s: float

    def __add__(self, other: Alone) -> Alone:
        """Return both together."""
        return Alone(self.seconds + other.seconds, self.cpu_s + other.cpu_s)


@dataclass(frozen=True)
class Check:
    """One call of ``data-check``.

    Attributes:
        seconds: Its wall time, the start of Python included.
        cpu_s: CPU time of all its processes: other work on the machine hardly changes it.
        first_sign_s: When it first wrote to stderr, where the bar is; ``None`` for data too small for a bar.
        peak_gib: Most memory that its processes held together, what they share counted once.
    """

    seconds: float
    cpu_s: float
    first_sign_s: float | None
    peak_gib: float


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a table of figures beside their bounds."""
    arguments = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="douse-benchmark-", dir=arguments.scratch) as scratch:
        report = measure(arguments, Path(scratch))
    print(show(report))
    if arguments.json:
        write_json(arguments.json, report)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_check_speed", description=main.__doc__)
    add_model(parser)
    parser.add_argument("--megabytes", type=float, default=200, help="size of the data (200)")
    parser.add_argument("--questions", type=int, default=3, help="questions of a chat, each with its answer (3)")
    parser.add_argument("--long-turns", type=int, default=2000, help="turns of the one long chat (2000)")
    parser.add_argument("--template", choices=TEMPLATES, default="own", help="the base model's own, or Qwen3's rules")
    parser.add_argument("--rare-words", type=float, default=RARE_SHARE, help="share of words that are made up (0.15)")
    parser.add_argument("--seed", type=int, default=42, help="seed of the made-up chats (42)")
    parser.add_argument("--scratch", type=Path, help="folder for data and cache, about five times the data's size")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    return parser


def measure(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Return what was measured.

    One half of the texts is encoded before the check and one after it, so that other work meets both alike.
    """
    model = packaged_model(cache_folder(), RealWorld()) if arguments.model is None else arguments.model.resolve()
    template = TEMPLATES[arguments.template]
    path, chance = scratch / "train.jsonl", random.Random(arguments.seed)
    write_chats(path, round(arguments.megabytes * 1e6), arguments.questions, chance, arguments.rare_words)
    run_file = write_run_file(scratch / "large.yml", model, path, template)
    facts = facts_of(model, scratch, template)
    before = encode_batch(path, facts, 0)
    first, again = check(run_file, scratch), check(run_file, scratch)
    alone = before + encode_batch(path, facts, 1)
    long = scratch / "long.jsonl"
    long.write_text("".join(chat(turns // 2, chance) for turns in (arguments.long_turns, 2)), encoding="utf-8")
    one = check(write_run_file(scratch / "long.yml", model, long, template), scratch)
    return {
        "megabytes": arguments.megabytes,
        "template": arguments.template,
        "long_turns": arguments.long_turns,
        "rare_words": arguments.rare_words,
        "alone": asdict(alone),
        "first": asdict(first),
        "again": asdict(again),
        "long": asdict(one),
        "ratio": first.seconds / alone.seconds,
        "cpu_ratio": first.cpu_s / alone.cpu_s,
    }


def write_chats(
    path: Path, size_bytes: int, questions: int, chance: random.Random, rare_share: float = RARE_SHARE
) -> None:
    """Write made-up chats until the file has the size."""
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size_bytes:
            written += file.write(chat(questions, chance, rare_share))


def chat(questions: int, chance: random.Random, rare_share: float = RARE_SHARE) -> str:
    """Return a chat as a line: words of English, and some that the tokenizer has not met before."""
    vocabulary = TEXT.split()

    def word() -> str:
        one = chance.choice(vocabulary)
        return one if chance.random() > rare_share else one[: len(one) // 2 + 1] + chance.choice(vocabulary)[1:]

    def text(least: int, most: int) -> str:
        words = [word() for _ in range(chance.randint(least, most))]
        words[0] = str(chance.randrange(10**6))  # chats differ
        return " ".join(words)

    turns = [("user", QUESTION_WORDS), ("assistant", ANSWER_WORDS)] * questions
    return json.dumps({"messages": [{"role": role, "content": text(*words)} for role, words in turns]}) + "\n"


def write_run_file(path: Path, model: Path, data: Path, template: str | None) -> Path:
    """Write a run file of the data, with its template beside it, and return its path."""
    section: dict[str, Any] = {"train_path": str(data), "max_length": MAX_LENGTH}
    if template is not None:
        section["chat_template_path"] = str(path.with_suffix(".jinja"))
        path.with_suffix(".jinja").write_text(template, encoding="utf-8")
    run = {"run": {"name": "benchmark"}, "model": {"base_model": str(model)}, "data": section}
    path.write_text(json.dumps(run), encoding="utf-8")  # JSON is YAML
    return path


def facts_of(model: Path, folder: Path, template: str | None) -> BaseModelFacts:
    """Return the base model's tokenizer and the template."""
    path = None if template is None else str(folder / "large.jinja")
    return load_base_model_facts(
        ModelSection(base_model=str(model)), DataSection(max_length=MAX_LENGTH, chat_template_path=path)
    )


def encode_batch(path: Path, facts: BaseModelFacts, half: int) -> Alone:
    """Return what the tokenizer alone takes for every second batch of rendered chats, on all cores."""
    found = Alone(0.0, 0.0)
    with path.open(encoding="utf-8") as file:
        for number, lines in enumerate(iter(lambda: list(islice(file, BATCH)), [])):
            if number % 2 == half:
                texts = list(rendered(lines, facts))
                begun, cpu_begun = time.monotonic(), time.process_time()
                facts.tokenizer.encode_batch(texts, add_special_tokens=False)
                found += Alone(time.monotonic() - begun, time.process_time() - cpu_begun)
    return found


def rendered(lines: Sequence[str], facts: BaseModelFacts) -> Iterator[str]:
    """Yield chats as the texts that the tokenizer gets."""
    for line in lines:
        messages = [Message(turn["role"], turn["content"]) for turn in json.loads(line)["messages"]]
        yield render(messages, facts, add_generation_prompt=False)


def check(run_file: Path, folder: Path) -> Check:
    """Run ``data-check`` in a process of its own, with a cache in the folder.

    Raises:
        SystemExit: If it fails.
    """
    argv = [sys.executable, "-m", "runner", "data-check", "--config", str(run_file), "--runs-dir", str(folder / "runs")]
    environment = os.environ | {"DOUSE_CACHE": str(folder / "cache")}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    begun, cpu_begun = time.monotonic(), _cpu_of_children_s()
    with subprocess.Popen(argv, cwd=PROJECT, env=environment, bufsize=0, **pipes) as process:
        with Memory(process.pid) as held:
            sign = process.stderr.read(1)
            first_sign_s = time.monotonic() - begun if sign else None
            words = sign + process.stderr.read()
            process.wait(TIMEOUT_S)
        seconds, cpu_s = time.monotonic() - begun, _cpu_of_children_s() - cpu_begun
    if process.returncode != 0:
        raise SystemExit(f"error: data-check failed:\n{words.decode()}")
    return Check(seconds, cpu_s, first_sign_s, held.peak_bytes / 2**30)


def _cpu_of_children_s() -> float:
    """Return the CPU time of the processes that this one has started, and of theirs, as far as they have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Memory:
    """Looks a few times a second at what a process and its descendants hold together, as the kernel shares it out."""

    def __init__(self, pid: int) -> None:
        """Prepare to watch the process."""
        self.peak_bytes = 0
        self._process, self._is_over = psutil.Process(pid), Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        """End."""
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            with suppress(psutil.Error):
                processes = [self._process, *self._process.children(recursive=True)]
                self.peak_bytes = max(self.peak_bytes, sum(map(_held_bytes, processes)))
            if self._is_over.wait(SAMPLE_EVERY_S):
                return


def _held_bytes(process: psutil.Process) -> int:
    """Return a process's proportional share of memory, files that it maps included; all of it where none is known."""
    with suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    return 0


def show(report: dict[str, Any]) -> str:
    """Return the report as text."""
    first, again, template = report["first"], report["again"], report["template"]
    sign = first["first_sign_s"]
    peak = max(report[name]["peak_gib"] for name in ("first", "again", "long"))
    rows = [
        ["encode_batch alone", *_times(report["alone"]), ""],
        ["data-check, first call", *_times(first), ""],
        ["times encode_batch", f"{report['ratio']:.2f}", f"{report['cpu_ratio']:.2f}", f"{MOST_RATIO[template]}"],
        ["first sign of a bar", "none" if sign is None else f"{sign:.1f} s", "", f"{MOST_FIRST_SIGN_S:.0f} s"],
        ["data-check, second call", *_times(again), f"{MOST_AGAIN_S:.0f} s"],
        ["peak memory, all processes", f"{peak:.2f} GiB", "", f"{MOST_GIB} GiB"],
        [f"one chat of {report['long_turns']:,} turns", *_times(report["long"]), ""],
    ]
    rare = f"{100 * report['rare_words']:.0f} % rare words"
    return table([f"{report['megabytes']:g} MB, {rare}, template {template}", "wall", "CPU", "bound"], rows)


def _times(found: dict[str, Any]) -> list[str]:
    return [f"{found['seconds']:.1f} s", f"{found['cpu_s']:.1f} s"]


if __name__ == "__main__":
    main()
