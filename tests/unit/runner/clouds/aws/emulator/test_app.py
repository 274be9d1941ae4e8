from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server

from runner.cloud_api.models import Cloud
from runner.clouds.aws.api import open_aws
from runner.clouds.aws.emulator.seed import IMAGES, OTHER_ACCESS_KEY_ID, OTHER_ACCOUNT
from runner.errors import UnreadableAnswerError
from runner.world import RealWorld
from tests.unit.runner.emulation.emulated import KEY_LINE, Lab

DEEP_LEARNING = next(iter(IMAGES))
DISK = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 73, "VolumeType": "gp3", "DeleteOnTermination": True}}


class Quiet(MotoRequestHandler):
    def log(
        self,
        type: str,  # noqa: A002
        message: str,
        *args: object,
    ) -> None:
        """Say nothing."""


class AwsLab(Lab):
    """The emulated AWS behind a real socket, for boto3."""

    endpoint: str

    def client(self, service: str, key_id: str = "AKIAREHEARSAL0000000", region: str = "us-east-1", **more: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=key_id,
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
            **more,
        )

    def image(self) -> str:
        return IMAGES[DEEP_LEARNING][0]

    def run(self, ec2: Any, **changes: Any) -> str:
        if not ec2.describe_key_pairs()["KeyPairs"]:
            ec2.import_key_pair(KeyName="douse-k", PublicKeyMaterial=KEY_LINE.encode())
        order = {
            "ImageId": self.image(),
            "InstanceType": "g6.xlarge",
            "MinCount": 1,
            "MaxCount": 1,
            "KeyName": "douse-k",
            "UserData": "#cloud-config\nssh_keys:\n  ed25519_public: x\nssh_deletekeys: true\n",
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "Name", "Value": "douse-x"}, {"Key": "douse-run", "Value": "x"}],
                }
            ],
            **changes,
        }
        return str(ec2.run_instances(**order)["Instances"][0]["InstanceId"])


