"""The schema of the host and the Python model agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner.errors import HostContractError
from runner.run.host_contract import HostOutput, parse_host

INFRA = Path(__file__).resolve().parents[2] / "infra"
SCHEMA: dict[str, Any] = json.loads((INFRA / "contract" / "host.schema.json").read_text())
HOST: dict[str, Any] = {
    "address": "203.0.113.7", "port": 22, "user": "me", "instance_id": "i", "instance_type": "t", "region": "r",
    "spot": False, "price_usd_per_h": 0.5, "host_key": "ssh-ed25519 AAAA", "cloud": "c",
}  # fmt: skip
BROKEN: list[dict[str, Any]] = [
    {"address": ""}, {"port": 0}, {"port": 65536}, {"port": "22"}, {"spot": "no"}, {"price_usd_per_h": -1},
    {"host_key": "hello"}, {"user": None}, {"cloud": ""}, {"region": 3}, {"instance_id": ""}, {"extra": 1},
]  # fmt: skip


def test_a_host_passes_both() -> None:
    jsonschema.validate(HOST, SCHEMA)
    jsonschema.validate(HOST | {"host_key": None}, SCHEMA)

    assert parse_host(HOST).to_mapping() == HOST
    assert parse_host(HOST | {"host_key": None}).host_key is None


@pytest.mark.parametrize("change", BROKEN, ids=json.dumps)
def test_schema_and_model_refuse_the_same(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(HOST | change, SCHEMA)
    with pytest.raises(HostContractError, match="breaks the contract"):
        parse_host(HOST | change)


@pytest.mark.parametrize("key", sorted(HOST))
def test_schema_and_model_miss_the_same(key: str) -> None:
    less = {name: value for name, value in HOST.items() if name != key}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(less, SCHEMA)
    with pytest.raises(HostContractError, match=key):
        parse_host(less)


def test_schema_and_model_have_the_same_keys() -> None:
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(HostOutput.model_fields)


@pytest.mark.parametrize("price", [float("inf"), float("nan")])
def test_a_price_is_finite(price: float) -> None:
    with pytest.raises(HostContractError, match="price_usd_per_h"):
        parse_host(HOST | {"price_usd_per_h": price})
