"""What a run left behind as plain data, without what no report can hold."""

from __future__ import annotations

from pathlib import Path

from runner.report.sources import Sources
from tests.unit.runner.run_at import run_at


def test_what_utf8_or_json_cannot_hold_is_unknown_wherever_it_stands(tmp_path: Path) -> None:
    long = "9" * 400
    text = f'{{"\\ud800": ["\\udfff", {{"in": NaN, "é": 1.5}}, {long}, -{long}, 1e999], "b": true, "n": null, "i": 7}}'
    (tmp_path / "host.json").write_text(text, encoding="utf-8")

    found = Sources(run_at(tmp_path)).read("host.json")

    assert found == {"?": ["?", {"in": None, "é": 1.5}, None, None, None], "b": True, "n": None, "i": 7}
    assert found["b"] is True
