"""The picture of one life: who was there when, what happened to it, and what its machines cost until then."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from runner.emulation.machines import EmulatedMachine
from runner.report.drawing import Figure
from runner.report.figure import MAIN, QUIET, SECOND, PageFigure, blank_figure
from runner.report.wording import duration
from runner.simulation.life import Life
from runner.simulation.moments import CLOUD, LANE_BY_PROCESS, RUNNER, USER, Moment, machine_lane
from runner.simulation.trainer import EPOCH

LONGEST_PAUSE_S = 90.0
"""A pause in which nothing happens takes so much of the picture at most."""
TICKS = 8
LANE_PX, METER_PX, REST_PX = 30, 150, 90
SHORTEST = 1.0
"""So that what lasts no time is seen."""
EDGE = {"color": "var(--card)", "width": 1}
Bar = tuple[str, float, float, str]
"""A lane, from when to when, and what to say of it."""


class Axis:
    """Time on paper: hours in which nothing happens are a short gap."""

    def __init__(self, moments_s: Iterable[float]) -> None:
        """Lay out the moments, in seconds from the life's beginning."""
        self._at_s, self._x = [0.0], [0.0]
        for at_s in sorted(set(moments_s)):
            if at_s > self._at_s[-1]:
                self._x.append(self._x[-1] + min(at_s - self._at_s[-1], LONGEST_PAUSE_S))
                self._at_s.append(at_s)

    @property
    def length(self) -> float:
        """How long the picture is."""
        return self._x[-1]

    def x(self, at_s: float) -> float:
        """Return where a moment is; what comes after the last one is there too."""
        return _between(at_s, self._at_s, self._x)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Return places on the axis and the time that it is there."""
        places = [self.length * number / TICKS for number in range(TICKS + 1)]
        return places, [duration(_between(place, self._x, self._at_s)) for place in places]

    def gaps(self) -> list[tuple[float, float, float]]:
        """Return the pauses that were cut: from where to where, and their seconds."""
        steps = zip(self._at_s, self._at_s[1:], self._x, self._x[1:], strict=False)
        return [(x, to_x, to_s - at_s) for at_s, to_s, x, to_x in steps if to_s - at_s > LONGEST_PAUSE_S]


def life_figure(life: Life, said: Sequence[Moment], axis: Axis) -> PageFigure:
    """Return the picture.

    Args:
        life: The life.
        said: Its history in words.
        axis: Where each moment is.
    """
    figure = blank_figure()
    bars = [*_processes(life), *_machines(life)]
    lanes = _lanes(bars, said)
    for lane, began_s, ended_s, words in bars:
        from_x, to_x = axis.x(began_s), axis.x(ended_s)
        figure.add_bar(
            y=[lane], base=[from_x], x=[max(SHORTEST, to_x - from_x)], orientation="h", width=0.42,
            marker={"color": MAIN, "cornerradius": 3, "opacity": 0.75}, hovertemplate=f"{words}<extra></extra>",
        )  # fmt: skip
    for is_bad, colour, symbol in ((False, QUIET, "circle"), (True, SECOND, "diamond")):
        shown = [moment for moment in said if moment.is_bad == is_bad]
        figure.add_scatter(
            x=[axis.x(one.at_s) for one in shown], y=[one.lane for one in shown], mode="markers",
            text=[f"{duration(one.at_s)}: {one.words}" for one in shown], hovertemplate="%{text}<extra></extra>",
            marker={"color": colour, "symbol": symbol, "size": 9 if is_bad else 5, "line": EDGE},
        )  # fmt: skip
    _add_meter(figure, life, axis)
    height_px = LANE_PX * len(lanes) + METER_PX + REST_PX
    _lay_out(figure, lanes, axis, height_px)
    note = "bars: processes and machines that bill; diamonds: what went wrong; pauses are cut short"
    return PageFigure("life", "Who was there, and what it cost", note, figure.to_json(), height_px, wide=True)


def usd_at(machines: Sequence[EmulatedMachine], at_s: float) -> float:
    """Return what machines had cost at a moment of the life, in US dollars."""
    total = 0.0
    for machine in machines:
        course = machine.meter.course(EPOCH + at_s)
        total += _between(EPOCH + at_s, [at for at, _ in course], [usd for _, usd in course])
    return total


def end_of(life: Life) -> float:
    """Return when the last line of a life was written, in seconds from its beginning."""
    return max([float(life.history[-1].split()[0]), *(span.ended_s or 0.0 for span in life.spans)])


def _processes(life: Life) -> list[Bar]:
    """Return the bars of the computer's processes."""
    bars = []
    for span in life.spans:
        lane = LANE_BY_PROCESS.get(span.name, RUNNER)
        ended_s = end_of(life) if span.ended_s is None else span.ended_s
        how = "goes on" if span.ended_s is None else "killed" if span.was_killed else "to its end"
        bars.append((lane, span.began_s, ended_s, f"{span.name}, {duration(ended_s - span.began_s)}, {how}"))
    return bars


