"""Checks that need the available machines: does the run fit, is it within its budget, how old are the prices?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from runner.cloud_api.models import Account
from runner.errors import NoCapacityError, NoPlaceError, counted
from runner.planning.checks.account import check_balance
from runner.planning.checks.kind_of_model import ON_ITS_OWN
from runner.planning.checks.line import Check, from_error, passed, skipped, warned
from runner.planning.checks.places import PLACE, AskPlaces, ChooseAmong, choose_placed
from runner.planning.checks.quota import AskQuotas, check_quota
from runner.planning.choose import Choice
from runner.planning.ends import BudgetError
from runner.planning.estimate.fit import DoesNotFitError
from runner.planning.market import Market
from runner.prices.platforms import price_lists_of
from runner.prices.price_list import age_days
from runner.prices.refresh import stale_prices
from runner.run.run_file import RunFile

MACHINES, MEMORY, BUDGET, PRICES = "machines", "gpu memory", "budget", "prices"
SHOWN = 3
"""Rows that a line names at most."""


class Chosen(NamedTuple):
    """The machines to try, or ``None`` where there are none, and the lines that say so."""

    choice: Choice | None
    checks: list[Check]


def choose_checked(
    run_file: RunFile, market: Market, choose: ChooseAmong, today: date, ask_quotas: AskQuotas, ask_places: AskPlaces
) -> Chosen:
    """Choose the machines to try, and make a line of each reason why there are none.

    Args:
        run_file: The run.
        market: The available machines.
        choose: Chooses among machines.
        today: The day on which the prices are looked at.
        ask_quotas: Asks the cloud what of these machines the account may rent.
        ask_places: Asks the cloud whether the account has a network for each of these machines.
    """
    prices = check_prices(run_file, market, today)
    try:
        choice, network = choose_placed(run_file.compute.env, market, choose, ask_places)
    except DoesNotFitError as err:
        return Chosen(None, [from_error(MEMORY, err), skipped(BUDGET, "needs a machine that the run fits"), prices])
    except BudgetError as err:
        return Chosen(None, [from_error(BUDGET, err), prices])
    except NoPlaceError as err:
        return Chosen(None, [from_error(PLACE, err), prices])
    except NoCapacityError as err:
        return Chosen(None, [from_error(MACHINES, err), prices])
    lines = [*network, _fits(run_file, choice), _budget(run_file, choice), prices]
    quota = check_quota(run_file.compute.env, market, [one.offer for one in choice.chosen], ask_quotas)
    return Chosen(choice, [*lines, *_balance(run_file, market.account, choice), *quota])


def replaced(checks: Sequence[Check], newer: Sequence[Check]) -> list[Check]:
    """Return lines with those of the same name replaced, and the others after them."""
    by_name = {check.name: check for check in (*checks, *newer)}
    return list(by_name.values())


def _fits(run_file: RunFile, choice: Choice) -> Check:
    """Report the machine with the least memory to spare: each has its own micro-batch."""
    if not run_file.compute.gpu_required:
        return skipped(MEMORY, "no GPU is asked for")
    if choice.need is None:
        return warned(MEMORY, "not known whether the run fits: the base model's layers are not known", ON_ITS_OWN)
    tightest = max(choice.forecasts, key=lambda one: one.needed_gib / one.offer.gpu_memory_gib)
    rows, offer = counted(tightest.micro_batch_rows, "row", "rows"), tightest.offer
    value = f"{tightest.needed_gib:.1f} of {offer.gpu_memory_gib:g} GiB for a micro-batch of {rows}"
    return passed(MEMORY, f"{value} on {offer.gpu_name}, which has the least to spare of the machines to try")


def _budget(run_file: RunFile, choice: Choice) -> Check:
    limit = run_file.budget.max_usd
    if limit is None:
        return skipped(BUDGET, "budget.max_usd is not set")
    left_out = _left_out(choice.too_early)
    if choice.forecast is None or choice.forecast.cost is None:
        remedy = "check the hourly price; compute.max_price_usd_per_h limits it"
        value = f"{limit:g} US dollars, and there is no estimate to compare with{left_out}"
        return warned(BUDGET, value, remedy)
    usd = choice.forecast.cost.total_usd
    value = f"{usd.expected:.2f} ({usd.low:.2f} to {usd.high:.2f}) of {limit:g} US dollars{left_out}"
    if usd.high > limit:
        return warned(BUDGET, value, f"set budget.max_usd to {usd.high:.2f}, or train less: it may cost more than that")
    return passed(BUDGET, value)


def _left_out(names: Sequence[str]) -> str:
    """Return in words which machines the money would not pay for until the run is over; nothing if there are none."""
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"; left out, for it may not pay for the whole run there: {'; '.join(names[:SHOWN])}{more}"


def _balance(run_file: RunFile, account: Account | None, choice: Choice) -> list[Check]:
    """Compare the money that is left with what the run costs, now that this is known."""
    found = choice.forecast
    if account is None or account.balance_usd is None or found is None or found.cost is None:
        return []
    return [check_balance(run_file.compute.env, account.balance_usd, found.cost.total_usd.expected)]


def check_prices(run_file: RunFile, market: Market, today: date) -> Check:
    """Report the prices that are too old to plan with; those that the cloud lists are of today."""
    cloud = run_file.compute.env
    dated = {(offer.instance_type, offer.region) for offer in market.offers if offer.is_price_dated}
    if market.remark is None and not dated:
        return passed(PRICES, f"as {cloud} reports them now")
    old = [row for name in price_lists_of(cloud, run_file.compute.trust) for row in stale_prices(name, today)]
    of_market = [row for row in old if not row.spot and (row.instance_type, row.region) in dated]
    stale = old if market.remark is not None else of_market
    if not stale:
        return passed(PRICES, f"of the price list of {cloud}, none is out of date")
    named = [f"{row.instance_type} ({row.as_of}, {age_days(row, today)} days)" for row in stale[:SHOWN]]
    more = f" and {len(stale) - SHOWN} more" if len(stale) > SHOWN else ""
    words = f"{counted(len(stale), 'row is', 'rows are')} out of date: {', '.join(named)}{more}"
    return warned(PRICES, words, f"refresh the list: `make prices ENV={cloud}`")
