"""What a machine on AWS and its volumes cost, by AWS's price list where it was read."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from moto import mock_aws

from runner.cloud_api.labels import RUN_TAG, resource_name
from runner.cloud_api.models import Resource
from runner.clouds.aws import disks
from runner.clouds.aws.disks import priced_listing_in
from runner.clouds.aws.pricing import RegionPrices
from tests.unit.runner.clouds.aws.images import any_image

RUN = "20261121-073000-tiny"
THERE = "eu-west-1"
PRICES = RegionPrices({"g5.xlarge": 1.5}, {"gp3": 0.1, "gp2": 0.2, "io1": 0.3})


def machine_at(prices: RegionPrices) -> Resource:
    """Return a machine with one gp3 volume of 73 GiB, as the listing of its region shows it."""
    with mock_aws():
        client = boto3.client("ec2", THERE, aws_access_key_id="testing", aws_secret_access_key="testing")
        tags = [{"Key": "Name", "Value": resource_name(RUN)}, {"Key": RUN_TAG, "Value": RUN}]
        client.run_instances(
            ImageId=any_image(THERE), InstanceType="g5.xlarge", MinCount=1, MaxCount=1,
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 73, "VolumeType": "gp3"}}],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )  # fmt: skip
        found = priced_listing_in(client, THERE, lambda: prices).whole()
    return next(one for one in found if one.kind == "instance")


@pytest.mark.parametrize(
    ("volume", "usd_per_h"),
    [
        ({"VolumeType": "gp3", "Iops": 3000, "Throughput": 125}, 0.01),
        ({"VolumeType": "gp2", "Iops": 219}, 0.02),
        ({"VolumeType": "io1", "Iops": 100}, None),
        ({"VolumeType": "gp3", "Iops": 6000}, None),
        ({"VolumeType": "gp3", "Throughput": 500}, None),
        ({"VolumeType": "sc1"}, None),
        ({"VolumeType": "gp3", "Size": None}, None),
    ],
    ids=["rented", "of an image", "billed by its speed", "more requests", "more speed", "not listed", "no size"],
)
def test_a_volume_costs_what_awss_list_says_where_its_size_alone_is_billed(
    volume: dict[str, Any], usd_per_h: float | None
) -> None:
    found = disks._volume_usd_per_h({"Size": 73, **volume}, THERE, PRICES)

    assert found == (None if usd_per_h is None else pytest.approx(usd_per_h))


def test_one_volume_without_a_price_leaves_that_of_the_whole_disk_open() -> None:
    known, unknown = (
        {"Size": 73, "VolumeType": kind, "Attachments": [{"InstanceId": "i-1"}]} for kind in ("gp3", "io1")
    )

    assert disks._usd_per_h("i-1", THERE, [known], PRICES) == pytest.approx(0.01)
    assert disks._usd_per_h("i-1", THERE, [known, unknown], PRICES) is None


def test_a_machine_costs_what_awss_list_says_and_else_what_ours_does() -> None:
    ours, awss = machine_at(RegionPrices()), machine_at(PRICES)

    assert (awss.price_usd_per_h, awss.disk_usd_per_h) == (1.5, pytest.approx(0.01))
    assert (ours.price_usd_per_h, ours.disk_usd_per_h) == (1.123, None)


def test_where_there_is_no_machine_no_price_is_asked_for() -> None:
    def asked() -> RegionPrices:
        raise AssertionError("nothing there has a price")

    with mock_aws():
        client = boto3.client("ec2", THERE, aws_access_key_id="testing", aws_secret_access_key="testing")
        assert priced_listing_in(client, THERE, asked).whole() == []
