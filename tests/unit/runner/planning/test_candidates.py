import pytest

from runner.cloud_api.models import Offer, Trust
from runner.errors import NoCapacityError, UsageError
from runner.planning.candidates import Barred, Expected, Wanted, WholeRun, choose_offers, planned, where_wanted
from runner.run.planned import PlannedMachine


def offer(
    instance_type: str = "small",
    region: str = "here",
    *,
    price: float = 1.0,
    spot: bool = False,
    memory: float = 24.0,
    disk: float | None = None,
    available: bool | None = True,
    trust: Trust = "secure",
    gpus: int = 1,
) -> Offer:
    return Offer(instance_type, region, spot, price, "A10", gpus, memory, None, disk, available, trust)


def choose_machines(
    offers: list[Offer], wanted: Wanted, expected: Expected | None = None, barred: Barred | None = None
) -> list[PlannedMachine]:
    return [planned(one, offers, wanted) for one in choose_offers(offers, wanted, expected, barred)]


def names(candidates: list[PlannedMachine]) -> list[str]:
    return [f"{candidate.instance_type}/{candidate.region}" for candidate in candidates]


def test_the_cheapest_goes_first_when_the_run_file_names_nothing() -> None:
    offers = [offer("dear", price=3), offer("cheap", price=1), offer("middle", price=2)]
    assert names(choose_machines(offers, Wanted())) == ["cheap/here", "middle/here", "dear/here"]


def test_the_run_files_order_goes_before_the_price() -> None:
    offers = [offer("cheap", price=1), offer("dear", price=3), offer("other", price=0.1)]
    found = choose_machines(offers, Wanted(instance_types=("dear", "cheap")))
    assert names(found) == ["dear/here", "cheap/here"]


def test_what_can_be_had_goes_before_what_nobody_knows_about() -> None:
    offers = [offer("unknown", price=1, available=None), offer("known", price=2, available=True)]
    assert names(choose_machines(offers, Wanted())) == ["known/here", "unknown/here"]


def test_what_is_to_be_last_goes_after_what_costs_more_and_may_be_gone_but_not_after_a_less_wanted_type() -> None:
    offers = [offer("last", price=1), offer("dear", price=9, available=None)]

    def order(*types: str) -> list[str]:
        chosen = choose_offers(offers, Wanted(types), is_last=lambda one: one.instance_type == "last")
        return [one.instance_type for one in chosen]

    assert order() == ["dear", "last"]
    assert order("last", "dear") == ["last", "dear"]


def test_the_wanted_type_goes_before_another_that_is_known_to_be_there() -> None:
    offers = [offer("first", available=None), offer("second", available=True)]
    found = choose_machines(offers, Wanted(instance_types=("first", "second")))
    assert names(found) == ["first/here", "second/here"]


def test_the_run_files_regions_decide_between_equal_prices() -> None:
    offers = [offer(region="a"), offer(region="b"), offer(region="c")]
    assert names(choose_machines(offers, Wanted(regions=("b", "a")))) == ["small/b", "small/a"]


def test_a_cheaper_region_goes_before_a_more_wanted_one() -> None:
    offers = [offer(region="a", price=2), offer(region="b", price=1)]
    assert names(choose_machines(offers, Wanted(regions=("a", "b")))) == ["small/b", "small/a"]


def test_what_is_not_to_be_had_is_left_out() -> None:
    offers = [offer("gone", price=1, available=False), offer("there", price=2)]
    assert names(choose_machines(offers, Wanted())) == ["there/here"]


def test_too_little_gpu_memory_is_left_out_and_exactly_enough_is_not() -> None:
    offers = [offer("less", memory=23.9), offer("enough", memory=24)]
    assert names(choose_machines(offers, Wanted(gpu_memory_gib=24))) == ["enough/here"]


def test_a_fixed_disk_that_is_too_small_is_left_out_and_a_chosen_one_is_not() -> None:
    offers = [offer("tiny", disk=50), offer("big", disk=500), offer("chosen", disk=None)]
    assert names(choose_machines(offers, Wanted(disk_size_gib=100))) == ["big/here", "chosen/here"]


def test_too_dear_a_machine_is_left_out_and_one_at_the_limit_is_not() -> None:
    offers = [offer("limit", price=2.0), offer("over", price=2.01)]
    assert names(choose_machines(offers, Wanted(max_price_usd_per_h=2.0))) == ["limit/here"]


