from __future__ import annotations

import pytest

from runner.emulation.meters import Meter, per_hour_of_month


def test_meter_bills_from_start_to_end_and_not_after() -> None:
    meter = Meter(started_at=1000.0, usd_per_h=3.6)

    meter.stop(1100.0)
    meter.stop(9000.0)

    assert meter.billed_usd(9000.0) == pytest.approx(0.1)
    assert not meter.is_billing


def test_meter_goes_on_at_another_price() -> None:
    meter = Meter(started_at=0.0, usd_per_h=2.0)

    meter.change(1800.0, 0.5)

    assert meter.billed_usd(1800.0) == pytest.approx(1.0)
    assert meter.billed_usd(5400.0) == pytest.approx(1.5)
    assert meter.is_billing


def test_meter_that_has_ended_stays_as_it_is() -> None:
    meter = Meter(started_at=0.0, usd_per_h=2.0)
    meter.stop(3600.0)

    meter.change(7200.0, 100.0)

    assert meter.billed_usd(99999.0) == pytest.approx(2.0)


def test_price_of_a_month_is_spread_over_its_hours() -> None:
    assert per_hour_of_month(73.0) == pytest.approx(0.1)


def test_a_course_has_the_last_new_price_and_the_end() -> None:
    meter = Meter(1000.0, 3.6)
    meter.change(1100.0, 7.2)
    meter.stop(1200.0)

    assert [at for at, _ in meter.course(9999.0)] == [1000.0, 1100.0, 1200.0]
    assert [round(usd, 9) for _, usd in meter.course(9999.0)] == [0.0, 0.1, 0.3]
    assert Meter(0.0, 3.6).course(10.0)[-1] == (10.0, 0.01)
