"""The records of decisions: each has a number of its own, and says it in its name and in its title."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("*.md"))


def test_no_two_records_have_one_number() -> None:
    assert [number for number, count in Counter(path.name[:4] for path in RECORDS).items() if count > 1] == []


def test_each_record_has_its_number_in_its_title_and_says_whether_it_holds() -> None:
    heads = {path.name: path.read_text(encoding="utf-8").split("\n", 3) for path in RECORDS}

    assert [name for name, head in heads.items() if not head[0].startswith(f"# {int(name[:4])}. ")] == []
    assert [name for name, head in heads.items() if not re.match(r"Status: \w+, \d{4}-\d\d-\d\d[.;]", head[2])] == []