def test_spot_is_left_out_unless_it_is_enabled() -> None:
    offers = [offer(price=0.3, spot=True), offer(price=1.0)]
    assert [found.spot for found in choose_machines(offers, Wanted())] == [False]
    assert [found.spot for found in choose_machines(offers, Wanted(spot_enabled=True))] == [True, False]


def test_strangers_machines_are_left_out_unless_any_will_do() -> None:
    offers = [offer(price=0.3, trust="community"), offer(price=1.0)]
    assert [found.trust for found in choose_machines(offers, Wanted())] == ["secure"]
    assert [found.trust for found in choose_machines(offers, Wanted(trust="any"))] == ["community", "secure"]


def test_a_machine_with_several_gpus_is_left_out_unless_it_is_named() -> None:
    """A run uses one of them, and all are paid for."""
    offers = [offer("four", price=0.5, gpus=4), offer("one", price=1.0)]
    assert names(choose_machines(offers, Wanted())) == ["one/here"]
    assert names(choose_machines(offers, Wanted(instance_types=("four",)))) == ["four/here"]


def test_a_strangers_machine_says_so_to_terraform() -> None:
    (found,) = choose_machines([offer(trust="community")], Wanted(trust="any"))
    assert found.to_variable()["trust"] == "community"


def test_a_strangers_spot_machine_may_cost_what_it_costs_there_without_spot() -> None:
    offers = [offer(price=0.2, spot=True, trust="community"), offer(price=0.5, trust="community"), offer(price=1.0)]
    spot, *_ = choose_machines(offers, Wanted(spot_enabled=True, trust="any"))
    assert (spot.price_usd_per_h, spot.max_price_usd_per_h) == (0.2, 0.5)


def test_the_whole_runs_dollars_go_before_the_price_of_an_hour() -> None:
    whole = {"slow": WholeRun(2.0, 4.0), "fast": WholeRun(1.0, 0.5)}
    offers = [offer("slow", price=0.5), offer("fast", price=2)]
    found = choose_machines(offers, Wanted(), lambda one: whole[one.instance_type])
    assert names(found) == ["fast/here", "slow/here"]


def test_at_the_same_dollars_the_one_that_is_over_first_is_tried_first() -> None:
    whole = {"slow": WholeRun(1.001, 4.0), "fast": WholeRun(1.004, 0.5), "middle": WholeRun(1.0, 1.0)}
    offers = [offer("slow", price=0.25), offer("middle", price=1), offer("fast", price=2)]
    found = choose_machines(offers, Wanted(), lambda one: whole[one.instance_type])
    assert names(found) == ["fast/here", "middle/here", "slow/here"]


def test_at_the_same_dollars_and_hours_the_price_of_an_hour_decides_and_then_the_region() -> None:
    offers = [offer("dear", "b", price=2), offer("cheap", "a"), offer("cheap", "b")]
    found = choose_machines(offers, Wanted(regions=("b", "a")), lambda one: WholeRun(1.0, 1.0))
    assert names(found) == ["cheap/b", "cheap/a", "dear/b"]


def test_the_run_files_price_is_the_ceiling() -> None:
    (found,) = choose_machines([offer(price=1)], Wanted(max_price_usd_per_h=2.5))
    assert (found.price_usd_per_h, found.max_price_usd_per_h) == (1, 2.5)


def test_without_a_price_nobody_pays_more_than_what_the_machine_costs_now() -> None:
    (found,) = choose_machines([offer(price=1.29)], Wanted())
    assert found.max_price_usd_per_h == 1.29


def test_without_a_price_a_spot_machine_may_cost_what_it_costs_without_spot() -> None:
    offers = [
        offer(price=0.3, spot=True),
        offer(price=1.0),
        offer(price=9.0, region="elsewhere"),
        offer("other", price=7.0),
    ]
    spot, *_ = choose_machines(offers, Wanted(spot_enabled=True, instance_types=("small",)))
    assert (spot.price_usd_per_h, spot.max_price_usd_per_h) == (0.3, 1.0)


def test_a_spot_machine_that_is_not_sold_otherwise_may_cost_what_it_costs_now() -> None:
    (found,) = choose_machines([offer(price=0.3, spot=True)], Wanted(spot_enabled=True))
    assert found.max_price_usd_per_h == 0.3


def test_no_more_than_eight_are_tried() -> None:
    found = choose_machines([offer(f"n{number}", price=number) for number in range(1, 20)], Wanted())
    assert [candidate.instance_type for candidate in found] == [f"n{number}" for number in range(1, 9)]


