"""The mark on what is created: names that say whose a machine is, and when its lease runs out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runner.cloud_api.labels import (
    EXPIRES_TAG,
    PREFIX,
    RUN_TAG,
    belongs_to,
    expiry_mark,
    expiry_of,
    leased_name,
    odd_expiry_of,
    resource_name,
    run_of,
    without_lease,
)

RUN_ID = "20261121-073000-tiny-k3v9"
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("beyond_s", [0, 1, 59])
def test_a_name_holds_the_first_minute_that_is_not_before_the_deadline(beyond_s: int) -> None:
    minute = int(AT.timestamp()) // 60 + (1 if beyond_s else 0)
    name = leased_name(RUN_ID, AT + timedelta(seconds=beyond_s))
    assert name is not None
    plain, _, deadline = name.rpartition("--")
    assert (plain, int(deadline, 36)) == (f"douse-{RUN_ID}", minute)


def test_a_run_id_is_never_cut_for_a_deadline() -> None:
    fits = leased_name("2" * 51, AT)
    assert fits is not None
    assert len(fits) == 64
    assert leased_name("2" * 52, AT) is None


OLD = f"20261121-073000-{'a' * 40}"
"""As long as an older version's ids were, but for a second run of one second (``-2``), and a tenth (``-10``)."""


@pytest.mark.parametrize("run_id", [RUN_ID, OLD, f"{OLD}-2", f"{OLD}-10"])
@pytest.mark.parametrize("tags", [{}, {RUN_TAG: "the run"}], ids=["by name", "by tag"])
def test_a_resource_is_found_by_the_name_that_it_was_given(run_id: str, tags: dict[str, str]) -> None:
    name, marks = resource_name(run_id), dict.fromkeys(tags, run_id)
    assert belongs_to(run_id, run_of(name, marks), name)


@pytest.mark.parametrize(
    ("run_id", "other"),
    [
        ("20261121-073000-tiny", "20261121-073000-tiny-2"),
        ("20261121-073000-tiny", "20261121-073000-tiny-k3v9"),
        ("20261121-073000-tiny-aaaa", "20261121-073000-tiny-aaab"),
        (OLD, f"{OLD}-2"),
        (f"{OLD}-10", f"{OLD}-11"),
    ],
)
def test_an_id_that_begins_like_another_is_another_run(run_id: str, other: str) -> None:
    for ours, theirs in ((run_id, other), (other, run_id)):
        assert not belongs_to(ours, run_of(resource_name(theirs), {RUN_TAG: theirs}), resource_name(theirs))


def test_what_has_our_name_and_no_id_that_can_be_read_is_of_the_run_of_that_name() -> None:
    assert belongs_to("odd", None, f"{PREFIX}odd")
    assert not belongs_to("odd", None, f"{PREFIX}odd-2")


@pytest.mark.parametrize("tags", [{}, {RUN_TAG: RUN_ID}], ids=["by name", "by tag"])
def test_run_and_deadline_are_read_from_one_name(tags: dict[str, str]) -> None:
    name = leased_name(RUN_ID, AT)
    assert name is not None
    plain, lease_until = without_lease(name, tags)
    assert (run_of(plain, tags), lease_until) == (RUN_ID, AT)
    assert belongs_to(RUN_ID, run_of(plain, tags), plain)


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        (f"douse-{RUN_ID}", {}),
        ("mine--htb80", {}),
        ("douse-20261121-073000-a--hello", {RUN_TAG: "20261121-073000-a--hello"}),
        (f"douse-{RUN_ID}--htb80", {RUN_TAG: "20261121-073000-other-k3v9"}),
        (f"douse-{RUN_ID}--HTB80", {}),
        (f"douse-{RUN_ID}--htb80\n", {}),
    ],
)
def test_a_name_that_holds_no_lease_stays_whole(name: str, tags: dict[str, str]) -> None:
    assert without_lease(name, tags) == (name, None)


def test_an_end_is_marked_as_it_is_read_again() -> None:
    assert expiry_of({EXPIRES_TAG: expiry_mark("2026-11-21T12:00:00Z")}) == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert expiry_mark("2026-11-21T12:00:00Z") == "20261121t120000z"


@pytest.mark.parametrize("text", ["20261121t120000z", "2026-11-21T12:00:00Z"], ids=["now", "older versions"])
def test_both_forms_of_an_end_are_read(text: str) -> None:
    assert (expiry_of({EXPIRES_TAG: text}), odd_expiry_of({EXPIRES_TAG: text})) == (AT, None)


@pytest.mark.parametrize("text", ["", "soon", "2026-11-21", "20261121t120000", "99999999t999999z"])
def test_an_end_that_cannot_be_read_is_not_none_at_all(text: str) -> None:
    assert (expiry_of({EXPIRES_TAG: text}), odd_expiry_of({EXPIRES_TAG: text})) == (None, text)
    assert (expiry_of({}), odd_expiry_of({})) == (None, None)
