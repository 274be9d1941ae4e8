"""What the runner itself costs: the time of a finished run that neither a set-up tool nor the trainer used.

Run it with ``python -m benchmarks.runner_overhead [RUN_FOLDER] [--repeat 10] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import PROJECT, table
from trainer.events import read_events
from trainer.files import write_json

SETUP_TOOLS = {"provision": "Terraform", "configure": "Ansible, uv"}
"""Steps that wait for these tools nearly all of their time; all other steps count as the runner's own."""
START_TIMEOUT_S = 60
STARTS = {"python -m runner --help": ["-m", "runner", "--help"], "python -c pass": ["-c", "pass"]}


def main(argv: Sequence[str] | None = None) -> None:
    """Print where the time of a run went, and how long the command line takes to start."""
    arguments = make_parser().parse_args(argv)
    report: dict[str, Any] = {}
    if arguments.run is not None:
        report["run"] = read_run(arguments.run)
        print(show_run(report["run"]))
    if arguments.repeat > 0:
        report["start"] = {name: time_starts(options, arguments.repeat) for name, options in STARTS.items()}
        print(show_starts(report["start"], arguments.repeat))
    if arguments.json:
        write_json(arguments.json, report)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runner_overhead", description=main.__doc__)
    parser.add_argument("run", type=Path, nargs="?", help="run folder, as runs/20261121-051452-quickstart")
    parser.add_argument("--repeat", type=int, default=10, help="starts of the command line to take the median of (10)")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    return parser


def read_run(folder: Path) -> dict[str, Any]:
    """Return where the time of a finished run went.

    Args:
        folder: A run folder.

    Returns:
        ``total_s``, ``setup_s``, ``trainer_s`` and ``parts_s``: what is left, by the step it was spent in.
    """
    try:
        steps = json.loads((folder / "state.json").read_bytes())["steps"]
    except FileNotFoundError:
        raise SystemExit(f"error: {folder} is no run folder: it holds no state.json") from None
    if steps.get("report", {}).get("status") != "done":
        raise SystemExit(f"error: the run of {folder} is not finished; measure one that is")
    return split_time(steps, read_events(folder / "events.jsonl"))


def split_time(steps: Mapping[str, Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Split a run's wall time into set-up tools, trainer and the rest.

    The trainer counts from its first event to its last. Its own start, mostly the import of torch, lies before the
    first and so falls to the rest, which is therefore an upper bound.
    """
    seconds = {name: float(step["duration_s"]) for name, step in steps.items()}
    trainer_s = _between(str(events[0]["time"]), str(events[-1]["time"])) if events else 0.0
    # The plan's time stamps begin with its run folder, its duration with the command: the latter is the whole.
    after_plan_s = _between(str(steps["plan"]["ended_at"]), str(steps["report"]["ended_at"]))
    total_s = seconds["plan"] + after_plan_s
    parts = {name: value for name, value in seconds.items() if name not in SETUP_TOOLS}
    parts["train"] = max(0.0, parts["train"] - trainer_s)
    setup_s = sum(seconds[name] for name in SETUP_TOOLS)
    parts["between steps"] = max(0.0, total_s - sum(seconds.values()))
    return {"total_s": total_s, "setup_s": setup_s, "trainer_s": trainer_s, "parts_s": parts}


def _between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def show_run(found: Mapping[str, Any]) -> str:
    """Return the split of a run's time as a table."""
    words = {"train": "train: the trainer's start and end", "between steps": "between steps (times are whole seconds)"}
    total_s, rest_s = found["total_s"], sum(found["parts_s"].values())
    named = [
        ("the run", total_s),
        (f"set-up tools ({'; '.join(SETUP_TOOLS.values())})", found["setup_s"]),
        ("trainer, first to last event", found["trainer_s"]),
        ("the rest: the runner, at most", rest_s),
        *((f"- {words.get(name, name)}", value) for name, value in found["parts_s"].items()),
    ]
    rows = [[name, f"{value:.1f}", f"{value / total_s:.1%}"] for name, value in named]
    return table(["where the time went", "seconds", "share"], rows)


def time_starts(options: Sequence[str], repeat: int) -> dict[str, float]:
    """Return the medians of wall and CPU time of starting this Python with ``options``."""
    wall, cpu = [], []
    for _ in range(repeat):
        started, used = time.monotonic(), _children_cpu_s()
        subprocess.run(
            [sys.executable, *options], cwd=PROJECT, stdout=subprocess.DEVNULL, timeout=START_TIMEOUT_S, check=True
        )
        wall.append(time.monotonic() - started)
        cpu.append(_children_cpu_s() - used)
    return {"wall_s": median(wall), "cpu_s": median(cpu), "fastest_s": min(wall)}


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def show_starts(found: Mapping[str, Mapping[str, float]], repeat: int) -> str:
    """Return the start-up times as a table."""
    rows = [
        [name, f"{values['wall_s']:.3f}", f"{values['cpu_s']:.3f}", f"{values['fastest_s']:.3f}"]
        for name, values in found.items()
    ]
    return table([f"start, medians of {repeat}", "wall s", "CPU s", "fastest wall s"], rows)


if __name__ == "__main__":
    main()
