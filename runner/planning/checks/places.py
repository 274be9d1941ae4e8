"""The network a machine stands in, where the account has to have one: only machines with such a place are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from runner.cloud_api.environment import NotThere, PlaceRules
from runner.cloud_api.models import Offer, Placement
from runner.clouds.registry import find_cloud
from runner.errors import AccessDeniedError, CloudError, NoCapacityError, NoPlaceError
from runner.planning.checks.asking import NoAnswerError
from runner.planning.checks.line import Check, not_asked, passed, skipped, warned
from runner.planning.choose import Choice
from runner.planning.ends import BudgetError
from runner.planning.estimate.fit import DoesNotFitError
from runner.planning.market import Market

PLACE = "network"
SHOWN = 3
"""Reasons that a line names at most."""
FINE = Placement()

AskPlaces = Callable[[Sequence[Offer]], Mapping[Offer, Placement]]
"""Asks the cloud whether the account has a place for each of these machines."""
ChooseAmong = Callable[[Sequence[Offer]], Choice]


class Placed(NamedTuple):
    """The machines to try, all with a place as far as that is known, and the line about it."""

    choice: Choice
    checks: list[Check]


def choose_placed(name: str, market: Market, choose: ChooseAmong, ask: AskPlaces) -> Placed:
    """Choose among the machines that the account has a place for; regions are asked about as they are chosen.

    Args:
        name: The cloud.
        market: The available machines.
        choose: Chooses among machines.
        ask: Asks the cloud.

    Raises:
        NoPlaceError: If there is no place for any machine that would do.
        NoCapacityError: As ``choose``, and whatever else it raises.
    """
    rules = find_cloud(name).places
    if isinstance(rules, NotThere):
        return Placed(choose(market.offers), [])
    if market.account is None:
        return Placed(choose(market.offers), [skipped(PLACE, "needs the cloud key")])
    known: dict[Offer, Placement] = {}
    asked: set[str] = set()
    left_out: list[str] = []
    while True:
        offers = [offer for offer in market.offers if not known.get(offer, FINE).obstacle]
        choice = _choose(choose, offers, left_out, rules)
        new = {one.offer.region for one in choice.chosen} - asked
        if not new:
            return Placed(choice, [_line(choice, known, left_out, rules)])
        asked |= new
        try:
            known |= ask([offer for offer in offers if offer.region in new])
        except AccessDeniedError as err:
            return Placed(choice, [warned(PLACE, f"may not be asked: {err.message}", rules.allow_reading)])
        except (CloudError, NoAnswerError) as err:
            return Placed(choice, [not_asked(PLACE, err.message)])
        left_out += [known[one.offer].obstacle for one in choice.chosen if known.get(one.offer, FINE).obstacle]


def _choose(choose: ChooseAmong, offers: Sequence[Offer], left_out: Sequence[str], rules: PlaceRules) -> Choice:
    """Choose; where nothing is left of what would do, its place is what was missing."""
    try:
        return choose(offers)
    except (NoCapacityError, DoesNotFitError, BudgetError) as err:
        if not left_out:
            raise
        raise NoPlaceError(f"plan: {_reasons(left_out)}", resolution=rules.give_one) from err


def _line(choice: Choice, known: Mapping[Offer, Placement], left_out: Sequence[str], rules: PlaceRules) -> Check:
    if left_out:
        return warned(PLACE, f"{_reasons(left_out)}; other machines are tried", rules.give_one)
    remarks = [known[one.offer].remark for one in choice.chosen if known.get(one.offer, FINE).remark]
    if remarks:
        return warned(PLACE, _reasons(remarks), rules.reach_it)
    return passed(PLACE, "there is one for each machine to try")


def _reasons(words: Sequence[str]) -> str:
    return "; ".join(list(dict.fromkeys(words))[:SHOWN])
