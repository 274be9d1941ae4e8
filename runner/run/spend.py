"""The spend clock: what a run's machine has cost so far, by phase, from what stands on disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runner.run.journal import Journal
from runner.run.run_dir import RunDir, read_json
from runner.run.state import RunState

PHASES = {
    "provision": "boot",
    "configure": "build",
    "stage": "build",
    "train": "train",
    "collect": "upload",
    "destroy": "teardown",
}
"""What a person pays for while each step goes on."""

WAY_HOME_H = 0.1
"""Kept back of a limit in dollars: the last checkpoint, the way home and the teardown cost as well."""
SHORTEST_H = 0.01


@dataclass(frozen=True)
class Spend:
    """What the machine of a run has cost, from the moment it was asked for to the moment it was gone.

    Attributes:
        total_usd: US dollars in all.
        by_phase_usd: US dollars by phase: boot, build, train, upload, teardown, and idle for the time between.
        price_usd_per_h: Price of the machine.
        billed_s: Seconds it was billed for.
    """

    total_usd: float
    by_phase_usd: dict[str, float]
    price_usd_per_h: float
    billed_s: float


def spend_of(run: RunDir, now: datetime | None = None) -> Spend:
    """Return the cost of the machine of a run's last attempt until ``now``; nothing where none was rented.

    A machine costs from the intent in the journal on: the cloud's own clock begins with its answer, which is later,
    so this errs on the dear side by seconds. Where the answer is missing, so is the price, and nothing is known.
    """
    lines = Journal(run).entries()
    begun = _last_time(lines, "provision", "intent")
    host = read_json(run.host) or {}
    price = float(host.get("price_usd_per_h") or 0.0)
    if begun is None or price == 0.0:
        return Spend(0.0, {}, price, 0.0)
    gone = _last_time(lines, "destroy", "answer")
    end = gone if gone is not None and gone > begun else (now or run.world.now())
    seconds = dict.fromkeys((*dict.fromkeys(PHASES.values()), "idle"), 0.0)
    for name, step in RunState(run).steps.items():
        if name in PHASES:
            seconds[PHASES[name]] += _overlap_s(step, begun, end)
    billed_s = (end - begun).total_seconds()
    seconds["idle"] = max(0.0, billed_s - sum(seconds.values()))
    by_phase = {phase: round(duration / 3600 * price, 4) for phase, duration in seconds.items()}
    return Spend(round(billed_s / 3600 * price, 4), by_phase, price, round(billed_s, 1))


def hours_left(run: RunDir, *, max_hours: float, max_usd: float | None) -> float:
    """Return how long training may go on: ``max_hours``, or less where the money does not last that long.

    Args:
        run: The run, its machine up.
        max_hours: Limit in hours.
        max_usd: Limit in US dollars for this machine, or ``None``.
    """
    spend = spend_of(run)
    if max_usd is None or spend.price_usd_per_h == 0.0:
        return max_hours
    affordable_h = (max_usd - spend.total_usd) / spend.price_usd_per_h - WAY_HOME_H
    return max(SHORTEST_H, min(max_hours, affordable_h))


def _last_time(lines: list[dict[str, object]], action: str, kind: str) -> datetime | None:
    times = [str(line["time"]) for line in lines if line["action"] == action and line["kind"] == kind]
    return datetime.fromisoformat(times[-1]) if times else None


def _overlap_s(step: dict[str, object], begun: datetime, end: datetime) -> float:
    """Return how long a step went on between the two moments."""
    started = datetime.fromisoformat(str(step["started_at"]))
    ended = datetime.fromisoformat(str(step["ended_at"])) if step.get("ended_at") else end
    return max(0.0, (min(ended, end) - max(started, begun)).total_seconds())
