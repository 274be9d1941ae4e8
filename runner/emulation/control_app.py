"""The control API of the emulated clouds: what exists and bills, what was asked, which faults are to happen.

======  ============================  ===========================================================================
method  path                          what
======  ============================  ===========================================================================
GET     /health                       ``{"status": "ok", "clouds": [...], "machines": n}``
GET     /address                      what a service on the internet answers: the caller's address, as text
GET     /machines                     ``{"machines": [...]}``: id, cloud, name, status (the cloud's word), started_at
                                      and ended_at (seconds since the epoch), ended_by, price_usd_per_h (now),
                                      disk_usd_per_h (besides, while it runs), billed_usd, is_billing, address
                                      {host, port}, instance_type, region, spot, box
GET     /machines/{id}/user_data      ``{"user_data": text|null}``
GET     /leftovers                    ``{"leftovers": [...]}``: cloud, kind, id, name, region, billed_usd, is_billing
GET     /requests[?cloud=]            ``{"requests": [...]}``: see ``requests_log.Recorded``
GET     /faults                       ``{"queued": [...], "fired": [...], "never_fired": [names], "known": {...}}``
POST    /faults                       ``{"name", "count"?: int|"always", "args"?: {...}}`` → 201; 422 with why not
DELETE  /faults                       forget what has not fired
POST    /runner                       ``{"pid": n}``: whom ``kill_runner@…`` ends
POST    /machines/{id}/kill           the box vanishes; the cloud bills on
POST    /machines/{id}/restart        the box loses all that runs on it, and boots again from its disk
POST    /machines/{id}/stop           somebody stops it in the console (409 where the cloud cannot)
POST    /machines/{id}/delete         somebody ends it in the console
POST    /machines/{id}/preempt        the cloud reclaims it
POST    /machines/{id}/notice         ``{"preempt_after_s"?: s}``: the cloud says that it will reclaim it, where it
                                      says so, and does it then
POST    /machines/{id}/partition      ``{"on": bool}``: the box is cut off the network, or let back
======  ============================  ===========================================================================

A refusal is ``{"error": message, "hint": what to do}`` with status 404, 409 or 422.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from pydantic import ValidationError
from starlette.applications import Starlette

from runner.emulation.calls import Answer, Call, Route, Router, Strict, as_app, parse, problems
from runner.emulation.cloud_state import CloudState
from runner.emulation.fault_table import FAULTS, Argument, sentence
from runner.emulation.machines import EmulatedMachine, Leftover, machine_row
from runner.emulation.service import Statuses
from runner.errors import RunnerError, UsageError

ADDRESS = "203.0.113.7"
"""Where a rehearsal calls from: an address of nobody's."""


class NewFault(Strict):
    """Body of ``POST /faults``."""

    name: str
    count: int | Literal["always"] | None = None
    args: dict[str, Argument] = {}  # noqa: RUF012 - a pydantic default, copied for each
    nullable = frozenset({"count"})


class Runner(Strict):
    """Body of ``POST /runner``."""

    pid: int


class Switch(Strict):
    """Body of ``POST /machines/{id}/partition``."""

    on: bool


class Notice(Strict):
    """Body of ``POST /machines/{id}/notice``."""

    preempt_after_s: float | None = None


