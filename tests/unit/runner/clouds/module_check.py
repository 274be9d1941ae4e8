"""A root module as a simulated Terraform takes it, held to the module that the real one reads."""

from __future__ import annotations

from typing import Any

import hcl2

from runner.emulation.service import Module
from runner.run.run_dir import PROJECT

META = ("lifecycle", "depends_on", "__is_block__", "__comments__", "__inline_comments__")


def blocks_of(environment: str, file: str, kind: str) -> dict[str, Any]:
    """Return the blocks of a kind in a file of an environment, by their first label."""
    path = PROJECT / "infra" / "environments" / environment / file
    with path.open(encoding="utf-8") as stream:
        found = hcl2.load(stream)[kind]
    return {name.strip('"'): body for block in found for name, body in block.items() if name not in META}


def check_resources(module: Module, environment: str, inputs: dict[str, Any]) -> None:
    """Assert that the resources and their attributes are those of the real module, in the order of their needs."""
    real = blocks_of(environment, "instance.tf", "resource")
    planned = module.planned(inputs)

    assert [one.kind for one in planned] == list(real)
    for one in planned:
        (body,) = [body for name, body in real[one.kind].items() if name.strip('"') == "this"]
        assert set(one.values) == {name for name in body if name not in META}


def check_host(module: Module, environment: str, inputs: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Assert that the output has the keys of the real one, and return it."""
    value = blocks_of(environment, "outputs.tf", "output")["host"]["value"]
    host = module.host(inputs, {one.kind: state for one in module.planned(inputs)})

    assert set(host) == {name.strip('"') for name in value if name not in META}
    return host
