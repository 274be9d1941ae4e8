"""The receipt beside the meters of the emulated clouds: whatever happened, the meter lies in its range."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from runner.context import Context
from runner.errors import TerraformError
from runner.lifecycle.lost_machine import machine_gone
from runner.lifecycle.steps import destroy as destroying
from runner.lifecycle.steps.destroy import destroy
from runner.rehearsal.receipt_check import outside_receipt
from runner.run.run_dir import read_json
from runner.run.state import RunState
from tests.unit.runner.emulation.metered import DISKS, PRICES, Rig, rig

ON = pytest.mark.parametrize("cloud", ["lambda", "runpod", "aws"])
TRAINS_S, DAY_S = 420.0, 86400.0


@pytest.fixture
def go_down(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Take a run down, with something in Terraform's place; return the receipt."""

    def down(made: Rig, cloud: str, terraform: Any) -> dict[str, Any]:
        monkeypatch.setattr(destroying, "_destroy_resources", terraform)
        RunState(made.run).begin("provision")
        return destroy(made.context(cloud), keep_output=False)

    return down


def without_terraform(ctx: object) -> list[str]:
    raise TerraformError("terraform: destroy failed", resolution="see the log")


def check(made: Rig, receipt: dict[str, Any], machines: int = 1) -> None:
    """Hold a receipt against the meters."""
    rows = made.lab.machines()
    assert len(rows) == machines
    assert all(row["billed_usd"] > 0 and not row["is_billing"] for row in rows)
    assert outside_receipt(receipt, rows) == []


def check_width(receipt: dict[str, Any]) -> None:
    """Hold the width of each range against what is promised where an end was seen."""
    for line in receipt["machines"]:
        low, high = line["cost_range_usd"]
        assert high - low <= max(0.02 * high, line["price_usd_per_h"] * 10 / 3600)