@pytest.fixture
def lab() -> Iterator[AwsLab]:
    moto_api_backend.reset()
    lab = AwsLab()
    server = make_server("127.0.0.1", 0, lab.services["aws"].wsgi, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    lab.endpoint = f"http://127.0.0.1:{server.server_port}"
    yield lab
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ec2(lab: AwsLab) -> Any:
    return lab.client("ec2")


def shown(ec2: Any, instance: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return found


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("service", "operation", "expected"),
    [
        ("ec2", "describe_instances", "AuthFailure"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
    ],
)
def test_wrong_key_is_refused(lab: AwsLab, service: str, operation: str, expected: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(lab.client(service, key_id="AKIASOMEBODYELSE0000"), operation)()

    assert code(caught) == expected
    assert not lab.state.requests.all()[-1].is_authorised


def test_parameter_names_an_image_for_x86_64(lab: AwsLab, ec2: Any) -> None:
    for name in IMAGES:
        image = lab.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        (found,) = ec2.describe_images(ImageIds=[image])["Images"]
        assert (found["Architecture"], found["RootDeviceType"], found["State"]) == ("x86_64", "ebs", "available")


def test_instance_is_pending_then_running_at_its_boxs_address(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2)
    pending = shown(ec2, instance)
    lab.clock.advance(1.0)
    running = shown(ec2, instance)

    (box,) = lab.yard.boxes.values()
    assert pending["State"]["Name"] == "pending"
    assert (running["State"]["Name"], running["PublicIpAddress"]) == ("running", box.address.host)
    assert (box.order["kind"], box.order["user"], box.order["public_keys"]) == ("vm", "ubuntu", [KEY_LINE])
    assert box.order["user_data"].startswith("#cloud-config\nssh_keys:")


def test_terminated_instance_bills_until_it_is_gone(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2, BlockDeviceMappings=[DISK])
    lab.clock.advance(3600.0)

    change = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")
    assert lab.billing() == [instance]
    lab.clock.advance(1.5)

    assert shown(ec2, instance)["State"]["Name"] == "terminated"
    assert lab.billing() == []
    assert lab.machines()[0]["billed_usd"] == pytest.approx((0.8048 + 73 * 0.08 / 730) * 3601 / 3600, abs=1e-6)
    assert lab.yard.boxes == {}
    again = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"


def test_terminate_of_what_there_is_not_is_not_found(lab: AwsLab, ec2: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ec2.terminate_instances(InstanceIds=["i-0123456789abcdef0"])

    assert code(caught) == "InvalidInstanceID.NotFound"


def test_nothing_but_the_key_is_left_after_the_end(lab: AwsLab, ec2: Any) -> None:
    group = ec2.create_security_group(GroupName="douse-g", Description="x")["GroupId"]
    instance = lab.run(ec2, SecurityGroupIds=[group])
    lab.clock.advance(2.0)
    assert [g["GroupId"] for g in shown(ec2, instance)["SecurityGroups"]] == [group]

    ec2.terminate_instances(InstanceIds=[instance])
    lab.clock.advance(2.0)
    ec2.delete_security_group(GroupId=group)

    rows = lab.control.get("/leftovers").json()["leftovers"]
    assert [(row["kind"], row["name"]) for row in rows] == [("key", "douse-k")]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    ec2.delete_key_pair(KeyName="douse-k")
    assert lab.control.get("/leftovers").json()["leftovers"] == []


def test_shutdown_inside_terminates_when_it_is_asked_to(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2)
    lab.clock.advance(2.0)
    (box,) = lab.yard.boxes.values()
    assert box.on_exit is not None

    box.on_exit()

    found = shown(ec2, instance)
    assert found["State"]["Name"] == "terminated"
    assert found["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert lab.billing() == []


def test_shutdown_inside_only_stops_when_nothing_was_said(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2, InstanceInitiatedShutdownBehavior="stop")
    lab.clock.advance(2.0)
    (box,) = lab.yard.boxes.values()
    assert box.on_exit is not None

    box.on_exit()

    assert shown(ec2, instance)["State"]["Name"] == "stopped"
    assert lab.billing() == [instance]


def test_shutdown_behaviour_can_be_changed_and_the_groups_stay(lab: AwsLab, ec2: Any) -> None:
    group = ec2.create_security_group(GroupName="douse-g", Description="x")["GroupId"]
    instance = lab.run(ec2, SecurityGroupIds=[group])

    ec2.modify_instance_attribute(InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "stop"})

    attribute = ec2.describe_instance_attribute(InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior")
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "stop"
    assert [g["GroupId"] for g in shown(ec2, instance)["SecurityGroups"]] == [group]


def test_groups_of_a_network_interface_are_kept(lab: AwsLab, ec2: Any) -> None:
    group = ec2.create_security_group(GroupName="douse-g", Description="x")["GroupId"]
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    nic = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group], "AssociatePublicIpAddress": True}

    instance = lab.run(ec2, NetworkInterfaces=[nic])

    assert [g["GroupId"] for g in shown(ec2, instance)["SecurityGroups"]] == [group]


def test_spot_instance_has_its_request_its_life_cycle_and_its_price(lab: AwsLab, ec2: Any) -> None:
    market = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.5", "SpotInstanceType": "one-time"}}
    instance = lab.run(ec2, InstanceMarketOptions=market)

    found = shown(ec2, instance)
    (request,) = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]

    assert found["InstanceLifecycle"] == "spot"
    assert (found["SpotInstanceRequestId"], request["InstanceId"]) == (request["SpotInstanceRequestId"], instance)
    assert (request["State"], request["Status"]["Code"]) == ("active", "fulfilled")
    (machine,) = lab.machines()
    assert (machine["spot"], machine["price_usd_per_h"]) == (True, pytest.approx(0.32192))


def test_spot_bid_that_is_too_low_is_refused(lab: AwsLab, ec2: Any) -> None:
    market = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.01"}}
    with pytest.raises(ClientError) as caught:
        lab.run(ec2, InstanceMarketOptions=market)

    assert code(caught) == "SpotMaxPriceTooLow"
    assert lab.machines() == []


def test_spot_prices_are_those_of_the_meters_and_of_today(lab: AwsLab, ec2: Any) -> None:
    rows = ec2.describe_spot_price_history(InstanceTypes=["g6.xlarge"])["SpotPriceHistory"]

    assert {row["SpotPrice"] for row in rows} == {"0.321920"}
    assert {int(row["Timestamp"].timestamp()) for row in rows} == {int(lab.clock.now)}


def test_instance_taken_back_says_why(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2, InstanceMarketOptions={"MarketType": "spot"})
    lab.clock.advance(2.0)

    lab.control.post(f"/machines/{instance}/preempt")

    found = shown(ec2, instance)
    (request,) = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert found["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-by-price")
    assert lab.billing() == []


def test_instance_with_notice_hears_of_it_before_it_is_taken_back(lab: AwsLab, ec2: Any) -> None:
    lab.fault("spot_notice", cloud="aws", after_s=5.0, notice_s=30.0)
    instance = lab.run(ec2, InstanceMarketOptions={"MarketType": "spot"})
    (box,) = lab.yard.boxes.values()

    lab.clock.advance(7.0)
    assert shown(ec2, instance)["State"]["Name"] == "running"
    notice = json.loads(box.notice)
    assert notice["action"] == "terminate"
    assert datetime.fromisoformat(notice["time"]).timestamp() == pytest.approx(lab.clock.now + 120.0, abs=2.0)

    lab.clock.advance(31.0)
    assert shown(ec2, instance)["State"]["Name"] in ("shutting-down", "terminated")


def test_stopped_instance_bills_its_disks_and_starts_at_another_address(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2, BlockDeviceMappings=[DISK])
    lab.clock.advance(2.0)

    ec2.stop_instances(InstanceIds=[instance])
    assert shown(ec2, instance)["State"]["Name"] == "stopped"
    assert lab.machines()[0]["price_usd_per_h"] == pytest.approx(73 * 0.08 / 730)
    ec2.start_instances(InstanceIds=[instance])
    lab.clock.advance(2.0)

    assert shown(ec2, instance)["PublicIpAddress"] == "192.0.2.3"
    (row,) = lab.machines()
    assert (row["price_usd_per_h"], row["disk_usd_per_h"]) == pytest.approx((0.8048, 73 * 0.08 / 730))
    lab.clock.advance(3600.0)
    assert lab.machines()[0]["billed_usd"] - row["billed_usd"] == pytest.approx(0.8048 + 73 * 0.08 / 730, abs=1e-5)


def test_repeated_request_makes_no_second_machine(lab: AwsLab, ec2: Any) -> None:
    first = lab.run(ec2, ClientToken="same")

    assert lab.run(ec2, ClientToken="same") == first
    assert len(lab.machines()) == 1


def test_stopped_outside_is_stopped_in_moto_too(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2)

    lab.control.post(f"/machines/{instance}/stop")

    assert shown(ec2, instance)["State"]["Name"] == "stopped"


def test_record_holds_no_user_data(lab: AwsLab, ec2: Any) -> None:
    lab.run(ec2)

    text = lab.control.get("/requests?cloud=aws").text
    assert '"UserData": "***"' in text
    assert "authorization" not in text.lower().replace("is_authorised", "")


def test_store_keeps_bodies_and_temporary_keys_are_taken(lab: AwsLab) -> None:
    given = lab.client("sts").get_federation_token(Name="run")["Credentials"]
    s3 = lab.client("s3", key_id=given["AccessKeyId"], aws_session_token=given["SessionToken"])
    s3.create_bucket(Bucket="douse-store")

    s3.put_object(Bucket="douse-store", Key="runs/x", Body=b"x" * 100_000)

    assert len(s3.get_object(Bucket="douse-store", Key="runs/x")["Body"].read()) == 100_000
    assert given["SecretAccessKey"] not in lab.control.get("/requests").text


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("key_invalid", "AuthFailure"),
        ("key_forbidden", "UnauthorizedOperation"),
        ("quota_exceeded", "VcpuLimitExceeded"),
        ("no_capacity", "InsufficientInstanceCapacity"),
        ("launch_rate_limited", "RequestLimitExceeded"),
    ],
)
def test_fault_of_the_account_refuses_the_launch(lab: AwsLab, ec2: Any, fault: str, expected: str) -> None:
    lab.fault(fault, cloud="aws")

    with pytest.raises(ClientError) as caught:
        lab.run(ec2)

    assert code(caught) == expected
    assert lab.machines() == []


