"""What the root module makes of its inputs, for lives in which Terraform is simulated: ``instance.tf``, once more.

``tests/unit/runner/clouds/module_check.py`` holds both to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.emulation.service import PlannedResource

LONGEST_NAME = 64


def planned(inputs: Mapping[str, Any]) -> list[PlannedResource]:
    """Return the resources with their configuration, in the order in which they are created.

    Args:
        inputs: The module's variables, those of the environment included.
    """
    name = f"douse-{inputs['run_id']}"[:LONGEST_NAME]
    ends = str(inputs["candidates"][0].get("expires_at") or inputs["expires_at"])
    marks = {"douse-run": inputs["run_id"], "douse-expires": ends.replace("-", "").replace(":", "").lower()}
    key = {"name": name, "public_key": inputs["ssh_public_key"]}
    instance = {
        "name": name,
        "candidates": inputs["candidates"],
        "ssh_key_name": name,
        "user_data_wo": inputs["lambda_user_data"],
        "tags": {**inputs["labels"], **marks},
        "first_lease_s": inputs["lambda_first_lease_s"],
        "ssh_user": inputs.get("lambda_user") or "ubuntu",
        "create_timeout_s": inputs["create_timeout_s"],
        "delete_timeout_s": inputs["delete_timeout_s"],
    }
    return [PlannedResource("douse_lambda_ssh_key", key), PlannedResource("douse_lambda_instance", instance)]


def host(inputs: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the output ``host``.

    Args:
        inputs: The module's variables.
        states: The state of each resource, by its kind.
    """
    machine = states["douse_lambda_instance"]
    names = ("instance_type", "region", "spot", "price_usd_per_h")
    return {
        "address": machine["ssh"]["host"],
        "port": machine["ssh"]["port"],
        "user": machine["ssh"]["user"],
        "instance_id": machine["id"],
        **{name: machine[name] for name in names},
        "host_key": inputs["lambda_host_key"],
        "cloud": "lambda",
    }
