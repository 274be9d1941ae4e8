"""Environments: each has its root module and its inventory, and a misspelt one gets a hint."""

from __future__ import annotations

import pytest

from runner.clouds.environments import ENVIRONMENTS, find_environment
from runner.errors import UnknownEnvironmentError
from runner.run.run_dir import PROJECT


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_an_environment_has_its_module_and_its_inventory(name: str) -> None:
    assert (PROJECT / "infra" / "environments" / ENVIRONMENTS[name].module / "instance.tf").is_file()
    assert (PROJECT / "inventories" / name / "hosts.yml").is_file()


def test_a_misspelt_environment_gets_a_hint() -> None:
    with pytest.raises(UnknownEnvironmentError) as caught:
        find_environment("lamda")

    assert caught.value.resolution == "did you mean ENV=lambda? known: aws, existing, lambda, local, runpod"


def test_each_environment_says_how_its_machines_end_themselves() -> None:
    leases = {name: environment.lease for name, environment in ENVIRONMENTS.items() if environment.bills}

    assert leases == {"lambda": "none", "runpod": "api", "aws": "shutdown"}
