"""AWS on paper, on which lives are simulated, held to moto: what our client sees of the same calls is the same.

Both benches are driven by our own client: by boto3 over a socket to the emulated AWS of a rehearsal, and by the
stand-in of boto3 to the account in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from runner.cloud_api.models import Offer, Resource
from runner.clouds.aws.api import AwsCloud
from runner.clouds.aws.emulator.seed import OTHER_ACCESS_KEY_ID
from runner.clouds.aws.simulated.session import PAGED
from runner.errors import CloudError
from tests.contract.aws_benches import KEY, NAME, REGION, Bench, OnMoto, OnPaper, launch, material
from tests.unit.runner.clouds.aws.emulator.test_app import AwsLab, lab

__all__ = ["lab"]

pytestmark = pytest.mark.enable_socket


def seen(bench: Bench, cloud: AwsCloud | None = None) -> object:
    """Return what our client lists, without the ids and addresses that differ."""
    try:
        listing = (cloud or bench.ours()).listing()
    except CloudError as err:
        return said(err)
    rows = [
        (one.kind, one.status, one.name == NAME, one.run_id, one.expires_at, one.address is None, one.price_usd_per_h,
         None if one.disk_usd_per_h is None else round(one.disk_usd_per_h, 9))
        for one in listing.resources
    ]  # fmt: skip
    return sorted(map(repr, rows)), [said(err) for err in listing.unread]


def said(err: CloudError) -> tuple[str, str | None]:
    return type(err).__name__, err.code


def tried(what: Callable[[], object]) -> object:
    """Return what comes of a call: the class and code of its failure, else nothing."""
    try:
        what()
    except CloudError as err:
        return said(err)
    except ClientError as err:
        return err.response["Error"]["Code"], err.response["ResponseMetadata"]["HTTPStatusCode"]
    except BotoCoreError as err:
        return type(err).__name__
    return None


def ours(bench: Bench, kind: str) -> Resource:
    return next(one for one in bench.ours().listing().resources if one.kind == kind)


def a_machine_from_its_launch_to_its_end(bench: Bench) -> Iterator[object]:
    yield seen(bench)
    launch(bench)
    yield seen(bench)
    bench.wait(2.0)
    yield seen(bench)
    group, disk = ours(bench, "security_group"), ours(bench, "volume")
    yield tried(lambda: bench.ours().end(disk))
    machine = ours(bench, "instance")
    yield tried(lambda: bench.ours().end(machine))
    yield seen(bench)
    bench.wait(5.0)
    yield seen(bench)
    yield [tried(lambda kind=kind: bench.ours().end(ours(bench, kind))) for kind in ("security_group", "key")]  # type: ignore[misc]
    yield seen(bench)
    yield tried(lambda: bench.ours().end(group))


def what_is_there_already_or_is_not(bench: Bench) -> Iterator[object]:
    launch(bench)
    ec2, one = bench.raw(), "i-0123456789abcdef0"
    yield tried(lambda: ec2.import_key_pair(KeyName=NAME, PublicKeyMaterial=material(bench)))
    yield tried(lambda: ec2.create_security_group(GroupName=NAME, Description="d"))
    yield tried(lambda: ec2.describe_instances(InstanceIds=[one]))
    yield tried(lambda: ec2.terminate_instances(InstanceIds=[one]))
    yield tried(lambda: ec2.describe_key_pairs(KeyNames=["no"]))
    yield tried(lambda: ec2.describe_security_groups(GroupIds=["sg-0123456789abcdef0"]))
    yield tried(lambda: ec2.delete_security_group(GroupId="sg-0123456789abcdef0"))
    yield tried(lambda: ec2.delete_key_pair(KeyName="no"))
    yield tried(lambda: ec2.delete_volume(VolumeId="vol-0123456789abcdef0"))
    yield tried(lambda: ec2.release_address(AllocationId="eipalloc-0123456789abcdef0"))


def a_repeated_launch(bench: Bench) -> Iterator[object]:
    yield launch(bench, ClientToken="one") == launch(bench, ClientToken="one")
    yield seen(bench)


def a_machine_that_may_be_reclaimed(bench: Bench) -> Iterator[object]:
    market = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "5.0"}}
    launch(bench, InstanceMarketOptions=market)
    bench.wait(2.0)
    yield seen(bench)
    yield tried(lambda: launch(bench, InstanceMarketOptions={**market, "SpotOptions": {"MaxPrice": "0.01"}}))


def keys(bench: Bench) -> Iterator[object]:
    launch(bench)
    for key in (KEY, OTHER_ACCESS_KEY_ID, "AKIASOMEBODYELSE0000"):
        yield seen(bench, bench.ours(key))
        yield tried(lambda key=key: bench.ours(key).account())  # type: ignore[misc]
        yield tried(lambda key=key: bench.ours(key).offers())  # type: ignore[misc]
    yield bench.ours().account().label, bench.ours(OTHER_ACCESS_KEY_ID).account().label


def pages(bench: Bench) -> Iterator[object]:
    for _ in range(5):
        launch(bench)
    yield seen(bench)
    bench.fault("listing_pages", "always")
    yield seen(bench)
    bench.fault("listing_partial_page")
    yield seen(bench)


LIVES = (a_machine_from_its_launch_to_its_end, what_is_there_already_or_is_not, a_repeated_launch,
         a_machine_that_may_be_reclaimed, keys, pages)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 repeat without waiting."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)


@pytest.fixture
def benches(lab: AwsLab, tmp_path: Path) -> Iterator[tuple[Bench, Bench]]:
    paper = OnPaper(tmp_path)
    yield OnMoto(lab), paper
    paper.close()


@pytest.mark.parametrize("life", LIVES)
def test_our_client_sees_the_same(benches: tuple[Bench, Bench], life: Callable[[Bench], Iterator[object]]) -> None:
    on_moto, on_paper = (list(life(bench)) for bench in benches)

    assert on_paper == on_moto


@pytest.mark.parametrize(
    "name", ["launch_rate_limited", "key_invalid", "key_forbidden", "quota_exceeded", "no_capacity"]
)
def test_a_launch_is_refused_alike(benches: tuple[Bench, Bench], name: str) -> None:
    for bench in benches:
        bench.fault(name)

    on_moto, on_paper = ((tried(lambda bench=bench: launch(bench)), seen(bench)) for bench in benches)  # type: ignore[misc]

    assert on_paper == on_moto
    assert on_paper[0] is not None


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("listing_500", 1),
        ("listing_500", "always"),
        ("listing_empty_body", "always"),
        ("listing_schema_changed", "always"),
        ("terminate_500", "always"),
        ("terminate_rate_limited", "always"),
        ("terminate_ignored", 1),
        ("terminate_slow", 1),
        ("already_gone", 1),
        ("stopped_disk_bills", 1),
        ("leftover_key", 1),
    ],
)
def test_an_end_and_a_list_go_wrong_alike(benches: tuple[Bench, Bench], name: str, count: int | str) -> None:
    check_alike(benches, name, count)


def test_a_cloud_that_is_down_says_the_same(benches: tuple[Bench, Bench]) -> None:
    check_alike(benches, "api_down", 1, seconds=600.0)


def check_alike(benches: tuple[Bench, Bench], name: str, count: int | str, **arguments: float) -> None:
    """Assert that our client sees the same of a fault on both."""

    def life(bench: Bench) -> Iterator[object]:
        launch(bench)
        machine, key = ours(bench, "instance"), ours(bench, "key")
        bench.wait(2.0)
        bench.fault(name, count, **arguments)
        yield seen(bench)
        yield tried(lambda: bench.ours().end(machine))
        yield tried(lambda: bench.ours().end(key))
        bench.wait(3.0)
        yield seen(bench)

    on_moto, on_paper = (list(life(bench)) for bench in benches)

    assert on_paper == on_moto


@pytest.mark.parametrize("name", ["listing_lags", "leftover_volume", "leftover_address", "launch_500_after_create"])
def test_a_machine_is_born_alike(benches: tuple[Bench, Bench], name: str) -> None:
    def life(bench: Bench) -> Iterator[object]:
        bench.fault(name)
        yield tried(lambda: launch(bench))
        yield seen(bench)
        bench.wait(600.0)
        yield seen(bench)
        yield tried(lambda: bench.ours().end(ours(bench, "instance")))
        bench.wait(2.0)
        for kind in ("volume", "address", "security_group", "key"):
            found = [one for one in bench.ours().listing().resources if one.kind == kind]
            yield [tried(lambda one=one: bench.ours().end(one)) for one in found]  # type: ignore[misc]
        yield seen(bench)

    on_moto, on_paper = (list(life(bench)) for bench in benches)

    assert on_paper == on_moto


def test_a_group_that_a_machine_holds_stays_until_it_is_gone(benches: tuple[Bench, Bench]) -> None:
    _, on_paper = benches  # moto lets it go, EC2's reference does not: DependencyViolation
    launch(on_paper)
    group, machine = ours(on_paper, "security_group"), ours(on_paper, "instance")

    held = tried(lambda: on_paper.ours().end(group))
    on_paper.ours().end(machine)
    on_paper.wait(2.0)

    assert held == ("CloudUnavailableError", "DependencyViolation")
    assert tried(lambda: on_paper.ours().end(group)) is None


def test_the_machines_on_offer_are_those_of_moto(benches: tuple[Bench, Bench]) -> None:
    on_moto, on_paper = (bench.ours().offers() for bench in benches)

    def facts(offer: Offer) -> tuple[object, ...]:
        return (offer.instance_type, offer.spot, offer.gpu_name, offer.gpu_count, offer.gpu_memory_gib,
                offer.memory_gib, offer.price_usd_per_h, offer.disk_price_usd_per_gb_month)  # fmt: skip

    known = {offer.instance_type for offer in on_paper}
    assert {facts(one) for one in on_paper} == {facts(one) for one in on_moto if one.instance_type in known}
    assert len(on_paper) == 20


def test_botocore_follows_the_pages_of_the_same_operations() -> None:
    clients = {
        name: boto3.client(name, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
        for name in ("ec2", "pricing", "scheduler", "sts", "ce")
    }
    with_pages = {
        name for client in clients.values() for name in client.meta.method_to_api_mapping if client.can_paginate(name)
    }
    asked = {
        "describe_regions", "describe_addresses", "describe_key_pairs", "get_caller_identity", "get_cost_and_usage",
    }  # fmt: skip

    assert with_pages >= PAGED
    assert not with_pages & asked