def test_launch_500_after_create_makes_one_machine_however_often_it_is_repeated(lab: AwsLab, ec2: Any) -> None:
    lab.fault("launch_500_after_create", cloud="aws")

    with pytest.raises(ClientError) as caught:
        lab.run(ec2, ClientToken="same")
    again = lab.run(ec2, ClientToken="same")

    assert code(caught) == "InternalError"
    assert lab.billing() == [again]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("terminate_500", "InternalError"),
        ("terminate_rate_limited", "RequestLimitExceeded"),
        ("already_gone", "InvalidInstanceID.NotFound"),
    ],
)
def test_end_is_refused(lab: AwsLab, ec2: Any, fault: str, expected: str) -> None:
    lab.fault(fault, cloud="aws")
    instance = lab.run(ec2)

    with pytest.raises(ClientError) as caught:
        ec2.terminate_instances(InstanceIds=[instance])

    assert code(caught) == expected
    assert lab.billing() == ([] if fault == "already_gone" else [instance])


@pytest.mark.parametrize(("fault", "state"), [("terminate_ignored", "running"), ("stopped_disk_bills", "stopped")])
def test_end_is_answered_with_yes_and_does_not_come(lab: AwsLab, ec2: Any, fault: str, state: str) -> None:
    lab.fault(fault, cloud="aws")
    instance = lab.run(ec2)

    assert ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]
    lab.clock.advance(60.0)

    assert shown(ec2, instance)["State"]["Name"] == state
    assert lab.billing() == [instance]


