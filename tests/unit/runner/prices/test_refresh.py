import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.cloud_api.environment import PriceRules
from runner.cloud_api.models import Offer
from runner.clouds.registry import CLOUDS, gpuhunt_names
from runner.errors import CloudUnavailableError, UnreadableAnswerError, UsageError
from runner.planning.candidates import Wanted, choose_offers
from runner.prices import refresh as module
from runner.prices.price_list import ListedPrice, all_prices, price_list, write_price_list
from runner.prices.refresh import Refreshed, listed_offers, split_by_list, stale_prices

TODAY = date(2026, 11, 21)
EARLIER = date(2026, 9, 20)
KINDS = 10


def refresh(cloud: str, offers: Sequence[Offer], today: date, **more: Any) -> Refreshed:
    """Refresh a list by the rules of its cloud, as the verb does."""
    record = CLOUDS.get(cloud.removesuffix("-community"))
    return module.refresh(cloud, offers, today, PriceRules() if record is None else record.prices, **more)


def gpuhunt_offers(cloud: str) -> list[Offer]:
    return module.gpuhunt_offers(cloud, gpuhunt_names())


def row(cloud: str, number: int, region: str) -> ListedPrice:
    return ListedPrice(
        instance_type=f"gpu_{number}",
        region=region,
        gpu_name="A10",
        gpu_count=1,
        gpu_memory_gib=24.0,
        memory_gib=226.0,
        price_usd_per_h=1.0 + number,
        as_of=EARLIER,
        source="https://example.test",
        provider=cloud,
        cpu_count=30,
        disk_price_usd_per_gb_month=0.1,
        billing_unit="minute",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with ten on-demand prices of each cloud, all of an earlier day."""
    for cloud, region in (("aws", "us-east-1"), ("lambda", "any"), ("runpod", "any")):
        write_price_list(cloud, [row(cloud, number, region) for number in range(KINDS)], tmp_path)
    yield tmp_path
    price_list.cache_clear()
    all_prices.cache_clear()


def relisted(cloud: str, folder: Path, **changes: Any) -> list[Offer]:
    """Return what the cloud would list if only that had changed since."""
    return [replace(offer, **changes) for offer in listed_offers(cloud, folder)]


@pytest.mark.parametrize("cloud", ["aws", "lambda", "runpod"])
def test_the_list_serves_as_offers_without_a_network(cloud: str) -> None:
    offers = listed_offers(cloud)
    assert [offer.price_usd_per_h for offer in offers] == sorted(offer.price_usd_per_h for offer in offers)
    assert all(offer.available is None for offer in offers)
    assert choose_offers(offers, Wanted(gpu_memory_gib=40))


def test_stale_prices_are_reported_the_oldest_first(folder: Path) -> None:
    fresh, old = replace(row("lambda", 1, "any"), as_of=TODAY), replace(row("lambda", 2, "any"), as_of=date(2026, 1, 1))
    write_price_list("lambda", [fresh, row("lambda", 0, "any"), old], folder)

    assert [found.instance_type for found in stale_prices("lambda", TODAY, folder)] == ["gpu_2", "gpu_0"]
    assert stale_prices("lambda", date(2026, 1, 31), folder) == []


def test_a_refresh_gives_new_prices_and_a_new_day_and_keeps_what_the_cloud_does_not_say(folder: Path) -> None:
    done = refresh("lambda", relisted("lambda", folder, price_usd_per_h=9.5, memory_gib=None), TODAY, folder=folder)

    assert done == Refreshed("lambda", folder / "lambda.csv", rows_before=KINDS, rows_after=KINDS, kept=0)
    assert price_list("lambda", folder)[0] == replace(
        row("lambda", 0, "any"), price_usd_per_h=9.5, as_of=TODAY, source="lambda's own API, asked by Douse"
    )


def test_a_second_refresh_on_the_same_day_changes_nothing(folder: Path) -> None:
    refresh("runpod", relisted("runpod", folder), TODAY, folder=folder)
    once = (folder / "runpod.csv").read_bytes()

    refresh("runpod", relisted("runpod", folder), TODAY, folder=folder)

    assert (folder / "runpod.csv").read_bytes() == once


def test_one_price_in_every_region_is_kept_as_one_row(folder: Path) -> None:
    offers = [offer for region in ("us-east-1", "us-west-2") for offer in relisted("lambda", folder, region=region)]

    refresh("lambda", offers, TODAY, folder=folder)

    assert [found.region for found in price_list("lambda", folder)] == ["any"] * KINDS


def test_regions_with_prices_of_their_own_keep_them(folder: Path) -> None:
    first, *others = relisted("lambda", folder)
    apart = [replace(first, region="us-east-1"), replace(first, region="us-west-2", price_usd_per_h=1.5)]

    refresh("lambda", [*others, *apart], TODAY, folder=folder)

    found = {found.region: found for found in price_list("lambda", folder) if found.instance_type == "gpu_0"}
    assert {region: found.price_usd_per_h for region, found in found.items()} == {"us-east-1": 1.0, "us-west-2": 1.5}
    assert found["us-west-2"].disk_price_usd_per_gb_month == 0.1


def test_where_regions_matter_a_single_one_is_not_taken_for_all(folder: Path) -> None:
    refresh("aws", relisted("aws", folder), TODAY, source="elsewhere", folder=folder)

    assert {found.region for found in price_list("aws", folder)} == {"us-east-1"}


def test_of_two_prices_of_the_same_thing_the_dearer_counts(folder: Path) -> None:
    dear, cheap = (relisted("lambda", folder, price_usd_per_h=price) for price in (7.0, 3.0))

    refresh("lambda", [*dear, *cheap], TODAY, folder=folder)

    assert {found.price_usd_per_h for found in price_list("lambda", folder)} == {7.0}


@pytest.mark.parametrize("left", [0, 4])
def test_an_empty_or_much_smaller_listing_does_not_replace_the_list(folder: Path, left: int) -> None:
    before = (folder / "lambda.csv").read_bytes()

    with pytest.raises(UnreadableAnswerError, match=f"has {left} on-demand prices, its price list has 10"):
        refresh("lambda", relisted("lambda", folder)[:left], TODAY, folder=folder)

    assert (folder / "lambda.csv").read_bytes() == before


def test_half_of_the_list_is_enough(folder: Path) -> None:
    assert refresh("lambda", relisted("lambda", folder)[:5], TODAY, folder=folder).rows_after == 5


def test_spot_prices_do_not_make_up_for_lost_prices_on_demand(folder: Path) -> None:
    with pytest.raises(UnreadableAnswerError, match="has 0 on-demand prices"):
        refresh("runpod", relisted("runpod", folder, spot=True), TODAY, folder=folder)


def test_lost_spot_prices_are_refused_too(folder: Path) -> None:
    on_demand = relisted("runpod", folder)
    refresh("runpod", [*on_demand, *relisted("runpod", folder, spot=True)], TODAY, folder=folder)

    with pytest.raises(UnreadableAnswerError, match="has 0 spot prices, its price list has 10"):
        refresh("runpod", on_demand, TODAY, folder=folder)


def test_spot_prices_come_back_as_spot_offers(folder: Path) -> None:
    spot = relisted("runpod", folder, spot=True, price_usd_per_h=0.2)

    refresh("runpod", [*relisted("runpod", folder), *spot], TODAY, folder=folder)

    found = [offer for offer in listed_offers("runpod", folder) if offer.spot]
    assert [offer.price_usd_per_h for offer in found] == [0.2] * KINDS
    assert not any(found.spot for found in price_list("runpod", folder))


@pytest.mark.parametrize("price_usd_per_h", [0.0, -1.0, float("nan"), float("inf")])
def test_offers_without_a_price_are_left_out(folder: Path, price_usd_per_h: float) -> None:
    offers = relisted("lambda", folder)
    extra = replace(offers[0], instance_type="gpu_free", price_usd_per_h=price_usd_per_h)

    refresh("lambda", [*offers, extra], TODAY, folder=folder)

    assert "gpu_free" not in {found.instance_type for found in price_list("lambda", folder)}


def test_the_day_of_a_price_of_aws_is_not_renewed_by_our_own_list(folder: Path) -> None:
    """Where AWS tells no on-demand price its offers carry ours, and asking again must not make them look new."""
    before = price_list("aws", folder)
    spot = Offer("gpu_3", "us-east-1", True, 0.41, "A10", 1, 24.0)

    done = refresh("aws", [*relisted("aws", folder), spot], TODAY, folder=folder)

    assert (done.rows_before, done.rows_after, done.kept) == (KINDS, KINDS + 1, KINDS)
    assert price_list("aws", folder) == before
    (new,) = (found for found in all_prices("aws", folder) if found.spot)
    assert (new.price_usd_per_h, new.as_of, new.cpu_count, new.memory_gib) == (0.41, TODAY, 30, 226.0)
    assert (new.disk_price_usd_per_gb_month, new.billing_unit) == (0.1, "minute")


def test_prices_that_aws_reports_replace_ours_and_the_others_keep_their_day(folder: Path) -> None:
    fresh = replace(relisted("aws", folder)[3], is_price_dated=False, disk_price_usd_per_gb_month=0.12)
    others = [offer for offer in relisted("aws", folder) if offer.instance_type != fresh.instance_type]

    done = refresh("aws", [*others, replace(fresh, price_usd_per_h=9.5)], TODAY, folder=folder)

    assert (done.rows_before, done.rows_after, done.kept) == (KINDS, KINDS, KINDS - 1)
    new = {found.instance_type: found for found in price_list("aws", folder)}[fresh.instance_type]
    assert (new.price_usd_per_h, new.as_of, new.disk_price_usd_per_gb_month) == (9.5, TODAY, 0.12)
    assert {found.as_of for found in price_list("aws", folder) if found != new} == {EARLIER}


def test_a_listing_of_aws_without_spot_prices_is_refused(folder: Path) -> None:
    with pytest.raises(UnreadableAnswerError, match="the new listing of aws is empty"):
        refresh("aws", relisted("aws", folder), TODAY, folder=folder)


def test_prices_of_aws_from_elsewhere_are_taken_with_their_source(folder: Path) -> None:
    refresh("aws", relisted("aws", folder), TODAY, source="gpuhunt's catalogue", folder=folder)

    assert {(found.as_of, found.source) for found in price_list("aws", folder)} == {(TODAY, "gpuhunt's catalogue")}


def test_a_cloud_without_a_list_gets_one(folder: Path) -> None:
    done = refresh("another", relisted("lambda", folder), TODAY, folder=folder)

    assert (done.rows_before, done.rows_after) == (0, KINDS)
    assert price_list("another", folder)[0].billing_unit is None


class Vendor(Enum):
    NVIDIA = "nvidia"
    AMD = "amd"


class Processor(Enum):
    X86 = "x86"
    ARM = "arm"


@dataclass(frozen=True)
class Item:
    """What gpuhunt's ``CatalogItem`` has, as far as it is read."""

    instance_name: str
    location: str = "us-east-1"
    price: float = 1.006
    memory: float = 16.0
    gpu_count: int = 1
    gpu_name: str | None = "A10G"
    gpu_memory: float | None = 24.0
    spot: bool = False
    disk_size: float | None = None
    gpu_vendor: Vendor = Vendor.NVIDIA
    cpu_arch: Processor = Processor.X86


class GPUHuntError(Exception):
    pass


def test_gpuhunt_is_asked_by_its_own_name_of_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def query(**filters: Any) -> list[Item]:
        asked.append(filters)
        return [
            Item("g5.xlarge"),
            Item("g5.xlarge", spot=True, price=0.4),
            Item("g4ad.xlarge", gpu_vendor=Vendor.AMD),
            Item("g5g.xlarge", cpu_arch=Processor.ARM),
            Item("dl1.24xlarge", gpu_name=None),
        ]

    monkeypatch.setitem(sys.modules, "gpuhunt", SimpleNamespace(query=query, GPUHuntError=GPUHuntError))

    assert gpuhunt_offers("aws") == [
        Offer("g5.xlarge", "us-east-1", False, 1.006, "A10G", 1, 24.0, 16.0),
        Offer("g5.xlarge", "us-east-1", True, 0.4, "A10G", 1, 24.0, 16.0),
    ]
    gpuhunt_offers("lambda")
    assert [filters["provider"] for filters in asked] == ["aws", "lambdalabs"]


def test_without_gpuhunt_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpuhunt", None)

    with pytest.raises(UsageError, match="gpuhunt is not installed") as caught:
        gpuhunt_offers("aws")

    assert "install the package gpuhunt" in caught.value.resolution


def test_a_cloud_whose_machines_gpuhunt_names_otherwise_is_refused() -> None:
    with pytest.raises(UsageError, match="gpuhunt has no list of vastai"):
        gpuhunt_offers("vastai")


@pytest.mark.parametrize("error", [GPUHuntError("no network"), ConnectionRefusedError("no network")])
def test_a_catalogue_that_cannot_be_fetched_is_reported(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def query(**filters: Any) -> list[Item]:
        raise error

    monkeypatch.setitem(sys.modules, "gpuhunt", SimpleNamespace(query=query, GPUHuntError=GPUHuntError))

    with pytest.raises(CloudUnavailableError, match="cannot be fetched"):
        gpuhunt_offers("aws")


def test_strangers_machines_go_into_a_list_of_their_own(folder: Path) -> None:
    own, strangers = relisted("runpod", folder), relisted("runpod", folder, trust="community", price_usd_per_h=0.3)

    assert split_by_list("runpod", [*own, *strangers]) == {"runpod": own, "runpod-community": strangers}
    assert split_by_list("lambda", own) == {"lambda": own}


def test_the_list_of_strangers_machines_says_so() -> None:
    assert {offer.trust for offer in listed_offers("runpod-community")} == {"community"}
    assert {offer.trust for offer in listed_offers("runpod")} == {"secure"}
