"""What a machine's cloud asks besides its price an hour: disk, traffic, whole units of time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from runner.cloud_api.models import Offer, Trust
from runner.errors import UsageError
from runner.planning.estimate.billing import EGRESS, billing_of, egress_prices, egress_usd_per_gb
from runner.planning.estimate.cost import GIB, HOURS_PER_MONTH
from runner.planning.estimate.forecast import Forecast, forecast
from runner.prices.platforms import platforms
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_forecast import task

HEADER = EGRESS.read_text().splitlines()[0]
ROW = "lambda,any,0,2026-09-20,its page"


def offer(region: str = "us-east-1", trust: Trust = "secure") -> Offer:
    return Offer("machine", region, False, 1.0, "A10", 1, 24.0, trust=trust)


def run_file(model: str = "some/model", **compute: object) -> RunFile:
    return RunFile.model_validate(
        {"data": {"train_path": "x"}, "model": {"base_model": model}, "compute": {"env": "aws", **compute}}
    )


@pytest.mark.parametrize(
    ("environment", "region", "usd"),
    [
        ("runpod", "EU-RO-1", 0.1),
        ("runpod-community", "any", 0.1),
        ("aws", "us-east-1", 0.08),
        ("aws", "eu-west-1", 0.08),
        ("lambda", "us-west-1", 0.0),
        ("vastai", "any", 0.0),
        ("local", "here", 0.0),
        ("elsewhere", "here", 0.0),
    ],
)
def test_a_disk_has_the_price_that_its_place_has_in_the_list(environment: str, region: str, usd: float) -> None:
    """AWS's has a source for one region, which counts for the others too; Lambda's comes with the machine."""
    assert billing_of(run_file(), 0, environment, offer(region)).disk_usd_per_gib_month == usd


def test_a_disk_price_that_the_cloud_reports_outranks_the_list() -> None:
    asked = replace(offer("eu-west-1"), disk_price_usd_per_gb_month=0.088)

    assert billing_of(run_file(), 0, "aws", asked).disk_usd_per_gib_month == 0.088


def test_the_disk_that_is_paid_for_is_the_one_that_is_rented() -> None:
    asked = billing_of(run_file(disk_size_gib=200), 0, "runpod", offer("any"))
    needed = billing_of(run_file(disk_size_gib=10), 140 * 2**30, "runpod", offer("any"))
    converted = billing_of(run_file("model.gguf", disk_size_gib=10), 140 * 2**30, "runpod", offer("any"))

    assert asked.disk_size_gib == 200
    assert needed.disk_size_gib >= 148
    assert converted.disk_size_gib > 6 * 140


def test_a_forecast_counts_disk_and_traffic() -> None:
    """100 GiB at $0.10 and $0.08 a GB and month; the adapter leaves AWS at $0.09 a GB."""
    runpod = forecast(task(), "runpod", replace(offer("EU-RO-1"), gpu_name="A100 PCIe", gpu_memory_gib=80.0))
    aws = forecast(task(), "aws", offer())
    elsewhere = forecast(task(), "aws", offer("eu-south-2"))
    own = forecast(task(), "lambda", offer())

    assert _extras(runpod) == pytest.approx((runpod.hours * 100 * 0.10 / HOURS_PER_MONTH, 0.0))
    egress_usd = 4 * 41_943_040 / GIB * 0.09
    assert _extras(aws) == pytest.approx((aws.hours * 100 * 0.08 / HOURS_PER_MONTH, egress_usd))
    assert _extras(own) == (0.0, 0.0)
    assert elsewhere.usd > aws.usd, "what is not known must not look cheap"


def _extras(found: Forecast) -> tuple[float, float]:
    assert found.cost is not None
    return found.cost.extras_usd["disk"].expected, found.cost.extras_usd["egress"].expected


def test_units_and_minimums_are_the_platforms() -> None:
    assert billing_of(run_file(), 0, "lambda", offer()).unit_s == 60
    assert billing_of(run_file(), 0, "aws", offer()).minimum_s == 60
    assert billing_of(run_file(), 0, "elsewhere", offer()).unit_s == 1


@pytest.mark.parametrize(
    ("platform", "region", "usd"),
    [
        ("aws", "us-east-1", 0.09),
        ("aws", "ap-southeast-2", 0.114),
        ("aws", "mars-1", 0.154),
        ("runpod", "EU-RO-1", 0.0),
        ("runpod-community", "any", 0.0),
        ("lambda", "us-west-1", 0.0),
        ("vastai", "any", None),
    ],
)
def test_traffic_has_the_price_of_its_region_or_the_dearest(platform: str, region: str, usd: float | None) -> None:
    assert egress_usd_per_gb(platform, region) == usd
    assert billing_of(run_file(), 0, platform, offer(region)).egress_usd_per_gib == (usd or 0.0)


def test_every_price_of_traffic_is_a_platforms_and_has_its_day() -> None:
    rows = egress_prices().values()

    assert {row.platform for row in rows} <= set(platforms())
    assert all(row.source and row.as_of <= date(2026, 11, 21) for row in rows)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([HEADER, ROW, ROW.replace("any,0", "any,-1")], "line 3 of egress.csv cannot be read"),
        ([HEADER, ROW.replace("any,0", "any,nan")], "line 2 of egress.csv cannot be read"),
        ([HEADER, ROW.replace("2026-09-20", "autumn")], "line 2 of egress.csv cannot be read"),
        ([HEADER, "lambda,any"], "line 2 of egress.csv cannot be read"),
        ([HEADER, ROW.replace("its page", "")], "line 2 of egress.csv has no source"),
        ([HEADER, ROW, ROW], "line 3 of egress.csv is a second price of lambda in any"),
        (["platform,region"], "has the columns"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path: Path, lines: list[str], words: str) -> None:
    table = tmp_path / "egress.csv"
    table.write_text("\n".join(lines) + "\n")

    with pytest.raises(UsageError, match=words):
        egress_prices(table)