def test_slow_end_is_seen_and_billed_until_it_comes(lab: AwsLab, ec2: Any) -> None:
    lab.fault("terminate_slow", cloud="aws", seconds=30)
    instance = lab.run(ec2)
    ec2.terminate_instances(InstanceIds=[instance])

    lab.clock.advance(29.0)
    assert (shown(ec2, instance)["State"]["Name"], lab.billing()) == ("shutting-down", [instance])
    lab.clock.advance(2.0)
    assert (shown(ec2, instance)["State"]["Name"], lab.billing()) == ("terminated", [])


def test_machine_that_never_gets_active_is_pending_and_bills(lab: AwsLab, ec2: Any) -> None:
    lab.fault("boot_never_active", cloud="aws")
    instance = lab.run(ec2)
    lab.clock.advance(3600.0)

    assert shown(ec2, instance)["State"]["Name"] == "pending"
    assert lab.billing() == [instance]


def test_new_machine_is_absent_from_a_lagging_list(lab: AwsLab, ec2: Any) -> None:
    lab.fault("listing_lags", cloud="aws", seconds=5)
    instance = lab.run(ec2)

    assert ec2.describe_instances()["Reservations"] == []
    with pytest.raises(ClientError, match="does not exist"):
        shown(ec2, instance)
    lab.clock.advance(5.0)
    assert shown(ec2, instance)["InstanceId"] == instance


def test_list_of_machines_fails(lab: AwsLab, ec2: Any) -> None:
    lab.run(ec2)
    lab.fault("listing_500", cloud="aws")

    with pytest.raises(ClientError) as caught:
        ec2.describe_instances()

    assert code(caught) == "InternalError"


def test_empty_body_of_a_list_cannot_be_read(lab: AwsLab, ec2: Any) -> None:
    lab.run(ec2)
    lab.fault("listing_empty_body", cloud="aws")

    try:
        answer = ec2.describe_instances()
    except ResponseParserError:
        return
    assert "Reservations" not in answer


def test_list_under_another_name_has_no_reservations(lab: AwsLab, ec2: Any) -> None:
    lab.run(ec2)
    lab.fault("listing_schema_changed", cloud="aws")

    assert "Reservations" not in ec2.describe_instances()


def test_first_page_is_empty_and_the_second_has_everything(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2)
    lab.fault("listing_partial_page", cloud="aws")

    pages = list(ec2.get_paginator("describe_instances").paginate())

    assert [len(page["Reservations"]) for page in pages] == [0, 1]
    assert pages[1]["Reservations"][0]["Instances"][0]["InstanceId"] == instance


@pytest.mark.parametrize(("fault", "sizes"), [(None, [2, 1]), ("listing_pages", [1, 1, 1])])
def test_instances_come_in_pages(lab: AwsLab, ec2: Any, fault: str | None, sizes: list[int]) -> None:
    for _ in range(3):
        lab.run(ec2)
    if fault is not None:
        lab.fault(fault, cloud="aws", count="always")

    pages = list(ec2.get_paginator("describe_instances").paginate())

    assert [len(page["Reservations"]) for page in pages] == sizes


def test_leftovers_stay_behind_with_the_marks_of_the_run(lab: AwsLab, ec2: Any) -> None:
    for fault in ("leftover_volume", "leftover_address", "leftover_key"):
        lab.fault(fault, cloud="aws")
    instance = lab.run(ec2)
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_key_pair(KeyName="douse-k")
    lab.clock.advance(3600.0)

    rows = {row["kind"]: row for row in lab.control.get("/leftovers").json()["leftovers"]}
    (address,) = ec2.describe_addresses()["Addresses"]
    volumes = ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"]

    assert set(rows) == {"key", "volume", "address"}
    assert (rows["volume"]["is_billing"], rows["address"]["is_billing"]) == (True, True)
    assert {"Key": "douse-run", "Value": "x"} in address["Tags"]
    assert {"Key": "douse-run", "Value": "x"} in volumes[0]["Tags"]


