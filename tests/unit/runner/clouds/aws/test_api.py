"""AwsCloud against moto in this process: an EC2 and an STS that remember."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.httpsession import URLLib3Session
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.botocore_stubber import MockRawResponse

from runner.cloud_api.labels import EXPIRES_TAG, RUN_TAG, resource_name
from runner.cloud_api.models import Offer, Resource
from runner.clouds.aws.api import AwsCloud, open_aws
from runner.errors import AccountError, BadRequestError, CloudUnavailableError, UsageError
from runner.world import RealWorld
from tests.unit.runner.clouds.aws.images import any_image

RUN = "20261121-073000-tiny"
HERE, THERE = "us-east-1", "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/douse-store"
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": HERE,
    "DOUSE_AWS_REGIONS": HERE,
}


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture(autouse=True, scope="module")
def _no_prices() -> Iterator[None]:
    """Refuse what moto does not have, the price list: nothing in this file reaches a network."""

    def refuse(_: object, request: Any) -> AWSResponse:
        assert request.url.startswith("https://api.pricing.us-east-1.amazonaws.com"), request.url
        return AWSResponse(request.url, 400, {}, MockRawResponse(b'{"__type": "AccessDeniedException"}'))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(URLLib3Session, "send", refuse)
        yield


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    with mock_aws():
        yield open_aws(ENVIRON, now=RealWorld().now)


def ec2(region: str = HERE) -> Any:
    return boto3.client("ec2", region, aws_access_key_id="testing", aws_secret_access_key="testing")


def tags(kind: str, **more: str) -> list[dict[str, Any]]:
    named = {"Name": resource_name(RUN), RUN_TAG: RUN, EXPIRES_TAG: "2026-11-21T18:00:00Z", **more}
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in named.items()]}]


def launch(region: str = HERE, *, ours: bool = True, instance_type: str = "g5.xlarge", **more: Any) -> str:
    client = ec2(region)
    marked = more | ({"TagSpecifications": tags("instance")} if ours else {})
    answer = client.run_instances(
        ImageId=any_image(region), InstanceType=instance_type, MinCount=1, MaxCount=1, **marked
    )
    return str(answer["Instances"][0]["InstanceId"])


def of_kind(found: list[Resource]) -> dict[str, list[Resource]]:
    return {kind: [one for one in found if one.kind == kind] for kind in {one.kind for one in found}}


def test_the_account_is_reported_by_its_number(cloud: AwsCloud) -> None:
    account = cloud.account()
    assert (account.cloud, account.label, account.balance_usd) == ("aws", DEFAULT_ACCOUNT_ID, None)
    assert cloud.name == "aws"


def test_without_credentials_the_account_is_at_fault() -> None:
    with pytest.raises(AccountError) as refused:
        open_aws({"AWS_REGION": HERE}, now=RealWorld().now).account()
    assert "AWS_PROFILE" in refused.value.resolution


def test_a_profile_that_is_not_there_is_the_accounts_fault() -> None:
    with pytest.raises(AccountError):
        open_aws({"AWS_PROFILE": "nobody"}, now=RealWorld().now)


def test_a_region_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="everywhere"):
        open_aws({**ENVIRON, "DOUSE_AWS_REGIONS": "us-east-1, everywhere"}, now=RealWorld().now)


def test_an_instance_is_found_in_the_regions_looked_at_with_all_that_is_known_of_it(cloud: AwsCloud) -> None:
    instance_id = launch(THERE)
    assert cloud.listing().whole() == []  # only HERE is looked at
    there = open_aws({**ENVIRON, "DOUSE_AWS_REGIONS": THERE}, now=RealWorld().now)
    (found,) = of_kind(there.listing().whole())["instance"]
    assert (found.cloud, found.kind, found.id, found.region) == ("aws", "instance", instance_id, THERE)
    assert (found.name, found.run_id) == (resource_name(RUN), RUN)
    assert found.expires_at == datetime(2026, 11, 21, 18, tzinfo=UTC)
    assert found.status == "running"
    assert found.address
    assert found.price_usd_per_h == 1.123


@pytest.mark.parametrize(
    ("region", "kind", "usd_per_h"),
    [(HERE, "gp3", 0.008), (HERE, "gp2", None), (THERE, "gp3", None)],
    ids=["sourced", "another type", "another region"],
)
def test_a_machines_disks_have_the_price_of_their_region_or_none(
    cloud: AwsCloud, region: str, kind: str, usd_per_h: float | None
) -> None:
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 73, "VolumeType": kind}}
    launch(region, BlockDeviceMappings=[disk])
    there = open_aws({**ENVIRON, "DOUSE_AWS_REGIONS": region}, now=RealWorld().now)

    (found,) = of_kind(there.listing().whole())["instance"]

    assert found.disk_usd_per_h == (None if usd_per_h is None else pytest.approx(usd_per_h))


def test_a_price_list_without_a_client_hides_no_machine(cloud: AwsCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files from which boto3 makes one may be gone under a guard."""
    launch()
    client_of = cloud._client

    def without_pricing(service: str, region: str) -> Any:
        if service == "pricing":
            raise CloudUnavailableError("aws: no data of pricing", resolution="-")
        return client_of(service, region)

    monkeypatch.setattr(cloud, "_client", without_pricing)

    (found,) = of_kind(cloud.listing().whole())["instance"]
    assert found.price_usd_per_h == 1.006


