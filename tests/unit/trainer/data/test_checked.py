"""Characters in a row that a person should look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.data.checked import CONTROL, UNREADABLE, CheckBlock
from trainer.data.sources.reader import RowsBlock
from trainer.data.sources.row import Row

LINE_ENDS_AND_TABS = "\t\n\r\x85"


def remarks_on(text: str) -> dict[str, list[int]]:
    row = Row(Path("train.jsonl"), 3, {"prompt": "q", "completion": text})
    return CheckBlock("auto")((RowsBlock((row,)), None)).remarks


@pytest.mark.parametrize("other", ["a", "é日🙂\xa0«", "\\b \\u0000 C:\\fonts"])
def test_every_control_character_is_found_whatever_stands_beside_it(other: str) -> None:
    codes = [*range(0x20), *range(0x7F, 0xA0)]
    control = [chr(code) for code in codes if chr(code) not in LINE_ENDS_AND_TABS]

    assert len(control) == 61
    assert all(remarks_on(f"{other}{char}{other}") == {CONTROL: [3]} for char in control)
    assert remarks_on(f"{other}{LINE_ENDS_AND_TABS}{other}") == {}
    assert remarks_on(f"{other}\ufffd") == {UNREADABLE: [3]}
    assert remarks_on(f"\x00{other}\ufffd") == {CONTROL: [3], UNREADABLE: [3]}
