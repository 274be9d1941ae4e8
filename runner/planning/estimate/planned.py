"""Which of a plan's machines was rented: what a run took is compared with what was expected of that one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.prices.price_list import ANYWHERE

Json = Mapping[str, Any]


def planned_for(plan: Json, host: Json) -> Json:
    """Return what a plan expects of the machine that was rented; where it is not in the plan, of the first candidate.

    A host does not tell whose machine it is: of two that differ in that alone, the one nearest in price is taken.

    Args:
        plan: The object of ``plan.json``, of which nothing is taken for granted.
        host: The object of ``host.json``.

    Returns:
        The entry of ``forecasts``, or ``estimate``; empty where there is neither.
    """
    first, forecasts = plan.get("estimate"), plan.get("forecasts")
    told = [first, *(forecasts if isinstance(forecasts, list) else [])]
    found = [one for one in told if isinstance(one, dict) and _is(one, host)]
    if found:
        return min(found, key=lambda one: (one.get("region") != host.get("region"), _price_gap(one, host)))
    return first if isinstance(first, dict) else {}


def _is(planned: Json, host: Json) -> bool:
    names = ("instance_type", "spot", *(["trust"] if "trust" in host else []))
    same = all(name in planned and planned[name] == host.get(name) for name in names)
    return same and planned.get("region") in (host.get("region"), ANYWHERE)


def _price_gap(planned: Json, host: Json) -> float:
    pair = (planned.get("price_usd_per_h"), host.get("price_usd_per_h"))
    price, billed = (float(value) if isinstance(value, int | float) else 0.0 for value in pair)
    return abs(price - billed)