@pytest.mark.parametrize(("text", "odd"), [("20261121t180000z", None), ("soon", "soon")])
def test_an_end_is_read_or_shown_as_it_stands(cloud: AwsCloud, text: str, odd: str | None) -> None:
    ec2().create_tags(Resources=[launch()], Tags=[{"Key": EXPIRES_TAG, "Value": text}])

    (found,) = of_kind(cloud.listing().whole())["instance"]

    assert (found.expires_at is None, found.odd_expiry) == (odd is not None, odd)


def test_what_is_not_ours_is_left_alone(cloud: AwsCloud) -> None:
    launch(ours=False)
    ec2().create_volume(AvailabilityZone=f"{HERE}a", Size=8)
    assert cloud.listing().whole() == []


def test_a_stopped_machine_is_told_without_a_price_by_the_hour(cloud: AwsCloud) -> None:
    ec2().stop_instances(InstanceIds=[launch()])
    (found,) = of_kind(cloud.listing().whole())["instance"]
    assert (found.status, found.price_usd_per_h) == ("stopped", None)


def make_everything() -> None:
    """Make one thing of each kind that a run may leave behind."""
    client = ec2()
    launch()
    client.create_volume(AvailabilityZone=f"{HERE}a", Size=8, TagSpecifications=tags("volume"))
    client.allocate_address(Domain="vpc", TagSpecifications=tags("elastic-ip"))
    client.create_key_pair(KeyName=resource_name(RUN), TagSpecifications=tags("key-pair"))
    client.create_security_group(
        GroupName=resource_name(RUN), Description="douse", TagSpecifications=tags("security-group")
    )
    (request,) = client.request_spot_instances(
        LaunchSpecification={"ImageId": any_image(HERE), "InstanceType": "g5.xlarge"}, InstanceCount=1, Type="one-time"
    )["SpotInstanceRequests"]
    client.create_tags(Resources=[request["SpotInstanceRequestId"]], Tags=tags("spot-instances-request")[0]["Tags"])


def test_one_of_each_kind_is_found_ended_and_gone_and_ended_again(cloud: AwsCloud) -> None:
    make_everything()
    found = of_kind(cloud.listing().whole())
    assert set(found) == {"instance", "volume", "address", "key", "security_group", "spot_request"}
    everything = [one for ones in found.values() for one in ones]
    for resource in everything:
        assert (resource.run_id, resource.region) == (RUN, HERE)
        assert resource.name == resource_name(RUN)
        cloud.end(resource)
    assert cloud.listing().whole() == []
    for resource in everything:
        if resource.kind != "spot_request":  # moto trips over ending one twice
            cloud.end(replace(resource, region=None))  # at home


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("instance", "i-00000000000000000"),
        ("volume", "vol-00000000"),
        ("key", "key-00000000000000000"),
        ("address", "eipalloc-00000000"),
        ("security_group", "sg-00000000000000000"),
    ],
)
def test_ending_what_never_was_is_fine(cloud: AwsCloud, kind: Any, name: str) -> None:
    cloud.end(Resource("aws", kind, name, "x", HERE, RUN, None))


def test_another_refusal_of_an_end_is_an_error(cloud: AwsCloud) -> None:
    client = ec2()
    instance_id = launch()
    client.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": True})
    (found,) = of_kind(cloud.listing().whole())["instance"]
    with pytest.raises(BadRequestError, match=f"cannot terminate instance {instance_id} in {HERE}"):
        cloud.end(found)


@pytest.fixture(scope="module")
def offers() -> list[Offer]:
    with mock_aws():
        return open_aws({**ENVIRON, "DOUSE_AWS_REGIONS": f"{HERE},{THERE}"}, now=RealWorld().now).offers()


