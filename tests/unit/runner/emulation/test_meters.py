from __future__ import annotations

import pytest

from runner.emulation.meters import Meter, per_hour_of_month
from runner.emulation.pace import TokenBucket, runpod_windows, window_headers


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


def test_bucket_lets_one_by_in_each_interval() -> None:
    bucket = TokenBucket(12.0)

    taken = [bucket.take(at) for at in (0.0, 1.0, 11.0, 12.0, 12.1)]

    assert taken == [True, False, False, True, False]


def test_bucket_forgives_the_jitter_of_the_network() -> None:
    bucket = TokenBucket(1.0)
    assert bucket.take(0.0)

    assert bucket.take(0.97)


def test_bucket_without_interval_has_no_limit() -> None:
    bucket = TokenBucket(0.0)

    assert all(bucket.take(0.0) for _ in range(100))


def test_windows_tell_what_is_left_and_when_they_begin_anew() -> None:
    windows = runpod_windows(2)
    within = [[window.count(at) for window in windows] for at in (0.0, 1.0, 30.0)]

    assert [all(counts) for counts in within] == [True, True, False]
    assert window_headers(windows, 30.0) == {
        "RateLimit-Policy": '"minute";q=2;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400',
        "RateLimit": '"minute";r=0;t=30, "hour";r=2997;t=3570, "day";r=49997;t=86370',
    }
    assert windows[0].count(60.0)
