from __future__ import annotations

from runner.emulation.pace import TokenBucket, Window, window_headers


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


def test_windows_report_what_is_left_and_when_they_begin_anew() -> None:
    windows = [Window("minute", 2, 60), Window("hour", 3000, 3600), Window("day", 50000, 86400)]
    within = [[window.count(at) for window in windows] for at in (0.0, 1.0, 30.0)]

    assert [all(counts) for counts in within] == [True, True, False]
    assert window_headers(windows, 30.0) == {
        "RateLimit-Policy": '"minute";q=2;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400',
        "RateLimit": '"minute";r=0;t=30, "hour";r=2997;t=3570, "day";r=49997;t=86370',
    }
    assert windows[0].count(60.0)
