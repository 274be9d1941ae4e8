"""The account's quota, against the processors of the machines that would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from runner.clouds.models import Cloud, Offer, Quota
from runner.config import ComputeSection
from runner.errors import AccessDeniedError, AccountError, CloudUnavailableError, RunnerError
from runner.preflight.check import Check
from runner.preflight.quota import REMEDY, check_quota, machines_to_ask_for
from tests.unit.runner.fake_cloud import FakeCloud

HERE = ComputeSection(env="aws", regions=["us-east-1"])


@dataclass
class Limited(FakeCloud):
    """An account with so many vCPUs of each family."""

    g_vcpus: float | None = 0.0
    p_vcpus: float | None = 0.0
    trouble: RunnerError | None = None

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        if self.trouble is not None:
            raise self.trouble
        vcpus = {"g": self.g_vcpus, "p": self.p_vcpus}
        found = {offer: vcpus[offer.instance_type[0]] for offer in offers}
        return {offer: Quota(offer.instance_type[0], offer.region, n) for offer, n in found.items() if n is not None}


def check(cloud: FakeCloud, compute: ComputeSection = HERE, *, name: str = "aws", is_reached: bool = True) -> Check:
    def opened(name: str, environ: Mapping[str, str]) -> Cloud:
        return cloud

    def reached(address: str, environ: Mapping[str, str]) -> bool:
        return is_reached

    (line,) = check_quota(name, compute, {}, open_account=opened, is_reachable=reached)
    return line


def test_a_quota_of_nothing_for_every_family_fails() -> None:
    words = "0 vCPUs of g in us-east-1, g4dn.xlarge has 4; 0 vCPUs of p in us-east-1, p3.2xlarge has 8"

    assert check(Limited()) == Check("quota", "fail", words, REMEDY)


def test_a_quota_that_is_too_small_fails_and_one_that_is_just_enough_does_not() -> None:
    assert check(Limited(g_vcpus=3, p_vcpus=7)).status == "fail"
    assert check(Limited(g_vcpus=4, p_vcpus=8)) == Check(
        "quota", "pass", "4 vCPUs of g in us-east-1, enough for g4dn.xlarge"
    )


def test_one_family_without_a_quota_is_a_warning() -> None:
    line = check(Limited(g_vcpus=0, p_vcpus=96))

    assert (line.status, line.remedy) == ("warn", REMEDY)
    assert line.value == "0 vCPUs of g in us-east-1, g4dn.xlarge has 4; there is enough for p3.2xlarge"


def test_families_of_which_nothing_is_told_may_have_enough() -> None:
    assert check(Limited(g_vcpus=0, p_vcpus=None)).status == "warn"
    assert check(Limited(g_vcpus=None, p_vcpus=None)) == Check("quota", "skip", "aws does not tell")


def test_a_key_that_may_not_ask_is_a_warning_with_the_right_that_is_missing() -> None:
    line = check(Limited(trouble=AccessDeniedError("aws: cannot read quota", resolution="-")))

    assert (line.status, line.remedy) == ("warn", "allow servicequotas:GetServiceQuota in IAM")
    assert line.value == "may not be asked: aws: cannot read quota"


def test_a_cloud_that_does_not_answer_is_a_warning() -> None:
    assert check(Limited(trouble=CloudUnavailableError("aws: no answer", resolution="-"))).status == "warn"
    assert check(Limited(), is_reached=False).value == "could not be asked: aws cannot be reached"


@pytest.mark.parametrize("name", ["lambda", "runpod"])
def test_clouds_that_tell_no_quota_are_not_asked(name: str) -> None:
    trouble = AccountError("must not be asked", resolution="-")

    assert check(Limited(trouble=trouble), name=name) == Check("quota", "skip", f"{name} does not tell")


def test_the_cheapest_places_of_each_family_are_asked_for() -> None:
    found = machines_to_ask_for("aws", ComputeSection(env="aws"), {})

    places = [(offer.instance_type[0], offer.region) for offer in found]
    assert [family for family, _ in places].count("g") == [family for family, _ in places].count("p") == 4
    assert len(set(places)) == 8
    assert not any(offer.spot for offer in found)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"instance_types": ["g5.2xlarge"], "regions": ["us-east-1"]}, {"g5.2xlarge": 8}),
        ({"regions": ["us-east-1"], "max_price_usd_per_h": 1.0}, {"g4dn.xlarge": 4}),
        ({"regions": ["us-east-1"], "min_gpu_memory_gib": 80.0}, {"p5.4xlarge": 16}),
    ],
)
def test_only_machines_that_would_do_are_asked_for(asked: dict[str, object], expected: dict[str, int]) -> None:
    found = machines_to_ask_for("aws", ComputeSection(env="aws", **asked), {})  # type: ignore[arg-type]

    assert expected.items() <= {offer.instance_type: count for offer, count in found.items()}.items()


def test_spot_machines_have_a_quota_of_their_own_and_the_regions_are_bounded() -> None:
    compute = ComputeSection(env="aws", spot_enabled=True, instance_types=["g5.xlarge"])

    found = machines_to_ask_for("aws", compute, {"DOUSE_AWS_REGIONS": "eu-west-1, us-west-2"})

    assert {(offer.region, offer.spot) for offer in found} == {
        (region, spot) for region in ("eu-west-1", "us-west-2") for spot in (False, True)
    }


def test_where_no_machine_would_do_there_is_nothing_to_ask() -> None:
    line = check(Limited(), ComputeSection(env="aws", regions=["moon-west-1"]))

    assert line == Check("quota", "skip", "no listed machine is what section compute asks for")
