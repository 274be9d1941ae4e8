"""What ``GetProducts`` of the emulated Price List API returns: the prices that the emulator's meters charge.

As in the API reference (2017-10-15) and in AWS's published offer file for EC2: each product is a JSON document in a
string, and a filter by an attribute that a product does not have leaves it out. Only filters of the type
``TERM_MATCH``, and nothing but a few GPU machines on demand and the volumes that are billed by size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from runner.clouds.aws.emulator.seed import (
    PRICES_USD_PER_H,
    VOLUMES_USD_PER_GIB_MONTH,
    price_usd_per_h,
    volume_usd_per_gib_month,
)
from runner.emulation.calls import Answer

JSON = {"Content-Type": "application/x-amz-json-1.1"}
GPU_NAMES = ("g", "p")


def get_products(body: bytes) -> Answer:
    """Return the products that all filters of a request match; one without a region has none here.

    Args:
        body: The request.
    """
    try:
        asked = json.loads(body)
        wanted = {str(one["Field"]): str(one["Value"]) for one in asked["Filters"] if one["Type"] == "TERM_MATCH"}
        is_whole = asked["ServiceCode"] == "AmazonEC2" and len(wanted) == len(asked["Filters"])
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        return Answer(400, {"__type": "InvalidParameterException", "message": "Input Parameters are invalid."}, JSON)
    found = [
        json.dumps(_document(family, attributes, unit, usd))
        for family, attributes, unit, usd in _products(wanted.get("regionCode", ""))
        if wanted.items() <= {"productFamily": family, **attributes}.items()
    ]
    return Answer(200, {"FormatVersion": "aws_v1", "PriceList": found}, JSON)


def _products(region: str) -> Iterator[tuple[str, Mapping[str, str], str, float]]:
    """Yield family, attributes, unit and price in US dollars of each product of a region."""
    if not region:
        return
    place = {"servicecode": "AmazonEC2", "regionCode": region, "locationType": "AWS Region"}
    for kind in PRICES_USD_PER_H:
        machine = {
            "instanceType": kind,
            "instanceFamily": "GPU instance" if kind.startswith(GPU_NAMES) else "General purpose",
            "operatingSystem": "Linux",
            "preInstalledSw": "NA",
            "tenancy": "Shared",
        }
        used = price_usd_per_h(kind, spot=False)
        for status, usd in (("Used", used), ("AllocatedCapacityReservation", 0.0), ("UnusedCapacityReservation", used)):
            yield "Compute Instance", {**place, **machine, "capacitystatus": status}, "Hrs", usd
    for kind in VOLUMES_USD_PER_GIB_MONTH:
        usd = volume_usd_per_gib_month(kind, region)
        yield "Storage", {**place, "volumeApiName": kind, "storageMedia": "SSD-backed"}, "GB-Mo", usd


def _document(family: str, attributes: Mapping[str, str], unit: str, usd: float) -> dict[str, object]:
    """Return a product with its one price on demand."""
    sku = "-".join(attributes.get(name, "") for name in ("regionCode", "instanceType", "volumeApiName"))
    step = {
        "rateCode": f"{sku}.D.1",
        "unit": unit,
        "beginRange": "0",
        "endRange": "Inf",
        "pricePerUnit": {"USD": f"{usd:.10f}"},
    }
    term = {"sku": sku, "offerTermCode": "D", "priceDimensions": {f"{sku}.D.1": step}, "termAttributes": {}}
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": sku},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {f"{sku}.D": term}},
    }
