"""Available machines of a cloud, as a data source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from runner.cloud_api.models import Offer
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
ATTRS: Attrs = {"offers": Attr(list_of(OFFER), "The machines.", computed=True)}


def values_of(offers: Iterable[Offer]) -> Values:
    """Return the values of a data source with these attributes."""
    shown = OFFER[1]
    return {"offers": [{name: value for name, value in asdict(offer).items() if name in shown} for offer in offers]}
