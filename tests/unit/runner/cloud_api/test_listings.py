"""A part of an account that cannot be read is reported, and hides nothing of the other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from runner.cloud_api.listings import gather, judged, price_or_none
from runner.cloud_api.models import Listing, Resource
from runner.errors import AccessDeniedError, CloudError, CloudUnavailableError, UnreadableAnswerError
from tests.unit.runner.fake_cloud import thing

DENIED = AccessDeniedError("lambda: cannot list the SSH keys", resolution="allow it", status=403)
ODD = UnreadableAnswerError("lambda: cannot list the machines", resolution="look", status=200)
BROKEN = CloudUnavailableError("lambda: cannot list the machines", resolution="wait", status=500)
SILENT = CloudUnavailableError("lambda: no answer", resolution="wait")
ONE, TWO = thing(resource_id="i-1"), thing(resource_id="i-2")


def listed(*found: object, unread: CloudError | None = None) -> Callable[[], Listing]:
    return lambda: Listing(list(found), [unread] if unread else [])  # type: ignore[arg-type]


def failing(err: CloudError) -> Callable[[], Listing]:
    def list_part() -> Listing:
        raise err

    return list_part


def never() -> Listing:
    raise AssertionError("this part must not be asked for")


def test_all_parts_count_in_their_order() -> None:
    assert gather([listed(ONE), listed(), listed(TWO)]) == Listing([ONE, TWO], [])


def test_a_part_that_fails_stands_beside_the_others() -> None:
    found = gather([failing(DENIED), listed(ONE, unread=ODD), failing(BROKEN), listed(TWO)])

    assert found == Listing([ONE, TWO], [DENIED, ODD, BROKEN])


def test_nothing_there_in_the_only_part_that_could_be_read_is_a_listing() -> None:
    assert gather([failing(DENIED), listed()]) == Listing([], [DENIED])


def test_an_account_of_which_no_part_can_be_read_is_the_first_parts_error() -> None:
    with pytest.raises(AccessDeniedError):
        gather([failing(DENIED), failing(BROKEN)])


def test_a_server_that_is_silent_is_not_asked_on() -> None:
    assert gather([listed(ONE), failing(SILENT), never], one_server=True) == Listing([ONE], [SILENT])


def test_a_server_that_answers_with_its_own_trouble_is_asked_on() -> None:
    assert gather([failing(BROKEN), listed(ONE)], one_server=True) == Listing([ONE], [BROKEN])


def test_a_silent_server_hides_nothing_of_another() -> None:
    assert gather([failing(SILENT), listed(ONE)]) == Listing([ONE], [SILENT])


def test_whole_is_all_or_an_error() -> None:
    assert Listing([ONE]).whole() == [ONE]
    with pytest.raises(UnreadableAnswerError):
        Listing([ONE], [ODD, DENIED]).whole()


def test_an_entry_that_cannot_be_read_hides_no_other() -> None:
    def judge(entry: str) -> Resource | None:
        if entry == "odd":
            raise ODD
        return ONE if entry == "ours" else None

    assert judged(["theirs", "odd", "ours"], judge) == Listing([ONE], [ODD])


def test_a_list_that_breaks_off_keeps_what_came_before() -> None:
    def entries() -> Iterator[Resource]:
        yield ONE
        raise BROKEN

    assert judged(entries(), lambda entry: entry) == Listing([ONE], [BROKEN])


def test_a_list_that_breaks_off_before_its_first_entry_is_no_listing() -> None:
    def entries() -> Iterator[Resource]:
        yield from ()
        raise BROKEN

    with pytest.raises(CloudUnavailableError):
        judged(entries(), lambda entry: entry)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.01, 10**400, True, "1", None])
def test_what_no_machine_can_cost_is_no_price(value: object) -> None:
    assert price_or_none(value) is None


@pytest.mark.parametrize("value", [0, 0.5, 3, 1e300])
def test_a_price_is_a_finite_number_of_dollars(value: float) -> None:
    assert price_or_none(value) == value
