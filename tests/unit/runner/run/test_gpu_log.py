"""What of a machine's log of its GPUs is believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.run import gpu_log as module
from runner.run.gpu_log import GpuReading, joined, read_looks

GPU = {"utilisation_percent": 97, "memory_gib": 3.0, "temperature_c": 61, "power_w": 250.0, "ecc_errors": 0}


def line(second: int = 0, **changed: Any) -> bytes:
    look = {"time": f"2026-11-29T12:00:{second:02}.000+00:00", "gpus": [GPU], "xids": []}
    return json.dumps({**look, **changed}).encode() + b"\n"


def test_a_look_is_read() -> None:
    (look,) = read_looks(line(5, xids=[79]))

    assert look.at == datetime(2026, 11, 29, 12, 0, 5, tzinfo=UTC)
    assert look.gpus == (GpuReading(97.0, 3.0, 61.0, 250.0, 0.0),)
    assert look.xids == (79,)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"{}\n",
        b"no JSON\n",
        b'{"time": "2026-11-29T12:00:00+00:00"',
        line(gpus={}),
        line(time="today"),
        line(time="0001-01-01T00:00:00+23:00"),
        line(more="x" * module.LONGEST_LINE),
    ],
)
def test_a_line_that_is_no_look_is_passed_over(given: bytes) -> None:
    assert [look.at.second for look in read_looks(given + b"\n" + line(7))] == [7]


@pytest.mark.parametrize("value", [None, "97", -1, True, 1e300, [97], 10**400])
def test_a_number_that_can_be_none_is_unknown(value: Any) -> None:
    (look,) = read_looks(line(gpus=[{**GPU, "temperature_c": value}]))

    assert look.gpus[0].temperature_c is None
    assert look.gpus[0].power_w == 250.0


def test_more_than_a_machine_can_have_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    (look,) = read_looks(line(gpus=[{}] * 40, xids=list(range(40))))
    assert (len(look.gpus), len(look.xids or ())) == (module.MOST_GPUS, module.MOST_XIDS)

    monkeypatch.setattr(module, "MOST_LOOKS", 3)
    assert len(read_looks(line() * 10)) == 3


def test_xids_that_are_none_are_left_out_and_not_seen_is_not_none() -> None:
    assert [look.xids for look in read_looks(line(xids=["79", True, -1, 79, 79]) + line(1, xids=None))] == [(79,), None]


def test_a_second_collect_repeats_nothing_and_the_next_machine_s_looks_stand_behind() -> None:
    first, thinned, second = line(0) + line(5) + line(10), line(0) + line(10), line(30)
    home = joined(b"", first)

    assert joined(home, first) == home
    assert [look.at.second for look in read_looks(joined(home, thinned))] == [0, 10]
    assert [look.at.second for look in read_looks(joined(home, second))] == [0, 5, 10, 30]
    assert joined(home, b"") == home


@given(st.binary() | st.lists(st.sampled_from([line(), line(xids=None), b'{"gpus": [3]}\n', b"\n", b"\xff"])))
def test_whatever_a_machine_writes_is_read(content: bytes | list[bytes]) -> None:
    told = content if isinstance(content, bytes) else b"".join(content)

    home = joined(b"", told)

    assert read_looks(home) == read_looks(told)
