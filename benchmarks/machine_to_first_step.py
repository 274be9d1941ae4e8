"""From a machine that answers SSH to the first training step: our commands beside the same steps done by hand.

Run it with ``python -m benchmarks.machine_to_first_step [--repeat 3] [--caches warm cold] [--wheels FOLDER]``. Each try
has a fresh box of the rehearsal; both sides take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.results import PROJECT, table
from runner.world import RealWorld
from trainer.files import write_json

if TYPE_CHECKING:
    from runner.context import Context
    from runner.rehearsal.emulators import Emulators
    from runner.run.models import Box, Host

CLOUD = "lambda"
QUICKSTART = PROJECT / "examples" / "quickstart.yml"
SETTINGS = (
    "training.max_steps=50",
    "evaluation.eval_steps=50",
    "evaluation.max_eval_samples=4",
    "evaluation.generation_samples=1",
    "evaluation.max_new_tokens=16",
    "compute.gpu_required=false",
    "compute.min_gpu_memory_gib=0",
)
COMMAND_S = 900
FIRST_STEP_S = 300.0
LOOK_EVERY_S = 0.5
SIDES = ("Douse", "by hand")


@dataclass(frozen=True)
class Try:
    """One try of one side.

    Attributes:
        seconds: Wall time of each part, in order; they add up to the whole.
    """

    side: str
    cache: str
    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """From the first command to the first training step."""
        return sum(self.seconds.values())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both sides in turns and print what came out."""
    arguments = make_parser().parse_args(argv)
    if arguments.wheels is None and "cold" in arguments.caches:
        raise SystemExit("error: boxes have no network: a cold cache needs --wheels, a folder with the lock's wheels")
    if arguments.wheels is not None:
        os.environ["UV_FIND_LINKS"] = str(arguments.wheels.resolve())
    tries = measure(arguments.repeat, arguments.caches)
    if arguments.json:
        rows = [{"side": one.side, "cache": one.cache, "seconds": dict(one.seconds)} for one in tries]
        write_json(arguments.json, rows)
    for cache in arguments.caches:
        print(show([one for one in tries if one.cache == cache], cache))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machine_to_first_step", description=main.__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="tries of each side with each cache (3)")
    parser.add_argument("--caches", nargs="+", choices=("warm", "cold"), default=["warm"], help="warm, cold or both")
    parser.add_argument("--wheels", type=Path, help="folder with the wheels of requirements/trainer-cpu.lock")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    return parser


def measure(repeat: int, caches: Sequence[str]) -> list[Try]:
    """Return what every try showed."""
    from runner.emulation.cache import warm_cache
    from runner.rehearsal.emulators import Emulators

    warm_cache()
    os.environ["DOUSE_LAMBDA_PACE_S"] = "0"
    found = []
    with tempfile.TemporaryDirectory(prefix="douse-bench-") as name, Emulators(CLOUD, Path(name)) as emulators:
        for number in range(repeat):
            for cache in caches:
                for side in SIDES if number % 2 == 0 else SIDES[::-1]:
                    found.append(try_once(emulators, side, cache))
                    parts = ", ".join(f"{part} {part_s:.1f}" for part, part_s in found[-1].seconds.items())
                    print(f"{cache}, {side}: {found[-1].total_s:.1f} s ({parts})", file=sys.stderr, flush=True)
    return found


def try_once(emulators: Emulators, side: str, cache: str) -> Try:
    """Rent a fresh box, bring it to its first training step, give it back."""
    from runner.adapters.stop import Stop
    from runner.cli.terminal import SilentView
    from runner.context import open_context
    from runner.run.run_dir import find_run

    runs = emulators.folder / "runs"
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    _douse(emulators, "up", "--config", str(QUICKSTART), "--env", CLOUD, *settings)
    ctx = open_context(find_run(runs, None, RealWorld()), SilentView(), Stop(RealWorld()), RealWorld())
    host = ctx.host()
    if host is None:
        raise SystemExit("error: no machine came up")
    try:
        if cache == "cold":
            _ssh(ctx, host, "rm", ".cache/douse/uv")
        steps = _ours(emulators) if side == "Douse" else _by_hand(ctx, host)
        seconds: dict[str, float] = {}
        started = time.time()
        for part, action in steps:
            begun = time.time()
            action()
            seconds[part] = time.time() - begun
        seconds["trainer, to its first step"] = _first_step(ctx, host) - started - sum(seconds.values())
    finally:
        emulators.send(f"/machines/{host.instance_id}/delete", {})
    return Try(side, cache, seconds)


def _ours(emulators: Emulators) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("configure", lambda: _douse(emulators, "configure")),
        ("stage and launch", lambda: _douse(emulators, "launch")),
    ]