def _machines(life: Life) -> list[Bar]:
    """Return the bars of the machines: the time for which each billed."""
    bars = []
    for machine in life.machines:
        began_s = machine.created_at - EPOCH
        ended_s = end_of(life) if machine.ended_at is None else machine.ended_at - EPOCH
        whose = "somebody else's" if machine.id in life.foreign else "this run's"
        ended = "bills on" if machine.ended_at is None else f"ended by {machine.ended_by}"
        bars.append((machine_lane(life, machine), began_s, ended_s, f"{whose} {machine.instance_type}, {ended}"))
    return bars


def _lanes(bars: Sequence[Bar], said: Sequence[Moment]) -> list[str]:
    """Return the lanes from the top down: the user first, then whoever came first."""
    there = [bar[0] for bar in bars] + [moment.lane for moment in said]
    first = [USER, RUNNER, *LANE_BY_PROCESS.values(), CLOUD]
    machines = [lane for lane in dict.fromkeys(there) if lane not in first]
    return [lane for lane in (*first[:-1], *machines, CLOUD) if lane in there]


def _add_meter(figure: Figure, life: Life, axis: Axis) -> None:
    """Draw what the run's machines had cost at each moment."""
    machines = life.ours
    corners = {at - EPOCH for machine in machines for at, _ in machine.meter.course(EPOCH + end_of(life))}
    moments_s = sorted({0.0, *corners, end_of(life)})
    figure.add_scatter(
        x=[axis.x(at_s) for at_s in moments_s], y=[usd_at(machines, at_s) for at_s in moments_s], yaxis="y2",
        mode="lines", line={"color": SECOND, "width": 2}, fill="tozeroy", fillcolor="rgba(221,90,36,0.12)",
        text=[duration(at_s) for at_s in moments_s], hovertemplate="%{text}: $%{y:.3f}<extra></extra>",
    )  # fmt: skip


def _lay_out(figure: Figure, lanes: Sequence[str], axis: Axis, height_px: int) -> None:
    share = METER_PX / height_px
    places, labels = axis.ticks()
    blank = figure.layout["yaxis"]
    figure.update_layout(
        barmode="overlay", hovermode="closest", margin={"l": 8, "r": 20, "t": 8, "b": 34},
        yaxis={"domain": [share + 0.06, 1], "categoryorder": "array", "categoryarray": list(reversed(lanes)),
               "showgrid": True, "ticksuffix": "  ", "range": [-0.6, len(lanes) - 0.4]},
        yaxis2=blank | {"domain": [0, share], "tickprefix": "$", "rangemode": "tozero", "nticks": 4, "anchor": "x"},
    )  # fmt: skip
    figure.update_xaxes(range=[-2, axis.length * 1.01], tickvals=places, ticktext=labels, anchor="y2")
    for x, to_x, seconds in axis.gaps():
        figure.add_vrect(x0=x, x1=to_x, fillcolor=QUIET, opacity=0.08, line={"width": 0})
        if seconds >= 3600:  # the long ones say how long
            figure.add_annotation(
                x=(x + to_x) / 2, y=1, yref="paper", yanchor="top", text=duration(seconds), textangle=-90,
                showarrow=False, font={"size": 10, "color": QUIET},
            )  # fmt: skip


def _between(value: float, known: Sequence[float], wanted: Sequence[float]) -> float:
    """Return what belongs to a value between known ones, by a straight line; the outermost ones beyond them."""
    after = bisect.bisect_right(known, value)
    if after == 0:
        return wanted[0]
    if after == len(known):
        return wanted[-1]
    share = (value - known[after - 1]) / (known[after] - known[after - 1])
    return wanted[after - 1] + share * (wanted[after] - wanted[after - 1])
