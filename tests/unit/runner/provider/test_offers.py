"""What is for rent, and the provider block."""

from __future__ import annotations

import json

from tests.unit.runner.provider.conftest import InProcess, Module, told
from tests.unit.runner.provider.fake_clouds import GPU, LAMBDA_KEY, Clouds

OFFERS = """
data "douse_lambda_offers" "all" {}
data "douse_runpod_offers" "all" {}
output "lambda" { value = data.douse_lambda_offers.all.offers }
output "runpod" { value = data.douse_runpod_offers.all.offers }
"""


def test_offers_of_both_clouds_can_be_read(module: Module) -> None:
    module.write(OFFERS)

    assert module.apply().returncode == 0
    found = {name: item["value"] for name, item in json.loads(module.done("output", "-json")).items()}
    assert found["lambda"][0] == {
        "instance_type": "gpu_1x_a10",
        "region": "us-west-1",
        "spot": False,
        "price_usd_per_h": 1.29,
        "gpu_name": "A10",
        "gpu_count": 1,
        "gpu_memory_gib": 24,
        "memory_gib": 200,
        "disk_gib": 1400,
        "available": True,
        "trust": "secure",
    }
    assert (found["runpod"][0]["instance_type"], found["runpod"][0]["spot"]) == (GPU, True)


def test_the_provider_block_stands_above_the_environment(inside: InProcess, clouds: Clouds) -> None:
    inside.provider.environ["LAMBDA_API_KEY"] = "another-key-of-mine"
    block = f'provider "douse" {{ lambda_api_key = "{LAMBDA_KEY}" }}\n'

    applied = inside.module.write(block, 'data "douse_lambda_offers" "all" {}').apply()

    assert applied.returncode == 0, applied.stderr


def test_a_missing_key_is_reported_where_it_is_needed(inside: InProcess) -> None:
    del inside.provider.environ["LAMBDA_API_KEY"]

    applied = inside.module.write('data "douse_lambda_offers" "all" {}').apply()

    assert applied.returncode == 1
    assert "set LAMBDA_API_KEY" in told(applied)


def test_a_missing_key_of_the_other_cloud_is_no_matter(inside: InProcess) -> None:
    del inside.provider.environ["RUNPOD_API_KEY"]

    assert inside.module.write('data "douse_lambda_offers" "all" {}').apply().returncode == 0
