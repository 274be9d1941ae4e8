"""Figures of a plan: the memory of the GPU, hours and dollars by phase.

Plotly takes some markup in texts for its own; names out of a plan are escaped for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from runner.report.drawing import Figure
from runner.report.figure import END, MAIN, PHASE_HEIGHT_PX, QUIET, PageFigure, blank_figure
from runner.report.plan.planned_run import PlannedRun
from runner.report.spans import Span
from runner.report.wording import duration, money, words

WEIGHTS, LEARNT, PASSING = "var(--series-1)", "var(--series-2)", "var(--series-3)"
PART_COLOURS = {
    "base model, 4 bit": (WEIGHTS, 1.0),
    "base model, unquantised": (WEIGHTS, 0.55),
    "adapter": (LEARNT, 1.0),
    "gradients": (LEARNT, 0.7),
    "optimizer": (LEARNT, 0.45),
    "activations": (PASSING, 1.0),
    "loss": (PASSING, 0.7),
    "one block's backward pass": (PASSING, 0.7),
    "a layer dequantised": (PASSING, 0.45),
    "allocator's reserve": (QUIET, 0.8),
}
"""What belongs together has one colour, in shades."""


def memory_figure(plan: PlannedRun) -> PageFigure | None:
    """Return the parts of the GPU's memory as one bar, and the GPU's own memory as a line where that is known."""
    if not plan.memory_gib:
        return None
    figure, total_gib, gpu_gib = blank_figure(), sum(plan.memory_gib.values()), plan.gpu_memory_gib
    for name, gib in plan.memory_gib.items():
        colour, opacity = part_colour(name)
        figure.add_bar(
            x=[gib],
            y=[""],
            name=escape(name, quote=False),
            orientation="h",
            marker={"color": colour, "opacity": opacity, "line": {"color": "var(--card)", "width": 1}},
            hovertemplate="%{fullData.name}: %{x:.2f} GiB<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.3, hovermode="closest", margin={"l": 14, "t": 26})
    figure.update_xaxes(title={"text": "GiB"}, range=[0, END * max(total_gib, gpu_gib or 0.0)])
    figure.update_yaxes(visible=False, type="category")
    note = f"{total_gib:.2f} GiB at the worst moment of a step"
    if gpu_gib is not None:
        _mark_gpu(figure, plan.gpu or "the GPU", gpu_gib, is_far=gpu_gib > total_gib / 2)
        note += f", of the {gpu_gib:g} GiB that the GPU is sold with"
    return PageFigure("vram", "GPU memory by part", note, figure.to_json(), 150, wide=True)


def part_colour(part: str) -> tuple[str, float]:
    """Return the colour of a part of the memory, and how opaque it is."""
    return PART_COLOURS.get(part, (QUIET, 0.45))


def _mark_gpu(figure: Figure, gpu: str, gpu_gib: float, *, is_far: bool) -> None:
    figure.add_vline(x=gpu_gib, line={"color": "var(--ink)", "width": 2})
    figure.add_annotation(
        x=gpu_gib,
        y=1,
        yref="paper",
        yanchor="bottom",
        xanchor="right" if is_far else "left",
        text=f"{escape(gpu, quote=False)}: {gpu_gib:g} GiB",
        showarrow=False,
        font={"color": "var(--ink-2)"},
    )


def planned_figures(plan: PlannedRun) -> list[PageFigure]:
    """Return time and dollars by phase with their ranges, where they are known."""
    seconds = {row.name: row.seconds for row in plan.phases if row.seconds is not None}
    usd = {row.name: row.usd for row in plan.phases if row.usd is not None}
    drawn = [
        _ranges("hours", "Time by phase", seconds, plan.total.seconds, duration),
        _ranges("dollars", "Dollars by phase", usd, plan.total.usd, money),
    ]
    return [figure for figure in drawn if figure is not None]


def _ranges(
    key: str, title: str, spans: Mapping[str, Span], total: Span | None, word: Callable[[float], str]
) -> PageFigure | None:
    """Return the expected values as bars, the first on top, each with a whisker from lowest to highest."""
    if not any(span.high for span in spans.values()):
        return None
    names, values = [escape(words(name), quote=False) for name in spans], list(spans.values())
    figure = blank_figure()
    figure.add_bar(
        y=names,
        x=[span.expected for span in values],
        orientation="h",
        marker={"color": MAIN, "cornerradius": 3, "opacity": 0.75},
        error_x={
            "array": [span.high - span.expected for span in values],
            "arrayminus": [span.expected - span.low for span in values],
            "color": "var(--ink-2)", "thickness": 1.5, "width": 4,
        },
        customdata=[[word(span.expected), word(span.low), word(span.high)] for span in values],
        hovertemplate="%{y}: %{customdata[0]}, from %{customdata[1]} to %{customdata[2]}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        y=names,
        x=[span.high for span in values],
        mode="text",
        text=[f" {word(span.expected)}" for span in values],
        textposition="middle right",
        textfont={"color": "var(--ink-2)"},
        cliponaxis=False,
        hoverinfo="skip",
    )
    figure.update_layout(bargap=0.35, hovermode="closest", margin={"l": 8, "r": 84, "t": 6, "b": 8})
    figure.update_xaxes(visible=False, range=[0, max(span.high for span in values)])
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, ticksuffix="  ")
    note = "" if total is None else f"{word(total.expected)} in all, {word(total.low)} to {word(total.high)}"
    return PageFigure(key, title, note, figure.to_json(), 26 + PHASE_HEIGHT_PX * len(names))
