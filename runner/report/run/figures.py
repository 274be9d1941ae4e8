"""Plotly figures of a run, as JSON for plotly.js.

Colours are names of the page's CSS variables (``var(--series-1)``); the page puts in the values of its light or dark
scheme before it draws, and again when the scheme changes or the page is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from runner.report.drawing import Figure
from runner.report.figure import END, MAIN, PHASE_HEIGHT_PX, QUIET, SECOND, PageFigure, blank_figure
from runner.report.run.models import GpuPoint, GpuUse, PhaseTime, RunReport, StepPoint
from runner.report.wording import duration, words

Point = TypeVar("Point", StepPoint, GpuPoint)

MOST_POINTS = 2000
"""More points than a screen has columns only make the page heavy; ``report.json`` keeps them all."""
MARKED_POINTS = 60
"""Up to so many points each one is marked."""

SETTLED_HEIGHT_PX = 44


def page_figures(report: RunReport) -> list[PageFigure]:
    """Return the curves that there are numbers for."""
    drawn = [_loss(report)]
    drawn += [_course(report, *course) for course in COURSES]
    return [figure for figure in drawn if figure is not None]


def gpu_figures(gpu: GpuUse | None) -> list[PageFigure]:
    """Return what the GPU that trained did over time, as far as it told."""
    drawn = [] if gpu is None else [_gpu_course(_thin(gpu.points), *course) for course in GPU_COURSES]
    return [figure for figure in drawn if figure is not None]


def phase_figure(report: RunReport) -> PageFigure | None:
    """Return time by phase as bars, the first phase on top."""
    phases = [phase for phase in report.phases if phase.duration_s > 0]
    if not phases:
        return None
    names = [_phase_name(phase) for phase in phases]
    seconds = [phase.duration_s for phase in phases]
    figure = blank_figure()
    marker = {"color": MAIN, "cornerradius": 3}
    _add_time_bars(figure, names, seconds, marker=marker, hovertemplate="%{y}: %{text}<extra></extra>")
    figure.update_layout(bargap=0.35, margin={"l": 8, "r": 76, "t": 6, "b": 8})
    note = f"{duration(sum(seconds))} in the trainer, all starts together"
    return PageFigure("phases", "Time by phase", note, figure.to_json(), 26 + PHASE_HEIGHT_PX * len(phases), wide=True)


def settled_figure(report: RunReport) -> PageFigure | None:
    """Return the estimate of each phase beside what it took, the first phase on top."""
    if report.estimate is None or not report.estimate.notable:
        return None
    phases = report.estimate.notable
    figure = blank_figure()
    for name, colour, seconds in (
        ("estimated", QUIET, [phase.estimated_s for phase in phases]),
        ("it took", MAIN, [phase.actual_s for phase in phases]),
    ):
        hover, marker = f"%{{y}}, {name}: %{{text}}<extra></extra>", {"color": colour, "cornerradius": 2}
        names = [phase.phase for phase in phases]
        _add_time_bars(figure, names, seconds, marker=marker, hovertemplate=hover, name=name)
    figure.update_layout(
        barmode="group",
        bargap=0.3,
        showlegend=True,
        hovermode="closest",
        margin={"l": 8, "r": 84, "t": 30, "b": 8},
    )
    height_px = 48 + SETTLED_HEIGHT_PX * len(phases)
    note = "from the request for the machine to the end of its teardown"
    return PageFigure("settled", "Time, estimated and taken", note, figure.to_json(), height_px, wide=True)


def _add_time_bars(figure: Figure, names: Sequence[str], seconds: Sequence[float | None], **bars: Any) -> None:
    """Add a bar for each name, from the top down, with its duration beside it."""
    figure.add_bar(
        y=list(names),
        x=[value or 0.0 for value in seconds],
        orientation="h",
        text=[duration(value) for value in seconds],
        textposition="outside",
        textfont={"color": "var(--ink-2)"},
        cliponaxis=False,
        **bars,
    )
    figure.update_xaxes(visible=False, rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, ticksuffix="  ")


def _phase_name(phase: PhaseTime) -> str:
    return words(phase.phase) + ("" if phase.complete else " (not ended)")


def _loss(report: RunReport) -> PageFigure | None:
    points = [point for point in _thin(report.steps) if point.loss is not None]
    evals = [point for point in report.eval_curve if point.eval_loss is not None]
    if not points and not evals:
        return None
    figure = blank_figure()
    base = report.summary.base_eval_loss
    last = max([point.step for point in points] + [point.step for point in evals])
    if base is not None:
        figure.add_scatter(
            x=[0, END * last],
            y=[base, base],
            name="base model, eval",
            mode="lines",
            line={"color": QUIET, "dash": "dash"},
            hovertemplate="base %{y:.4f}<extra></extra>",
        )
    figure.add_scatter(
        x=[point.step for point in points],
        y=[point.loss for point in points],
        name="training",
        mode="lines+markers" if len(points) <= MARKED_POINTS else "lines",
        line={"color": MAIN, "width": 2},
        marker={"size": 4},
        hovertemplate="training %{y:.4f}<extra></extra>",
    )
    figure.add_scatter(
        x=[point.step for point in evals],
        y=[point.eval_loss for point in evals],
        name="adapter, eval",
        mode="lines+markers",
        line={"color": SECOND, "width": 2},
        marker={"size": 8, "line": {"color": "var(--card)", "width": 2}},
        hovertemplate="eval %{y:.4f}<extra></extra>",
    )
    figure.update_layout(showlegend=True, margin={"t": 34})
    figure.update_xaxes(title={"text": "step"}, range=[0, END * last])
    _mark_resumes(figure, report, named=True)
    note = "mean negative log-likelihood of the assistant's tokens; lower is better"
    return PageFigure("loss", "Loss", note, figure.to_json(), 380, wide=True)


Course = tuple[str, str, str, str, Callable[[StepPoint], float | None]]
COURSES: Sequence[Course] = (
    ("learning-rate", "Learning rate", "by its schedule", ".2e", lambda p: p.learning_rate),
    ("grad-norm", "Gradient norm", "before clipping", ".3f", lambda p: p.grad_norm),
    ("speed", "Tokens per second", "training only", ",.0f", lambda p: p.tokens_per_s),
    ("memory", "Peak memory", "GiB, the most up to each step", ".2f", lambda p: p.memory_gib),
)


def _course(
    report: RunReport, key: str, title: str, note: str, format_: str, value: Callable[[StepPoint], float | None],
) -> PageFigure | None:  # fmt: skip
    """Return one number's course over the steps."""
    points = [(point.step, found) for point in _thin(report.steps) if (found := value(point)) is not None]
    if not points:
        return None
    figure = blank_figure()
    figure.add_scatter(
        x=[step for step, _ in points],
        y=[found for _, found in points],
        name=title,
        mode="lines+markers" if len(points) <= MARKED_POINTS else "lines",
        line={"color": MAIN, "width": 2},
        marker={"size": 4},
        hovertemplate=f"%{{y:{format_}}}<extra></extra>",
    )
    figure.update_xaxes(title={"text": "step"}, range=[0, END * points[-1][0]])
    figure.update_yaxes(rangemode="tozero", exponentformat="power", nticks=5)
    _mark_resumes(figure, report)
    return PageFigure(key, title, note, figure.to_json(), 220)


