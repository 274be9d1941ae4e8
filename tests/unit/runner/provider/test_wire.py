"""Messages and values of Terraform's plugin protocol."""

from __future__ import annotations

from decimal import Decimal

import msgpack
import pytest

from runner.provider.wire import MESSAGES, UNKNOWN, load_json, pack, unpack


@pytest.mark.parametrize(
    "value", [None, "text", True, 3, ["a", None], {"a": {"b": [1, 2]}}, UNKNOWN, {"a": UNKNOWN}, {"a": ["", {}]}]
)
def test_a_value_comes_back_as_it_went(value: object) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("value", [1.29, Decimal("1.29")])
def test_a_fraction_travels_as_decimal_text(value: object) -> None:
    assert msgpack.unpackb(pack(value).msgpack) == "1.29"


def test_an_unknown_value_with_hints_is_unknown() -> None:
    hinted = MESSAGES["DynamicValue"](msgpack=msgpack.packb(msgpack.ExtType(12, b"\x81\x01\xc2")))

    assert unpack(hinted) is UNKNOWN


def test_a_value_in_json_is_read_with_every_digit() -> None:
    assert unpack(MESSAGES["DynamicValue"](json=b'{"price": 0.1000000000000000000001}')) == {
        "price": Decimal("0.1000000000000000000001")
    }
    assert load_json(b"[1, 1.5]") == [1, Decimal("1.5")]


def test_an_empty_value_is_nothing() -> None:
    assert unpack(MESSAGES["DynamicValue"]()) is None


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no value of Terraform's"):
        pack({1, 2})


def test_unknown_says_what_terraform_says() -> None:
    assert (repr(UNKNOWN), bool(UNKNOWN)) == ("(known after apply)", False)


def test_a_message_holds_the_numbers_of_the_protocol() -> None:
    message = MESSAGES["ApplyAnswer"](
        new_state=pack("x"), private=b"p", diagnostics=[MESSAGES["Diagnostic"](summary="s")]
    )

    assert message.SerializeToString() == b"\n\x04\n\x02\xa1x\x12\x01p\x1a\x03\x12\x01s"