def test_offers_have_awss_hardware_and_the_lists_prices(offers: list[Offer]) -> None:
    (found,) = [
        offer for offer in offers if (offer.instance_type, offer.region, offer.spot) == ("g5.xlarge", HERE, False)
    ]
    assert (found.gpu_name, found.gpu_count, found.gpu_memory_gib, found.memory_gib) == ("A10G", 1, 24.0, 16.0)
    assert (found.price_usd_per_h, found.available, found.disk_gib) == (1.006, None, None)
    assert (found.is_price_dated, found.disk_price_usd_per_gb_month) == (True, None)
    assert {offer.region for offer in offers} == {HERE, THERE}
    assert [offer.price_usd_per_h for offer in offers] == sorted(offer.price_usd_per_h for offer in offers)


def test_a_region_has_only_what_is_sold_there(offers: list[Offer]) -> None:
    here, there = ({offer.instance_type for offer in offers if offer.region == region} for region in (HERE, THERE))
    assert {"g5.xlarge", "p4d.24xlarge"} <= there
    assert "p5.48xlarge" in here - there


def test_spot_machines_are_offered_at_the_price_of_now(offers: list[Offer]) -> None:
    spot = [offer for offer in offers if offer.spot]
    assert {offer.instance_type for offer in spot} >= {"g5.xlarge", "g6.xlarge"}
    assert {offer.price_usd_per_h for offer in spot} == {0.00001}  # moto's
    assert not any(offer.is_price_dated for offer in spot)


def test_machines_the_trainer_cannot_use_are_not_offered(offers: list[Offer]) -> None:
    names = {offer.instance_type for offer in offers}
    assert not {name for name in names if name.startswith(("g5g.", "g6f.", "g4ad.")) or name.endswith(".metal")}


def test_a_folders_credentials_open_that_folder_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with mock_aws():
        cloud = open_aws(ENVIRON, now=RealWorld().now)
        sent: list[dict[str, Any]] = []
        client = cloud._client("sts", HERE)
        client.meta.events.register(
            "provide-client-params.sts.AssumeRole", lambda params, **_: sent.append(params), unique_id="seen"
        )
        found = cloud.sts_credentials_for_prefix("bucket", "/runs/20261121-073000-tiny/", ROLE, 1800)
    assert found.access_key_id
    assert found.expires_at > datetime.now(UTC)
    (request,) = sent
    assert (request["RoleArn"], request["DurationSeconds"]) == (ROLE, 1800)
    assert request["RoleSessionName"] == "douse-20261121-073000-tiny"
    objects, listing = json.loads(request["Policy"])["Statement"]
    assert objects == {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        "Resource": "arn:aws:s3:::bucket/runs/20261121-073000-tiny/*",
    }
    assert (listing["Action"], listing["Resource"]) == ("s3:ListBucket", "arn:aws:s3:::bucket")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "runs/20261121-073000-tiny/*"}}


def test_secrets_are_not_in_the_words_of_the_credentials(cloud: AwsCloud) -> None:
    found = cloud.sts_credentials_for_prefix("bucket", "runs/x", ROLE)
    assert found.secret_access_key not in repr(found)
    assert found.session_token not in repr(found)


def test_another_partition_has_other_arns(cloud: AwsCloud) -> None:
    from runner.clouds.aws.api import _policy

    policy = _policy("bucket", "runs/x", "arn:aws-cn:iam::123456789012:role/store")
    assert policy["Statement"][0]["Resource"] == "arn:aws-cn:s3:::bucket/runs/x/*"


@pytest.mark.parametrize("prefix", ["", "/", "runs/*", "runs/?", "runs/${aws:username}", "a b"])
def test_a_folder_that_cannot_be_fenced_in_is_refused(cloud: AwsCloud, prefix: str) -> None:
    with pytest.raises(UsageError, match="cannot be fenced in"):
        cloud.sts_credentials_for_prefix("bucket", prefix, ROLE)


@pytest.mark.parametrize("duration_s", [899, 43_201])
def test_a_duration_out_of_bounds_is_refused(cloud: AwsCloud, duration_s: int) -> None:
    with pytest.raises(UsageError, match=f"{duration_s} s"):
        cloud.sts_credentials_for_prefix("bucket", "runs/x", ROLE, duration_s)


@pytest.mark.parametrize("arn", ["store", "arn:aws:s3:::bucket", "arn:aws:sts::1:assumed-role/x/y"])
def test_what_is_no_role_is_refused(cloud: AwsCloud, arn: str) -> None:
    with pytest.raises(BadRequestError, match="no role's ARN"):
        cloud.sts_credentials_for_prefix("bucket", "runs/x", arn)