GPU_COURSES: Sequence[tuple[str, str, str, str, Callable[[GpuPoint], float | None]]] = (
    ("gpu-busy", "GPU busy", "percent of the time, by NVML", ".0f", lambda p: p.utilisation_percent),
    ("gpu-memory", "GPU memory", "GiB taken, by all processes", ".2f", lambda p: p.memory_gib),
    ("gpu-temperature", "GPU temperature", "°C", ".0f", lambda p: p.temperature_c),
    ("gpu-power", "GPU power", "watts", ".0f", lambda p: p.power_w),
)


def _gpu_course(
    points: Sequence[GpuPoint], key: str, title: str, note: str, format_: str,
    value: Callable[[GpuPoint], float | None],
) -> PageFigure | None:  # fmt: skip
    """Return one number's course over the minutes; ``None`` where the GPU never told it."""
    values = [value(point) for point in points]
    if not any(found is not None for found in values):
        return None
    figure = blank_figure()
    figure.add_scatter(
        x=[point.minutes for point in points],
        y=values,
        name=title,
        mode="lines+markers" if len(points) <= MARKED_POINTS else "lines",
        line={"color": MAIN, "width": 2},
        marker={"size": 4},
        hovertemplate=f"%{{y:{format_}}}<extra></extra>",
    )
    figure.update_xaxes(title={"text": "minutes"}, rangemode="tozero")
    figure.update_yaxes(rangemode="tozero", nticks=5)
    return PageFigure(key, title, note, figure.to_json(), 220)


def _thin(points: Sequence[Point]) -> list[Point]:
    """Return at most ``MOST_POINTS`` of the points, the last one among them."""
    stride = -(-len(points) // MOST_POINTS) or 1
    kept = list(points[::stride])
    if points and kept[-1] is not points[-1]:
        kept.append(points[-1])
    return kept


def _mark_resumes(figure: Figure, report: RunReport, *, named: bool = False) -> None:
    for step in report.resumed_from:
        figure.add_vline(x=step, line={"color": QUIET, "width": 1, "dash": "dot"})
        if named:
            figure.add_annotation(
                x=step,
                y=0,
                yref="paper",
                yanchor="bottom",
                xanchor="left",
                text="resumed",
                showarrow=False,
                font={"size": 11, "color": QUIET},
            )
