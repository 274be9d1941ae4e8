"""AWS's price list: what is asked, which price counts, and that none is ever waited for twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner.clouds.aws.pricing import ASK_AGAIN, PriceBook, RegionPrices, prices_in
from runner.errors import AccessDeniedError, UnreadableAnswerError

HERE, THERE = "eu-west-1", "eu-central-1"
NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "pricing:GetProducts"}}, "GetProducts")


def product(called: str, name: str, unit: str, *usd: str, currency: str = "USD") -> str:
    steps = {f"D.{number}": {"unit": unit, "pricePerUnit": {currency: one}} for number, one in enumerate(usd)}
    return json.dumps(
        {"product": {"attributes": {called: name}}, "terms": {"OnDemand": {"D": {"priceDimensions": steps}}}}
    )


def machine(name: str, *usd: str, unit: str = "Hrs", **more: str) -> str:
    return product("instanceType", name, unit, *usd, **more)


class Prices:
    """Answers for machines and for volumes with pages of products, and keeps what it was asked."""

    def __init__(self, machines: Sequence[Any] = ([],), volumes: Sequence[Any] = ([],)) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers = {"Compute Instance": machines, "Storage": volumes}

    def can_paginate(self, operation: str) -> bool:
        assert operation == "get_products"
        return True

    def get_paginator(self, _: str) -> Prices:
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(request)
        for page in self.answers[self.terms(-1)["productFamily"]]:
            if isinstance(page, Exception):
                raise page
            yield page if isinstance(page, dict) else {"PriceList": page}

    def terms(self, number: int) -> dict[str, str]:
        assert {one["Type"] for one in self.asked[number]["Filters"]} == {"TERM_MATCH"}
        return {one["Field"]: one["Value"] for one in self.asked[number]["Filters"]}


def test_a_region_is_asked_for_its_plain_gpu_machines_and_its_volumes() -> None:
    client = Prices()

    prices_in(client, HERE)

    machines, volumes = client.terms(0), client.terms(1)
    assert (machines["instanceFamily"], machines["operatingSystem"]) == ("GPU instance", "Linux")
    assert (machines["tenancy"], machines["capacitystatus"], machines["preInstalledSw"]) == ("Shared", "Used", "NA")
    assert volumes == {"productFamily": "Storage", "regionCode": HERE}
    assert machines["regionCode"] == HERE
    assert {one["ServiceCode"] for one in client.asked} == {"AmazonEC2"}


def test_every_page_counts_and_of_several_prices_the_dearest() -> None:
    client = Prices(
        machines=[[machine("g5.xlarge", "1.1", "1.2"), machine("g6.xlarge", "0.9")], [machine("g6.xlarge", "1.0")]],
        volumes=[[product("volumeApiName", "gp3", "GB-Mo", "0.088")]],
    )

    assert prices_in(client, HERE) == RegionPrices({"g5.xlarge": 1.2, "g6.xlarge": 1.0}, {"gp3": 0.088})


@pytest.mark.parametrize(
    "other",
    [machine("g5.xlarge", "0.0000000000"), machine("g5.xlarge", "0.2", unit="Quantity"), machine("g5.xlarge"),
     product("usagetype", "EBS:SnapshotUsage", "Hrs", "0.05")],
    ids=["reserved", "another unit", "no price", "no machine"],
)  # fmt: skip
def test_what_is_no_price_an_hour_of_a_machine_is_none(other: str) -> None:
    assert prices_in(Prices(machines=[[other]]), HERE).on_demand == {}


@pytest.mark.parametrize(
    "odd", ["{", "[]", "{}", machine("g6.xlarge", "much"), machine("g6.xlarge", "nan"),
            machine("g6.xlarge", "7.2", currency="CNY")],
)  # fmt: skip
def test_an_odd_product_costs_that_product_and_an_answer_of_odd_ones_is_none(odd: str) -> None:
    assert prices_in(Prices(machines=[[odd, machine("g5.xlarge", "1.1")]]), HERE).on_demand == {"g5.xlarge": 1.1}

    with pytest.raises(UnreadableAnswerError):
        prices_in(Prices(machines=[[odd]]), HERE)


def test_a_key_that_may_not_see_prices_is_said() -> None:
    with pytest.raises(AccessDeniedError, match="read the price list of eu-west-1"):
        prices_in(Prices(machines=[DENIED]), HERE)


def test_each_region_is_asked_once() -> None:
    client, book = Prices(machines=[[machine("g5.xlarge", "1.1")]]), PriceBook(lambda: NOW)

    assert book.of(client, HERE) == book.of(client, HERE) == RegionPrices({"g5.xlarge": 1.1})
    assert len(client.asked) == 2  # machines, volumes

    book.of(client, THERE)
    assert client.terms(-1)["regionCode"] == THERE


@pytest.mark.parametrize("page", [DENIED, {"Products": []}, ["{"]], ids=["denied", "changed", "odd"])
def test_after_a_refusal_nothing_is_asked_for_a_while_in_any_region(page: Any) -> None:
    moments = [NOW]
    client, book = Prices(machines=[page]), PriceBook(lambda: moments[-1])

    assert [book.of(client, HERE), book.of(client, HERE), book.of(client, THERE)] == [RegionPrices()] * 3
    assert len(client.asked) == 1

    moments.append(NOW + ASK_AGAIN + timedelta(seconds=1))
    client.answers["Compute Instance"] = [[machine("g5.xlarge", "1.1")]]
    assert book.of(client, HERE).on_demand == {"g5.xlarge": 1.1}
