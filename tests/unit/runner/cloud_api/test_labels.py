"""The mark on what is created: names that say whose a machine is, and when its lease runs out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runner.cloud_api.labels import leased_name

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