class Control:
    """The control API."""

    def __init__(self, state: CloudState, statuses: Mapping[str, Statuses]) -> None:
        """Take the state and the clouds that are served."""
        self._state, self._statuses = state, statuses
        self._router = Router(
            (
                Route("GET", "/health", self._health),
                Route("GET", "/address", self._address),
                Route("GET", "/machines", self._machines),
                Route("GET", "/machines/{id}/user_data", self._user_data),
                Route("POST", "/machines/{id}/partition", self._partition),
                Route("POST", "/machines/{id}/{action}", self._act),
                Route("GET", "/leftovers", self._leftovers),
                Route("GET", "/requests", self._requests),
                Route("GET", "/faults", self._faults),
                Route("POST", "/faults", self._add_fault),
                Route("DELETE", "/faults", self._clear_faults),
                Route("POST", "/runner", self._register),
            )
        )

    def app(self) -> Starlette:
        """Return it as an ASGI app."""
        return as_app(self.serve)

    def serve(self, call: Call) -> Answer:
        """Answer one request."""
        found = self._router.find(call)
        if isinstance(found, list):
            return _refused(405 if found else 404, f"no {call.method} {call.path}", "see control_app.py")
        handler, matched = found
        try:
            with self._state.turn():
                return handler(matched)
        except ValidationError as err:
            return _refused(422, "; ".join(problems(err)), "see the models in runner/emulation/control_app.py")
        except UsageError as err:
            return _refused(422, err.message, err.resolution)
        except RunnerError as err:
            return _refused(500, err.message, err.resolution)

    def _health(self, call: Call) -> Answer:
        return Answer(200, {"status": "ok", "clouds": list(self._state.clouds), "machines": len(self._state.machines)})

    def _address(self, call: Call) -> Answer:
        return Answer(200, headers={"content-type": "text/plain"}, raw=f"{ADDRESS}\n".encode())

    def _machines(self, call: Call) -> Answer:
        now = self._state.clock()
        rows = [
            {**machine_row(machine, now), "status": self._statuses[machine.cloud].status(machine)}
            for machine in self._state.machines.values()
        ]
        return Answer(200, {"machines": rows})

    def _user_data(self, call: Call) -> Answer:
        if self._machine(call) is None:
            return _no_machine(call)
        return Answer(200, {"user_data": self._state.user_data.get(call.parts["id"])})

    def _leftovers(self, call: Call) -> Answer:
        now = self._state.clock()
        every = [*self._state.leftovers.values(), *(row for s in self._statuses.values() for row in s.leftovers())]
        return Answer(200, {"leftovers": [_leftover_row(leftover, now) for leftover in every]})

    def _requests(self, call: Call) -> Answer:
        cloud = call.query.get("cloud")
        rows = [asdict(row) for row in self._state.requests.all() if cloud in (None, row.cloud)]
        return Answer(200, {"requests": rows})

    def _faults(self, call: Call) -> Answer:
        clouds = self._state.faults.clouds
        known = {
            fault.name: {
                "does": sentence(fault, clouds),
                "clouds": [name for name, said in clouds.items() if fault.name in said.possible],
                "args": dict(fault.arguments),
            }
            for fault in FAULTS.values()
        }
        return Answer(200, {**self._state.faults.report(), "known": known})

    def _add_fault(self, call: Call) -> Answer:
        wanted = parse(NewFault, call)
        queued = self._state.faults.add(wanted.name, wanted.count, wanted.args)
        return Answer(201, {"name": queued.name, "cloud": queued.cloud, "args": dict(queued.arguments)})

    def _clear_faults(self, call: Call) -> Answer:
        self._state.faults.clear()
        return Answer(200, {})

    def _register(self, call: Call) -> Answer:
        self._state.runner.register(parse(Runner, call).pid)
        return Answer(200, {})

    def _partition(self, call: Call) -> Answer:
        machine, wanted = self._machine(call), parse(Switch, call)
        if machine is None or machine.box is None:
            return _no_machine(call)
        self._state.yard.partition(machine.box, wanted.on)
        return Answer(200, {})

    def _act(self, call: Call) -> Answer:
        machine, action = self._machine(call), call.parts["action"]
        if machine is None:
            return _no_machine(call)
        if machine.is_ended:
            return _refused(409, f"machine {machine.id} has ended", "pick one that runs")
        if action == "kill":
            self._state.vanish(machine)
        elif action == "restart":
            self._state.restart(machine)
        elif action == "delete":
            self._state.end(machine, "deleted in the console", after_s=0.0)
        elif action == "stop" and (why_not := self._state.faults.why_not("box_stopped_outside", machine.cloud)):
            return _refused(409, f"{machine.cloud} cannot stop a machine: {why_not}", "use delete or kill")
        elif action in ("stop", "preempt", "notice"):
            self._state.act(machine, action)
            if action == "notice" and (later_s := parse(Notice, call).preempt_after_s) is not None:
                machine.remind(self._state.clock() + later_s, "preempt")
        else:
            return _refused(404, f"no action {action}", "use kill, restart, stop, delete, preempt, notice or partition")
        return Answer(200, {})

    def _machine(self, call: Call) -> EmulatedMachine | None:
        return self._state.machines.get(call.parts["id"])


def _leftover_row(leftover: Leftover, now: float) -> dict[str, object]:
    meter = leftover.meter
    return {
        "cloud": leftover.cloud,
        "kind": leftover.kind,
        "id": leftover.id,
        "name": leftover.name,
        "region": leftover.region,
        "billed_usd": 0.0 if meter is None else round(meter.billed_usd(now), 6),
        "is_billing": meter is not None and meter.is_billing,
    }


def _no_machine(call: Call) -> Answer:
    return _refused(404, f"no machine {call.parts['id']}", "see GET /machines")


def _refused(status: int, message: str, hint: str) -> Answer:
    return Answer(status, {"error": message, "hint": hint})
