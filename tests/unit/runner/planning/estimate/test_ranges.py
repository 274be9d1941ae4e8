import pytest

from runner.planning.estimate.ranges import NOTHING, Range, between, exactly, total


def test_ends_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="do not rise"):
        Range(2.0, 1.0, 3.0)


def test_the_highest_speed_takes_the_least_time() -> None:
    assert Range(10.0, 20.0, 50.0).into(100.0) == Range(2.0, 5.0, 10.0)


def test_sums_add_what_is_low_to_what_is_low() -> None:
    assert total([Range(1.0, 2.0, 3.0), exactly(1.0), NOTHING]) == Range(2.0, 3.0, 4.0)


def test_between_two_ends_the_geometric_mean_is_expected() -> None:
    assert between(1.0, 100.0) == Range(1.0, 10.0, 100.0)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.1, 3.3, 1e-12, 123456.789])
def test_between_a_value_and_itself_is_that_value(value: float) -> None:
    assert between(value, value) == Range(value, value, value)


def test_plain_data_has_more_decimals_than_are_shown() -> None:
    """0.09499 with four decimals is 0.095, which is shown as 0.10: a cent more than it is."""
    assert Range(0.123456789, 1.0, 2.0).to_mapping() == {"low": 0.1234568, "expected": 1.0, "high": 2.0}
    assert f"{Range(0.09499, 1.0, 2.0).to_mapping()['low']:.2f}" == "0.09"
