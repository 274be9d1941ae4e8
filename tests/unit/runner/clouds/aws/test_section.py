"""``compute.aws``: each key refuses what AWS would refuse only once a machine is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runner.clouds.aws.cloud import RECORD
from runner.clouds.aws.section import MOST_TAGS, AwsSection
from runner.clouds.own_sections import run_file_class
from tests.unit.runner.clouds.test_records import order

ROLE = "arn:aws:iam::123456789012:role/team/douse-scheduler"
VPC, SUBNET, AMI = "vpc-0123abcd", "subnet-0123456789abcdef0", "ami-0123456789abcdef0"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vpc_id", "subnet-0123abcd"),
        ("vpc_id", "vpc-0123ABCD"),
        ("vpc_id", "vpc-0123abcd\n"),
        ("subnet_id", "subnet-0123"),
        ("instance_profile", "arn:aws:iam::123456789012:instance-profile/x"),
        ("instance_profile", ""),
        ("ami_id", "ubuntu-24.04"),
        ("schedule_role_arn", "douse-scheduler"),
        ("schedule_role_arn", "arn:aws:iam::123456789012:user/me"),
        ("tags", {"": "x"}),
        ("tags", {"a" * 129: "x"}),
        ("tags", {"a*b": "x"}),
        ("tags", {"a": "x" * 257}),
        ("tags", {"a": "x\n"}),
        ("tags", {"Name": "mine"}),
        ("tags", {"aws:owner": "x"}),
        ("tags", {"AWS:owner": "x"}),
        ("tags", {"douse-run": "another"}),
        ("tags", {"Douse-expires": "never"}),
        ("tags", {f"tag-{number}": "x" for number in range(MOST_TAGS + 1)}),
    ],
)
def test_a_value_that_aws_or_douse_cannot_take_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        AwsSection.model_validate({key: value})


def test_whatever_aws_takes_is_taken() -> None:
    tags = {"cost centre": "Größe 7/8 a+b=c@d.e:f_g-h", "name": "", "k" * 128: "v" * 256}

    section = AwsSection(vpc_id=VPC, subnet_id=SUBNET, ami_id=AMI, instance_profile="a+b=c,d.e@f-g_h", tags=tags)

    assert section.tags == tags


@pytest.mark.parametrize(("name", "rights"), [(None, None), ("trainers", "instance profile trainers")])
def test_a_profile_gives_a_machine_rights_of_its_own(name: str | None, rights: str | None) -> None:
    assert AwsSection(instance_profile=name).own_rights == rights


@pytest.mark.parametrize(
    "key", [{"vpc_id": VPC}, {"subnet_id": SUBNET}, {"ami_id": AMI}], ids=lambda key: next(iter(key))
)
@pytest.mark.parametrize("regions", [[], ["us-east-1", "eu-west-1"]], ids=["any", "two"])
def test_what_one_region_has_needs_that_region(key: dict[str, str], regions: list[str]) -> None:
    compute: dict[str, Any] = {"env": "aws", "regions": regions, "aws": key}

    with pytest.raises(ValidationError, match=r"which one region has, and compute\.regions is"):
        run_file_class().model_validate({"compute": compute})

    run_file_class().model_validate({"compute": compute | {"regions": ["us-east-1"]}})
    run_file_class().model_validate({"compute": compute | {"env": "lambda"}})  # it is not used there


def test_two_images_are_refused() -> None:
    compute = {"env": "aws", "regions": ["us-east-1"], "image": "/ssm/mine", "aws": {"ami_id": AMI}}

    with pytest.raises(ValidationError, match=r"compute\.aws\.ami_id is ami-0123456789abcdef0, and compute\.image is"):
        run_file_class().model_validate({"compute": compute})


def test_every_key_reaches_the_root_module(tmp_path: Path) -> None:
    section = AwsSection(
        vpc_id=VPC,
        subnet_id=SUBNET,
        ami_id=AMI,
        instance_profile="trainers",
        schedule_role_arn=ROLE,
        tags={"team": "red"},
    )

    made = RECORD.inputs(order(tmp_path, own=section))
    without = RECORD.inputs(order(tmp_path, own=AwsSection()))

    assert made.items() >= {
        "aws_schedule_role_arn": ROLE, "aws_vpc_id": VPC, "aws_subnet_id": SUBNET, "aws_ami_id": AMI,
        "aws_instance_profile": "trainers", "labels": {"team": "red"},
    }.items()  # fmt: skip
    assert without == RECORD.inputs(order(tmp_path))
