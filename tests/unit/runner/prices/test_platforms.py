from datetime import date
from pathlib import Path

import pytest

from runner.clouds.environments import ENVIRONMENTS
from runner.errors import UsageError
from runner.prices.platforms import (
    TABLE,
    USD_PER_KWH_AS_OF,
    Platform,
    electricity_usd_per_h,
    is_trusted,
    platform_at,
    platforms,
    price_lists_of,
    trust_of_list,
)
from runner.prices.price_list import all_prices, listed_clouds

PAGE = Path(__file__).parents[4] / "docs" / "prices.md"
HEADER, *LINES = TABLE.read_text().splitlines()
LAMBDA = next(line for line in LINES if line.startswith("lambda,"))


def test_every_platform_that_people_compare_has_a_row() -> None:
    assert set(platforms()) == {
        *("lambda", "runpod", "runpod-community", "aws", "sagemaker", "vastai"),
        *("hf-jobs", "hf-spaces", "autotrain", "colab", "azureml", "kubernetes", "own", "apple"),
    }


def test_douse_runs_where_it_has_an_environment_and_nowhere_else() -> None:
    can_run = [platform.name for platform in platforms().values() if platform.can_run]

    assert can_run == list(platforms())[: len(can_run)], "those that Douse can run on come first"
    assert {platform.environment for platform in platforms().values() if platform.can_run} <= set(ENVIRONMENTS)
    assert {name for name, found in ENVIRONMENTS.items() if found.bills} <= set(can_run)


@pytest.mark.parametrize("platform", platforms().values(), ids=platforms())
def test_a_platform_has_prices_or_says_why_not(platform: Platform) -> None:
    prices = all_prices(platform.prices_from) if platform.prices_from else ()

    assert bool(prices) is not bool(platform.why_no_price)
    assert {row.billing_unit for row in prices} <= {platform.billing_unit}
    assert platform.source
    assert platform.persistence
    assert platform.as_of <= date(2026, 11, 21)


def test_every_price_list_belongs_to_a_platform() -> None:
    assert {platform.prices_from for platform in platforms().values()} - {None} == set(listed_clouds())


def test_strangers_machines_are_not_for_who_asks_for_secure_ones() -> None:
    refused = {name for name, platform in platforms().items() if not is_trusted(platform, "secure")}

    assert refused == {"vastai", "runpod-community"}
    assert all(is_trusted(platform, "any") for platform in platforms().values())


def test_an_environment_takes_the_lists_of_those_it_trusts() -> None:
    assert price_lists_of("runpod", "secure") == ["runpod"]
    assert price_lists_of("runpod", "any") == ["runpod", "runpod-community"]
    assert price_lists_of("local", "any") == []


def test_a_list_is_of_whose_machines_its_platform_says() -> None:
    assert [trust_of_list(name) for name in ("runpod", "runpod-community", "vastai", "elsewhere")] == [
        *("secure", "community", "community", "secure"),
    ]


def test_a_machine_is_on_the_platform_of_those_that_it_belongs_to() -> None:
    found = [platform_at("runpod", "secure"), platform_at("runpod", "community"), platform_at("lambda", "community")]

    assert [one and one.name for one in found] == ["runpod", "runpod-community", "lambda"]
    assert platform_at("elsewhere", "secure") is None


def test_electricity_is_watts_times_hours_times_the_price() -> None:
    assert electricity_usd_per_h(450, usd_per_kwh=0.30) == pytest.approx(0.135)
    assert electricity_usd_per_h(450) == pytest.approx(0.08424)
    assert platforms()["own"].as_of == USD_PER_KWH_AS_OF


@pytest.mark.parametrize(
    "line",
    [
        LAMBDA.replace("secure", "perhaps"),
        LAMBDA.replace("minute", "fortnight"),
        LAMBDA.replace("False", "no"),
        LAMBDA.replace("2026-09-20", "in autumn"),
        LAMBDA.replace("minute,,False,lambda,", "minute,soon,False,lambda,"),
        LAMBDA.replace("minute,,False,lambda,", "minute,,False,,"),
        LAMBDA.replace("minute,,False,lambda,", "minute,,False,lambda,no reason"),
        "lambda,Lambda",
    ],
)
def test_a_line_that_is_wrong_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    assert line != LAMBDA
    table = tmp_path / "platforms.csv"
    table.write_text(f"{HEADER}\n{LINES[-1]}\n{line}\n")

    with pytest.raises(UsageError, match=r"line 3 of platforms\.csv"):
        platforms(table)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "platforms.csv"
    table.write_text("name,title\n")

    with pytest.raises(UsageError, match="has the columns"):
        platforms(table)


@pytest.mark.parametrize("platform", platforms().values(), ids=platforms())
def test_the_page_of_prices_shows_every_platform(platform: Platform) -> None:
    (line,) = (line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{platform.name}` |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]

    assert cells == [
        f"`{platform.name}`",
        platform.title,
        f"`ENV={platform.environment}`" if platform.environment else "no",
        platform.trust,
        platform.billing_unit or ("not sourced" if platform.prices_from else "your own"),
        "yes" if platform.spot_enabled else "no",
        f"`{platform.prices_from}.csv`" if platform.prices_from else "none",
    ]
