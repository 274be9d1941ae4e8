"""Whether an AWS account has a network for a machine, against moto in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from runner.cloud_api.models import Offer, Placement
from runner.clouds.aws.api import AwsCloud, open_aws
from runner.clouds.aws.cloud import places
from runner.clouds.aws.section import AwsSection
from runner.errors import AccessDeniedError
from runner.world import RealWorld

HERE, THERE = "us-east-1", "eu-west-1"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
NOWHERE = "subnet-0123456789abcdef0"


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    with mock_aws():
        environ = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": HERE}
        yield open_aws(environ, now=RealWorld().now)


def ec2(region: str = HERE) -> Any:
    return boto3.client("ec2", region, **KEYS)


def offer(region: str = HERE, instance_type: str = "g5.xlarge") -> Offer:
    return Offer(instance_type, region, False, 1.0, "A10G", 1, 24.0)


def remove_default_vpc(region: str) -> None:
    client = ec2(region)
    for subnet in client.describe_subnets()["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])
    for vpc in client.describe_vpcs()["Vpcs"]:
        client.delete_vpc(VpcId=vpc["VpcId"])


def network(zone: str, *, is_public: bool = True) -> tuple[str, str]:
    """Make a VPC with one subnet, and return both ids."""
    client = ec2()
    vpc_id = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = client.create_subnet(VpcId=vpc_id, CidrBlock="10.9.1.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
    client.modify_subnet_attribute(SubnetId=made, MapPublicIpOnLaunch={"Value": is_public})
    return vpc_id, made


def zones_of(instance_type: str) -> set[str]:
    found = ec2().describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance_type]}]
    )
    return {entry["Location"] for entry in found["InstanceTypeOfferings"]}


def test_only_the_region_without_a_default_vpc_has_no_place(cloud: AwsCloud) -> None:
    remove_default_vpc(THERE)

    assert cloud.places([offer(), offer(THERE)], None) == {
        offer(): Placement(),
        offer(THERE): Placement(obstacle="the account has no default VPC in eu-west-1"),
    }


def test_a_default_vpc_without_subnets_has_no_place(cloud: AwsCloud) -> None:
    client = ec2()
    for subnet in client.describe_subnets()["Subnets"]:
        client.delete_subnet(SubnetId=subnet["SubnetId"])

    assert cloud.places([offer()], None)[offer()].obstacle == "the default VPC of us-east-1 has no subnet"


def test_a_network_of_ones_own_stands_in_for_the_default_vpc(cloud: AwsCloud) -> None:
    remove_default_vpc(HERE)
    vpc_id, subnet_id = network(min(zones_of("g5.xlarge")))

    for section in (AwsSection(vpc_id=vpc_id), AwsSection(subnet_id=subnet_id)):
        assert cloud.places([offer()], section) == {offer(): Placement()}


@pytest.mark.parametrize("key", ["vpc_id", "subnet_id"])
def test_a_zone_that_does_not_offer_the_machine_is_no_place(cloud: AwsCloud, key: str) -> None:
    zones = {entry["ZoneName"] for entry in ec2().describe_availability_zones()["AvailabilityZones"]}
    elsewhere = min(zones - zones_of("g5.xlarge"))
    vpc_id, subnet_id = network(elsewhere)
    given = {"vpc_id": vpc_id, "subnet_id": subnet_id}[key]

    found = cloud.places([offer()], AwsSection.model_validate({key: given}))[offer()]

    assert found.obstacle == f"{given} is in {elsewhere}, and g5.xlarge is not offered there"


def test_a_subnet_of_another_vpc_is_no_place(cloud: AwsCloud) -> None:
    vpc_id, subnet_id = network(f"{HERE}a")
    section = AwsSection(vpc_id="vpc-0123abcd", subnet_id=subnet_id)

    assert cloud.places([offer()], section)[offer()].obstacle == f"{subnet_id} belongs to {vpc_id}, not to vpc-0123abcd"


@pytest.mark.parametrize("key", [{"vpc_id": "vpc-0123abcd"}, {"subnet_id": NOWHERE}], ids=["vpc", "subnet"])
def test_what_the_region_does_not_have_is_no_place(cloud: AwsCloud, key: dict[str, str]) -> None:
    (wanted,) = key.values()

    found = cloud.places([offer()], AwsSection.model_validate(key))[offer()]

    assert found.obstacle == f"there is no {wanted} in us-east-1"


def test_a_subnet_without_public_addresses_is_remarked_upon(cloud: AwsCloud) -> None:
    _, subnet_id = network(min(zones_of("g5.xlarge")), is_public=False)

    found = cloud.places([offer()], AwsSection(subnet_id=subnet_id))[offer()]

    assert found == Placement(remark=f"{subnet_id} gives no public address; the private one is used")


def test_a_full_subnet_is_no_place(cloud: AwsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    _, subnet_id = network(min(zones_of("g5.xlarge")))
    monkeypatch.setattr("moto.ec2.models.subnets.Subnet.available_ip_address_count", property(lambda _: 0))

    assert cloud.places([offer()], AwsSection(subnet_id=subnet_id))[offer()].obstacle == (
        f"{subnet_id} has no free address"
    )


def test_a_key_that_may_not_look_says_so(cloud: AwsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    def refuse(*_: object) -> None:
        raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DescribeVpcs")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)

    with pytest.raises(AccessDeniedError):
        cloud.places([offer()], None)


def test_the_record_asks_the_account(cloud: AwsCloud) -> None:
    assert places(cloud, AwsSection(subnet_id=NOWHERE), [offer()])[offer()].obstacle
