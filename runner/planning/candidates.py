"""Which machines a run tries, in which order: from what the clouds list and what the run file asks for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from runner.cloud_api.models import Offer, Trust, TrustWanted
from runner.errors import NoCapacityError, UsageError
from runner.run.planned import ANYWHERE, PlannedMachine

MOST_CANDIDATES = 8
MOST_MISSES = 5
ORDER = (True, None, False)
"""Machines that can be had now, that may, that cannot."""
Barred = Callable[[Offer], str]
IsLast = Callable[[Offer], bool]
ARM_GPUS = ("GH200", "GB200", "GB300")
"""NVIDIA's names of GPUs that come with its ARM processor, on which Douse has not been tried."""
UNTRIED = "an ARM machine, on which Douse has not been tried: name it in compute.instance_types to take it"
ONE_IS_USED = "a run uses one of them: name it in compute.instance_types to pay for all"


class WholeRun(NamedTuple):
    """What the whole run is expected to take on a machine: US dollars, then hours."""

    usd: float
    hours: float


Expected = Callable[[Offer], WholeRun]


@dataclass(frozen=True)
class Wanted:
    """What a run asks for.

    Attributes:
        instance_types: Names of the kinds of machine, the most wanted first; empty is any.
        regions: Where, the most wanted first; empty is anywhere.
        spot_enabled: Whether a machine that the cloud may reclaim will do.
        max_price_usd_per_h: The most a machine may cost in US dollars an hour, or ``None``.
        trust: Whose machines will do.
        gpu_memory_gib: The least memory of one GPU, in GiB.
        disk_size_gib: Disk the run needs, in GiB.
        waits: Whether a machine that nobody has now will do: the run waits for one.
    """

    instance_types: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    spot_enabled: bool = False
    max_price_usd_per_h: float | None = None
    trust: TrustWanted = "secure"
    gpu_memory_gib: float = 0.0
    disk_size_gib: float = 0.0
    waits: bool = False


def choose_offers(
    offers: Sequence[Offer],
    wanted: Wanted,
    expected: Expected | None = None,
    barred: Barred | None = None,
    is_last: IsLast | None = None,
    was_useless: IsLast | None = None,
) -> list[Offer]:
    """Return the machines to try, at most eight, the best first.

    The order of the run file's instance types comes first. Then those that ``is_last`` go after all others; machines
    that can be had now before those of which the cloud does not say, and these before those that a run may wait for.
    Then what the whole run is expected to cost, to the cent (a faster machine may be the cheaper one), then when it is
    expected to be over, then the price, then the order of the run file's regions.

    Args:
        offers: The available machines.
        wanted: What the run asks for.
        expected: Returns the US dollars and the hours of the whole run on a machine; without it the price alone counts.
        barred: Returns why a machine is not to be tried for a reason of its own; nothing where there is none.
        is_last: Returns whether a machine is to be tried only after those that are not.
        was_useless: Returns whether one of its kind came to nothing of late; it goes behind all others of any type.

    Raises:
        UsageError: If no cloud has a machine of a wanted name.
        NoCapacityError: If nothing that is listed will do; the details list the nearest misses.
    """
    _check_names(offers, wanted.instance_types)
    fitting = suitable(offers, wanted, barred)
    whole = {id(offer): expected(offer) if expected else WholeRun(0.0, 0.0) for offer in fitting}
    fitting.sort(key=lambda offer: _rank(offer, wanted, whole[id(offer)], is_last=bool(is_last and is_last(offer))))
    fitting.sort(key=lambda offer: bool(was_useless and was_useless(offer)))
    if not fitting:
        raise NoCapacityError(
            f"plan: none of the {len(offers)} machines that are listed will do",
            details="\n".join(_nearest(offers, wanted, barred)) or None,
            resolution="relax compute.instance_types, compute.regions or compute.min_gpu_memory_gib, "
            "or try another ENV; see `make compare`",
        )
    return fitting[:MOST_CANDIDATES]


def _check_names(offers: Sequence[Offer], names: Iterable[str]) -> None:
    """Refuse names that nobody has; with no offers at all no name can be called wrong."""
    known = sorted({offer.instance_type for offer in offers})
    unknown = [name for name in names if name not in known]
    if not known or not unknown:
        return
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(unknown[0].lower(), folded, n=3, cutoff=0.6)
    few = ", ".join(known[:MOST_CANDIDATES])
    hint = f"did you mean {' or '.join(folded[name] for name in close)}?" if close else f"there is {few}"
    raise UsageError(f"plan: no machine is called {unknown[0]}", resolution=f"correct compute.instance_types: {hint}")


def where_wanted(offers: Sequence[Offer], wanted: Wanted) -> list[Offer]:
    """Return the offers, with one that cannot be had now for each wanted region in which a kind of machine is missing.

    A cloud that says what can be had may list a machine only where it has one now; a run that waits asks everywhere.
    """
    if not wanted.waits:
        return list(offers)
    kinds = {(one.instance_type, one.spot, one.trust): one for one in offers if one.available is not None}
    listed = {(one.instance_type, one.spot, one.trust, one.region) for one in offers}
    everywhere = ((kind, region) for kind in kinds for region in wanted.regions or (ANYWHERE,))
    missing = [(kind, region) for kind, region in everywhere if (*kind, region) not in listed]
    return [*offers, *(replace(kinds[kind], region=region, available=False) for kind, region in missing)]


