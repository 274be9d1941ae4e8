"""What a simulated Terraform makes of AWS's inputs is what the root module makes of them."""

from __future__ import annotations

from typing import Any

from runner.clouds.aws.emulator.service import EMULATED
from tests.unit.runner.clouds.module_check import META, blocks_of, check_host

CANDIDATE = {"instance_type": "g6.xlarge", "region": "us-east-1", "spot": True, "max_price_usd_per_h": 1.0}
INPUTS: dict[str, Any] = {
    "run_id": "20260101-000000-one-a1b2",
    "candidates": [CANDIDATE | {"expires_at": "2026-01-02T03:04:05Z"}],
    "disk_size_gib": 20,
    "ssh_public_key": "ssh-ed25519 AAAA",
    "ssh_ingress_cidrs": ["203.0.113.7/32"],
    "labels": {"team": "us"},
    "expires_at": "2026-01-03T00:00:00Z",
    "aws_host_key": "ssh-ed25519 BBBB",
    "aws_price_usd_per_h": 0.4,
    "aws_user_data": "#cloud-config\n",
}
STATE = {"id": "i-1", "public_ip": "192.0.2.1", "instance_type": "g6.xlarge"}
MARKS = {"team": "us", "douse-run": "20260101-000000-one-a1b2", "douse-expires": "20260102t030405z"}
BY_NEED = ["aws_key_pair", "aws_security_group", "aws_instance"]


def test_the_resources_are_those_of_the_root_module() -> None:
    assert EMULATED.module is not None
    real = blocks_of("aws", "instance.tf", "resource") | blocks_of("aws", "network.tf", "resource")
    planned = {one.kind: set(one.values) for one in EMULATED.module.planned(INPUTS)}

    assert list(planned) == BY_NEED
    assert set(planned) == set(real) - {"aws_scheduler_schedule"}  # which a run has only by compute.aws
    for kind, names in planned.items():
        (body,) = [body for name, body in real[kind].items() if name.strip('"') == "this"]
        dynamic = {name.strip('"') for block in body.get("dynamic", ()) for name in block if name not in META}
        assert names - {"tags"} == {name for name in body if name not in (*META, "dynamic", "tags")} | dynamic


def test_everything_carries_the_marks_of_its_run() -> None:
    assert EMULATED.module is not None
    key, group, machine = (one.values for one in EMULATED.module.planned(INPUTS))
    named = {**MARKS, "Name": "douse-20260101-000000-one-a1b2"}

    assert (key["tags"], group["tags"], machine["tags"]) == (MARKS, named, named)
    assert machine["root_block_device"][0]["tags"] == named


def test_a_machine_that_may_be_reclaimed_is_bid_for() -> None:
    assert EMULATED.module is not None
    (market,) = EMULATED.module.planned(INPUTS)[2].values["instance_market_options"]
    steady = INPUTS | {"candidates": [CANDIDATE | {"spot": False}]}

    assert market["spot_options"][0]["max_price"] == "1.0"
    assert EMULATED.module.planned(steady)[2].values["instance_market_options"] == []


def test_the_host_is_that_of_the_root_module() -> None:
    assert EMULATED.module is not None
    host = check_host(EMULATED.module, "aws", INPUTS, STATE)

    assert (host["address"], host["host_key"], host["instance_id"]) == ("192.0.2.1", "ssh-ed25519 BBBB", "i-1")
    assert (host["price_usd_per_h"], host["spot"], host["user"]) == (0.4, True, "ubuntu")
