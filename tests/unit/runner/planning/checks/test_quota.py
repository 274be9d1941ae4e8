"""The account's quota, against the processors of the machines to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from runner.cloud_api.models import Account, Offer, Quota
from runner.errors import AccessDeniedError, CloudUnavailableError, RunnerError
from runner.planning.candidates import Wanted, choose_offers
from runner.planning.checks.asking import NoAnswerError
from runner.planning.checks.line import Check
from runner.planning.checks.quota import REMEDY, REMEDY_FIRST, AskQuotas, check_quota
from runner.planning.market import Market
from runner.prices.refresh import listed_offers

RAISE_IT = "ask for more in the console (Service Quotas, EC2)"
HINT, HINT_FIRST = REMEDY.format(raise_it=RAISE_IT), REMEDY_FIRST.format(raise_it=RAISE_IT)
MARKET = Market(listed_offers("aws"), Account("aws", "test"))
Vcpus = Mapping[tuple[str, str], float]
"""By the family's letter and the region."""
LARGE = Wanted(instance_types=("g7e.2xlarge", "g7e.4xlarge", "p5.4xlarge"), regions=("us-east-1",))
"""What a run of 70 billion weights tries: 8, 16 and 16 vCPUs."""


def telling(vcpus: Vcpus) -> AskQuotas:
    def ask(offers: Sequence[Offer]) -> dict[Offer, Quota]:
        places = {offer: (offer.instance_type[0], offer.region) for offer in offers}
        return {offer: Quota(place[0], place[1], vcpus[place]) for offer, place in places.items() if place in vcpus}

    return ask


def failing(err: RunnerError) -> AskQuotas:
    def ask(offers: Sequence[Offer]) -> dict[Offer, Quota]:
        raise err

    return ask


def check(ask: AskQuotas, wanted: Wanted = LARGE, *, name: str = "aws", market: Market = MARKET) -> Check:
    (line,) = check_quota(name, market, choose_offers(MARKET.offers, wanted), ask)
    return line


def small(g_vcpus: float, p_vcpus: float) -> AskQuotas:
    return telling({("g", "us-east-1"): g_vcpus, ("p", "us-east-1"): p_vcpus})


def test_a_quota_for_smaller_machines_than_those_to_try_fails() -> None:
    words = (
        "4 vCPUs of g in us-east-1, g7e.2xlarge has 8; 4 vCPUs of g in us-east-1, g7e.4xlarge has 16; "
        "0 vCPUs of p in us-east-1, p5.4xlarge has 16"
    )

    assert check(small(4, 0)) == Check("quota", "fail", words, HINT)


def test_a_quota_that_is_just_enough_for_the_first_machine_passes() -> None:
    assert check(small(7, 0)).status == "fail"
    assert check(small(8, 0)) == Check(
        "quota", "pass", "8 vCPUs of g in us-east-1, enough for g7e.2xlarge (1 of the 3 machines to try)"
    )
    assert check(small(16, 16)) == Check("quota", "pass", "16 vCPUs of g in us-east-1, enough for g7e.2xlarge")


def test_a_first_machine_that_may_not_be_rented_is_a_warning_that_names_the_later_one_that_may() -> None:
    line = check(small(0, 16))

    assert (line.status, line.remedy) == ("warn", HINT_FIRST)
    assert line.value.endswith("; there is enough for p5.4xlarge in us-east-1, which is tried later")


def test_a_quota_counts_in_every_region_of_the_machines_to_try() -> None:
    wanted = Wanted(instance_types=("g5.xlarge",))
    places = [one.region for one in choose_offers(MARKET.offers, wanted)]
    nothing = {("g", region): 0.0 for region in places}

    assert len(set(places)) == len(places) == 8
    assert check(telling(nothing), wanted).status == "fail"
    line = check(telling(nothing | {("g", places[-1]): 64.0}), wanted)
    assert line.status == "warn"
    assert line.value.endswith(f"; there is enough for g5.xlarge in {places[-1]}, which is tried later")


def test_machines_of_which_nothing_is_reported_may_have_enough() -> None:
    line = check(telling({("g", "us-east-1"): 0.0}))

    assert (line.status, line.remedy) == ("warn", HINT)
    assert line.value.endswith("; aws does not report the others")
    assert check(telling({})) == Check("quota", "skip", "aws does not report it")


def test_a_key_that_may_not_ask_is_a_warning_with_the_right_that_is_missing() -> None:
    line = check(failing(AccessDeniedError("aws: cannot read quota", resolution="-")))

    assert (line.status, line.remedy) == ("warn", "allow servicequotas:GetServiceQuota in IAM")
    assert line.value == "may not be asked: aws: cannot read quota"


@pytest.mark.parametrize("kind", [CloudUnavailableError, NoAnswerError])
def test_a_cloud_that_does_not_answer_is_a_warning(kind: type[RunnerError]) -> None:
    line = check(failing(kind("no answer", resolution="-")))

    assert (line.status, line.value) == ("warn", "could not be asked: no answer")


def test_who_is_not_asked_reports_no_quota() -> None:
    ask = failing(RunnerError("must not be asked", resolution="-"))

    assert check(ask, market=Market(MARKET.offers, remark="aws cannot be reached")).status == "skip"
    for name in ("lambda", "runpod"):
        assert check(ask, name=name) == Check("quota", "skip", f"{name} does not report it")
