"""Every platform that people compare for a fine-tune: whom it is trusted to, what outlives the machine, how it bills.

``platforms.csv`` has a platform also before Douse can run there. Prices are not in it but in the price lists
(``runner/prices/catalog``), each with its own day and source; a platform without any says why. What is not known from
a source is ``None`` or explained in ``note``, never guessed. ``docs/prices.md`` shows the table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path

from runner.cloud_api.models import Trust, TrustWanted
from runner.errors import UsageError
from runner.prices.price_list import BILLING_UNITS, BillingUnit
from runner.prices.tables import table_lines

TABLE = Path(__file__).parent / "platforms.csv"
TRUST: dict[str, Trust] = {"secure": "secure", "community": "community"}
YES_NO = {"True": True, "False": False}

USD_PER_KWH = 0.1872
"""Assumption for a machine of one's own: the average price of electricity for homes in the United States.

Source: U.S. Energy Information Administration, Electric Power Monthly, table 5.6.A, as kept in
https://www.energypricestoday.com/data/sources/electricity-prices.json (of 2026-04-26).
"""
USD_PER_KWH_AS_OF = date(2026, 4, 26)


@dataclass(frozen=True)
class Platform:
    """One place to train at.

    Attributes:
        name: Its name; for a cloud that Douse rents from that of the environment.
        title: Its name for people.
        environment: Douse's environment that runs there today, or ``None`` where there is none yet.
        trust: ``secure`` where one company answers for machines of its own (or they are yours), ``community`` where
            others' machines are rented out.
        persistence: What survives the machine.
        billing_unit: What a part of is billed as a whole, or ``None`` where no source is known.
        minimum_s: The least that is billed, in seconds, or ``None`` where no source says more than one unit.
        spot_enabled: Whether there are cheaper machines that may be reclaimed.
        prices_from: Name of its price list, or ``None`` where it has none.
        why_no_price: Why there is no price list; empty where there is one.
        as_of: The day of the source.
        source: Where billing and the disk price of the price list are from.
        note: What else has to be known; may be empty.
    """

    name: str
    title: str
    environment: str | None
    trust: Trust
    persistence: str
    billing_unit: BillingUnit | None
    minimum_s: int | None
    spot_enabled: bool
    prices_from: str | None
    why_no_price: str
    as_of: date
    source: str
    note: str

    @property
    def can_run(self) -> bool:
        """Return whether Douse can run there today."""
        return self.environment is not None


@cache
def platforms(table: Path = TABLE) -> dict[str, Platform]:
    """Return every platform by its name, those that Douse can run on first.

    Raises:
        UsageError: If the table cannot be read.
    """
    with table.open(encoding="utf-8", newline="") as file:
        lines = table_lines(file, table.name, [field.name for field in fields(Platform)], doing="compare")
        found = [_platform(line, table, number) for number, line in lines]
    return {platform.name: platform for platform in sorted(found, key=lambda platform: not platform.can_run)}


def platform_at(environment: str, trust: Trust) -> Platform | None:
    """Return the platform that a machine is on, or ``None`` for none that is known.

    Args:
        environment: Its name, or that of Douse's environment there.
        trust: Whose machine it is: one environment may rent both kinds.
    """
    found = [one for one in platforms().values() if environment in (one.name, one.environment)]
    return next((one for one in found if one.trust == trust), found[0] if found else None)


def is_trusted(platform: Platform, wanted: TrustWanted) -> bool:
    """Return whether a platform will do for what the run file asks of trust."""
    return wanted == "any" or platform.trust == "secure"


def price_lists_of(environment: str, wanted: TrustWanted) -> list[str]:
    """Return the price lists of the machines that an environment rents, community machines only where they will do."""
    found = [platform for platform in platforms().values() if platform.environment == environment]
    return [one.prices_from for one in found if one.prices_from and is_trusted(one, wanted)]


def trust_of_list(name: str) -> Trust:
    """Return whose machines a price list is of; those of a list that no platform has are not community machines."""
    return next((one.trust for one in platforms().values() if one.prices_from == name), "secure")


def electricity_usd_per_h(watts: float, usd_per_kwh: float = USD_PER_KWH) -> float:
    """Return the electricity cost of an hour on a machine of one's own, in US dollars.

    Assumptions: the given watts are drawn all the time (a GPU: its power limit); what else the machine draws, cooling
    and the price of the hardware are not in it unless they are in ``watts``.

    Args:
        watts: Power drawn, in watts.
        usd_per_kwh: Price of electricity in US dollars a kilowatt hour.
    """
    return watts / 1000 * usd_per_kwh


def _platform(line: dict[str, str], table: Path, number: int) -> Platform:
    try:
        platform = Platform(
            name=line["name"],
            title=line["title"],
            environment=line["environment"] or None,
            trust=TRUST[line["trust"]],
            persistence=line["persistence"],
            billing_unit=BILLING_UNITS[line["billing_unit"]],
            minimum_s=int(line["minimum_s"]) if line["minimum_s"] else None,
            spot_enabled=YES_NO[line["spot_enabled"]],
            prices_from=line["prices_from"] or None,
            why_no_price=line["why_no_price"],
            as_of=date.fromisoformat(line["as_of"]),
            source=line["source"],
            note=line["note"],
        )
    except (KeyError, TypeError, ValueError) as err:
        raise UsageError(
            f"compare: line {number} of {table.name} cannot be read",
            details=str(err),
            resolution=f"restore the file: `git checkout {table}`",
        ) from err
    if not platform.source or bool(platform.prices_from) == bool(platform.why_no_price):
        raise UsageError(
            f"compare: line {number} of {table.name} has no source, or not one of a price list and why there is none",
            resolution=f"restore the file: `git checkout {table}`",
        )
    return platform
