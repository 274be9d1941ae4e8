"""What the root module makes of its inputs, for lives in which Terraform is simulated: ``instance.tf``, once more.

``tests/unit/runner/clouds/module_check.py`` holds both to each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runner.emulation.service import PlannedResource

LONGEST_NAME = 64
LEAST_CUDA = "13.0"


def planned(inputs: Mapping[str, Any]) -> list[PlannedResource]:
    """Return the resources with their configuration, in the order in which they are created.

    Args:
        inputs: The module's variables, those of the environment included.
    """
    ends = str(inputs["candidates"][0].get("expires_at") or inputs["expires_at"])
    pod = {
        "name": f"douse-{inputs['run_id']}"[:LONGEST_NAME],
        "candidates": inputs["candidates"],
        "community_enabled": inputs["runpod_community_enabled"],
        "image": inputs["runpod_image"],
        "disk_size_gib": inputs["disk_size_gib"],
        "min_cuda_version": inputs.get("runpod_min_cuda_version", LEAST_CUDA),
        "ports": ["22/tcp"],
        "start_command": inputs["runpod_start_command"],
        "ssh_public_key": inputs["ssh_public_key"],
        "terminate_at": inputs["expires_at"],
        "env": {
            "DOUSE_RUN": inputs["run_id"],
            "DOUSE_EXPIRES": ends.replace("-", "").replace(":", "").lower(),
            "DOUSE_LABELS": json.dumps(inputs["labels"]),
        },
        "create_timeout_s": inputs["create_timeout_s"],
        "delete_timeout_s": inputs["delete_timeout_s"],
    }
    return [PlannedResource("douse_runpod_pod", pod)]


def host(inputs: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the output ``host``.

    Args:
        inputs: The module's variables.
        states: The state of each resource, by its kind.
    """
    del inputs
    pod = states["douse_runpod_pod"]
    names = ("instance_type", "region", "spot", "price_usd_per_h")
    return {
        "address": pod["ssh"]["host"],
        "port": pod["ssh"]["port"],
        "user": pod["ssh"]["user"],
        "instance_id": pod["id"],
        **{name: pod[name] for name in names},
        "host_key": None,
        "cloud": "runpod",
    }
