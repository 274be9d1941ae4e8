"""Whatever a machine says of itself, in events, facts, names or Terraform's output: checked at the door, or refused."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from runner.errors import HostContractError, HostWordsError
from runner.run.events import take
from runner.run.host_contract import parse_host
from runner.run.host_words import checked_path, is_plain_name, one_line, plain_data, printable
from tests.tools.examples import examples
from tests.tools.odd_values import changed, values

EVENT = {"event": "step", "time": "2026-01-01T00:00:00+00:00", "step": 3, "loss": 0.5, "phase": "train", "passed": True}
HOST = {
    "address": "203.0.113.7",
    "port": 22,
    "user": "ubuntu",
    "instance_id": "i-1",
    "instance_type": "gpu_1x_a10",
    "region": "us-west-1",
    "spot": False,
    "price_usd_per_h": 0.75,
    "host_key": "ssh-ed25519 AAAA",
    "cloud": "lambda",
}
STEERING = set(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0x2028]))


@examples(200)
@given(value=values)
def test_data_of_a_machine_is_printable_and_finite_or_refused(value: object) -> None:
    with contextlib.suppress(HostWordsError):
        json.dumps(plain_data(value), allow_nan=False).encode()


@examples(200)
@given(text=st.text() | st.lists(st.sampled_from(["\x1b", "[", "2", "J", "]", "\x9c", "\r", "a", "\n"])).map("".join))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    assert not set(printable(text)) & STEERING
    assert "\n" not in one_line(text)


@examples(200)
@given(text=st.text(max_size=12) | st.text(alphabet="/.a{}$`; -", max_size=12))
def test_a_path_or_a_name_leads_nowhere_else(text: str) -> None:
    with contextlib.suppress(HostWordsError):
        found = checked_path(text, "home")
        assert found == text
        assert text.startswith("/")
        assert ".." not in text.split("/")
        assert not set(text) & set("{}$`;'\"\\\n\0%:|&<>*?~#")
    if is_plain_name(text):
        assert "/" not in text
        assert text not in ("", ".", "..")


@examples(200)
@given(lines=st.lists(st.binary(max_size=30) | (values | changed(EVENT)).map(lambda value: json.dumps(value).encode())))
def test_events_are_taken_without_moving_an_offset(lines: list[bytes]) -> None:
    content = b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines)

    taken = take(content)

    assert len(taken.content) == len(content)
    assert all(isinstance(event["event"], str) for event in taken.events)
    assert len(taken.events) + taken.skipped == sum(bool(line.strip()) for line in lines)


@examples(200)
@given(value=values | changed(HOST))
def test_a_host_is_one_by_the_contract_or_refused(value: object) -> None:
    with contextlib.suppress(HostContractError):
        found = parse_host(value)
        assert found.address
        assert 1 <= found.port <= 65535
        assert 0 <= found.price_usd_per_h < float("inf")
