"""The emulated Price List API, by AWS's own client: its prices are those that the meters charge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.clouds.aws.emulator.pricing import get_products
from runner.clouds.aws.emulator.seed import price_usd_per_h, volume_usd_per_gib_month
from runner.clouds.aws.pricing import MACHINES, prices_in


class Emulated:
    """A client of the emulated price list."""

    def can_paginate(self, _: str) -> bool:
        return False

    def get_products(self, **request: Any) -> Any:
        answer = get_products(json.dumps(request).encode())
        assert answer.status == 200
        return answer.body


def asked(**changes: Any) -> bytes:
    terms = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in MACHINES.items()]
    return json.dumps({"ServiceCode": "AmazonEC2", "Filters": terms, **changes}).encode()


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_the_list_has_the_prices_that_the_meters_charge(region: str) -> None:
    found = prices_in(Emulated(), region)

    assert found.on_demand["g5.xlarge"] == price_usd_per_h("g5.xlarge", spot=False)
    assert found.volumes == {kind: volume_usd_per_gib_month(kind, region) for kind in ("gp3", "gp2")}
    assert "t3.micro" not in found.on_demand


def test_a_filter_by_what_no_product_has_leaves_nothing() -> None:
    odd = [{"Type": "TERM_MATCH", "Field": "volumeName", "Value": "gp3"}]

    answer: Any = get_products(asked(Filters=odd)).body
    assert answer["PriceList"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", asked(ServiceCode="AmazonS3"), asked(Filters=[{"Type": "ANY_OF", "Field": "x", "Value": "y"}])],
    ids=["nothing", "no request", "another service", "another filter"],
)
def test_a_request_that_it_does_not_know_is_refused(body: bytes) -> None:
    assert get_products(body).status == 400
