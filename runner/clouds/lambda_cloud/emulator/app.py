"""An emulated Lambda Cloud: API v1 as the vendor's OpenAPI file (1.10.0, read 2026-08-22) and field reports have it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence

from pydantic import ValidationError

from runner.clouds.lambda_cloud.emulator.catalog import INSTANCE_TYPES, REGIONS, images, instance_types, region
from runner.clouds.lambda_cloud.emulator.instances import LambdaInstances
from runner.clouds.lambda_cloud.emulator.messages import InstanceIds, Launch, NewFilesystem, NewKey, Rename
from runner.clouds.lambda_cloud.emulator.storage import LambdaStorage, openssh_pair
from runner.emulation.calls import Answer, Body, Call, Handler, Route, parse, problems
from runner.emulation.cloud_state import REHEARSAL_KEY, CloudState
from runner.emulation.emulator import Emulator, RefusedError, listing_fault
from runner.emulation.machines import EmulatedMachine
from runner.emulation.pace import TokenBucket

ROOT = "/api/v1"
LAUNCH_PACES = 12
"""A launch takes this many times the general pace."""


class LambdaCloud(Emulator):
    """Lambda Cloud."""

    cloud = "lambda"
    recorded_as = "lambda"

    def __init__(self, state: CloudState) -> None:
        """Begin with an empty account."""
        super().__init__(state)
        self._storage = LambdaStorage(state)
        self._instances = LambdaInstances(state, self._storage)
        self._settings = state.settings["lambda"]
        self._general = TokenBucket(self._settings["pace_s"], burst=2)
        self._launches = TokenBucket(self._settings["pace_s"] * LAUNCH_PACES)

    def status(self, machine: EmulatedMachine) -> str:
        """Return how an instance stands, in the cloud's words."""
        return self._instances.status(machine)

    def routes(self) -> Sequence[Route]:
        """Return the API's catalogue."""
        return (
            Route("GET", f"{ROOT}/instance-types", lambda _: data(instance_types())),
            Route("GET", f"{ROOT}/regions", lambda _: data([region(name) for name in REGIONS])),
            Route("GET", f"{ROOT}/images", lambda _: data(images())),
            Route("POST", f"{ROOT}/instance-operations/launch", self._launch),
            Route("POST", f"{ROOT}/instance-operations/terminate", self._terminate),
            Route("POST", f"{ROOT}/instance-operations/restart", self._restart),
            Route("GET", f"{ROOT}/instances", self._list),
            Route("GET", f"{ROOT}/instances/{{id}}", self._get),
            Route("POST", f"{ROOT}/instances/{{id}}", self._rename),
            Route("GET", f"{ROOT}/ssh-keys", lambda _: data(self._storage.all_keys())),
            Route("POST", f"{ROOT}/ssh-keys", self._add_key),
            Route("DELETE", f"{ROOT}/ssh-keys/{{id}}", self._delete_key),
            Route("GET", f"{ROOT}/file-systems", lambda _: data(self._storage.filesystems())),
            Route("POST", f"{ROOT}/filesystems", self._add_filesystem),
            Route("DELETE", f"{ROOT}/filesystems/{{id}}", self._delete_filesystem),
        )

    def who(self, call: Call) -> str | None:
        """Return the account of a Bearer or Basic key."""
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        keys = {given}
        if scheme.lower() == "basic":
            try:
                keys.add(base64.b64decode(given, validate=True).decode().removesuffix(":"))
            except ValueError:
                keys.add(given)
        elif scheme.lower() != "bearer":
            return None
        is_right = any(secrets.compare_digest(key.encode(), REHEARSAL_KEY.encode()) for key in keys)
        return "account" if is_right else None

    def unauthorised(self, call: Call) -> Answer:
        """Return a 401."""
        return error(
            401,
            "global/invalid-api-key",
            "API key was invalid, expired, or deleted.",
            "Check your API key or create a new one, then try again.",
        )

    def paced(self, call: Call, who: str, now: float) -> Answer | None:
        """Refuse what comes faster than one a second, or a launch than one in twelve."""
        is_fast = not self._general.take(now)
        if not is_fast and call.path == f"{ROOT}/instance-operations/launch":
            is_fast = not self._launches.take(now)
        return too_many() if is_fast else None

    def missing(self, call: Call, allowed: Sequence[str]) -> Answer:
        """Return a 404."""
        return error(404, "global/not-found", "The requested resource was not found.")

    def broken(self, message: str) -> Answer:
        """Return a 500."""
        return error(500, "global/internal-error", message, "Try again later. Contact Support if the problem persists.")

    def guard(self, call: Call, who: str, handler: Handler) -> Answer:
        """Put the faults that hit any request, or a poll, in the way."""
        refused = self.state.faults.peek("key_invalid", "lambda")
        if refused is not None and refused.arguments["at"] == "any" and self.take("key_invalid", call.path):
            return self.unauthorised(call)
        is_poll = call.method == "GET" and call.path.startswith(f"{ROOT}/instances")
        if is_poll and self._instances.is_poll_limited():
            return too_many()
        return handler(call)

    def _launch(self, call: Call) -> Answer:
        order = body(Launch, call)
        if self.kill_runner("kill_runner@before_create", order.name or ""):
            return self.broken("An internal server error occurred.")
        refusal = self._refusal(order)
        if refusal is not None:
            return refusal
        machine = self._instances.launch(order)
        self.state.kill_after_create(self.cloud, machine.id)
        fault = self.take("launch_500_after_create", machine.id)
        if fault is not None and fault.arguments["lost"]:
            return Answer(200, {"data": {"instance_ids": [machine.id]}}, is_lost=True)
        if fault is not None:
            return self.broken("An internal server error occurred.")
        return data({"instance_ids": [machine.id]})

    def _refusal(self, order: Launch) -> Answer | None:
        """Return the reason why faults, catalogue or account refuse a launch."""
        on = f"{order.instance_type_name} in {order.region_name}"
        if self.take("launch_rate_limited", on) is not None:
            self._instances.limit_next_poll()
            return too_many()
        if self.take("key_invalid", on) is not None:
            return self.unauthorised(Call("POST", ""))
        if self.take("quota_exceeded", on) is not None:
            return error(400, "global/quota-exceeded", "Quota exceeded.", "Contact Support to increase your quota.")
        if self.take("balance_empty", on) is not None:
            return error(
                403, "global/account-inactive", "Your account is inactive.", "Make sure you have verified your email."
            )
        kind = INSTANCE_TYPES.get(order.instance_type_name)
        if kind is None or order.region_name not in REGIONS:
            return invalid(f"$.{'region_name' if kind else 'instance_type_name'}: not found")
        unknown = self._instances.unknown_in(order)
        if unknown is not None:
            return error(400, "global/object-does-not-exist", unknown, "Use one that exists.")
        is_listed = order.region_name in kind.regions
        if not is_listed or self.state.refuses(on, "lambda"):
            return error(
                400,
                "instance-operations/launch/insufficient-capacity",
                "Not enough capacity to fulfill launch request.",
                "Choose an instance type with more availability, or try again later.",
            )
        return None

    def _list(self, call: Call) -> Answer:
        if self.take("key_forbidden", call.path) is not None:
            return error(403, "global/forbidden", "You are not allowed to do this.")
        return listing_fault(self, data(self._instances.all()), "data")

    def _get(self, call: Call) -> Answer:
        return data(self._instances.shown(self._found(call.parts["id"])))

    def _rename(self, call: Call) -> Answer:
        wanted, machine = body(Rename, call), self._found(call.parts["id"])
        machine.name = wanted.name
        return data(self._instances.shown(machine))

    def _terminate(self, call: Call) -> Answer:
        machines = [self._found(name) for name in body(InstanceIds, call).instance_ids]
        self.state.is_end_asked["lambda"] = True
        on = ", ".join(machine.id for machine in machines)
        if self.kill_runner("kill_runner@destroy", on) or self.take("terminate_500", on) is not None:
            return self.broken("An internal server error occurred.")
        if self.take("terminate_rate_limited", on) is not None:
            return too_many()
        if any(machine.ends_at is not None for machine in machines):  # as SkyPilot's change 3410 says
            return error(400, "global/unknown", "An unknown error occurred.")
        if self.take("already_gone", on) is not None:
            self._instances.delete(machines)
            return instance_missing()
        if self.take("terminate_ignored", on) is not None:
            return data({"terminated_instances": [self._instances.shown(machine) for machine in machines]})
        for machine in machines:
            self.state.end(machine, "request", after_s=self._settings["end_s"])
        return data({"terminated_instances": [self._instances.shown(machine) for machine in machines]})

    def _restart(self, call: Call) -> Answer:
        machines = [self._found(name) for name in body(InstanceIds, call).instance_ids]
        if any(self._instances.status(machine) != "active" for machine in machines):
            return error(409, "global/conflict", "The request conflicts with the current state of the resource.")
        return data({"restarted_instances": [self._instances.shown(machine) for machine in machines]})

    def _add_key(self, call: Call) -> Answer:
        order = body(NewKey, call)
        if any(key["name"] == order.name for key in self._storage.all_keys()):
            return invalid(f"$.name: an SSH key named {order.name} exists already")
        private, public = (None, order.public_key) if order.public_key else openssh_pair()
        key = self._storage.add_key(order.name, public or "")
        return data(key if private is None else {**key, "private_key": private})

    def _delete_key(self, call: Call) -> Answer:
        key_id = call.parts["id"]
        if not self._storage.has_key(key_id):
            return self.missing(call, ())
        if self.take("leftover_key", key_id) is None:
            self._storage.delete_key(key_id)
        return data({})

    def _add_filesystem(self, call: Call) -> Answer:
        order = body(NewFilesystem, call)
        if order.region not in REGIONS:
            return invalid("$.region: there is no such region")
        if any(system["name"] == order.name for system in self._storage.filesystems()):
            return error(400, "global/duplicate", "A filesystem of this name exists already.", "Choose another name.")
        return data(self._storage.add_filesystem(order.name, order.region))

    def _delete_filesystem(self, call: Call) -> Answer:
        found = next((row for row in self._storage.filesystems() if row["id"] == call.parts["id"]), None)
        if found is None:
            return error(404, "global/object-does-not-exist", "Filesystem was not found.")
        if found["is_in_use"]:
            return error(400, "filesystems/filesystem-in-use", "The filesystem is in use.")
        self._storage.delete_filesystem(call.parts["id"])
        return data({"deleted_ids": [call.parts["id"]]})

    def _found(self, machine_id: str) -> EmulatedMachine:
        machine = self._instances.find(machine_id)
        if machine is None:
            raise RefusedError(instance_missing())
        return machine


def data(value: object) -> Answer:
    """Return a success in Lambda's envelope."""
    return Answer(200, {"data": value})


def error(status: int, code: str, message: str, suggestion: str | None = None) -> Answer:
    """Return a failure in Lambda's envelope."""
    fault = {"code": code, "message": message}
    return Answer(status, {"error": fault if suggestion is None else {**fault, "suggestion": suggestion}})


def invalid(message: str) -> Answer:
    """Return a 400 for a body that is not as it has to be."""
    return error(400, "global/invalid-parameters", message)


def too_many() -> Answer:
    """Return a 429; its body is documented nowhere."""
    return error(429, "global/too-many-requests", "Too many requests.")


def instance_missing() -> Answer:
    """Return a 404 for an instance."""
    return error(404, "global/object-does-not-exist", "Specified instance does not exist.")


def body(model: type[Body], call: Call) -> Body:
    """Read a body; what does not fit is refused in Lambda's words."""
    try:
        return parse(model, call)
    except ValidationError as err:
        raise RefusedError(invalid("; ".join(problems(err)))) from err
