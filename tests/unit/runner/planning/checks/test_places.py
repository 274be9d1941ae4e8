"""The network for a machine: what has none is not tried, and the plan says so before anything is rented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import pytest

from runner.cloud_api.environment import NotThere, PlaceRules
from runner.cloud_api.models import Account, Offer, Placement
from runner.clouds.registry import find_cloud
from runner.errors import AccessDeniedError, CloudUnavailableError, NoCapacityError, RunnerError
from runner.planning.checks.asking import NoAnswerError
from runner.planning.checks.line import Check, refusal
from runner.planning.checks.machines import choose_checked
from runner.planning.checks.places import AskPlaces, Placed, choose_placed
from runner.planning.choose import Choice, choose
from runner.planning.market import Market
from runner.run.run_file import RunFile

NO_VPC = Placement(obstacle="the account has no default VPC there")
RUN_FILE = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "aws"}})
OFFERS = [
    Offer("g5.xlarge", region, False, price, "A10G", 1, 24.0)
    for region, price in [*((f"us-east-{n}", 1.0) for n in range(1, 5)), ("eu-west-1", 2.0)]
] + [Offer("g6.xlarge", f"us-east-{n}", False, 1.1, "L4", 1, 24.0) for n in range(1, 5)]
MARKET = Market(OFFERS, Account("aws", "me"))


def rules() -> PlaceRules:
    found = find_cloud("aws").places
    assert not isinstance(found, NotThere)
    return found


def choose_among(offers: Sequence[Offer]) -> Choice:
    return choose(RUN_FILE, offers, None, disk_needed_gib=1.0)


def placed(ask: AskPlaces, market: Market = MARKET) -> Placed:
    return choose_placed("aws", market, choose_among, ask)


def answering(judge: Callable[[Offer], Placement]) -> tuple[AskPlaces, list[set[str]]]:
    """Return what answers, and the regions that it was asked about, question by question."""
    asked: list[set[str]] = []

    def ask(offers: Sequence[Offer]) -> dict[Offer, Placement]:
        asked.append({offer.region for offer in offers})
        return {offer: judge(offer) for offer in offers}

    return ask, asked


def test_machines_that_all_have_a_place_pass() -> None:
    found = placed(answering(lambda _: Placement())[0])

    assert found.checks == [Check("network", "pass", "there is one for each machine to try")]
    assert len(found.choice.chosen) == 8


def test_what_has_no_place_is_replaced_by_what_has_one_and_each_region_is_asked_about_once() -> None:
    ask, asked = answering(lambda offer: Placement() if offer.region == "eu-west-1" else NO_VPC)

    choice, (line,) = placed(ask)

    assert [one.offer.region for one in choice.chosen] == ["eu-west-1"]
    assert (line.status, line.remedy) == ("warn", rules().give_one)
    assert line.value == "the account has no default VPC there; other machines are tried"
    assert sum(len(regions) for regions in asked) == len(set.union(*asked)) == 5


def test_a_run_that_has_no_place_anywhere_is_refused_with_status_2_and_what_to_set() -> None:
    ask, _ = answering(lambda _: NO_VPC)

    choice, found = choose_checked(RUN_FILE, MARKET, choose_among, date(2026, 11, 28), lambda _: {}, ask)

    (line,) = [line for line in found if line.status == "fail"]
    assert (choice, line.name, line.value) == (None, "network", NO_VPC.obstacle)
    refused = refusal(found)
    assert refused is not None
    assert (refused.exit_code, refused.resolution) == (2, rules().give_one)
    assert "compute.aws.subnet_id" in rules().give_one


def test_a_machine_that_would_not_do_anyway_is_not_refused_for_its_place() -> None:
    with pytest.raises(NoCapacityError, match="none of the 0 machines"):
        placed(answering(lambda _: NO_VPC)[0], Market([], Account("aws", "me")))


def test_a_place_that_is_remarked_upon_is_a_warning() -> None:
    _, (line,) = placed(answering(lambda _: Placement(remark="subnet-1 gives no public address"))[0])

    assert line == Check("network", "warn", "subnet-1 gives no public address", rules().reach_it)


@pytest.mark.parametrize(
    ("err", "value", "remedy"),
    [
        (AccessDeniedError("no", resolution="-"), "may not be asked: no", rules().allow_reading),
        (CloudUnavailableError("down", resolution="-"), "could not be asked: down", None),
        (NoAnswerError("no answer within 10 s", resolution="-"), "could not be asked: no answer within 10 s", None),
    ],
)
def test_who_cannot_look_warns_and_goes_on(err: RunnerError, value: str, remedy: str | None) -> None:
    def ask(offers: Sequence[Offer]) -> dict[Offer, Placement]:
        raise err

    choice, (line,) = placed(ask)

    assert len(choice.chosen) == 8
    assert (line.status, line.value) == ("warn", value)
    assert remedy in (None, line.remedy)


def test_nobody_is_asked_without_a_key_or_where_no_network_is_needed() -> None:
    ask, asked = answering(lambda _: NO_VPC)

    assert placed(ask, Market(OFFERS)).checks == [Check("network", "skip", "needs the cloud key")]
    assert choose_placed("lambda", MARKET, choose_among, ask).checks == []
    assert asked == []
