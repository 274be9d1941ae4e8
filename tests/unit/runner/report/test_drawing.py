"""What pages draw is what Plotly's own library makes of the same words, and words that it knows."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from runner.report.drawing import Figure
from runner.report.figure import blank_figure
from runner.report.page import PLOTLY_PLACE, whole

AXIS: Mapping[str, Any] = {"title": {"text": "a", "font": {"size": 12}}, "showgrid": False}


def draw(figure: Any) -> Any:
    """Draw with every word that pages use; the library's own figure knows them, too."""
    figure.add_bar(x=["a", "b"], y=[1, None], marker={"color": "var(--ink)"}, text=None)
    figure.add_scatter(x=[1.5, 2.0], y=[float("nan"), 3], mode="lines", line={"width": 2}, name="a <b> & é")
    figure.add_vline(x=2, line={"color": "var(--ink)", "width": 1})
    figure.add_vrect(x0=1, x1=2, fillcolor="var(--ink)", opacity=0.1, line={"width": 0})
    figure.add_annotation(x=1, y=1, yref="paper", text="here", showarrow=False)
    figure.update_layout(bargap=0.3, xaxis={"title": {"text": "b"}}, margin={"t": 6})
    figure.update_xaxes(range=[0, 2], title={"text": "steps"})
    figure.update_yaxes(rangemode="tozero")
    return figure


def test_it_is_what_the_library_makes_of_the_same_words() -> None:
    layout = {"template": {}, "margin": {"l": 1, "t": 2}, "xaxis": AXIS, "yaxis": AXIS}
    theirs = json.loads(draw(go.Figure(layout=layout)).to_json())
    del theirs["layout"]["template"]["data"]  # the library's own, which says nothing

    assert json.loads(draw(Figure(layout)).to_json()) == theirs


def test_the_look_of_all_figures_is_in_words_that_the_library_knows() -> None:
    assert go.Figure(json.loads(draw(blank_figure()).to_json())).layout.hovermode == "x unified"


def test_a_layout_that_several_figures_begin_with_stays_as_it_is() -> None:
    layout: dict[str, Any] = {"xaxis": {"title": {"text": "a"}}}
    for _ in range(2):
        figure = Figure(layout)
        figure.update_xaxes(title={"text": "b"})
        figure.add_annotation(text="c")

    assert layout == {"xaxis": {"title": {"text": "a"}}}
    assert len(figure.layout["annotations"]) == 1


def test_a_page_has_plotly_js_at_its_own_place() -> None:
    before, packed, after = whole(f"<p>words</p>\0{PLOTLY_PLACE.decode()}\0<p>more</p>").split(b"\0")

    assert (before, after) == (b"<p>words</p>", b"<p>more</p>")
    assert gzip.decompress(base64.b64decode(packed)) == get_plotlyjs().encode()
