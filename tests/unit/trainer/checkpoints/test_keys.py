"""Which credentials serve on a machine that has rights of its own: what was brought, as long as it lasts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from trainer.checkpoints.keys import ENDS_AT, keys_that_serve

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
KEYS = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "AWS_SESSION_TOKEN": "c",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@pytest.mark.parametrize("ends_at", ["2026-11-30T12:01:01+00:00", "2026-11-30T12:02:00", "2026-11-30T14:01:01+02:00"])
def test_what_was_brought_serves_as_long_as_it_lasts(ends_at: str) -> None:
    brought = {**KEYS, ENDS_AT: ends_at}

    assert keys_that_serve(brought, NOW) == brought


@pytest.mark.parametrize("ends_at", ["2026-11-30T12:01:00+00:00", "2026-11-30T12:00:00", "2026-11-29T12:00:00+00:00"])
def test_after_their_end_and_shortly_before_nothing_is_left_but_the_region(ends_at: str) -> None:
    assert keys_that_serve({**KEYS, ENDS_AT: ends_at}, NOW) == {"AWS_DEFAULT_REGION": "eu-west-1"}


@pytest.mark.parametrize("more", [{}, {ENDS_AT: "soon"}])
def test_keys_without_an_end_that_can_be_read_serve_on(more: dict[str, str]) -> None:
    assert keys_that_serve(KEYS | more, NOW) == KEYS | more