@ON
def test_a_plain_run_costs_what_the_meter_shows(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        machine_id = made.provision(cloud)
        made.world.sleep(TRAINS_S)

        receipt = go_down(made, cloud, made.terraform_destroys(cloud, machine_id))

        check(made, receipt)
        check_width(receipt)
        assert receipt["cost_unknown"] == []
        assert receipt["machines"][0]["price_usd_per_h"] == PRICES[cloud]


@ON
def test_after_a_day_the_disk_is_in_the_receipt_as_the_meter_has_it(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        machine_id = made.provision(cloud)
        made.world.sleep(DAY_S)  # ten seconds' price, which a range may be wide, hide no disk any more

        receipt = go_down(made, cloud, made.terraform_destroys(cloud, machine_id))

        check(made, receipt)
        (line,) = receipt["machines"]
        assert line["disk_usd_per_h"] == pytest.approx(DISKS[cloud])
        low, high = line["cost_range_usd"]
        assert high - low <= line["price_usd_per_h"] * 30 / 3600
        assert receipt["cost_by_phase_usd"].get("disk", 0.0) == pytest.approx(DISKS[cloud] * 24, rel=0.01)
        assert sum(receipt["cost_by_phase_usd"].values()) == pytest.approx(receipt["cost_usd"], abs=1e-3)


@ON
def test_a_slow_end_is_billed_until_it_is_seen(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        made.lab.fault("terminate_slow", cloud=cloud, seconds=47.0)
        machine_id = made.provision(cloud)
        made.world.sleep(TRAINS_S)

        receipt = go_down(made, cloud, made.terraform_destroys(cloud, machine_id))

        check(made, receipt)
        check_width(receipt)


@ON
def test_an_end_without_terraform_is_seen_by_the_sweep(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        made.provision(cloud)
        made.world.sleep(2 * TRAINS_S)  # where requests are a second apart, these looks leave 13 s open

        receipt = go_down(made, cloud, without_terraform)

        check(made, receipt)
        check_width(receipt)


def test_whatever_terraform_raises_the_machine_goes(go_down: Any) -> None:
    """A state that nobody can parse, a defect of ours: no error that Douse has a name for."""

    def defect(ctx: object) -> list[str]:
        raise ValueError("the state is no JSON")

    with rig("lambda") as made:
        made.provision("lambda")

        receipt = go_down(made, "lambda", defect)

        check(made, receipt)


@ON
def test_a_machine_that_never_became_useful_is_in_the_receipt(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        machine_id = made.provision(cloud, dies_at_boot=True)

        receipt = go_down(made, cloud, without_terraform)

        check(made, receipt)
        assert [line["machine_id"] for line in receipt["machines"]] == [machine_id]


@ON
def test_a_machine_of_a_lost_answer_is_billed_from_the_request(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        made.ask(cloud)
        made.world.sleep(5.0)
        made.rent(cloud)  # whoever asked for it was killed
        made.world.sleep(600.0)

        receipt = go_down(made, cloud, without_terraform)

        check(made, receipt)


@ON
def test_a_machine_that_nobody_saw_may_have_cost_something(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        made.ask(cloud)
        made.world.sleep(5.0)
        machine_id = made.rent(cloud)
        made.world.sleep(600.0)
        made.lab.control.post(f"/machines/{machine_id}/delete")
        made.world.sleep(600.0)

        receipt = go_down(made, cloud, without_terraform)

        check(made, receipt)
        (line,) = receipt["machines"]
        assert (line["machine_id"], line["price_usd_per_h"]) == (None, None)
        assert receipt["cost_unknown"] == [line["unknown"]]


@ON
def test_a_machine_that_vanished_cost_what_lies_between_two_looks(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        machine_id = made.provision(cloud)
        made.world.sleep(300.0)
        heard_at = made.world.now()
        made.run.file("lease.json").write_bytes(f'{{"word": "renew", "said_at": "{heard_at.isoformat()}"}}'.encode())
        made.world.sleep(7.0)
        made.lab.control.post(f"/machines/{machine_id}/delete")
        made.world.sleep(40.0)
        assert machine_gone(made.context(cloud)) is not None
        made.world.sleep(3600.0)

        receipt = go_down(made, cloud, without_terraform)

        check(made, receipt)
        low, high = receipt["cost_range_usd"]
        assert high - low < PRICES[cloud] * 70 / 3600  # 40 s until it was missed, 7 s after the word, and the beginning


def test_a_stopped_pod_bills_its_disk(go_down: Any) -> None:
    with rig("runpod") as made:
        machine_id = made.provision("runpod")
        made.world.sleep(300.0)
        made.lab.control.post(f"/machines/{machine_id}/preempt")
        assert machine_gone(made.context("runpod")) is not None
        made.world.sleep(100.0)

        check(made, go_down(made, "runpod", without_terraform))


@ON
def test_both_tries_are_in_the_receipt(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        first = made.provision(cloud)
        made.world.sleep(TRAINS_S)
        go_down(made, cloud, made.terraform_destroys(cloud, first))
        made.world.sleep(7200.0)
        made.run.host.unlink()
        second = made.provision(cloud)
        made.world.sleep(TRAINS_S)

        receipt = go_down(made, cloud, made.terraform_destroys(cloud, second))

        check(made, receipt, machines=2)
        check_width(receipt)
        assert [line["machine_id"] for line in receipt["machines"]] == [first, second]


def test_a_run_that_moved_has_the_machines_of_both_clouds(go_down: Any) -> None:
    with rig("lambda", "runpod") as made:
        first = made.provision("lambda")
        go_down(made, "lambda", made.terraform_destroys("lambda", first))
        made.run.host.unlink()
        second = made.provision("runpod")

        receipt = go_down(made, "runpod", made.terraform_destroys("runpod", second))

        check(made, receipt, machines=2)
        assert [line["cloud"] for line in receipt["machines"]] == ["lambda", "runpod"]


@pytest.mark.parametrize("cloud", ["lambda", "runpod"])
@pytest.mark.parametrize("dies_at_boot", [True, False])
def test_the_price_that_the_cloud_bills_counts(cloud: str, dies_at_boot: bool, go_down: Any) -> None:
    with rig(cloud) as made:
        made.lab.fault("price_differs", cloud=cloud, factor=1.6)
        machine_id = made.provision(cloud, dies_at_boot=dies_at_boot)

        receipt = go_down(made, cloud, made.terraform_destroys(cloud, machine_id))

        check(made, receipt)
        assert receipt["machines"][0]["price_usd_per_h"] == pytest.approx(1.6 * PRICES[cloud], rel=0.01)


@ON
def test_a_new_receipt_says_that_nothing_is_billed_yet_or_never(cloud: str, go_down: Any) -> None:
    with rig(cloud) as made:
        machine_id = made.provision(cloud)

        receipt = go_down(made, cloud, made.terraform_destroys(cloud, machine_id))

        bill = receipt["vendor_bill"][cloud]
        assert bill["usd"] is None
        assert ("console" if cloud == "lambda" else "not billed yet") in bill["why"]
        assert read_json(made.run.receipt) == receipt


def test_a_second_ctrl_c_stops_terraform_and_one_from_before_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Callable[[], bool]] = []

    def terraform_of(ctx: Context, step: str, *, cancel: Callable[[], bool]) -> Any:
        given.append(cancel)
        return SimpleNamespace(destroy=lambda: None, resources=list)

    with rig("lambda") as made:
        made.provision("lambda")
        ctx = made.context("lambda")
        ctx.run.terraform.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr(destroying, "terraform_of", terraform_of)
        monkeypatch.setattr(destroying, "has_plan", lambda run: True)
        ctx.stop.count = 1

        assert destroying._destroy_resources(ctx) == []

        assert not given[0]()
        ctx.stop.count = 2
        assert given[0]()
