"""``report.json`` for scripts and ``report.html`` for people: the page of one run, from the files of its folder."""

from __future__ import annotations

from pathlib import Path

import yaml

from runner.report.figure import length_figure
from runner.report.page import render, whole
from runner.report.run.bills import bill_words
from runner.report.run.document import write_document
from runner.report.run.figures import gpu_figures, page_figures, phase_figure, settled_figure
from runner.report.run.gpu import gpu_words
from runner.report.run.models import RunReport
from runner.report.run.summary import verdict_sentence
from runner.run.run_dir import RunDir

HTML_NAME = "report.html"


def write_report(run: RunDir) -> Path:
    """Write ``report.json`` and ``report.html`` into the run folder and return the page's path.

    The same files in give the same bytes out; each file is replaced whole or not at all.
    """
    report = write_document(run)
    page = run.file(HTML_NAME)
    page.write_bytes(whole(to_html(report)))
    return page.path


def to_html(report: RunReport) -> str:
    """Return the page of a run."""
    return render(
        "report.html.j2",
        report=report,
        summary=report.summary,
        sentence=verdict_sentence(report),
        figures=page_figures(report),
        phases=phase_figure(report),
        gpu=gpu_figures(report.gpu),
        gpu_words=gpu_words(report),
        settled=settled_figure(report),
        lengths=length_figure(report.data),
        score_names=_score_names(report),
        recipe=_recipe(report),
        bills=bill_words(report.receipt),
    )


def _score_names(report: RunReport) -> list[str]:
    names = dict.fromkeys(name for scores in report.scores for name in scores.values)
    return sorted(names, key=lambda name: name != "loss")


def _recipe(report: RunReport) -> str:
    return yaml.safe_dump(report.recipe, sort_keys=False, allow_unicode=True, width=100) if report.recipe else ""
