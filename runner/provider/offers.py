"""What the clouds list for rent, as data sources."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar

from runner.cloud_api.models import Offer
from runner.provider.rental import RentalProvider
from runner.provider.resource import Ctx, DataSource
from runner.provider.schema import BOOL, NUMBER, STRING, Attr, Attrs, Values, list_of, object_of

OFFER = object_of(
    instance_type=STRING,
    region=STRING,
    spot=BOOL,
    price_usd_per_h=NUMBER,
    gpu_name=STRING,
    gpu_count=NUMBER,
    gpu_memory_gib=NUMBER,
    memory_gib=NUMBER,
    disk_gib=NUMBER,
    available=BOOL,
    trust=STRING,
)


class LambdaOffers(DataSource[RentalProvider]):
    """Machines that Lambda Cloud lists, cheapest first."""

    attrs: ClassVar[Attrs] = {"offers": Attr(list_of(OFFER), "The machines.", computed=True)}

    def read(self, ctx: Ctx, config: Values) -> Values:
        """Return the list."""
        return {"offers": [_values(offer) for offer in self.provider.lambda_cloud().offers()]}


class RunPodOffers(DataSource[RentalProvider]):
    """Machines that RunPod lists, cheapest first."""

    attrs: ClassVar[Attrs] = {"offers": Attr(list_of(OFFER), "The machines.", computed=True)}

    def read(self, ctx: Ctx, config: Values) -> Values:
        """Return the list."""
        return {"offers": [_values(offer) for offer in self.provider.runpod_cloud().offers()]}


def _values(offer: Offer) -> Values:
    return asdict(offer)
