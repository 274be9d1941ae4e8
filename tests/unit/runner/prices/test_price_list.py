import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.prices.price_list import (
    CATALOG,
    COLUMNS,
    GPUHUNT_COLUMNS,
    ListedPrice,
    all_prices,
    disk_usd_per_h,
    is_stale,
    listed_clouds,
    listed_disk_price,
    listed_price,
    price_list,
    write_price_list,
)

GOOD = "small,any,1.29,30,,1,A10,24,False,,cloud,0.10,minute,2026-09-20,https://example.test"
SPOT = GOOD.replace("1.29", "0.5").replace("False", "True")
TODAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    price_list.cache_clear()
    all_prices.cache_clear()


def write(folder: Path, *lines: str, header: str = ",".join(COLUMNS)) -> Path:
    (folder / "cloud.csv").write_text("\n".join((header, *lines)) + "\n")
    return folder


def test_a_row_is_read_with_what_the_source_does_not_say(tmp_path: Path) -> None:
    (row,) = price_list("cloud", write(tmp_path, GOOD))

    assert row == ListedPrice(
        instance_type="small",
        region="any",
        gpu_name="A10",
        gpu_count=1,
        gpu_memory_gib=24.0,
        memory_gib=None,
        price_usd_per_h=1.29,
        as_of=date(2026, 9, 20),
        source="https://example.test",
        provider="cloud",
        spot=False,
        cpu_count=30,
        disk_gib=None,
        disk_price_usd_per_gb_month=0.1,
        billing_unit="minute",
    )


def test_spot_prices_never_pass_for_prices_on_demand(tmp_path: Path) -> None:
    folder = write(tmp_path, SPOT, GOOD)

    assert [row.price_usd_per_h for row in price_list("cloud", folder)] == [1.29]
    assert [row.price_usd_per_h for row in all_prices("cloud", folder)] == [0.5, 1.29]


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace("1.29", "cheap"),
        GOOD.replace("2026-09-20", "last week"),
        GOOD.replace(",1,", ",one,"),
        GOOD.replace("https://example.test", ""),
        GOOD.replace("1.29", "0"),
        GOOD.replace("1.29", "nan"),
        GOOD.replace("1.29", "inf"),
        GOOD.replace("False", "no"),
        GOOD.replace("minute", "fortnight"),
        GOOD.replace("0.10", "-0.10"),
        GOOD.replace("cloud", "another"),
        GOOD,
        "small,any",
    ],
)
def test_a_row_that_is_wrong_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=r"line 3 of cloud\.csv"):
        all_prices("cloud", write(tmp_path, GOOD, line))


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the columns"):
        price_list("cloud", write(tmp_path, GOOD, header="instance_name,price"))


def test_a_price_is_stale_after_thirty_days() -> None:
    (row,) = (found for found in price_list("lambda") if found.instance_type == "gpu_1x_a10")

    assert not is_stale(row, row.as_of + timedelta(days=30))
    assert is_stale(row, row.as_of + timedelta(days=31))


@pytest.mark.parametrize("cloud", listed_clouds())
def test_a_list_that_is_written_reads_the_same(tmp_path: Path, cloud: str) -> None:
    path = write_price_list(cloud, all_prices(cloud), tmp_path)

    assert path == tmp_path / f"{cloud}.csv"
    assert all_prices(cloud, tmp_path) == all_prices(cloud)


def test_a_list_that_is_written_counts_at_once(tmp_path: Path) -> None:
    (row,) = price_list("cloud", write(tmp_path, GOOD))

    write_price_list("cloud", [ListedPrice(**{**vars(row), "price_usd_per_h": 2.0})], tmp_path)

    assert [found.price_usd_per_h for found in price_list("cloud", tmp_path)] == [2.0]


