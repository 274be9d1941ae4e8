"""What an AWS account finds in place: machine images, and the public parameters that name them."""

from __future__ import annotations

from typing import Any

from runner.emulation.s3 import account

ACCOUNT, ACCESS_KEY_ID = account.NUMBER, account.ACCESS_KEY_ID
"""The account, in which emulated stores are as well, and the key that is taken."""
OTHER_ACCOUNT, OTHER_ACCESS_KEY_ID = "210987654321", "AKIAREHEARSALOTHER00"
"""Another account, in which there is nothing, and its key."""
AMAZON, CANONICAL = "898082745236", "099720109477"
UBUNTU_NAME = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260901"
DEEP_LEARNING_NAME = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20260901"
IMAGES = {
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id": (
        "ami-0d0c5e00000000d24",
        DEEP_LEARNING_NAME,
        AMAZON,
    ),
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id": (
        "ami-0d0c5e00000000d22",
        "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20260901",
        AMAZON,
    ),
    "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id": (
        "ami-0d0c5e0000000024c",
        UBUNTU_NAME,
        CANONICAL,
    ),
    "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id": (
        "ami-0d0c5e0000000022c",
        "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260901",
        CANONICAL,
    ),
}

PRICES_USD_PER_H = {
    "g4dn.xlarge": 0.526,
    "g4dn.2xlarge": 0.752,
    "g5.xlarge": 1.006,
    "g5.2xlarge": 1.212,
    "g6.xlarge": 0.8048,
    "g6.2xlarge": 0.9776,
    "g6e.xlarge": 1.861,
    "g6e.2xlarge": 2.24208,
    "p4d.24xlarge": 21.957642,
    "p5.48xlarge": 55.04,
    "t3.micro": 0.0104,
}
OTHER_USD_PER_H = 1.0
SPOT_SHARE = 0.4
VOLUMES_USD_PER_GIB_MONTH = {"gp3": 0.08, "gp2": 0.10}
ELSEWHERE = 1.2
"""By how much volumes cost more outside us-east-1: made up, so that a price of the wrong region is a wrong bill."""
ADDRESS_USD_PER_H = 0.005


def price_usd_per_h(instance_type: str, *, spot: bool) -> float:
    """Return the prices that the emulator's meters charge for a machine."""
    price = PRICES_USD_PER_H.get(instance_type, OTHER_USD_PER_H)
    return round(price * SPOT_SHARE, 6) if spot else price


def volume_usd_per_gib_month(kind: str, region: str) -> float:
    """Return what the emulator's meters charge for a volume; one of an unknown type costs as much as a gp3."""
    usd = VOLUMES_USD_PER_GIB_MONTH.get(kind, VOLUMES_USD_PER_GIB_MONTH["gp3"])
    return usd if region == "us-east-1" else round(usd * ELSEWHERE, 6)


def seed(region: str) -> None:
    """Put the images and their parameters into a region; the second time changes nothing."""
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.amis import Ami
    from moto.ssm.models import Parameter, ssm_backends

    ec2: Any = ec2_backends[ACCOUNT][region]
    parameters: Any = ssm_backends[ACCOUNT][region]._parameters
    for name, (image, title, owner) in IMAGES.items():
        if image in ec2.amis:
            continue
        ec2.amis[image] = Ami(
            ec2,
            image,
            name=title,
            description=title,
            owner_id=owner,
            owner_alias="amazon" if owner == AMAZON else None,
            public=True,
            virtualization_type="hvm",
            architecture="x86_64",
            image_location=f"amazon/{title}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/sda1",
            sriov="simple",
            region_name=f"{region}a",
        )
        parameters[name].append(_parameter(Parameter, name, image))


def _parameter(kind: Any, name: str, image: str) -> Any:
    return kind(
        account_id=ACCOUNT,
        name=name,
        value=image,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=1788220800.0,
        version=1,
        data_type="aws:ec2:image",
    )
