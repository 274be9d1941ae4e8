"""The page of one life: one file that opens from disk, with its picture, its verdict and a slider through its time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.report.page import render, whole
from runner.report.wording import dollar_range
from runner.simulation.life import Life
from runner.simulation.life_figure import Axis, end_of, life_figure, usd_at
from runner.simulation.moments import Moment, moments, planted
from runner.simulation.rules import RULES, Broken, judge
from runner.simulation.trainer import EPOCH
from trainer.files import write_atomically

TEMPLATE, SCRIPTS = "life.html.j2", ("report.js", "life.js")


@dataclass(frozen=True)
class Stop:
    """A place at which the slider stops.

    Attributes:
        moment: What happened there.
        x: Where it is in the picture.
        usd: What the run's machines had cost by then.
        there: Who was there then.
    """

    moment: Moment
    x: float
    usd: float
    there: str


def write_life_page(life: Life, folder: Path) -> Path:
    """Write a life's page into a folder and return its path."""
    path = folder / f"life-{life.cloud}-{life.seed}.html"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, whole(to_html(life)))
    return path


def to_html(life: Life) -> str:
    """Return the page of a life."""
    said, broken = moments(life), judge(life)
    axis = Axis([*(one.at_s for one in said), *_corners(life)])
    return render(
        TEMPLATE,
        scripts=SCRIPTS,
        life=life,
        figure=life_figure(life, said, axis),
        stops=[_stop(life, one, axis) for one in said if not one.is_routine],
        planted=[words for act in life.script if (words := planted(act))],
        rules=[(name, rule.__doc__ or "", _why(name, broken)) for name, rule in RULES.items()],
        is_good=not broken,
        numbers=_numbers(life, said),
        receipt=_receipt(life),
    )


def _corners(life: Life) -> list[float]:
    """Return when processes and machines began and ended, in seconds from the life's beginning."""
    machines = [at - EPOCH for one in life.machines for at in (one.created_at, one.ended_at) if at is not None]
    return [at for span in life.spans for at in (span.began_s, span.ended_s) if at is not None] + machines


def _stop(life: Life, moment: Moment, axis: Axis) -> Stop:
    at_s = moment.at_s
    processes = [span.name for span in life.spans if _lives(span.began_s, span.ended_s, at_s)]
    ends = [(one, None if one.ended_at is None else one.ended_at - EPOCH) for one in life.ours]
    machines = [one.instance_type for one, end_s in ends if _lives(one.created_at - EPOCH, end_s, at_s)]
    there = ", ".join(dict.fromkeys(processes + [f"a machine ({name})" for name in machines]))
    return Stop(moment, axis.x(at_s), usd_at(life.ours, at_s), there or "nobody")


def _lives(began_s: float, ended_s: float | None, at_s: float) -> bool:
    return began_s <= at_s and (ended_s is None or at_s < ended_s)


def _why(rule: str, broken: list[Broken]) -> str:
    return "; ".join(one.why for one in broken if one.rule == rule)


def _numbers(life: Life, said: list[Moment]) -> dict[str, Any]:
    return {
        "lasted_s": end_of(life),
        "usd": usd_at(life.ours, end_of(life)),
        "machines": len(life.ours),
        "lines": len(said),
        "faults": life.faults,
    }


def _receipt(life: Life) -> str:
    """Return what the last receipt says that it cost."""
    if not life.receipts:
        return "no receipt"
    return dollar_range(life.receipts[-1][0]["cost_range_usd"])