def test_a_candidate_gives_terraform_the_contracts_four_keys() -> None:
    (found,) = choose_machines([offer(price=1.29)], Wanted())
    assert found.to_variable() == {
        "instance_type": "small",
        "region": "here",
        "spot": False,
        "max_price_usd_per_h": 1.29,
    }


def test_a_name_that_nobody_has_is_refused_with_close_ones() -> None:
    offers = [offer("gpu_1x_a10"), offer("gpu_1x_a100"), offer("gpu_8x_h100_sxm5")]
    with pytest.raises(UsageError) as refused:
        choose_machines(offers, Wanted(instance_types=("gpu_1x_a10", "gpu_1x_A1O0")))
    assert "gpu_1x_A1O0" in refused.value.message
    assert "gpu_1x_a100" in refused.value.resolution
    assert "gpu_8x_h100_sxm5" not in refused.value.resolution


def test_a_name_unlike_any_other_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError) as refused:
        choose_machines([offer("gpu_1x_a10")], Wanted(instance_types=("zzz",)))
    assert "there is gpu_1x_a10" in refused.value.resolution


def test_with_nothing_listed_there_is_no_capacity_rather_than_a_wrong_name() -> None:
    with pytest.raises(NoCapacityError):
        choose_machines([], Wanted(instance_types=("gpu_1x_a10",)))


@pytest.mark.parametrize(
    ("missing", "wanted", "reason"),
    [
        (offer(price=3), Wanted(max_price_usd_per_h=2), "too dear: at most $2 an hour"),
        (offer(region="there"), Wanted(regions=("here",)), "not in here"),
        (offer(available=False), Wanted(), "none available now"),
        (offer(memory=16), Wanted(gpu_memory_gib=24), "16 GiB of GPU memory, 24 needed"),
        (offer(disk=20), Wanted(disk_size_gib=60), "20 GiB of disk, 60 needed"),
        (offer(spot=True), Wanted(), "a spot machine, and spot is not enabled"),
        (offer(trust="community"), Wanted(), "a community machine, and compute.trust is secure"),
        (
            offer(gpus=2),
            Wanted(),
            "2 GPUs, and a run uses one of them: name it in compute.instance_types to pay for all",
        ),
    ],
)
def test_a_near_miss_is_reported_with_its_reason(missing: Offer, wanted: Wanted, reason: str) -> None:
    with pytest.raises(NoCapacityError) as refused:
        choose_machines([missing], wanted)
    assert refused.value.details is not None
    assert refused.value.details.endswith(f": {reason}")


def test_the_nearest_misses_come_first_and_are_few() -> None:
    far = [offer(f"far{number}", price=9, memory=8, available=False) for number in range(9)]
    near = offer("near", price=9)
    with pytest.raises(NoCapacityError) as refused:
        choose_machines([*far, near], Wanted(max_price_usd_per_h=1, gpu_memory_gib=24))
    lines = (refused.value.details or "").splitlines()
    assert lines[0] == "near in here, $9 an hour: too dear: at most $1 an hour"
    assert len(lines) == 5


def test_misses_of_a_wanted_type_come_before_cheaper_ones_of_another() -> None:
    offers = [offer("other", price=0.1), offer("wanted", price=3, available=False)]
    with pytest.raises(NoCapacityError) as refused:
        choose_machines(offers, Wanted(instance_types=("wanted",)))
    assert (refused.value.details or "").startswith("wanted in here")


def test_what_a_run_may_wait_for_goes_after_what_can_be_had_and_what_may() -> None:
    offers = [offer("none", price=1, available=False), offer("maybe", price=2, available=None), offer("now", price=3)]

    assert names(choose_machines(offers, Wanted())) == ["now/here", "maybe/here"]
    assert names(choose_machines(offers, Wanted(waits=True))) == ["now/here", "maybe/here", "none/here"]


def test_a_run_that_waits_asks_also_where_a_machine_is_not_listed_now() -> None:
    said, not_said = offer("said", "there", available=True), offer("not said", "there", available=None)

    def added(*regions: str, waits: bool = True) -> list[tuple[str, str, bool | None]]:
        offers = where_wanted([said, not_said], Wanted(regions=regions, waits=waits))
        return [(one.instance_type, one.region, one.available) for one in offers[2:]]

    assert added("here", "there") == [("said", "here", False)]
    assert added() == [("said", "any", False)]
    assert added("here", waits=False) == []
