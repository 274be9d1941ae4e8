"""What the root module makes of its inputs, for lives in which Terraform is simulated: ``infra/environments/aws``.

``tests/unit/runner/clouds/aws/emulator/test_module.py`` holds both to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.clouds.aws.emulator.paper_describe import IMAGE_GIB
from runner.emulation.service import PlannedResource

LONGEST_NAME = 64
KEY, GROUP, MACHINE = "aws_key_pair", "aws_security_group", "aws_instance"
AMI_PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
PORTS = (80, 443)


def planned(inputs: Mapping[str, Any]) -> list[PlannedResource]:
    """Return the resources with their configuration, in the order in which they are created.

    Args:
        inputs: The module's variables, those of the environment included.
    """
    name, wanted = f"douse-{inputs['run_id']}"[:LONGEST_NAME], inputs["candidates"][0]
    ends = str(wanted.get("expires_at") or inputs["expires_at"])
    marks = {"douse-run": inputs["run_id"], "douse-expires": ends.replace("-", "").replace(":", "").lower()}
    # The tags of each resource hold those of the provider's block by that.
    tags = {**inputs["labels"], **marks, "Name": name}
    key = {"key_name": name, "public_key": inputs["ssh_public_key"], "tags": {**inputs["labels"], **marks}}
    group = {
        "name": name,
        "description": "Douse: SSH from the runner alone; out to package mirrors, the hub and the store",
        "vpc_id": None,
        "ingress": [{"from_port": 22, "to_port": 22, "cidr_blocks": list(inputs["ssh_ingress_cidrs"])}],
        "egress": [{"from_port": port, "to_port": port} for port in PORTS],
        "tags": tags,
    }
    instance = {
        "ami": ami_parameter(inputs),
        "instance_type": wanted["instance_type"],
        "key_name": name,
        "subnet_id": None,
        "vpc_security_group_ids": [name],
        "iam_instance_profile": inputs.get("aws_instance_profile"),
        "ebs_optimized": True,
        "instance_initiated_shutdown_behavior": "terminate",
        "user_data": inputs["aws_user_data"],
        "user_data_replace_on_change": True,
        "metadata_options": [{"http_tokens": "required"}],
        "root_block_device": [{"volume_size": inputs["disk_size_gib"] + IMAGE_GIB, "tags": tags}],
        "instance_market_options": [_market(wanted)] if wanted["spot"] else [],
        "tags": tags,
    }
    return [PlannedResource(KEY, key), PlannedResource(GROUP, group), PlannedResource(MACHINE, instance)]


def ami_parameter(inputs: Mapping[str, Any]) -> str:
    """Return the name of the parameter that holds the machine image."""
    return str(inputs.get("aws_ami_parameter") or AMI_PARAMETER)


def _market(wanted: Mapping[str, Any]) -> dict[str, Any]:
    bid = f"{wanted['max_price_usd_per_h']}"
    return {"market_type": "spot", "spot_options": [{"max_price": bid, "spot_instance_type": "one-time"}]}


def host(inputs: Mapping[str, Any], states: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the output ``host``.

    Args:
        inputs: The module's variables.
        states: The state of each resource, by its kind.
    """
    machine, wanted = states[MACHINE], inputs["candidates"][0]
    price = inputs.get("aws_price_usd_per_h")
    return {
        "address": machine["public_ip"],
        "port": 22,
        "user": inputs.get("aws_user") or "ubuntu",
        "instance_id": machine["id"],
        "instance_type": machine["instance_type"],
        "region": wanted["region"],
        "spot": wanted["spot"],
        "price_usd_per_h": wanted["max_price_usd_per_h"] if price is None else price,
        "host_key": inputs.get("aws_host_key"),
        "cloud": "aws",
    }