def _by_hand(ctx: Context, host: Host) -> list[tuple[str, Callable[[], object]]]:
    """Return the steps as somebody would type them; what they would have written before is written now."""
    from runner.lifecycle.steps.configure import make_inventory, role_variables
    from runner.lifecycle.steps.stage import box_recipe

    machine = ctx.machine(host)
    box = ctx.box(host, machine)
    hosts, values, recipe = (ctx.run.file(f"hand-{name}.json") for name in ("hosts", "variables", "recipe"))
    hosts.write_text(json.dumps(make_inventory(ctx, host, box, "/usr/bin/python3")))
    values.write_text(json.dumps(role_variables(ctx, host, box, machine)))
    content, files = box_recipe(ctx, box)
    recipe.write_text(json.dumps(content))
    machine.close()

    def prepare() -> None:
        wheel = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
        _command([*wheel, str(ctx.run.file("wheel"))], {"SOURCE_DATE_EPOCH": "1767225600"})
        for playbook in ("prepare.yml", "verify.yml"):
            ansible = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(hosts)]
            _command([*ansible, "-i", f"inventories/{CLOUD}", "-e", f"@{values}", f"playbooks/{playbook}"])

    def launch() -> None:
        targets = {str(recipe): box.recipe, **files}
        _ssh(ctx, host, "mkdir", "-p", *sorted({str(Path(target).parent) for target in targets.values()}))
        for source, target in targets.items():
            _command(["scp", "-q", "-r", *_options(ctx, "-P", host), source, f"{host.user}@{host.address}:{target}"])
        _ssh(ctx, host, *_start(box))

    return [("configure", prepare), ("stage and launch", launch)]


def _start(box: Box) -> list[str]:
    return [box.python, "-m", "trainer", "supervise", "start", "--config", box.recipe, "--output", box.output]


def _first_step(ctx: Context, host: Host) -> float:
    """Return when the trainer ended its first step, by the trainer's own word; box and benchmark share a clock."""
    machine = ctx.machine(host)
    path, deadline = ctx.box(host, machine).events, time.monotonic() + FIRST_STEP_S
    try:
        while time.monotonic() < deadline:
            for line in machine.read_from(path, 0).decode().splitlines(keepends=True):
                event: dict[str, Any] = json.loads(line) if line.endswith("\n") else {}
                if event.get("event") == "step":
                    return datetime.fromisoformat(event["time"]).timestamp()
            time.sleep(LOOK_EVERY_S)
    finally:
        machine.close()
    raise SystemExit(f"error: no training step within {FIRST_STEP_S:.0f} s")


def _douse(emulators: Emulators, verb: str, *words: str) -> None:
    argv = [sys.executable, "-m", "runner", verb, "--runs-dir", str(emulators.folder / "runs"), *words]
    _command(argv, emulators.environment())


def _ssh(ctx: Context, host: Host, *words: str) -> None:
    _command(["ssh", *_options(ctx, "-p", host), f"{host.user}@{host.address}", *words])


def _options(ctx: Context, port: str, host: Host) -> list[str]:
    known = [
        "-F",
        str(ctx.ssh_config),
        "-o",
        f"UserKnownHostsFile={ctx.run.known_hosts}",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "BatchMode=yes",
    ]
    return ["-i", str(ctx.identity_file), *known, port, str(host.port)]


def _command(argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        argv,
        check=False,
        cwd=PROJECT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    if done.returncode != 0:
        raise SystemExit(
            f"error: {' '.join(argv)} ended with {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )


def show(tries: Sequence[Try], cache: str) -> str:
    """Return the medians of both sides as a table, and their ratio."""
    by_side = {side: [one for one in tries if one.side == side] for side in SIDES}
    ours, by_hand = (median(one.total_s for one in by_side[side]) for side in SIDES)
    parts = list(tries[0].seconds)
    rows = [["machine answers SSH to first step", f"{ours:.1f}", f"{by_hand:.1f}", f"{ours / by_hand:.2f}"]]
    for part in parts:
        left, right = (median(one.seconds[part] for one in by_side[side]) for side in SIDES)
        rows.append([f"- {part}", f"{left:.1f}", f"{right:.1f}", f"{left / right:.2f}"])
    spread = "; ".join(f"{side} {' '.join(f'{one.total_s:.1f}' for one in by_side[side])}" for side in SIDES)
    head = [f"{cache} cache, seconds, medians of {len(by_side[SIDES[0]])}", *SIDES, "ratio"]
    return f"{table(head, rows)}\nall tries  {spread}"


if __name__ == "__main__":
    main()
