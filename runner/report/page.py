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
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from runner.report import wording
from runner.report.figure import PageFigure

TEMPLATES = Path(__file__).parent / "templates"
PLOTLY_JS = ("plotly", "package_data/plotly.min.js")
"""Package and name of what ``plotly.offline.get_plotlyjs`` returns; as a text it takes twice the memory."""
PLOTLY_PLACE = b"<plotly.js>"
"""Where plotly.js goes in a page; words of a run can hold no such place, for theirs are escaped."""


@dataclass(frozen=True)
class Packed:
    """A script as a page has it.

    Attributes:
        digest: Its SHA-256, as a policy names it.
        packed: The script compressed, in base64.
    """

    digest: str
    packed: bytes


def render(
    template: str,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    scripts: Sequence[str] = ("report.js",),
    **values: Any,
) -> str:
    """Return a page with its style, its own scripts, the policy that lets these run, and a place for plotly.js.

    Args:
        template: Name of the template.
        filters: What the template uses besides the filters of every page.
        scripts: Names of the page's own scripts, in their order.
        values: What the template shows.
    """
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in scripts)
    page = _environment(tuple((filters or {}).items())).get_template(template)
    return page.render(
        **values,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 — our own file
        script=Markup(script),  # noqa: S704 — our own file
        policy=_policy(_digest(script.encode()), _plotly().digest),
        plotly_packed=Markup(PLOTLY_PLACE.decode()),  # noqa: S704 — our own word
    )


def whole(page: str) -> bytes:
    """Return a page as its file holds it, with plotly.js at its place."""
    before, _, after = page.encode().rpartition(PLOTLY_PLACE)
    return b"".join((before, _plotly().packed, after))


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


def _policy(*digests: str) -> str:
    """Return the content security policy: these scripts, inline styles, pictures out of the page, nothing else."""
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _digest(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()


@lru_cache(maxsize=1)
def _plotly() -> Packed:
    """Return plotly.js; a process that writes several pages packs it once, and keeps nothing but that."""
    script = pkgutil.get_data(*PLOTLY_JS)
    if script is None:
        raise FileNotFoundError("/".join(PLOTLY_JS))
    packed = base64.b64encode(gzip.compress(script, compresslevel=9, mtime=0))
    return Packed(_digest(script), packed)


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
