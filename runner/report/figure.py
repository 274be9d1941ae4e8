"""What the figures of every page have in common: Plotly's JSON, colours and sizes.

Colours are names of the page's CSS variables (``var(--series-1)``); the page puts in the values of its light or dark
scheme before it draws, and again when the scheme changes or the page is printed.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.report.data_summary import DataSummary
from runner.report.drawing import Figure

MAIN, SECOND, QUIET = "var(--series-1)", "var(--series-2)", "var(--ink-3)"


PHASE_HEIGHT_PX = 30


END = 1.02
"""Axis of steps: a little over the last one, so that its mark is whole."""


@dataclass(frozen=True)
class PageFigure:
    """A figure and the words around it."""

    key: str
    title: str
    note: str
    spec: str
    """JSON for ``Plotly.newPlot``."""
    height_px: int
    wide: bool = False


def length_figure(data: DataSummary | None) -> PageFigure | None:
    """Return the samples by length in tokens."""
    if data is None or not data.histogram:
        return None
    bins = data.histogram
    labels = [f"{bin_.from_tokens:,}–{bin_.to_tokens - 1:,}" for bin_ in bins]
    figure = blank_figure()
    figure.add_bar(
        x=labels,
        y=[bin_.count for bin_ in bins],
        marker={"color": MAIN, "cornerradius": 3},
        hovertemplate="%{x} tokens: %{y} samples<extra></extra>",
    )
    figure.update_layout(bargap=0.12)
    figure.update_xaxes(title={"text": "tokens in a sample"}, type="category", showgrid=False)
    figure.update_yaxes(rangemode="tozero", title={"text": "samples"})
    note = f"{sum(bin_.count for bin_ in bins):,} training samples, before any is cut"
    return PageFigure("lengths", "Sample lengths", note, figure.to_json(), 260)


def blank_figure() -> Figure:
    """Return a figure with the look of all of them and nothing drawn."""
    axis = {
        "gridcolor": "var(--grid)", "linecolor": "var(--line)", "zeroline": False, "tickcolor": "var(--line)",
        "tickfont": {"color": "var(--ink-2)"}, "title": {"font": {"color": "var(--ink-3)", "size": 12}, "standoff": 6},
        "automargin": True,
    }  # fmt: skip
    return Figure(
        {
            "template": {},
            "autosize": True,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": 'system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif', "size": 12},
            "margin": {"l": 44, "r": 14, "t": 14, "b": 40},
            "hovermode": "x unified",
            "hoverlabel": {
                "bgcolor": "var(--card)", "bordercolor": "var(--line)", "font": {"color": "var(--ink)", "size": 12},
            },
            "showlegend": False,
            "legend": {
                "orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": "var(--ink-2)"},
            },
            "xaxis": {**axis, "showgrid": False, "showline": True, "ticks": "outside", "ticklen": 4},
            "yaxis": axis,
        }
    )  # fmt: skip
