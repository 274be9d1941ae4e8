"""``report.html`` and ``plan.html``: each one file that opens from disk and asks the network for nothing.

plotly.js is in a page once, compressed: 2.0 MB instead of 4.8 MB (no smaller bundle comes with the Python package);
the browser unpacks it. A content security policy lets only the page's own scripts run, by their hash, and lets the page
load nothing at all, so that words from a run can never do either, escaped or not.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from runner.report import wording
from runner.report.figure import PageFigure

TEMPLATES = Path(__file__).parent / "templates"


def render(
    template: str,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    scripts: Sequence[str] = ("report.js",),
    **values: Any,
) -> str:
    """Return a page with its style, its scripts and the policy that lets only these run.

    Args:
        template: Name of the template.
        filters: What the template uses besides the filters of every page.
        scripts: Names of the page's own scripts, in their order.
        values: What the template shows.
    """
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in scripts)
    plotly_js = get_plotlyjs()
    page = _environment(tuple((filters or {}).items())).get_template(template)
    return page.render(
        **values,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 — our own file
        script=Markup(script),  # noqa: S704 — our own file
        policy=_policy(script, plotly_js),
        plotly_packed=_pack(plotly_js),
    )


@lru_cache(maxsize=4)
def _environment(filters: tuple[tuple[str, Callable[..., Any]], ...]) -> Environment:
    """Return what compiles templates; a process that writes several pages compiles each once."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(_filters() | dict(filters))
    return environment


def _filters() -> dict[str, Any]:
    return {
        "compact": wording.compact,
        "count": wording.count,
        "decimal": wording.decimal,
        "dollars": wording.dollars,
        "duration": wording.duration,
        "gib": wording.gib,
        "improvement": wording.improvement,
        "machine_words": wording.machine_words,
        "wasted_words": wording.wasted_words,
        "money": wording.money,
        "off": wording.off,
        "percent": _percent,
        "pretty": _pretty,
        "size": wording.size,
        "spec": _spec,
        "value_text": wording.value_text,
        "words": wording.words,
    }


def _policy(*scripts: str) -> str:
    """Return the content security policy: these scripts, inline styles, pictures out of the page, nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


@lru_cache(maxsize=1)
def _pack(script: str) -> str:
    """Return a script compressed; a process that writes several pages packs it once."""
    return base64.b64encode(gzip.compress(script.encode(), compresslevel=9, mtime=0)).decode()


def _spec(figure: PageFigure) -> Markup:
    """Return a figure's JSON such that nothing in it can end the script element it stands in."""
    escaped = figure.spec.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(escaped)  # noqa: S704 — escaped in the line above


def _pretty(answer: str) -> str:
    """Return an answer that is a JSON object or list indented, any other as it is."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return answer
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else answer


def _percent(share: Any) -> str:
    """Return a share as percent, anything else in words."""
    return f"{100 * share:.1f} %" if isinstance(share, float) else wording.value_text(share)
