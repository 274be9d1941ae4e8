from datetime import date

import pytest

from runner.clouds.price_list import price_list
from runner.errors import UsageError
from runner.estimate.offers import Wanted, choose_candidates
from runner.estimate.price import listed_offers, price_of


def test_a_price_comes_with_its_day_and_its_source() -> None:
    found = price_of("aws", "g5.xlarge", "us-east-1")
    assert found is not None
    assert (found.price_usd_per_h, found.gpu_name, found.gpu_count) == (1.006, "A10G", 1)
    assert found.as_of == date(2026, 1, 21)
    assert "instances.vantage.sh" in found.source


def test_a_region_has_its_own_price() -> None:
    here, there = price_of("aws", "g5.xlarge", "us-east-1"), price_of("aws", "g5.xlarge", "eu-west-1")
    assert here is not None
    assert there is not None
    assert there.price_usd_per_h > here.price_usd_per_h


def test_a_price_that_is_the_same_everywhere_answers_for_any_region() -> None:
    found = price_of("lambda", "gpu_1x_a10", "us-west-1")
    assert found is not None
    assert found.price_usd_per_h == 1.29


def test_an_unknown_price_is_none_rather_than_a_guess() -> None:
    assert price_of("aws", "g5.xlarge", "ap-southeast-6") is None
    assert price_of("aws", "g99.xlarge", "us-east-1") is None


def test_a_cloud_without_a_price_list_is_refused() -> None:
    with pytest.raises(UsageError, match="no price list for vast"):
        price_of("vast", "x", "y")


@pytest.mark.parametrize("cloud", ["aws", "lambda", "runpod"])
def test_every_row_is_dated_sourced_and_there_once(cloud: str) -> None:
    rows = price_list(cloud)
    assert rows
    assert len({(row.instance_type, row.region) for row in rows}) == len(rows)
    for row in rows:
        assert row.price_usd_per_h > 0
        assert row.gpu_count >= 1
        assert row.gpu_memory_gib > 0
        assert date(2026, 1, 1) <= row.as_of <= date(2026, 11, 21)
        assert row.source


@pytest.mark.parametrize("cloud", ["aws", "lambda", "runpod"])
def test_the_list_serves_as_offers_without_a_network(cloud: str) -> None:
    offers = listed_offers(cloud)
    assert [offer.price_usd_per_h for offer in offers] == sorted(offer.price_usd_per_h for offer in offers)
    assert all(offer.available is None and not offer.spot for offer in offers)
    assert choose_candidates(offers, Wanted(gpu_memory_gib=40))
