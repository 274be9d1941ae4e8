"""What AWS's own price list says of a region: its GPU machines on demand, and its volumes.

The Price List API of 2017-10-15 (``GetProducts``), as botocore describes it. Each price in its answer is a whole JSON
document; the attributes by which it is asked, and the units, are those of AWS's published offer file for EC2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from runner.cloud_api.answers import read_some
from runner.clouds.aws.listing import texts
from runner.clouds.aws.refusals import unreadable
from runner.errors import CloudError

ASK_AGAIN = timedelta(minutes=5)
"""How long nothing is asked after a refusal: whoever looks every two seconds must not wait for it each time."""
MACHINES = {
    "productFamily": "Compute Instance",
    "instanceFamily": "GPU instance",
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
}
"""Plain Linux on machines that are shared and not reserved."""
VOLUMES = {"productFamily": "Storage"}
HOUR, GIB_MONTH = "Hrs", "GB-Mo"


@dataclass(frozen=True)
class RegionPrices:
    """What AWS's price list says of a region; what it does not say is not in it.

    Attributes:
        on_demand: US dollars an hour by kind of machine.
        volumes: US dollars a GiB and month by type of volume (``gp3``).
    """

    on_demand: Mapping[str, float] = field(default_factory=dict)
    volumes: Mapping[str, float] = field(default_factory=dict)


class PriceBook:
    """The prices of every region that was asked for, each asked once."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Begin with none.

        Args:
            now: The clock (UTC).
        """
        self._now = now
        self._known: dict[str, RegionPrices] = {}
        self._not_before: datetime | None = None

    def of(self, client: Any, region: str) -> RegionPrices:
        """Return the prices of a region; none where AWS refuses or does not answer, which never fails.

        The right ``pricing:GetProducts`` is not needed: without it the dated list stands in.

        Args:
            client: boto3's client of the Price List API.
            region: The region.
        """
        known = self._known.get(region)
        is_refused = self._not_before is not None and self._now() < self._not_before
        if known is not None or is_refused:
            return known or RegionPrices()
        try:
            found = prices_in(client, region)
        except CloudError:
            self._not_before = self._now() + ASK_AGAIN
            return RegionPrices()
        self._known[region] = found
        return found


def prices_in(client: Any, region: str) -> RegionPrices:
    """Return the prices of a region.

    Args:
        client: boto3's client of the Price List API.
        region: The region.

    Raises:
        CloudError: If AWS refuses, or nothing of its answer can be read.
    """
    return RegionPrices(
        on_demand=_prices(client, region, MACHINES, "instanceType", HOUR),
        volumes=_prices(client, region, VOLUMES, "volumeApiName", GIB_MONTH),
    )


def _prices(client: Any, region: str, wanted: Mapping[str, str], called: str, unit: str) -> dict[str, float]:
    """Return the price of each product by one of its attributes; of two prices the dearer one."""
    doing = f"read the price list of {region}"
    terms = {**wanted, "regionCode": region}
    asked = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in terms.items()]
    found = texts(client, "get_products", "PriceList", doing, ServiceCode="AmazonEC2", Filters=asked)
    prices: dict[str, float] = {}
    for name, usd in read_some(found, lambda text: _price(text, called, unit, doing)):
        if usd > 0:  # a reserved capacity is a product of $0 an hour
            prices[name] = max(usd, prices.get(name, 0.0))
    return prices


def _price(text: str, called: str, unit: str, doing: str) -> tuple[str, float]:
    """Return a product's name and its dearest price on demand in a unit; 0 where it has none in it.

    Raises:
        UnreadableAnswerError: If it is no product with prices in US dollars.
    """
    try:
        product = json.loads(text)
        name = product["product"]["attributes"].get(called, "")
        terms = product["terms"].get("OnDemand", {}).values()
        steps = [step for term in terms for step in term["priceDimensions"].values() if step["unit"] == unit]
        usd = max((float(step["pricePerUnit"]["USD"]) for step in steps), default=0.0)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise unreadable(doing, f"a product without {err}") from err
    if not math.isfinite(usd):
        raise unreadable(doing, f"a price of {usd}")
    return str(name), usd if name else 0.0
