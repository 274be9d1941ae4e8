"""Ten runs at once from one computer, on one account: what is mixed up, asked too fast or left, and their memory.

Run it with ``python -m benchmarks.ten_runs [--runs 10] [--checkpoint-mb 20] [--json FILE]``, as root. The trainers are
stand-ins that write checkpoints of that size; Terraform, provider, guards, SSH and the emulated Lambda's limits are
those of a rehearsal. It judges memory and a pace, so it is no test.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.rehearsed import NO_GPU, STAND_IN, need_boxes, write_stand_in_run_file
from benchmarks.results import PROJECT, table
from runner.adapters import process
from runner.emulation.boxes import build_tree
from runner.rehearsal.emulators import Emulators
from runner.run.run_dir import RunDir, list_runs, read_json
from runner.world import RealWorld
from trainer.files import write_json

CLOUD = "lambda"
"""The cloud with the slowest pace: a request in a second, and a launch in twelve."""
LONGEST_S = 1800.0
LOOK_EVERY_S = 1.0
STEP_S = 1.0
FIRST_STEPS = 30
"""How many steps the first run trains; each one after it trains one more, so that no two adapters are the same."""
MOST_RSS_MIB, MOST_PSS_MIB = 100.0, 700.0
"""What a runner may hold, and what all runners may hold together where what they share counts once."""
TOO_MANY = 429


@dataclass
class One:
    """A run.

    Attributes:
        name: Its name.
        steps: How many steps it trains.
        status: Exit status of its runner.
        rss_mib: Most that its runner held.
        pss_mib: The same, where what several processes share is divided between them.
        beside_mib: Most that guard, Terraform and what else the runner had started held at once, as ``pss_mib``.
        broken: What is not as it should be.
    """

    name: str
    steps: int
    status: int | None = None
    rss_mib: float = 0.0
    pss_mib: float = 0.0
    beside_mib: float = 0.0
    broken: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What ten runs showed.

    Attributes:
        runs: Each of them.
        pss_mib: Most that all runners held together.
        whole_mib: Most that they held with all that they had started.
        requests: How many the account got.
        refused: How many of them came too fast.
        length_s: From the first start to the last end.
    """

    runs: list[One]
    pss_mib: float = 0.0
    whole_mib: float = 0.0
    requests: int = 0
    refused: int = 0
    length_s: float = 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Let them live, print a table; return 1 where a promise or a bound was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ten_runs", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=10, help="how many at once (10)")
    parser.add_argument("--checkpoint-mb", type=float, default=20.0, help="size of a checkpoint, in MB (20)")
    parser.add_argument("--json", type=Path, help="file to write the result to")
    arguments = parser.parse_args(argv)
    need_boxes()
    build_tree()
    with tempfile.TemporaryDirectory(prefix="douse-ten-") as scratch:
        found = live_all(Path(scratch).resolve(), arguments.runs, arguments.checkpoint_mb)
    print(show(found))
    if arguments.json:
        write_json(arguments.json, asdict(found))
    return int(bool(problems(found)))


def live_all(folder: Path, count: int, checkpoint_mb: float) -> Found:
    """Start the runs together, look at their memory until the last has ended, and judge what they left."""
    config = write_stand_in_run_file(folder)
    found = Found([One(f"run-{number}", FIRST_STEPS + number) for number in range(count)])
    with Emulators(CLOUD, folder) as emulators:
        environment, begun_s = emulators.environment(), time.monotonic()
        children = [
            process.start(command(config, one, checkpoint_mb), log=folder / f"{one.name}.log", cwd=PROJECT,
                          env=environment)
            for one in found.runs
        ]  # fmt: skip
        try:
            watch(children, found)
        finally:
            for child in children:
                child.kill()
        found.length_s = time.monotonic() - begun_s
        judge(found, list_runs(folder / "runs", RealWorld()), emulators)
        for one in found.runs:
            if one.broken:
                shutil.copyfile(folder / f"{one.name}.log", Path(tempfile.gettempdir()) / f"ten-{one.name}.log")
    return found


def command(config: Path, one: One, checkpoint_mb: float) -> list[str]:
    """Return the command of one run."""
    trains = f"publishing.tags=[steps={one.steps}, step_s={STEP_S}, save_mb={checkpoint_mb}]"
    settings = [*NO_GPU, trains, f"run.name={one.name}"]
    words = ["--runs-dir", str(config.parent / "runs"), "--config", str(config), "--env", CLOUD, "--yes"]
    return [sys.executable, "-m", STAND_IN, "train", *words, *(word for one in settings for word in ("--set", one))]


