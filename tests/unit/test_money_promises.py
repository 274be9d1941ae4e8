"""What is promised about money, a test holds: those that the page names exist, and README links them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "money-safety.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
HEADING = "## How your money is kept safe\n"
ROW = re.compile(r'^\| <a id="([a-z-]+)"></a>(.+?) \| (.+) \|$', re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a file; none where there is no such file."""
    if not path.is_file():
        return frozenset()
    return frozenset(
        node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    )


def missing_tests(text: str) -> list[str]:
    """Return the tests that a text names and that are not there."""
    return [f"{path}::{name}" for path, name in TEST.findall(text) if name not in functions_of(REPOSITORY / path)]


def unheld_sentences(section: str, rows: set[str]) -> list[str]:
    """Return the sentences of a list in README that link no row of the page, or one that is not there."""
    items = re.split(r"^(?:\d+\.|-) ", section, flags=re.MULTILINE)[1:]
    sentences = [
        sentence for item in items for sentence in re.split(r"(?<=[.)])\s+(?=[A-Z])", " ".join(item.split()).strip())
    ]
    links = {sentence: re.findall(r"\]\(docs/money-safety\.md#([a-z-]+)\)", sentence) for sentence in sentences}
    return [sentence for sentence, found in links.items() if not found or not rows.issuperset(found)]


def test_every_test_that_the_page_names_is_there() -> None:
    named = TEST.findall(PAGE)

    assert len(named) > 100
    assert missing_tests(PAGE) == []


def test_every_row_names_a_test_and_no_two_rows_have_one_mark() -> None:
    rows = ROW.findall(PAGE)

    assert len(rows) == PAGE.count("<a id=") > 50
    assert [mark for mark, _, tests in rows if not TEST.search(tests)] == []
    assert len({mark for mark, _, _ in rows}) == len(rows)


def test_each_sentence_of_readme_about_money_links_a_row_of_the_page() -> None:
    section = README.split(HEADING)[1].split("\n## ")[0]

    assert section.count("\n1. ") == 1
    assert unheld_sentences(section, {mark for mark, _, _ in ROW.findall(PAGE)}) == []


@pytest.mark.parametrize(
    "text", ["`tests/unit/test_walk.py::test_that_nobody_wrote`", "`tests/unit/test_nowhere.py::test_anything`"]
)
def test_a_test_that_is_not_there_is_found(text: str) -> None:
    assert missing_tests(text) == [text.strip("`")]


@pytest.mark.parametrize("unheld", ["It is safe.", "It is [safe](docs/money-safety.md#gone)."])
def test_a_sentence_that_no_row_holds_is_found(unheld: str) -> None:
    held = "A run is [proved](docs/money-safety.md#receipt)."

    assert unheld_sentences(f"\n1. {held}\n   {unheld}\n", {"receipt"}) == [unheld]
