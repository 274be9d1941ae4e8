"""Schedules that terminate machines, against moto in this process: found by name, moved, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from runner.cloud_api.models import Resource
from runner.clouds.aws.api import SAVING_TIME, AwsCloud, open_aws
from runner.errors import NotFoundError
from tests.unit.runner.clouds.aws.images import any_image

RUN = "20261121-073000-tiny"
NAME = f"douse-{RUN}"
HERE, THERE = "us-east-1", "eu-west-1"
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
TARGET = {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", "RoleArn": "arn:aws:iam::1:role/x"}


@pytest.fixture
def cloud() -> Iterator[AwsCloud]:
    with mock_aws():
        environ = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": HERE,
            "DOUSE_AWS_REGIONS": f"{HERE},{THERE}",
        }
        yield open_aws(environ, now=lambda: NOW)


def scheduler(region: str = HERE) -> Any:
    return boto3.client("scheduler", region, **KEYS)


def schedule(name: str = NAME, region: str = HERE, machine: str = "i-1") -> None:
    scheduler(region).create_schedule(
        Name=name,
        Description="of a run",
        ScheduleExpression="at(2026-11-22T07:30:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={**TARGET, "Input": json.dumps({"InstanceIds": [machine]})},
    )


def launch(region: str = HERE, **tags: str) -> Resource:
    client = boto3.client("ec2", region, **KEYS)
    named = [{"Key": key, "Value": value} for key, value in {"douse-run": RUN, **tags}.items()]
    made = client.run_instances(
        ImageId=any_image(region),
        InstanceType="g5.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": named}],
    )
    return Resource("aws", "instance", made["Instances"][0]["InstanceId"], NAME, region, RUN, None, "running")


def shown(region: str = HERE) -> dict[str, Any]:
    found: dict[str, Any] = scheduler(region).get_schedule(Name=NAME)
    return found


def test_schedules_of_runs_are_found_by_their_names_in_all_regions(cloud: AwsCloud) -> None:
    schedule(region=THERE)
    for foreign in ("nightly", "douse-models", "mine-douse-20261121-073000-tiny"):
        schedule(foreign)

    assert cloud.listing().whole() == [
        Resource("aws", "schedule", NAME, NAME, THERE, RUN, None, price_usd_per_h=0.0),
    ]


def test_a_schedule_is_deleted_and_one_that_is_gone_is_fine(cloud: AwsCloud) -> None:
    schedule()
    (found,) = cloud.listing().whole()

    cloud.end(found)
    cloud.end(found)

    assert cloud.listing().whole() == []


def test_a_lease_moves_the_schedule_and_leaves_the_machine_time_to_save(cloud: AwsCloud) -> None:
    machine = launch(THERE, **{"douse-schedule": NAME})
    schedule(region=THERE, machine=machine.id)
    before = shown(THERE)

    cloud.move_lease(machine, NOW + timedelta(minutes=20))

    after = shown(THERE)
    assert timedelta(minutes=15) == SAVING_TIME
    assert after["ScheduleExpression"] == "at(2026-11-21T08:35:00)"
    for kept in ("Target", "Description", "FlexibleTimeWindow"):
        assert after[kept] == before[kept]


def test_a_schedule_is_never_moved_into_the_past(cloud: AwsCloud) -> None:
    machine = launch(**{"douse-schedule": NAME})
    schedule(machine=machine.id)

    cloud.move_lease(machine, NOW - timedelta(hours=1))

    assert shown()["ScheduleExpression"] == "at(2026-11-21T08:15:00)"


def test_a_moved_schedule_deletes_itself_when_it_has_run(cloud: AwsCloud) -> None:
    machine = launch(**{"douse-schedule": NAME})
    schedule(machine=machine.id)
    asked: list[dict[str, Any]] = []
    client = cloud._client("scheduler", HERE)
    client.meta.events.register(
        "provide-client-params.scheduler.UpdateSchedule", lambda params, **_: asked.append(params)
    )

    cloud.move_lease(machine, NOW)

    assert [params["ActionAfterCompletion"] for params in asked] == ["DELETE"]


def test_a_machine_without_a_schedule_asks_nothing_of_the_scheduler(cloud: AwsCloud) -> None:
    machine = launch()
    schedule(machine=machine.id)

    cloud.move_lease(machine, NOW + timedelta(hours=1))

    assert shown()["ScheduleExpression"] == "at(2026-11-22T07:30:00)"
    assert ("scheduler", HERE) not in cloud._clients


def test_a_schedule_that_is_gone_cannot_be_moved(cloud: AwsCloud) -> None:
    with pytest.raises(NotFoundError):
        cloud.move_lease(launch(**{"douse-schedule": NAME}), NOW)
