"""``plan.html``: the page of a run that is only planned, from its ``plan.json``."""

from __future__ import annotations

from pathlib import Path

from runner.report.figure import length_figure
from runner.report.page import render, whole
from runner.report.plan.figures import memory_figure, part_colour, planned_figures
from runner.report.plan.planned_run import PlannedRun, read_planned_run
from runner.run.run_dir import RunDir

HTML_NAME = "plan.html"


def write_plan_page(run: RunDir) -> Path:
    """Write ``plan.html`` beside ``plan.json`` and return its path; the same plan gives the same bytes."""
    page = run.file(HTML_NAME)
    page.write_bytes(whole(plan_to_html(read_planned_run(run))))
    return page.path


def plan_to_html(plan: PlannedRun) -> str:
    """Return the page of a run that is only planned."""
    return render(
        "plan.html.j2",
        filters={"part_colour": part_colour},
        plan=plan,
        memory=memory_figure(plan),
        figures=planned_figures(plan),
        lengths=length_figure(plan.data),
    )
