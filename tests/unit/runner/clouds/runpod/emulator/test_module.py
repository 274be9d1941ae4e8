"""What a simulated Terraform makes of RunPod's inputs is what the root module makes of them."""

from __future__ import annotations

from typing import Any

from runner.clouds.runpod.emulator.module import LEAST_CUDA
from runner.clouds.runpod.emulator.service import EMULATED
from tests.unit.runner.clouds.module_check import blocks_of, check_host, check_resources

CANDIDATE = {"instance_type": "NVIDIA A40", "region": "any", "spot": False, "max_price_usd_per_h": 1.0}
INPUTS: dict[str, Any] = {
    "run_id": "20260101-000000-one-a1b2",
    "candidates": [CANDIDATE],
    "disk_size_gib": 40,
    "ssh_public_key": "ssh-ed25519 AAAA",
    "labels": {},
    "expires_at": "2026-01-03T00:00:00Z",
    "create_timeout_s": 1500,
    "delete_timeout_s": 600,
    "runpod_community_enabled": False,
    "runpod_image": "image",
    "runpod_start_command": None,
}
STATE = {
    "id": "p1",
    "ssh": {"host": "192.0.2.1", "port": 20001, "user": "root"},
    "instance_type": "NVIDIA A40",
    "region": "EU-1",
    "spot": False,
    "price_usd_per_h": 0.4,
}


def test_the_resources_are_those_of_the_root_module() -> None:
    assert EMULATED.module is not None
    check_resources(EMULATED.module, "runpod", INPUTS)


def test_the_pod_carries_the_marks_of_its_run() -> None:
    assert EMULATED.module is not None
    (pod,) = EMULATED.module.planned(INPUTS)

    assert pod.values["env"] == {
        "DOUSE_RUN": "20260101-000000-one-a1b2",
        "DOUSE_EXPIRES": "20260103t000000z",
        "DOUSE_LABELS": "{}",
    }


def test_the_least_cuda_version_is_the_modules_own() -> None:
    default = blocks_of("runpod", "variables.tf", "variable")["runpod_min_cuda_version"]["default"]

    assert default.strip('"') == LEAST_CUDA


def test_the_host_is_that_of_the_root_module() -> None:
    assert EMULATED.module is not None
    host = check_host(EMULATED.module, "runpod", INPUTS, STATE)

    assert (host["port"], host["host_key"], host["user"]) == (20001, None, "root")
