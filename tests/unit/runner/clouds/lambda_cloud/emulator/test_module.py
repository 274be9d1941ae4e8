"""What a simulated Terraform makes of Lambda's inputs is what the root module makes of them."""

from __future__ import annotations

from typing import Any

from runner.clouds.lambda_cloud.emulator.service import EMULATED
from tests.unit.runner.clouds.module_check import check_host, check_resources

CANDIDATE = {"instance_type": "gpu_1x_a10", "region": "us-west-1", "spot": False, "max_price_usd_per_h": 1.0}
INPUTS: dict[str, Any] = {
    "run_id": "20260101-000000-one-a1b2",
    "candidates": [CANDIDATE | {"expires_at": "2026-01-02T03:04:05Z"}],
    "ssh_public_key": "ssh-ed25519 AAAA",
    "labels": {"team": "us"},
    "expires_at": "2026-01-03T00:00:00Z",
    "create_timeout_s": 1500,
    "delete_timeout_s": 600,
    "lambda_first_lease_s": 3000,
    "lambda_host_key": "ssh-ed25519 BBBB",
    "lambda_user_data": "#cloud-config\n",
}
STATE = {
    "id": "i1",
    "ssh": {"host": "192.0.2.1", "port": 22, "user": "ubuntu"},
    "instance_type": "gpu_1x_a10",
    "region": "us-west-1",
    "spot": False,
    "price_usd_per_h": 0.75,
}


def test_the_resources_are_those_of_the_root_module() -> None:
    assert EMULATED.module is not None
    check_resources(EMULATED.module, "lambda", INPUTS)


def test_the_machine_carries_the_marks_of_its_run() -> None:
    assert EMULATED.module is not None
    machine = EMULATED.module.planned(INPUTS)[1].values

    assert machine["name"] == "douse-20260101-000000-one-a1b2"
    assert machine["tags"] == {
        "team": "us",
        "douse-run": "20260101-000000-one-a1b2",
        "douse-expires": "20260102t030405z",
    }


def test_the_host_is_that_of_the_root_module() -> None:
    assert EMULATED.module is not None
    host = check_host(EMULATED.module, "lambda", INPUTS, STATE)

    assert (host["address"], host["host_key"], host["instance_id"]) == ("192.0.2.1", "ssh-ed25519 BBBB", "i1")
