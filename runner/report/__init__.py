"""The run card: ``report.json`` for scripts, ``report.html`` for people, a few lines for the terminal.

Everything comes from the files of a run folder, at any moment of the run, whatever is missing. Importing this package
is cheap; the plotting library is loaded when a page is written.
"""

from __future__ import annotations

from pathlib import Path

from runner.report.run.collect import read_run
from runner.report.run.models import RunReport
from runner.run.run_dir import write_file, write_json

__all__ = ["RunReport", "read_run", "write_report"]

JSON_NAME = "report.json"
HTML_NAME = "report.html"


def write_report(run_dir: Path) -> Path:
    """Write ``report.json`` and ``report.html`` into the run folder and return the page's path.

    The same files in give the same bytes out; each file is replaced whole or not at all.
    """
    from runner.report.html import to_html
    from runner.report.run.document import to_document

    report = read_run(run_dir)
    write_json(run_dir / JSON_NAME, to_document(report))
    page = run_dir / HTML_NAME
    write_file(page, to_html(report).encode())
    return page