def our_client(lab: AwsLab, region: str = "us-east-1") -> Cloud:
    return open_aws(
        {
            "AWS_ACCESS_KEY_ID": "AKIAREHEARSAL0000000",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_ENDPOINT_URL": lab.endpoint,
            "AWS_REGION": region,
            "DOUSE_AWS_REGIONS": region,
        },
        now=RealWorld().now,
    )


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_our_client_knows_what_a_machine_and_its_disk_cost_in_every_region(lab: AwsLab, region: str) -> None:
    tags = [{"Key": "Name", "Value": "douse-x"}, {"Key": "douse-run", "Value": "x"}]
    marked = [{"ResourceType": "instance", "Tags": tags}]
    lab.run(lab.client("ec2", region=region), BlockDeviceMappings=[DISK], TagSpecifications=marked)

    (found,) = [one for one in our_client(lab, region).listing().whole() if one.kind == "instance"]

    (metered,) = lab.machines()
    assert found.disk_usd_per_h == pytest.approx(metered["disk_usd_per_h"])
    assert found.price_usd_per_h == pytest.approx(metered["price_usd_per_h"])


def test_sessions_of_roles_end_when_the_account_lets_them_end(lab: AwsLab) -> None:
    asked = {"RoleArn": "arn:aws:iam::123456789012:role/x", "RoleSessionName": "run", "DurationSeconds": 3600}
    whole = lab.client("sts").assume_role(**asked)["Credentials"]["Expiration"]
    lab.state.settings["aws"]["session_s"] = 30.0  # type: ignore[index]
    short = lab.client("sts").assume_role(**asked)["Credentials"]["Expiration"]

    assert whole - short > timedelta(minutes=30)


def test_our_client_lists_and_ends_what_is_ours(lab: AwsLab, ec2: Any) -> None:
    cloud = our_client(lab)
    instance = lab.run(ec2, InstanceMarketOptions={"MarketType": "spot"})
    lab.clock.advance(2.0)

    (found,) = [resource for resource in cloud.listing().whole() if resource.kind == "instance"]
    assert (found.id, found.status, found.name) == (instance, "running", "douse-x")
    cloud.end(found)
    lab.clock.advance(2.0)

    assert [resource for resource in cloud.listing().whole() if resource.kind == "instance"] == []
    assert lab.billing() == []


@pytest.mark.parametrize("fault", ["listing_empty_body", "listing_schema_changed"])
def test_list_that_cannot_be_read_is_never_nothing_to_our_client(lab: AwsLab, ec2: Any, fault: str) -> None:
    lab.run(ec2)
    lab.fault(fault, cloud="aws", count="always")

    with pytest.raises(UnreadableAnswerError):
        our_client(lab).listing().whole()


def test_our_client_reads_past_an_empty_first_page(lab: AwsLab, ec2: Any) -> None:
    instance = lab.run(ec2)
    lab.fault("listing_partial_page", cloud="aws")

    found = our_client(lab).listing().whole()

    assert [resource.id for resource in found if resource.kind == "instance"] == [instance]
    assert lab.fired() == ["listing_partial_page"]


def test_our_client_finds_and_ends_all_of_three_machines_in_pages_of_one(lab: AwsLab, ec2: Any) -> None:
    cloud = our_client(lab)
    machines = {lab.run(ec2) for _ in range(3)}
    lab.fault("listing_pages", cloud="aws", count="always")
    lab.clock.advance(2.0)

    found = [resource for resource in cloud.listing().whole() if resource.kind == "instance"]
    assert {one.id for one in found} == machines
    for one in found:
        cloud.end(one)
    lab.clock.advance(2.0)

    assert lab.billing() == []


def test_the_key_of_another_account_is_good_and_shows_nothing(lab: AwsLab) -> None:
    lab.run(lab.client("ec2"))
    other = OTHER_ACCESS_KEY_ID

    assert lab.client("ec2", other).describe_instances()["Reservations"] == []
    assert lab.client("sts", other).get_caller_identity()["Account"] == OTHER_ACCOUNT
    assert len(lab.client("ec2").describe_instances()["Reservations"]) == 1


def test_a_cloud_that_is_down_answers_nothing_until_it_is_up_again(lab: AwsLab) -> None:
    lab.fault("api_down", seconds=60, cloud="aws")

    with pytest.raises(ClientError, match="ServiceUnavailable"):
        lab.client("ec2").describe_instances()
    lab.clock.advance(61)
    assert lab.client("ec2").describe_instances()["Reservations"] == []