def test_rows_that_could_not_be_read_back_leave_the_list_as_it_was(tmp_path: Path) -> None:
    (row,) = price_list("cloud", write(tmp_path, GOOD))

    with pytest.raises(UsageError, match="a second price of small in any"):
        write_price_list("cloud", [row, row], tmp_path)

    assert (tmp_path / "cloud.csv").read_text().splitlines() == [",".join(COLUMNS), GOOD]
    assert [found.name for found in tmp_path.iterdir()] == ["cloud.csv"]


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (row,) = price_list("cloud", write(tmp_path, GOOD))

    with pytest.raises(UsageError, match="cannot be written"):
        write_price_list("cloud", [row], tmp_path / "nowhere")


def test_the_columns_are_those_of_gpuhunt_and_then_ours() -> None:
    # github.com/dstackai/gpuhunt at 35841515de: storage.py reads these by name, `provider` is in CatalogItem.
    assert (
        *("instance_name", "location", "price", "cpu", "memory", "gpu_count", "gpu_name", "gpu_memory", "spot"),
        *("disk_size", "provider"),
    ) == GPUHUNT_COLUMNS
    for cloud in listed_clouds():
        with (CATALOG / f"{cloud}.csv").open(newline="") as file:
            assert tuple(next(csv.reader(file))) == COLUMNS


@pytest.mark.parametrize("cloud", listed_clouds())
def test_every_row_is_dated_and_sourced(cloud: str) -> None:
    rows = all_prices(cloud)

    assert rows
    for row in rows:
        assert row.gpu_count >= 1
        assert row.gpu_memory_gib > 0
        assert date(2025, 1, 1) <= row.as_of
        assert "." in row.source  # a host or a file, not a word


def test_a_price_comes_with_its_day_and_its_source() -> None:
    found = listed_price("aws", "g5.xlarge", "us-east-1")
    assert found is not None
    assert found.price_usd_per_h > 0
    assert (found.gpu_name, found.gpu_count, found.gpu_memory_gib) == ("A10G", 1, 24.0)
    assert found.as_of >= date(2026, 1, 21)
    assert found.source


def test_a_region_has_its_own_price() -> None:
    here, there = listed_price("aws", "g5.xlarge", "us-east-1"), listed_price("aws", "g5.xlarge", "eu-west-1")
    assert here is not None
    assert there is not None
    assert there.price_usd_per_h > here.price_usd_per_h


def test_a_price_that_is_the_same_everywhere_answers_for_any_region() -> None:
    found = listed_price("lambda", "gpu_1x_a10", "us-west-1")
    assert found is not None
    assert found.region == "any"


def test_an_unknown_price_is_none_rather_than_a_guess() -> None:
    assert listed_price("aws", "g5.xlarge", "ap-southeast-6") is None
    assert listed_price("aws", "g99.xlarge", "us-east-1") is None


def test_a_disk_costs_the_same_for_every_kind_of_machine_of_a_region() -> None:
    assert [listed_disk_price("aws", region) for region in ("us-east-1", "eu-west-1")] == [0.08, 0.08]
    assert [listed_disk_price(cloud, "anywhere") for cloud in ("runpod", "lambda", "vastai")] == [0.1, 0.0, None]
    for cloud in listed_clouds():
        known = {row.region: set[float | None]() for row in all_prices(cloud)}
        for row in all_prices(cloud):
            known[row.region].add(row.disk_price_usd_per_gb_month)
        assert all(len(prices) == 1 for prices in known.values()), cloud


@pytest.mark.parametrize(
    ("cloud", "region", "size_gib", "usd_per_h"),
    [
        ("aws", "us-east-1", 73.0, 0.008),
        ("aws", "eu-west-1", 73.0, None),
        ("aws", "us-east-1", None, None),
        ("runpod", "EU-RO-1", 73.0, 0.01),
        ("lambda", "us-west-1", 73.0, 0.0),
    ],
)
def test_a_disk_is_paid_at_the_price_of_its_own_region_alone(
    cloud: str, region: str, size_gib: float | None, usd_per_h: float | None
) -> None:
    found = disk_usd_per_h(cloud, region, size_gib)

    assert found == (None if usd_per_h is None else pytest.approx(usd_per_h))


def test_a_cloud_without_a_price_list_is_refused() -> None:
    with pytest.raises(UsageError, match="no price list for vast"):
        listed_price("vast", "x", "y")
