from __future__ import annotations

import io

from trainer.data.collected import LARGE_BYTES
from trainer.data.progress import Bar, bar_text

TOTAL = 200_000_000


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_what_goes_on_and_how_far_it_is() -> None:
    assert bar_text("reading", 0, TOTAL) == f"reading [{'.' * 30}]   0 % of 200 MB"
    assert bar_text("reading", TOTAL // 2, TOTAL) == f"reading [{'#' * 15}{'.' * 15}]  50 % of 200 MB"
    assert bar_text("reading", TOTAL, TOTAL) == f"reading [{'#' * 30}] 100 % of 200 MB"


def test_a_terminal_sees_each_percent_once_from_the_beginning_on() -> None:
    stream = Terminal()
    bar = Bar(stream)

    for done in (0, 1, TOTAL // 100, TOTAL // 100 + 1, TOTAL, TOTAL):
        bar("reading", done, TOTAL)

    assert [part[-16:] for part in stream.getvalue().split("\r")[1:]] == [
        "   0 % of 200 MB", "   1 % of 200 MB", "100 % of 200 MB\n"
    ]  # fmt: skip


def test_a_log_gets_a_line_for_each_tenth() -> None:
    stream = io.StringIO()
    bar = Bar(stream)

    for what in ("reading", "encoding"):
        for percent in range(101):
            bar(what, percent * TOTAL // 100, TOTAL)

    lines = stream.getvalue().splitlines()
    assert len(lines) == 22
    assert lines[0].startswith("reading [.....")
    assert lines[-1].endswith("100 % of 200 MB")


def test_small_data_is_not_worth_a_bar() -> None:
    stream = Terminal()

    Bar(stream)("reading", 0, LARGE_BYTES - 1)

    assert stream.getvalue() == ""
