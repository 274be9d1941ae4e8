"""What the account may rent at a time, where the cloud tells: a quota of nothing ends a run at its first machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from runner.clouds.models import Offer, Quota
from runner.clouds.price_list import all_prices
from runner.clouds.registry import endpoint_of, open_cloud
from runner.config import ComputeSection
from runner.errors import AccessDeniedError, CloudError, RunnerError
from runner.estimate.price import listed_offers
from runner.market import is_reachable
from runner.preflight.account import UNREACHABLE, OpenCloud, Reach
from runner.preflight.check import Check, failed, not_asked, passed, skipped, warned

QUOTA = "quota"
TELLS = frozenset({"aws"})
"""Clouds whose API tells a quota."""
PLACES = 4
"""Regions that are looked at for each family of machines (EC2's G and P): those where it is cheapest."""
REMEDY = "ask for more in the console (Service Quotas, EC2), or name regions or instance types that have it"


def check_quota(
    name: str,
    compute: ComputeSection,
    environ: Mapping[str, str],
    *,
    open_account: OpenCloud = open_cloud,
    is_reachable: Reach = is_reachable,
) -> list[Check]:
    """Compare the account's quotas with the processors of the cheapest machines of each family that would do.

    Args:
        name: The cloud.
        compute: What the run asks for.
        environ: Where the key is.
        open_account: Opens an account on a cloud.
        is_reachable: Tells whether the cloud can be connected to at all.

    Returns:
        The line ``QUOTA``: failed where no family has enough; a warning where one has too little, or nobody tells.
    """
    if name not in TELLS:
        return [skipped(QUOTA, f"{name} does not tell")]
    needed = machines_to_ask_for(name, compute, environ)
    if not needed:
        return [skipped(QUOTA, "no listed machine is what section compute asks for")]
    try:
        cloud = open_account(name, environ)
        if not is_reachable(endpoint_of(name, environ), environ):
            return [not_asked(QUOTA, UNREACHABLE.format(name=name))]
        told = cloud.quotas(list(needed))
    except AccessDeniedError as err:
        return [warned(QUOTA, f"may not be asked: {err.message}", "allow servicequotas:GetServiceQuota in IAM")]
    except CloudError as err:
        return [not_asked(QUOTA, err.message)]
    except RunnerError:
        return [skipped(QUOTA, "needs the cloud key")]
    return [_compared(name, needed, told)]


def machines_to_ask_for(name: str, compute: ComputeSection, environ: Mapping[str, str]) -> dict[Offer, int]:
    """Return the cheapest listed machines of each family, each in a region of its own, with their processors."""
    bounds = [region.strip() for region in environ.get("DOUSE_AWS_REGIONS", "").split(",") if region.strip()]
    regions = compute.regions or bounds
    cpus = {(row.instance_type, row.region): row.cpu_count for row in all_prices(name) if row.cpu_count}
    found: dict[Offer, int] = {}
    seen: dict[str, list[str]] = {}
    for offer in listed_offers(name):
        places = seen.setdefault(offer.instance_type[0], [])
        count = cpus.get((offer.instance_type, offer.region))
        if offer.spot or count is None or len(places) == PLACES or offer.region in places:
            continue
        if not _is_wanted(offer, compute, regions):
            continue
        places.append(offer.region)
        found |= {replace(offer, spot=spot): count for spot in ((False, True) if compute.spot_enabled else (False,))}
    return found


def _is_wanted(offer: Offer, compute: ComputeSection, regions: Sequence[str]) -> bool:
    ceiling = compute.max_price_usd_per_h
    return (
        (not compute.instance_types or offer.instance_type in compute.instance_types)
        and (not regions or offer.region in regions)
        and offer.gpu_memory_gib >= compute.min_gpu_memory_gib
        and (ceiling is None or offer.price_usd_per_h <= ceiling)
    )


def _compared(name: str, needed: Mapping[Offer, int], told: Mapping[Offer, Quota]) -> Check:
    if not told:
        return skipped(QUOTA, f"{name} does not tell")
    asked = [(quota, offer, needed[offer]) for offer, quota in told.items()]
    short = [one for one in asked if one[0].vcpus < one[2]]
    enough = [one for one in asked if one[0].vcpus >= one[2]]
    words = "; ".join(
        f"{quota.vcpus:g} vCPUs of {quota.name} in {quota.region}, {offer.instance_type} has {count}"
        for quota, offer, count in short[:PLACES]
    )
    if not enough:
        is_sure = len(told) == len(needed)
        return failed(QUOTA, words, REMEDY) if is_sure else warned(QUOTA, words, REMEDY)
    if short:
        return warned(QUOTA, f"{words}; there is enough for {enough[0][1].instance_type}", REMEDY)
    quota, offer, _ = enough[0]
    return passed(QUOTA, f"{quota.vcpus:g} vCPUs of {quota.name} in {quota.region}, enough for {offer.instance_type}")
