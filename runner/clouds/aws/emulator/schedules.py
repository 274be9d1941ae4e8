"""EventBridge Scheduler of the emulated AWS: moto keeps the schedules and never runs them; here they run when due."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from runner.clouds.aws.emulator.seed import ACCOUNT
from runner.clouds.aws.emulator.wire import AwsCall
from runner.emulation.calls import Answer
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import EmulatedMachine, Leftover

ONCE = "at(%Y-%m-%dT%H:%M:%S)"
TERMINATE = ":scheduler:::aws-sdk:ec2:terminateInstances"
REMINDER = "schedule "
NO_TRUST = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."


class AwsSchedules:
    """One-time schedules that terminate instances, in every region."""

    def __init__(self, state: CloudState) -> None:
        """Begin with none."""
        self._state = state
        self._regions: set[str] = set()

    def refusal(self, call: AwsCall) -> Answer | None:
        """Return the refusal of a schedule whose role does not exist, or does not trust the scheduler."""
        if call.method not in ("POST", "PUT"):
            return None
        role = json.loads(call.body or b"{}").get("Target", {}).get("RoleArn", "")
        if "scheduler.amazonaws.com" in _trust(role):
            return None
        body = json.dumps({"Message": NO_TRUST}).encode()
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ValidationException"}
        return Answer(400, None, headers, body)

    def accepted(self, call: AwsCall) -> None:
        """Set the timer of a schedule that was made or moved; moto forgets what is to follow its end."""
        self._regions.add(call.region)
        if call.method not in ("POST", "PUT"):
            return
        wanted, name = json.loads(call.body), call.path.rpartition("/")[2]
        schedule = _backend(call.region).get_schedule(wanted.get("GroupName"), name)
        schedule.action_after_completion = wanted.get("ActionAfterCompletion", "NONE")
        at = datetime.strptime(schedule.schedule_expression, ONCE).replace(tzinfo=UTC).timestamp()
        for instance_id in _instances(schedule):
            machine = self._state.machines.get(instance_id)
            if machine is not None:
                machine.remind(at, f"{REMINDER}{name}")

    def run(self, machine: EmulatedMachine, action: str) -> bool:
        """Run the schedule of a reminder, if it is one; one that was moved or deleted since has another, or none."""
        if not action.startswith(REMINDER):
            return False
        name = action.removeprefix(REMINDER)
        schedules = _of_default_group(machine.region)
        schedule = schedules.get(name)
        if schedule is None:
            return True
        at = datetime.strptime(schedule.schedule_expression, ONCE).replace(tzinfo=UTC).timestamp()
        if at <= self._state.clock() and TERMINATE in schedule.target["Arn"]:
            if schedule.action_after_completion == "DELETE":
                del schedules[name]
            self._state.end(machine, "its schedule", after_s=self._state.settings["aws"]["end_s"])
        return True

    def leftovers(self) -> list[Leftover]:
        """Return all schedules; they cost nothing."""
        found = [(region, name) for region in sorted(self._regions) for name in _of_default_group(region)]
        return [Leftover("aws", "schedule", name, name, region) for region, name in found]


def _backend(region: str) -> Any:
    from moto.scheduler.models import scheduler_backends

    return scheduler_backends[ACCOUNT][region]


def _of_default_group(region: str) -> dict[str, Any]:
    found: dict[str, Any] = _backend(region).schedule_groups["default"].schedules
    return found


def _instances(schedule: Any) -> list[str]:
    found: list[str] = json.loads(schedule.target.get("Input") or "{}").get("InstanceIds", [])
    return found


def _trust(role_arn: str) -> str:
    """Return whom a role trusts, as the text of its policy; nothing where there is no such role."""
    from moto.iam.models import iam_backends

    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    return next((str(role.assume_role_policy_document) for role in roles if role.arn == role_arn), "")
