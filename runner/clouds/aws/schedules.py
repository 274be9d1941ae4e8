"""EventBridge Scheduler: a one-time schedule that terminates a run's machine, whatever becomes of the machine.

A schedule carries no tags: its name is its mark, and the machine says by a tag that it has one. It costs nothing, and
all that it can do is to terminate one machine, whose id AWS gives to no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from runner.cloud_api.labels import PREFIX, is_ours_if_read, run_of
from runner.cloud_api.listings import judged, text_or_none, wanted_id
from runner.cloud_api.models import Listing, Resource
from runner.clouds.aws.listing import CLOUD, entries, required
from runner.clouds.aws.refusals import aws_errors
from runner.errors import AccessDeniedError, CloudError

SERVICE = "scheduler"
GROUP = "default"
SCHEDULE_TAG = "douse-schedule"
"""Tag of a machine that has a schedule; its value is the schedule's name."""


def schedules_in(client: Any, region: str) -> Listing:
    """Return the schedules of runs in one region; nothing is raised.

    Who may not list schedules is not told that something is unread: most accounts have none, and a schedule that is
    left behind costs nothing and harms nothing.

    Args:
        client: boto3's client of EventBridge Scheduler for the region.
        region: The region.
    """
    doing = f"list schedules in {region}"

    def judge(entry: Mapping[str, Any]) -> Resource | None:
        name = text_or_none(entry.get("Name"))
        found = wanted_id(name, is_ours_if_read(name, {}), cloud=CLOUD, doing=doing)
        run_id = None if found is None else run_of(found, {})
        if found is None or run_id is None:
            return None  # without a run's id in its name it is somebody's own, whatever that begins with
        return Resource(CLOUD, "schedule", found, found, region, run_id, None, price_usd_per_h=0.0)

    try:
        asked = {"GroupName": GROUP, "NamePrefix": PREFIX}
        return judged(entries(client, "list_schedules", "Schedules", doing, **asked), judge)
    except AccessDeniedError:
        return Listing([])
    except CloudError as err:
        return Listing([], [err])


def schedule_of(ec2: Any, machine_id: str, doing: str) -> str | None:
    """Return the name of a machine's schedule, or ``None`` where it has none.

    Args:
        ec2: boto3's EC2 client for the machine's region.
        machine_id: The machine.
        doing: What is tried, for messages.

    Raises:
        CloudError: If AWS does not answer.
    """
    wanted = [{"Name": "resource-id", "Values": [machine_id]}, {"Name": "key", "Values": [SCHEDULE_TAG]}]
    found = list(entries(ec2, "describe_tags", "Tags", doing, Filters=wanted))
    return str(required(found[0], "Value", doing)) if found else None


def move_schedule(client: Any, name: str, at: datetime, doing: str) -> None:
    """Let a schedule terminate its machine at another time, and then delete itself.

    Args:
        client: boto3's client of EventBridge Scheduler for the region.
        name: The schedule.
        at: When (UTC); AWS keeps whole seconds.
        doing: What is tried, for messages.

    Raises:
        NotFoundError: If it is gone: it has terminated its machine, or somebody deleted it.
        CloudError: If AWS refuses, or does not answer.
    """
    with aws_errors(doing):
        found = client.get_schedule(GroupName=GROUP, Name=name)
        client.update_schedule(
            GroupName=GROUP,
            Name=name,
            Description=found.get("Description") or "",
            ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=required(found, "Target", doing),
            State="ENABLED",
            ActionAfterCompletion="DELETE",
        )
