"""How runs stand: what their machines have cost over all tries, and what their guards say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.cli import overview
from runner.cli import parser as cli
from runner.cli.overview import billing_now, guard_of, summarise
from runner.clouds.registry import Accounts
from runner.guard.notes import Notes
from runner.guard.place import only_guard
from runner.run.journal import Journal
from runner.run.run_dir import RunDir, create_run, write_json
from runner.run.state import locked
from runner.safety.proof import account_facts
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing

NOW = datetime(2026, 11, 21, 1, 55, tzinfo=UTC)


def line(minute: int, kind: str, action: str, **facts: Any) -> dict[str, Any]:
    return {"time": f"2026-11-21T02:{minute:02d}:00+00:00", "kind": kind, "action": action, **facts}


def asked(minute: int) -> dict[str, Any]:
    return line(minute, "intent", "provision", environment="lambda", candidates=[{"max_price_usd_per_h": 6.0}])


def handed(minute: int, machine_id: str) -> dict[str, Any]:
    return line(minute, "answer", "provision", instance_id=machine_id, price_usd_per_h=3.0)


TWO_TRIES = (
    *(asked(0), handed(2, "i-1"), line(20, "answer", "destroy", left=[])),
    *(asked(30), line(40, "answer", "destroy", left=[])),
)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = create_run(tmp_path / "runs", "tiny", NOW, RealWorld())
    write_json(made.config, {"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    made.file("journal.jsonl").write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in TWO_TRIES))
    return made


def test_a_run_has_a_line_for_each_machine_of_all_its_tries(run: RunDir) -> None:
    found = summarise(run)

    assert [one["machine_id"] for one in found["machines"]] == ["i-1", None]
    assert found["cost_range_usd"] == [0.0, 2.0]
    assert found["cost_usd"] == 2.0
    assert found["cost_unknown"] == ["lambda was asked for a machine at 2026-11-21 02:30:00 UTC, and has shown none"]


def test_another_account_than_a_run_was_rented_with_leaves_open_what_bills(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = FakeCloud(name="lambda")
    Journal(run).intent("provision", environment="lambda", **account_facts(cloud, RealWorld()))
    Journal(run).answer("provision")
    monkeypatch.setattr(overview, "accounts", lambda world: Accounts([cloud], {}, {}))

    assert billing_now(RealWorld(), [run]) == ([], {})
    cloud.key = "another"
    assert billing_now(RealWorld(), [run]) == ([], {"lambda": f"this is another account than that of {run.run_id}"})
    write_json(run.receipt, {})
    assert billing_now(RealWorld(), [run]) == ([], {})


def test_a_request_without_an_answer_leaves_open_what_bills_until_its_machine_is_shown(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = FakeCloud(name="lambda")
    Journal(run).intent("provision", environment="lambda", **account_facts(cloud, RealWorld()))
    monkeypatch.setattr(overview, "accounts", lambda world: Accounts([cloud], {}, {}))
    late = "has asked for a machine and was not answered: one may yet appear"

    assert billing_now(RealWorld(), [run])[1] == {"lambda": f"{run.run_id} {late}; `make down RUN={run.run_id}`"}
    with locked(run):
        assert billing_now(RealWorld(), [run]) == ([], {}), "its runner waits for it"
    cloud.there = [thing(run_id=run.run_id)]
    assert billing_now(RealWorld(), [run]) == (cloud.there, {})


def test_a_cloud_without_a_key_here_leaves_open_what_bills_where_a_run_has_rented(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = {name: f"{name}: there is no key" for name in ("lambda", "runpod")}
    monkeypatch.setattr(overview, "accounts", lambda world: Accounts([], closed, {}))

    assert billing_now(RealWorld(), [run]) == (
        [],
        {"lambda": f"lambda: there is no key; {run.run_id} has rented there"},
    )
    write_json(run.receipt, {})
    assert billing_now(RealWorld(), [run]) == ([], {})


def test_what_nobody_knows_is_null(run: RunDir) -> None:
    run.file("journal.jsonl").append(b"damaged\n")

    found = summarise(run)

    assert (found["cost_usd"], found["cost_range_usd"]) == (None, [0.0, None])


def test_a_receipt_is_what_counts(run: RunDir) -> None:
    lines = [{"machine_id": "i-7"}]
    written = {"cost_usd": 0.5, "cost_range_usd": [0.4, 0.5], "cost_unknown": [], "machines": lines}
    write_json(run.receipt, written)

    found = summarise(run)

    assert {name: found[name] for name in written} == written


def test_a_receipt_of_an_older_version_leaves_it_to_the_journal(run: RunDir) -> None:
    write_json(run.receipt, {"cost_usd": 0.5})

    assert len(summarise(run)["machines"]) == 2


def test_status_prints_the_machines_and_what_is_not_known(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(overview, "billing_now", lambda world, runs: ([], {}))
    monkeypatch.setattr(overview, "status_of", lambda ctx: summarise(ctx.run))

    assert cli.main(["status", "--runs-dir", str(run.path.parent)]) == 0

    printed = capsys.readouterr().out.splitlines()
    assert "machine      i-1 on lambda at $3.00/h: $0.00 to $1.00, no longer there" in printed
    assert "machine      a request without an answer on lambda: $0.00 to $1.00, no longer there" in printed
    assert "unknown      lambda was asked for a machine at 2026-11-21 02:30:00 UTC, and has shown none" in printed


def test_whether_a_guard_lives_is_shown_with_what_it_found_last(tmp_path: Path) -> None:
    world = RealWorld({"DOUSE_CACHE": str(tmp_path / "cache")})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), world)

    assert guard_of(run) is None
    with only_guard(run.run_id, world):
        assert guard_of(run) == f"lives (pid {world.process_id})"
        Notes(run.path, world).say("training goes on")
        living = guard_of(run)

    assert living is not None
    assert living.startswith(f"lives (pid {world.process_id}); 20")
    assert living.endswith("training goes on")
    assert (guard_of(run) or "").startswith("none; the last one: 20")


def test_a_note_that_is_damaged_is_no_note(tmp_path: Path) -> None:
    world = RealWorld({"DOUSE_CACHE": str(tmp_path / "cache")})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), world)

    for content in (b"", b"[]", b'{"at": 1}'):
        run.file("guard.json").write_bytes(content)

        assert guard_of(run) is None


@pytest.mark.parametrize("name", ["config.json", "state.json", "receipt.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b'{"steps": 1, "compute": 1, "cost_range_usd": 1}'])
def test_a_run_whose_folder_is_damaged_hides_no_other(run: RunDir, name: str, content: bytes) -> None:
    other = create_run(run.path.parent, "tiny", NOW, RealWorld())
    write_json(other.config, {"data": {"train_path": "x"}, "compute": {"env": "local"}})
    run.file(name).write_bytes(content)

    damaged, whole = overview.table([run, other])

    assert (damaged["run"], damaged["state"]) == (run.run_id, "unknown")
    assert "its folder cannot be read" in damaged["message"]
    assert (whole["run"], whole["state"]) == (other.run_id, "no runner")


@pytest.mark.parametrize("content", [b"", b"[1]", b"7", b'{"accepted":'])
def test_what_a_machine_sent_in_place_of_a_verdict_is_none(run: RunDir, content: bytes) -> None:
    (run.file("adapter") / "acceptance.json").write_bytes(content)

    assert summarise(run)["accepted"] is None
