"""The clouds' own bills: asked for when somebody wants them, kept in the receipt, never a zero for an unknown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.lifecycle.steps import destroy as destroying
from runner.lifecycle.steps.destroy import destroy
from runner.lifecycle.vendor_bill import ANOTHER, NEVER, NOT_YET, ask_for_bills
from runner.report.run.bills import bills
from runner.run.journal import Journal
from runner.run.run_dir import read_json, write_json
from runner.run.state import RunState
from tests.unit.runner.emulation.metered import Rig, rig

BILLED = pytest.mark.parametrize(("cloud", "late_h"), [("runpod", 2.0), ("aws", 48.0)])


def lived(made: Rig, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run rent a machine for ten minutes and be taken down."""
    machine_id = made.provision(cloud)
    made.world.sleep(420.0)
    monkeypatch.setattr(destroying, "_destroy_resources", made.terraform_destroys(cloud, machine_id))
    RunState(made.run).begin("provision")
    destroy(made.context(cloud), keep_output=False)


def asked(made: Rig, cloud: str) -> dict[str, Any]:
    found: dict[str, Any] = ask_for_bills(made.run, made.world)["vendor_bill"][cloud]
    return found


def questions(made: Rig, cloud: str) -> int:
    """Return how often a cloud was asked for a bill."""
    rows = made.lab.control.get("/requests").json()["requests"]
    return sum("billing" in row["path"] or "GetCostAndUsage" in str(row) for row in rows if row["cloud"] == cloud)


@BILLED
def test_a_bill_is_what_the_clouds_meter_shows(cloud: str, late_h: float, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(cloud) as made:
        lived(made, cloud, monkeypatch)
        made.world.sleep(late_h * 3600)

        found = asked(made, cloud)

        (row,) = made.lab.machines()
        assert found["usd"] == pytest.approx(row["billed_usd"], abs=1e-6)
        receipt = read_json(made.run.receipt)
        assert receipt["vendor_bill"][cloud] == found
        assert bills(receipt)[cloud]["difference_usd"] == 0.0


@BILLED
def test_a_whole_figure_is_asked_for_once(cloud: str, late_h: float, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig(cloud) as made:
        lived(made, cloud, monkeypatch)
        made.world.sleep(late_h * 3600)
        asked(made, cloud)
        before = questions(made, cloud)

        asked(made, cloud)

        assert questions(made, cloud) == before > 0


def test_aws_has_no_figure_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("aws") as made:
        lived(made, "aws", monkeypatch)

        found = asked(made, "aws")
        assert (found["usd"], found["why"]) == (None, NOT_YET)

        made.world.sleep(30 * 3600.0)
        assert asked(made, "aws")["usd"] > 0


def test_a_tag_that_was_never_activated_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("aws", **{"aws.bill_late_s": "1e9"}) as made:
        lived(made, "aws", monkeypatch)
        made.world.sleep(49 * 3600.0)
        found = asked(made, "aws")

        assert (found["usd"], found["why"]) == (None, NEVER)
        assert asked(made, "aws") == found
        assert questions(made, "aws") == 1


def test_an_early_figure_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("runpod") as made:
        lived(made, "runpod", monkeypatch)
        asked(made, "runpod")
        before = questions(made, "runpod")
        made.world.sleep(600.0)

        asked(made, "runpod")

        assert questions(made, "runpod") > before


def test_lambda_has_none_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("lambda") as made:
        lived(made, "lambda", monkeypatch)

        assert asked(made, "lambda") == {"usd": None, "why": "its API has no bill: the console shows it, under Usage"}


def test_a_cloud_that_a_rehearsal_stood_in_for_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("runpod") as made:
        lived(made, "runpod", monkeypatch)
        made.world._environ["DOUSE_RUNPOD_ENDPOINT"] = "https://api.runpod.io/v2"

        found = asked(made, "runpod")

        assert (found["usd"], questions(made, "runpod")) == (None, 0)
        assert "another address" in found["why"]


def test_a_cloud_without_a_key_here_keeps_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("runpod") as made:
        lived(made, "runpod", monkeypatch)
        known = asked(made, "runpod")
        del made.world._environ["RUNPOD_API_KEY"]

        found = asked(made, "runpod")

        assert found["usd"] == known["usd"]
        assert "RUNPOD_API_KEY" in found["why"]


@pytest.mark.parametrize("is_known", [True, False])
def test_another_account_takes_away_no_figure_and_leaves_the_question_open(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig("runpod") as made:
        lived(made, "runpod", monkeypatch)
        journal = made.run.file("journal.jsonl")
        line = {**Journal(made.run).entries()[0], "account": "that-of-the-run", "salt": "salt"}
        rest = b"".join(journal.read_bytes().splitlines(keepends=True)[1:])
        journal.write_bytes(json.dumps(line).encode() + b"\n" + rest)
        known = asked(made, "runpod") if is_known else {"usd": None}
        made.world.sleep(3 * 3600.0)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("runner.clouds.runpod.api.RunPodCloud.bills", lambda *_: [])

            found = asked(made, "runpod")

        assert (found["usd"], found["why"]) == (known["usd"], ANOTHER)
        assert asked(made, "runpod")["usd"] > 0


def test_a_receipt_of_an_older_version_gets_its_bill_by_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    with rig("runpod") as made:
        lived(made, "runpod", monkeypatch)
        receipt = read_json(made.run.receipt)
        new = {"machines", "cost_range_usd", "cost_unknown", "vendor_bill"}
        write_json(made.run.receipt, {name: value for name, value in receipt.items() if name not in new})

        assert asked(made, "runpod")["usd"] > 0


def test_a_run_without_a_receipt_is_asked_for_nothing() -> None:
    with rig("runpod") as made:
        made.provision("runpod")

        assert ask_for_bills(made.run, made.world) == {}
        assert questions(made, "runpod") == 0
