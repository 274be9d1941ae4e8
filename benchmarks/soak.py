"""Short rehearsals one after another, each with faults that a seed has drawn: what is left, and what is wrong.

Run it with ``python -m benchmarks.soak --runs 200 --seed 1 [--minutes 60] [--folder KEPT] [--json FILE]``, as root,
in a checkout that nobody changes meanwhile. It takes hours: a run lives for half a minute to three. Several computers,
or processes of one, may live a part each (``--first 101 --runs 100``); ``--join a.json b.json`` shows the table of all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rehearsed import STAND_IN, need_boxes, write_stand_in_run_file
from benchmarks.results import table
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.emulation.boxes import clean
from runner.errors import EXIT_DONE, RunnerError
from runner.rehearsal.drive import Rehearsal, rehearse
from runner.rehearsal.verdict import Verdict
from runner.run.run_dir import list_runs, read_json
from runner.world import RealWorld
from trainer.files import write_json

CLOUDS = ("lambda", "lambda", "runpod", "runpod", "aws")
"""How often each is drawn: an apply and a destroy of AWS's own provider take two minutes."""
CLOUD_FAULTS = (
    "launch_500_after_create",
    "launch_500_after_create:lost=true",
    "launch_rate_limited",
    "no_capacity",
    "listing_lags",
    "listing_500:when=ended",
    "listing_empty_body:when=ended",
    "listing_schema_changed:when=ended",
    "listing_partial_page:when=ended",
    "terminate_500",
    "terminate_slow:seconds=5",
    "terminate_rate_limited",
    "already_gone",
    "api_down:when=ended;seconds=10",
    "leftover_volume",
)
STEPS = ("boot", "configure", "stage", "train", "collect", "destroy")
RUNNER_FAULTS = (
    *(f"kill_runner@{moment}" for moment in ("before_create", "after_create", *STEPS)),
    *(f"{action}@{step}" for action in ("ctrl_c", "sigterm", "kill_terraform") for step in ("provision", "destroy")),
    *(f"{action}@train" for action in ("ctrl_c", "ctrl_c_twice", "sigterm", "laptop_sleeps", "stdout_gone")),
    "ssh_dropped",
    "network_partition",
    "box_deleted_in_console:after_s=15",
    "box_killed:after_s=15",
    "box_rebooted",
)
NOT_ON = {"runpod": ("box_rebooted",)}
AFTERWARDS = ("down", "resume", "status,resume", "watch,down", "sweep")
SETTINGS = ("compute.recoveries=2", "budget.max_usd=5", "budget.lease_minutes=1")
PATIENCE_S = 60
"""How long a machine that does not answer is tried; in a user's run for half an hour."""
NEVER = " never happened"
"""How a verdict names a fault that had no occasion: two that were drawn may exclude each other."""


@dataclass(frozen=True)
class Draw:
    """What a seed has drawn for one run."""

    cloud: str
    faults: tuple[str, ...]
    afterwards: str
    steps: int


@dataclass
class Lived:
    """What became of one run.

    Attributes:
        draw: What was drawn for it.
        status: Exit status of the last command; ``None`` if the rehearsal itself failed.
        seconds: How long it took.
        billed_usd: By the emulated clouds' own meters.
        receipt_usd: Lower and upper end of its receipt, ``None`` without one.
        left: Machines that bill, and what of a rehearsal was left on this computer.
        is_wrong: The adapter is not that of an undisturbed run.
        unmet: Faults that had no occasion.
        broken: Promises that did not hold.
    """

    draw: Draw
    status: int | None = None
    seconds: float = 0.0
    billed_usd: float = 0.0
    receipt_usd: tuple[float, float] | None = None
    left: list[str] = field(default_factory=list)
    is_wrong: bool = False
    unmet: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether everything held."""
        return not (self.left or self.is_wrong or self.broken)


def main(argv: Sequence[str] | None = None) -> int:
    """Rehearse, print a line for each run and a table; return 1 if anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many (200)")
    parser.add_argument("--first", type=int, default=1, help="number of the first among all that a seed draws (1)")
    parser.add_argument("--seed", type=int, default=1, help="of all draws (1)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    parser.add_argument("--folder", type=Path, help="keep there what did not hold")
    parser.add_argument("--json", type=Path, help="file to write the runs to")
    parser.add_argument("--join", type=Path, nargs="+", help="files of parts: live nothing, and print the table of all")
    arguments = parser.parse_args(argv)
    if arguments.join:
        return _end([read(row) for path in arguments.join for row in json.loads(path.read_text())])
    need_boxes()
    os.environ.setdefault("DOUSE_LAB_PATIENCE_S", str(PATIENCE_S))
    lived: list[Lived] = []
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="douse-soak-") as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        drawn_all = draw(arguments.seed, arguments.first + arguments.runs - 1)
        for number, drawn in enumerate(drawn_all[arguments.first - 1 :], arguments.first):
            if time.monotonic() - begun_s > 60 * arguments.minutes:
                break
            lived.append(live(drawn, folder / f"run-{number}"))
            print(f"{number} {line(lived[-1])}", flush=True)
            if arguments.json:
                write_json(arguments.json, [asdict(one) for one in lived])
    return _end(lived)


def _end(lived: Sequence[Lived]) -> int:
    print(show(lived), flush=True)
    return int(not all(one.held for one in lived))