def suitable(offers: Iterable[Offer], wanted: Wanted, barred: Barred | None = None) -> list[Offer]:
    """Return the offers that will do, in their order."""
    return [offer for offer in offers if not _misses(offer, wanted, barred)]


def _misses(offer: Offer, wanted: Wanted, barred: Barred | None) -> list[str]:
    """Return why an offer will not do."""
    own = barred(offer) if barred else ""
    return [reason for applies, reason in _checks(offer, wanted) if applies] + ([own] if own else [])


def _checks(offer: Offer, wanted: Wanted) -> Iterable[tuple[bool, str]]:
    ceiling = wanted.max_price_usd_per_h
    yield bool(wanted.instance_types) and offer.instance_type not in wanted.instance_types, "not of a wanted type"
    yield offer.trust != "secure" and wanted.trust == "secure", "a community machine, and compute.trust is secure"
    yield offer.spot and not wanted.spot_enabled, "a spot machine, and spot is not enabled"
    yield bool(wanted.regions) and offer.region not in wanted.regions, f"not in {', '.join(wanted.regions)}"
    yield (
        offer.gpu_memory_gib < wanted.gpu_memory_gib,
        f"{offer.gpu_memory_gib:g} GiB of GPU memory, {wanted.gpu_memory_gib:g} needed",
    )
    yield (
        offer.disk_gib is not None and offer.disk_gib < wanted.disk_size_gib,
        f"{offer.disk_gib or 0:g} GiB of disk, {wanted.disk_size_gib:g} needed",
    )
    yield ceiling is not None and offer.price_usd_per_h > ceiling, f"too dear: at most ${ceiling or 0:g} an hour"
    is_named = offer.instance_type in wanted.instance_types
    yield _is_untried(offer) and not is_named, UNTRIED
    yield offer.gpu_count > 1 and not is_named, f"{offer.gpu_count} GPUs, and {ONE_IS_USED}"
    yield offer.available is False and not wanted.waits, "none available now"


def _is_untried(offer: Offer) -> bool:
    """Return whether a machine is of a kind that Douse has not been tried on; it is rented only where it is named."""
    return any(name in offer.gpu_name.upper() for name in ARM_GPUS)


def _rank(
    offer: Offer, wanted: Wanted, whole: WholeRun, *, is_last: bool
) -> tuple[int, bool, int, float, float, float, int, str, str]:
    types, regions = wanted.instance_types, wanted.regions
    return (
        types.index(offer.instance_type) if types else 0,
        is_last,
        ORDER.index(offer.available),
        round(whole.usd, 2),
        whole.hours,
        offer.price_usd_per_h,
        regions.index(offer.region) if regions else 0,
        offer.instance_type,
        offer.region,
    )


def _nearest(offers: Sequence[Offer], wanted: Wanted, barred: Barred | None) -> list[str]:
    """Return a line for each offer that fails least, those of a wanted type first."""
    missed = sorted(
        ((offer, _misses(offer, wanted, barred)) for offer in offers),
        key=lambda pair: ("not of a wanted type" in pair[1], len(pair[1]), pair[0].price_usd_per_h),
    )
    return [f"{_words(offer)}: {'; '.join(reasons)}" for offer, reasons in missed[:MOST_MISSES]]


def _words(offer: Offer) -> str:
    spot, whose = ", spot" if offer.spot else "", ", community" if offer.trust == "community" else ""
    return f"{offer.instance_type} in {offer.region}{spot}{whose}, ${offer.price_usd_per_h:g} an hour"


def planned(offer: Offer, offers: Sequence[Offer], wanted: Wanted) -> PlannedMachine:
    """Return a machine to try, with the most that is paid for it.

    That is the run file's price, else what it costs now; for a spot machine, whose price moves, what it costs without
    spot.

    Args:
        offer: The machine.
        offers: The available machines.
        wanted: What the run asks for.
    """
    return PlannedMachine(
        instance_type=offer.instance_type,
        region=offer.region,
        spot=offer.spot,
        price_usd_per_h=offer.price_usd_per_h,
        max_price_usd_per_h=_ceiling(offer, offers, wanted),
        trust=offer.trust,
    )


def _ceiling(offer: Offer, offers: Sequence[Offer], wanted: Wanted) -> float:
    """Return the highest price to pay."""
    if wanted.max_price_usd_per_h is not None:
        return wanted.max_price_usd_per_h
    same = [
        other.price_usd_per_h for other in offers if offer.spot and not other.spot and _place(other) == _place(offer)
    ]
    return max([offer.price_usd_per_h, *same])


def _place(offer: Offer) -> tuple[str, str, Trust]:
    return offer.instance_type, offer.region, offer.trust