def watch(children: Sequence[process.Child], found: Found) -> None:
    """Note what the runners hold, each and together, until all have ended.

    Raises:
        SystemExit: If one does not end.
    """
    deadline_s = time.monotonic() + LONGEST_S
    while any(child.poll() is None for child in children):
        if time.monotonic() > deadline_s:
            raise SystemExit(f"error: not every run has ended within {LONGEST_S:.0f} s")
        pss_mib, beside_mib = 0.0, 0.0
        for child, one in zip(children, found.runs, strict=True):
            rss, pss, beside = held_mib(child.pid)
            one.rss_mib, one.pss_mib = max(one.rss_mib, rss), max(one.pss_mib, pss)
            one.beside_mib = max(one.beside_mib, beside)
            pss_mib, beside_mib = pss_mib + pss, beside_mib + beside
        found.pss_mib, found.whole_mib = max(found.pss_mib, pss_mib), max(found.whole_mib, pss_mib + beside_mib)
        time.sleep(LOOK_EVERY_S)
    for child, one in zip(children, found.runs, strict=True):
        one.status = child.poll()


def held_mib(pid: int) -> tuple[float, float, float]:
    """Return the RSS and the PSS of a process, and the PSS of all that it has started."""
    with suppress(psutil.NoSuchProcess):
        runner = psutil.Process(pid)
        rss, pss = memory_mib(runner)
        return rss, pss, sum(memory_mib(one)[1] for one in runner.children(recursive=True))
    return 0.0, 0.0, 0.0


def memory_mib(one: psutil.Process) -> tuple[float, float]:
    """Return the RSS and the PSS of a process; nothing for one that has ended."""
    with suppress(psutil.Error):
        memory = one.memory_full_info()
        return memory.rss / 2**20, memory.pss / 2**20
    return 0.0, 0.0


def judge(found: Found, runs: Sequence[RunDir], emulators: Emulators) -> None:
    """Note for each run what is not its own, and how the account was asked."""
    book = {row["id"]: row for row in emulators.ask("/machines")["machines"]}
    requests: list[dict[str, Any]] = emulators.ask("/requests")["requests"]
    found.requests, found.refused = len(requests), sum(row["status"] == TOO_MANY for row in requests)
    by_name = {str((read_json(run.config) or {}).get("run", {}).get("name")): run for run in runs}
    machines: list[str] = []
    for one in found.runs:
        if one.status != os.EX_OK:
            one.broken.append(f"exit status {one.status}")
        if (run := by_name.get(one.name)) is None:
            one.broken.append("no run folder")
            continue
        mine = [row["machine_id"] for row in (read_json(run.receipt) or {}).get("machines", [])]
        machines += mine
        one.broken += judge_run(one, run, mine, book)
    if sorted(machines) != sorted(book):
        found.runs[0].broken.append(f"{len(book)} machines are in the cloud's book, {len(machines)} in receipts")


def judge_run(one: One, run: RunDir, machines: Sequence[str], book: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is not as it should be of a run that has ended."""
    broken = []
    adapter = run.adapter / "adapter_model.safetensors"
    if not adapter.is_file() or adapter.read_text() != f"trained {one.steps} steps":
        broken.append("the adapter is not its own")
    if not run.receipt.exists():
        broken.append("no receipt")
    if len(machines) != 1 or (read_json(run.host) or {}).get("instance_id") != machines[0]:
        broken.append(f"the receipt has {len(machines)} machines, or another one than the run's")
    broken += [f"{machine} still bills" for machine in machines if book.get(machine, {}).get("is_billing", True)]
    return broken


def problems(found: Found) -> list[str]:
    """Return what is broken, of promises and of bounds."""
    broken = [f"{one.name}: {what}" for one in found.runs for what in one.broken]
    broken += [f"{one.name} holds {one.rss_mib:.0f} MiB" for one in found.runs if one.rss_mib > MOST_RSS_MIB]
    if found.pss_mib > MOST_PSS_MIB:
        broken.append(f"all runners together hold {found.pss_mib:.0f} MiB")
    return [*broken, *([f"{found.refused} requests came too fast"] if found.refused else [])]


def show(found: Found) -> str:
    """Return the table, and what is broken."""
    rows = [
        ["runs that ended well, each with its own adapter, machine and receipt", sum(not o.broken for o in found.runs)],
        ["most that a runner held, MiB of RSS", f"{max(one.rss_mib for one in found.runs):.0f}"],
        ["most that all runners held, MiB of PSS", f"{found.pss_mib:.0f}"],
        ["the same with all that they had started", f"{found.whole_mib:.0f}"],
        ["requests to the account", found.requests],
        ["of these refused as too fast", found.refused],
        ["from the first start to the last end, s", f"{found.length_s:.0f}"],
    ]
    return "\n".join([table([f"{len(found.runs)} runs at once", "found"], rows), *problems(found)])


if __name__ == "__main__":
    raise SystemExit(main())