def read(row: dict[str, Any]) -> Lived:
    """Return a run as its part's file has it."""
    drawn, ends = row["draw"], row["receipt_usd"]
    draw_of = Draw(drawn["cloud"], tuple(drawn["faults"]), drawn["afterwards"], drawn["steps"])
    return Lived(**{**row, "draw": draw_of, "receipt_usd": None if ends is None else (ends[0], ends[1])})


def draw(seed: int, count: int) -> list[Draw]:
    """Return what a seed draws: of the cloud, of the runner or its machine, or of both, and what the user does then."""
    chance = random.Random(seed)
    draws = []
    for _ in range(count):
        cloud = chance.choice(CLOUDS)
        possible = [name for name in RUNNER_FAULTS if name not in NOT_ON.get(cloud, ())]
        faults = [chance.choice(CLOUD_FAULTS), chance.choice(possible)]
        kept = chance.choice(((0,), (1,), (0, 1)))
        named = tuple(faults[place] for place in kept)
        draws.append(Draw(cloud, named, chance.choice(AFTERWARDS), chance.randint(60, 90)))
    return draws


def live(drawn: Draw, folder: Path) -> Lived:
    """Rehearse one run, and judge it; what did not hold is kept."""
    config, one, begun_s = write_stand_in_run_file(folder), Lived(drawn), time.monotonic()
    settings = [*SETTINGS, f"publishing.tags=[steps={drawn.steps}, step_s=0.2]"]
    words = ["--config", str(config), *(word for setting in settings for word in ("--set", setting))]
    rehearsal = Rehearsal(drawn.cloud, words, ",".join(drawn.faults), drawn.afterwards, folder / "r", STAND_IN)
    try:
        judge(one, rehearse(rehearsal, SilentView(), Stop(RealWorld())), folder / "r" / "runs")
    except RunnerError as err:
        one.broken.append(err.message)
    one.left += clean()
    one.seconds = time.monotonic() - begun_s
    if one.held:
        shutil.rmtree(folder)
    return one


def judge(one: Lived, verdict: Verdict, runs: Path) -> None:
    """Note what a rehearsal showed."""
    one.status = verdict.exit_code
    one.billed_usd = sum(row["billed_usd"] for row in verdict.machines)
    one.left += [f"{row['id']} bills" for row in verdict.machines if row["is_billing"]]
    one.unmet = [said.removesuffix(NEVER) for said in verdict.broken if said.endswith(NEVER)]
    one.broken = [said for said in verdict.broken if not said.endswith(NEVER)]
    if verdict.receipt is not None:
        low, high = verdict.receipt["cost_range_usd"]
        one.receipt_usd = (low or 0.0, float("inf") if high is None else high)
    adapters = [run.adapter / "adapter_model.safetensors" for run in list_runs(runs, RealWorld())]
    made = [adapter.read_text() for adapter in adapters if adapter.is_file()]
    wanted = f"trained {one.draw.steps} steps"
    one.is_wrong = any(text != wanted for text in made) or (verdict.exit_code == EXIT_DONE and _is_missing(runs, made))


def _is_missing(runs: Path, made: Sequence[str]) -> bool:
    """Return whether a run that says that it is done has no adapter; `down` ends well without one."""
    states: list[dict[str, Any]] = [read_json(run.file("state.json")) or {} for run in list_runs(runs, RealWorld())]
    return not made and any(state.get("outcome") == "done" for state in states)


def line(one: Lived) -> str:
    """Return a run in a line."""
    went = "held" if one.held else "; ".join([*one.broken, *one.left, *(["wrong adapter"] if one.is_wrong else [])])
    unmet = f" ({', '.join(one.unmet)} had no occasion)" if one.unmet else ""
    faults = ", ".join(one.draw.faults)
    return f"{one.draw.cloud}: {faults}, then {one.draw.afterwards}: {one.status} in {one.seconds:.0f} s: {went}{unmet}"


def show(lived: Sequence[Lived]) -> str:
    """Return the table."""
    with_receipt = [one for one in lived if one.receipt_usd is not None]
    ends = [one.receipt_usd for one in lived if one.receipt_usd is not None]
    billed_usd = sum(one.billed_usd for one in with_receipt)
    low_usd, high_usd = sum(low for low, _ in ends), sum(high for _, high in ends)
    outside = max(0.0, low_usd - billed_usd, billed_usd - high_usd) / billed_usd if billed_usd else 0.0
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(Counter(map(_status, lived)).items()))
    rows = [
        ["runs", len(lived)],
        ["of these everything held", sum(one.held for one in lived)],
        ["machines that bill, and what was left on this computer", sum(len(one.left) for one in lived)],
        ["wrong adapters", sum(one.is_wrong for one in lived)],
        ["billed by the meters of runs with a receipt", f"${billed_usd:.4f}"],
        ["their receipts, lower and upper ends", f"${low_usd:.4f} to ${high_usd:.4f}"],
        ["the meters are outside of these by", f"{outside:.1%}"],
        ["faults that had no occasion", sum(len(one.unmet) for one in lived)],
        ["runs with no receipt, which a sweep or no machine leaves", len(lived) - len(with_receipt)],
        ["exit statuses", statuses],
        ["hours", f"{sum(one.seconds for one in lived) / 3600:.1f}"],
    ]
    return table(["soak", "found"], rows)


def _status(one: Lived) -> str:
    return str(one.status)


if __name__ == "__main__":
    raise SystemExit(main())
