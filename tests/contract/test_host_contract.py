"""Every environment takes the same inputs and hands back the same host; the schema and the Python model agree."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner.adapters.terraform_install import find_terraform
from runner.contract import HostOutput, parse_host
from runner.errors import HostContractError

INFRA = Path(__file__).resolve().parents[2] / "infra"
SCHEMA: dict[str, Any] = json.loads((INFRA / "contract" / "host.schema.json").read_text())
ENVIRONMENTS = sorted(path.name for path in (INFRA / "environments").iterdir())
HOST: dict[str, Any] = {
    "address": "203.0.113.7", "port": 22, "user": "me", "instance_id": "i", "instance_type": "t", "region": "r",
    "spot": False, "price_usd_per_h": 0.5, "host_key": "ssh-ed25519 AAAA", "cloud": "c",
}  # fmt: skip
BROKEN: list[dict[str, Any]] = [
    {"address": ""}, {"port": 0}, {"port": 65536}, {"port": "22"}, {"spot": "no"}, {"price_usd_per_h": -1},
    {"host_key": "hello"}, {"user": None}, {"cloud": ""}, {"region": 3}, {"instance_id": ""}, {"extra": 1},
]  # fmt: skip


def variables(environment: str) -> list[str]:
    text = (INFRA / "environments" / environment / "variables.tf").read_text()
    return re.findall(r'^variable "([^"]+)"', text, re.MULTILINE)


def documented_inputs() -> list[str]:
    table = (INFRA / "README.md").read_text().split("| output |")[0]
    return re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)


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


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_declares_the_contracts_inputs_first_and_its_own_with_its_name(environment: str) -> None:
    contract, found = documented_inputs(), variables(environment)

    assert contract == sorted(contract)
    assert found[: len(contract)] == contract
    own = found[len(contract) :]
    assert own == sorted(own)
    assert all(name.startswith(f"{environment}_") for name in own)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_variable_is_described(environment: str) -> None:
    text = (INFRA / "environments" / environment / "variables.tf").read_text()

    blocks = re.split(r'^variable "', text, flags=re.MULTILINE)[1:]
    assert [block.split('"')[0] for block in blocks if "description =" not in block] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_environments_own_terraform_tests_pass(environment: str, tmp_path: Path) -> None:
    module = tmp_path / environment
    shutil.copytree(INFRA / "environments" / environment, module, ignore=shutil.ignore_patterns(".terraform"))
    (tmp_path / "empty.rc").touch()
    program, env = str(find_terraform()), {"TF_CLI_CONFIG_FILE": str(tmp_path / "empty.rc"), "PATH": "/usr/bin:/bin"}

    for words in (["init", "-backend=false"], ["test"]):
        done = subprocess.run([program, *words], cwd=module, env=env, capture_output=True, text=True, timeout=120)

        assert done.returncode == 0, done.stdout + done.stderr
