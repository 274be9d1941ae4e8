"""The plan's estimate beside the emulated cloud's meter: whole rehearsals, each with the ones before in its ledger.

Run it with ``python -m benchmarks.estimate_beside_meter [--tries 3] [--json FILE]``, as root, with nothing beside it.
The first rehearsal has no earlier run to learn from, the others do. It judges time, so it is no test.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results import PROJECT
from runner.adapters.stop import Stop
from runner.cli.terminal import LineView
from runner.planning.estimate.ledger import read_ledger
from runner.rehearsal.drive import Rehearsal, rehearse
from runner.run.planned import forecast_for, lenient_plan
from runner.run.run_dir import RunDir, list_runs, read_json
from runner.world import RealWorld
from trainer.files import write_json

CLOUD = "lambda"
"""Its emulator bills nothing but its machine, by the second: what was expected of the time can be compared with it."""


@dataclass(frozen=True)
class Beside:
    """One rehearsal.

    Attributes:
        runs_in_ledger: Earlier runs that the estimate could learn from.
        planned_s: Seconds that the plan expected the machine to bill.
        billed_s: Seconds on the meter.
        planned_usd: US dollars that the plan expected of the machine's time.
        billed_usd: US dollars on the meter.
    """

    runs_in_ledger: int
    planned_s: float
    billed_s: float
    planned_usd: float
    billed_usd: float

    @property
    def off(self) -> float:
        """By how much the estimate of the seconds was off, as a share of what was billed."""
        return self.planned_s / self.billed_s - 1


def main(argv: Sequence[str] | None = None) -> None:
    """Rehearse the run several times and print each estimate beside its meter."""
    arguments = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="douse-benchmark-") as scratch:
        found = measure(arguments.config, Path(scratch), arguments.tries)
    print(show(found))
    if arguments.json:
        report = [asdict(one) | {"off": round(one.off, 4)} for one in found]
        write_json(arguments.json, report)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate_beside_meter", description=main.__doc__)
    parser.add_argument("--config", type=Path, default=PROJECT / "examples" / "quickstart.yml", help="run file")
    parser.add_argument("--tries", type=int, default=3, help="rehearsals (3)")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    return parser


def measure(config: Path, scratch: Path, tries: int) -> list[Beside]:
    """Rehearse a run several times, each with all earlier ones as its ledger.

    Raises:
        SystemExit: If a rehearsal breaks a promise or fails.
    """
    found: list[Beside] = []
    earlier: list[Path] = []
    for number in range(tries):
        folder = scratch / f"r{number}"
        for run in earlier:
            shutil.copytree(run, folder / "runs" / run.name)
        learned_from = len(read_ledger(list_runs(folder / "runs", RealWorld()), is_emulated=True))
        rehearsal = Rehearsal(CLOUD, ["--config", str(config)], "", "down", folder)
        verdict = rehearse(rehearsal, LineView(time.monotonic), Stop(RealWorld()))
        if verdict.broken or verdict.exit_code != 0:
            raise SystemExit(f"error: rehearsal {number + 1} ended with {verdict.exit_code}: {verdict.broken}")
        run_dir = list_runs(folder / "runs", RealWorld())[-1]
        earlier.append(Path(run_dir.path))
        found.append(beside(run_dir, verdict.machines[0], learned_from))
    return found


def beside(run: RunDir, meter: dict[str, float], runs_in_ledger: int) -> Beside:
    """Lay the plan of a run beside the meter of its machine."""
    planned = forecast_for(lenient_plan(read_json(run.file("plan.json")) or {}), read_json(run.host) or {})
    return Beside(
        runs_in_ledger,
        planned_s=round(float(planned["durations"]["total_s"]["expected"]), 1),
        billed_s=round(float(meter["ended_at"] - meter["started_at"]), 1),
        planned_usd=round(sum(float(phase["expected"]) for phase in planned["cost"]["usd_by_phase"].values()), 4),
        billed_usd=round(float(meter["billed_usd"]), 4),
    )


def show(found: Sequence[Beside]) -> str:
    """Return the table."""
    rows = ["| earlier runs | expected | billed | off | expected | billed |", "|---:|---:|---:|---:|---:|---:|"]
    rows += [
        f"| {one.runs_in_ledger} | {one.planned_s:.1f} s | {one.billed_s:.1f} s | {one.off:+.1%} "
        f"| ${one.planned_usd:.4f} | ${one.billed_usd:.4f} |"
        for one in found
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
