import pytest

from runner.errors import UsageError
from runner.planning.estimate.cost import (
    BILLING_UNITS_S,
    SPOT_INTERRUPTIONS_PER_H,
    Billing,
    Spot,
    cost_of,
    lost_seconds,
)
from runner.planning.estimate.duration import PHASES, Durations
from runner.planning.estimate.ranges import NOTHING, Range, exactly

SECONDS = {phase: exactly(0.0) for phase in PHASES} | {
    "boot": Range(100.0, 200.0, 300.0),
    "environment": Range(100.0, 200.0, 300.0),
    "train": Range(3400.0, 6800.0, 10200.0),
}
DURATIONS = Durations(SECONDS, exactly(1.0), SECONDS, exactly(1.0), ())


def test_a_phase_costs_its_seconds_times_the_price() -> None:
    cost = cost_of(DURATIONS, Billing(price_usd_per_h=3.6))

    assert cost.usd["train"].expected == pytest.approx(6.8)
    assert cost.total_usd.expected == pytest.approx(7.2)
    assert (cost.total_usd.low, cost.total_usd.high) == (pytest.approx(3.6), pytest.approx(10.8))


@pytest.mark.parametrize(
    ("unit", "seconds", "billed_s"),
    [
        ("second", 61.5, 62.0),
        ("minute", 61.5, 120.0),
        ("minute", 120.0, 120.0),
        ("hour", 61.5, 3600.0),
        ("hour", 3600.0, 3600.0),
        ("hour", 3601.0, 7200.0),
    ],
)
def test_a_begun_unit_is_billed_whole(unit: str, seconds: float, billed_s: float) -> None:
    assert Billing(1.0, unit_s=BILLING_UNITS_S[unit]).billed_s(seconds) == billed_s


def test_a_minimum_is_billed_at_least() -> None:
    assert Billing(1.0, minimum_s=600.0).billed_s(30.0) == 600.0


def test_what_is_paid_for_and_not_used_is_shown() -> None:
    cost = cost_of(DURATIONS, Billing(price_usd_per_h=3.6, unit_s=3600.0))

    assert cost.billed_s == Range(3600.0, 7200.0, 10800.0)
    assert cost.extras_usd["rounding"] == NOTHING
    assert cost_of(DURATIONS, Billing(3.6, minimum_s=8000.0)).extras_usd["rounding"].expected == pytest.approx(0.8)


def test_what_is_expected_of_the_parts_adds_up_to_the_total() -> None:
    billing = Billing(
        2.5, unit_s=3600.0, disk_size_gib=100, disk_usd_per_gib_month=0.08, egress_usd_per_gib=0.09, is_spot=True
    )
    cost = cost_of(DURATIONS, billing, egress_bytes=2**31, spot=Spot(600.0, exactly(0.05)))
    parts = [*cost.usd.values(), *cost.extras_usd.values()]

    assert sum(part.expected for part in parts) == pytest.approx(cost.total_usd.expected)


def test_disk_is_paid_by_the_month_and_egress_by_what_leaves() -> None:
    billing = Billing(0.0, disk_size_gib=730.0, disk_usd_per_gib_month=0.1, egress_usd_per_gib=0.09)
    cost = cost_of(DURATIONS, billing, egress_bytes=10 * 2**30)

    assert cost.extras_usd["disk"].expected == pytest.approx(0.1 * 2)  # two hours
    assert cost.extras_usd["egress"].expected == pytest.approx(0.9)


def test_an_interruption_costs_half_an_interval_and_a_new_machine() -> None:
    lost = lost_seconds(DURATIONS, Spot(checkpoint_interval_s=600.0, interruptions_per_h=exactly(0.5)))

    assert lost.expected == pytest.approx(0.5 * 6800 / 3600 * (400 + 300))


def test_no_more_is_lost_than_was_trained() -> None:
    lost = lost_seconds(DURATIONS, Spot(checkpoint_interval_s=1e9, interruptions_per_h=exactly(1.0)))

    assert lost.low == pytest.approx(3400 / 3600 * (200 + 3400))


def test_spot_machines_pay_the_tax_and_others_do_not() -> None:
    spot, other = (
        cost_of(DURATIONS, Billing(3.6, is_spot=is_spot), spot=Spot(600.0, exactly(0.5))) for is_spot in (True, False)
    )

    assert spot.extras_usd["interruptions"].expected > 0
    assert other.extras_usd["interruptions"] == NOTHING
    assert spot.total_usd.expected > other.total_usd.expected


def test_the_usual_rate_of_interruptions_is_five_to_twenty_percent_a_month() -> None:
    assert SPOT_INTERRUPTIONS_PER_H.low * 730 == pytest.approx(0.0513, abs=1e-4)
    assert SPOT_INTERRUPTIONS_PER_H.high * 730 == pytest.approx(0.2231, abs=1e-4)


def test_a_spot_machine_without_checkpoints_is_refused() -> None:
    with pytest.raises(UsageError, match="a spot machine without checkpoints"):
        cost_of(DURATIONS, Billing(1.0, is_spot=True))


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_usd_per_h": -1.0},
        {"price_usd_per_h": 1.0, "unit_s": 0.0},
        {"price_usd_per_h": 1.0, "minimum_s": -1.0},
        {"price_usd_per_h": 1.0, "disk_size_gib": -1.0},
        {"price_usd_per_h": 1.0, "egress_usd_per_gib": -0.1},
    ],
)
def test_a_bill_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="not a valid way of billing"):
        Billing(**wrong)


def test_plain_data_reports_phases_extras_and_the_total() -> None:
    told = cost_of(DURATIONS, Billing(3.6)).to_mapping()

    assert list(told["usd_by_phase"]) == list(PHASES)
    assert list(told["extras_usd"]) == ["disk", "egress", "rounding", "interruptions"]
    assert told["total_usd"] == {"low": 3.6, "expected": 7.2, "high": 10.8}
