"""The emulated EventBridge Scheduler: what moto only keeps is run when it is due, once, and not before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.runner.clouds.aws.emulator.test_app import AwsLab, code, ec2, lab

__all__ = ["ec2", "lab"]
NAME = "douse-20261121-073000-tiny"
TERMINATE = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"


def role(lab: AwsLab, service: str = "scheduler.amazonaws.com") -> str:
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": service}}]}
    made = lab.client("iam").create_role(RoleName="douse-scheduler", AssumeRolePolicyDocument=json.dumps(trust))
    return str(made["Role"]["Arn"])


def order(lab: AwsLab, instance: str, role_arn: str, after_s: float, **more: Any) -> dict[str, Any]:
    at = datetime.fromtimestamp(lab.clock() + after_s, UTC)
    return {
        "Name": NAME,
        "ScheduleExpression": f"at({at:%Y-%m-%dT%H:%M:%S})",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": TERMINATE, "RoleArn": role_arn, "Input": json.dumps({"InstanceIds": [instance]})},
        **more,
    }


def test_a_schedule_terminates_its_instance_when_it_is_due_with_nobody_asking(lab: AwsLab, ec2: Any) -> None:
    instance, other = lab.run(ec2), lab.run(ec2)
    lab.client("scheduler").create_schedule(**order(lab, instance, role(lab), 600))

    lab.clock.advance(599)
    assert lab.billing() == [instance, other]
    lab.clock.advance(1)
    lab.machines()
    lab.clock.advance(1)

    assert lab.billing() == [other]
    assert {row["id"]: row["ended_by"] for row in lab.machines()}[instance] == "its schedule"
    assert [row["id"] for row in lab.leftovers("schedule")] == [NAME]  # it was not told to delete itself


def test_a_schedule_that_was_moved_runs_at_its_new_time_alone_and_deletes_itself(lab: AwsLab, ec2: Any) -> None:
    instance, role_arn, scheduler = lab.run(ec2), role(lab), lab.client("scheduler")
    scheduler.create_schedule(**order(lab, instance, role_arn, 60))
    scheduler.update_schedule(**order(lab, instance, role_arn, 600, ActionAfterCompletion="DELETE"))

    lab.clock.advance(599)
    assert lab.billing() == [instance]
    lab.clock.advance(1)
    lab.machines()
    lab.clock.advance(1)

    assert lab.billing() == []
    assert lab.leftovers("schedule") == []


def test_a_repeated_request_for_a_schedule_is_known_by_its_token_and_another_is_refused(lab: AwsLab, ec2: Any) -> None:
    wanted, scheduler = order(lab, lab.run(ec2), role(lab), 60), lab.client("scheduler")

    made = [scheduler.create_schedule(**wanted, ClientToken="one") for _ in range(2)]

    assert made[0]["ScheduleArn"] == made[1]["ScheduleArn"]
    with pytest.raises(scheduler.exceptions.ConflictException):
        scheduler.create_schedule(**wanted, ClientToken="another")
    for _ in range(2):
        scheduler.delete_schedule(Name=NAME, ClientToken="end")
    assert lab.leftovers("schedule") == []


def test_a_deleted_schedule_never_runs(lab: AwsLab, ec2: Any) -> None:
    instance, scheduler = lab.run(ec2), lab.client("scheduler")
    scheduler.create_schedule(**order(lab, instance, role(lab), 60))
    scheduler.delete_schedule(Name=NAME)

    lab.clock.advance(3600)

    assert lab.billing() == [instance]


@pytest.mark.parametrize("service", [None, "ec2.amazonaws.com"], ids=["no role", "of another service"])
def test_a_role_that_the_scheduler_cannot_take_is_refused(lab: AwsLab, ec2: Any, service: str | None) -> None:
    role_arn = "arn:aws:iam::123456789012:role/nobody" if service is None else role(lab, service)

    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume the role") as caught:
        lab.client("scheduler").create_schedule(**order(lab, lab.run(ec2), role_arn, 60))

    assert code(caught) == "ValidationException"
    assert lab.leftovers("schedule") == []
