"""Provision: a machine must not bill more than the planned machine that it is was to cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import CloudError
from runner.lifecycle.steps import provision
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan

HERE = PlannedMachine("g5.xlarge", "us-east-1", False, 1.0, 1.0)
THERE = replace(HERE, region="eu-west-1", max_price_usd_per_h=2.0)
HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "g5.xlarge", "us-east-1", False, 1.0, None, "aws")


def planned(folder: Path, *machines: PlannedMachine) -> Context:
    run = create_run(folder, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "aws"}})
    ctx = Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())
    ctx.keep_plan(made_plan(environment="aws", machines=machines))
    return ctx


@pytest.mark.parametrize(
    ("machines", "host"),
    [
        ([HERE], HOST),
        ([HERE, THERE], replace(HOST, region="eu-west-1", price_usd_per_h=2.0)),
        ([replace(HERE, region="any", max_price_usd_per_h=1.5)], replace(HOST, price_usd_per_h=1.5)),
        ([HERE, replace(HERE, trust="community", max_price_usd_per_h=0.5)], HOST),
    ],
    ids=["its price", "the price of its region", "the price anywhere", "the dearer of two that it may be"],
)  # fmt: skip
def test_a_machine_at_the_price_of_its_plan_is_taken(
    tmp_path: Path, machines: list[PlannedMachine], host: Host
) -> None:
    provision._check_price(planned(tmp_path, *machines), host)


@pytest.mark.parametrize(
    ("machines", "host", "most"),
    [
        ([HERE], replace(HOST, price_usd_per_h=1.01), "1.00"),
        ([HERE, THERE], replace(HOST, price_usd_per_h=2.0), "1.00"),
        ([HERE, replace(HERE, spot=True, max_price_usd_per_h=0.5)], replace(HOST, spot=True), "0.50"),
        ([HERE], replace(HOST, region="eu-west-1"), "0.00"),
        ([HERE], replace(HOST, instance_type="p5.48xlarge"), "0.00"),
    ],
    ids=["dearer", "at the price of another region", "spot at the full price", "another region", "another kind"],
)  # fmt: skip
def test_a_machine_that_bills_more_than_was_planned_for_it_is_refused(
    tmp_path: Path, machines: list[PlannedMachine], host: Host, most: str
) -> None:
    with pytest.raises(CloudError, match=rf"more than the limit of \${most}/h"):
        provision._check_price(planned(tmp_path, *machines), host)
