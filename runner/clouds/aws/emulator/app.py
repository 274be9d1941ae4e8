"""An emulated AWS: EC2, STS, SSM, IAM and S3 by moto, with keys that count, boxes, meters and faults.

The APIs are moto's (5.2): EC2 of 2016-11-15. That instances come in pages even where none were asked for is as EC2's
guide to pagination warned in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from runner.clouds.aws.emulator import wire as aws_wire
from runner.clouds.aws.emulator.billing import cost_and_usage, tag_asked_for
from runner.clouds.aws.emulator.instances import AwsInstances, backend
from runner.clouds.aws.emulator.pricing import get_products
from runner.clouds.aws.emulator.refusing import DOWN, EMPTY_PAGE, INTERNAL, LIMITED, launch_refusal, unknown_key
from runner.clouds.aws.emulator.seed import ACCESS_KEY_ID, OTHER_ACCESS_KEY_ID, OTHER_ACCOUNT, price_usd_per_h, seed
from runner.clouds.aws.emulator.sessions import KEY_ID, ending_early
from runner.clouds.aws.emulator.states import STATES, after_end
from runner.clouds.aws.emulator.wire import AwsCall
from runner.emulation.calls import Answer
from runner.emulation.cloud_state import CloudState
from runner.emulation.faults import Queued
from runner.emulation.machines import EmulatedMachine
from runner.emulation.requests_log import HIDDEN, HIDDEN_FIELDS, Recorded, shown_headers
from runner.emulation.service import Environ, StartResponse, Wsgi
from runner.errors import RunnerError

INSTANCE_ID = re.compile(r"<instanceId>(i-[0-9a-f]+)</instanceId>")
MOTO_ACCOUNT = "HTTP_X_MOTO_ACCOUNT_ID"
"""How moto is asked for one of its accounts."""


class AwsCloud:
    """AWS as a WSGI app."""

    def __init__(self, state: CloudState, instances: AwsInstances, moto: Wsgi) -> None:
        """Take the account's instances, and moto's own app."""
        self.state, self._instances, self._moto = state, instances, moto
        self._answered: dict[tuple[str, str], Answer] = {}
        self._keys = {ACCESS_KEY_ID}
        self._polls_to_limit = 0
        self._page_size = state.settings["aws"]["page_size"]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, and record both."""
        call = aws_wire.read(environ)
        if call.service == "s3" and self._is_known(call):
            return self._pass_through(call, environ, start_response)
        with self.state.turn() as now:
            fired = len(self.state.faults.fired)
            if call.key_id == OTHER_ACCESS_KEY_ID:
                answer = aws_wire.call_moto(self._moto, {**environ, MOTO_ACCOUNT: OTHER_ACCOUNT}, call.body)
            else:
                answer = self._answer(call, environ) if self._is_known(call) else self._unauthorised(call)
            self._record(call, answer, fired, now)
        return _send(answer, start_response)

    def _is_known(self, call: AwsCall) -> bool:
        """Return whether the key is the account's, or one that STS gave out."""
        return call.key_id in self._keys

    def _unauthorised(self, call: AwsCall) -> Answer:
        if call.service in ("s3", ""):
            code = "InvalidAccessKeyId" if call.key_id else "AccessDenied"
            return aws_wire.refusal(
                "s3", 403, code, "The AWS Access Key Id you provided does not exist in our records."
            )
        return aws_wire.refusal(call.service, *unknown_key(call.service))

    def _answer(self, call: AwsCall, environ: Environ) -> Answer:
        if self.state.is_down("aws", call.action):
            return aws_wire.refusal(call.service or "s3", *DOWN)
        refused = self.state.faults.peek("key_invalid", "aws")
        if refused is not None and refused.arguments["at"] == "any" and self._take("key_invalid", call.action):
            return self._unauthorised(call)
        if call.service in ("ec2", "ssm"):
            seed(call.region)
        if call.service == "ce" and call.action == "GetCostAndUsage":
            machines = self._instances.tagged(tag_asked_for(call.body))
            late_s = self.state.settings["aws"]["bill_late_s"]
            return cost_and_usage(call.body, machines, self.state.clock(), late_s)
        if call.service == "pricing" and call.action == "GetProducts":
            return get_products(call.body)
        if call.service == "scheduler":
            return self._schedule(call, environ)
        if call.service != "ec2":
            answer = aws_wire.call_moto(self._moto, environ, call.body)
            if call.service != "sts" or answer.status != 200:
                return answer
            self._keys |= set(KEY_ID.findall(answer.bytes().decode()))
            return ending_early(answer, self.state.settings["aws"]["session_s"])
        self._instances.regions.add(call.region)
        self._instances.refresh()
        handlers = {
            "RunInstances": self._run,
            "TerminateInstances": self._terminate,
            "StopInstances": self._stop,
            "StartInstances": self._start,
            "DescribeInstances": self._describe,
            "ModifyInstanceAttribute": self._modify,
            "DeleteKeyPair": self._delete_key,
            "DescribeSpotPriceHistory": self._spot_prices,
        }
        handler = handlers.get(call.action)
        if handler is None:
            return aws_wire.call_moto(self._moto, environ, call.body)
        return handler(call, environ)

    def _schedule(self, call: AwsCall, environ: Environ) -> Answer:
        refused = self._instances.schedules.refusal(call)
        if refused is not None:
            return refused
        token = (call.region, aws_wire.client_token(call))
        if token[1] and token in self._answered:
            return self._answered[token]
        answer = aws_wire.call_moto(self._moto, environ, call.body)
        if answer.status == 200:
            self._instances.schedules.accepted(call)
            self._answered[token] = answer
        return answer

    def _run(self, call: AwsCall, environ: Environ) -> Answer:
        token = (call.region, aws_wire.client_token(call))
        if token[1] and token in self._answered:  # a repeated request makes no second machine
            return self._answered[token]
        on = f"{call.fields.get('InstanceType', '')} in {call.region}"
        if self._kill_runner("kill_runner@before_create", on):
            return _refused(*INTERNAL)
        refusal = self._launch_refusal(call, on)
        if refusal is not None:
            return refusal
        answer = aws_wire.call_moto(self._moto, environ, call.body)
        if answer.status != 200:
            return answer
        created = INSTANCE_ID.findall(answer.bytes().decode())
        ec2 = backend(call.region)
        try:
            for instance_id in created:
                self._instances.adopt(ec2.get_instance(instance_id), call)
        except RunnerError as err:
            return aws_wire.refusal("ec2", 500, "InternalError", err.message)
        self._answered[token] = answer
        self.state.kill_after_create("aws", created[0])
        fault = self._take("launch_500_after_create", created[0])
        if fault is not None:
            return replace(answer, is_lost=True) if fault.arguments["lost"] else _refused(*INTERNAL)
        return answer

    def _launch_refusal(self, call: AwsCall, on: str) -> Answer | None:
        options, bid = "InstanceMarketOptions", "InstanceMarketOptions.SpotOptions.MaxPrice"
        spot = call.fields.get(f"{options}.MarketType") == "spot"
        kind = call.fields.get("InstanceType", "")
        refusal = launch_refusal(self.state, kind, call.region, spot=spot, bid=call.fields.get(bid))
        if refusal == LIMITED:
            self._polls_to_limit += 1
        return None if refusal is None else _refused(*refusal)

    def _terminate(self, call: AwsCall, environ: Environ) -> Answer:
        machines = [self._instances.machine(name, call.region) for name in call.listed("InstanceId")]
        found = [machine for machine in machines if machine is not None]
        self.state.is_end_asked["aws"] = True
        on = ", ".join(machine.id for machine in found)
        if len(found) != len(machines) or not found:
            return aws_wire.call_moto(self._moto, environ, call.body)  # which refuses it
        if self._kill_runner("kill_runner@destroy", on) or self._take("terminate_500", on) is not None:
            return _refused(*INTERNAL)
        if self._take("terminate_rate_limited", on) is not None:
            return _refused(*LIMITED)
        if self._take("already_gone", on) is not None:
            for machine in found:
                self.state.end(machine, "deleted in the console", after_s=0.0)
            return _refused(400, "InvalidInstanceID.NotFound", f"The instance ID '{on}' does not exist")
        before = [self._instances.status(machine) for machine in found]
        if self._take("terminate_ignored", on) is None:
            is_only_stopped = self._take("stopped_disk_bills", on) is not None
            for machine in found:
                if is_only_stopped:
                    self._instances.stop(machine)
                elif not machine.is_ended:
                    self.state.end(machine, "request", after_s=self.state.settings["aws"]["end_s"])
        self._instances.refresh()
        return _states("TerminateInstances", found, before, [after_end(self._instances.status(m)) for m in found])

    def _stop(self, call: AwsCall, environ: Environ) -> Answer:
        answer = aws_wire.call_moto(self._moto, environ, call.body)
        if answer.status == 200:
            for machine in self._named(call):
                if not machine.is_stopped and not machine.is_ended:
                    self._instances.stop(machine)
        return answer

    def _start(self, call: AwsCall, environ: Environ) -> Answer:
        if any(machine.is_ended or machine.is_ending for machine in self._named(call)):
            return _refused(
                400, "IncorrectInstanceState", "The instance is not in a state from which it can be started."
            )
        answer = aws_wire.call_moto(self._moto, environ, call.body)
        if answer.status == 200:
            for machine in self._named(call):
                if machine.is_stopped:
                    self._instances.start(machine)
        return answer

    def _describe(self, call: AwsCall, environ: Environ) -> Answer:
        asked, hidden = call.listed("InstanceId"), self._instances.hidden(call.region)
        if any(name in hidden for name in asked):
            return _refused(400, "InvalidInstanceID.NotFound", f"The instance ID '{asked[0]}' does not exist")
        if self._polls_to_limit and any(not machine.is_ended for machine in self.state.of("aws")):
            self._polls_to_limit -= 1
            return _refused(*LIMITED)
        is_list = not asked
        if is_list and self._take("listing_500", call.region) is not None:
            return _refused(*INTERNAL)
        body = self._paged(call) if is_list else call.body
        if call.fields.get("NextToken") == EMPTY_PAGE:
            body = body.replace(b"NextToken=" + EMPTY_PAGE.encode(), b"").replace(b"&&", b"&").strip(b"&")
        elif is_list and self._take("listing_partial_page", call.region) is not None:
            inner = f"<reservationSet/><nextToken>{EMPTY_PAGE}</nextToken>"
            return aws_wire.ec2_answer("DescribeInstances", inner)
        ec2 = backend(call.region)
        with _Hidden(ec2, hidden):
            answer = aws_wire.call_moto(self._moto, environ, body)
        if is_list and self._take("listing_empty_body", call.region) is not None:
            return replace(answer, raw=b"")
        if is_list and self._take("listing_schema_changed", call.region) is not None:
            return replace(answer, raw=answer.bytes().replace(b"reservationSet", b"reservationList"))
        return answer

    def _paged(self, call: AwsCall) -> bytes:
        """Return the body of a request for all instances, with the size of a page."""
        size = 1 if self._take("listing_pages", call.region) is not None else int(self._page_size)
        return call.body if "MaxResults" in call.fields else call.body + f"&MaxResults={size}".encode()

    def _modify(self, call: AwsCall, environ: Environ) -> Answer:
        """Change what moto would take for security groups, and then have none."""
        behaviour = call.fields.get("InstanceInitiatedShutdownBehavior.Value")
        if behaviour is None:
            return aws_wire.call_moto(self._moto, environ, call.body)
        if behaviour not in ("stop", "terminate"):
            return _refused(400, "InvalidParameterValue", f"Value ({behaviour}) is invalid.")
        machine = self._instances.machine(call.fields.get("InstanceId", ""), call.region)
        if machine is None:
            return _refused(400, "InvalidInstanceID.NotFound", "The instance ID does not exist")
        key = "instance_initiated_shutdown_behavior"
        backend(call.region).modify_instance_attribute(machine.id, key, behaviour)
        return aws_wire.ec2_answer("ModifyInstanceAttribute", "<return>true</return>")

    def _delete_key(self, call: AwsCall, environ: Environ) -> Answer:
        if self._take("leftover_key", call.fields.get("KeyName", "")) is not None:
            return aws_wire.ec2_answer("DeleteKeyPair", "<return>true</return>")
        return aws_wire.call_moto(self._moto, environ, call.body)

    def _spot_prices(self, call: AwsCall, environ: Environ) -> Answer:
        """Give moto's rows the prices that the meters take, and a time of today."""
        answer = aws_wire.call_moto(self._moto, environ, call.body)
        row = re.compile(r"<item>.*?</item>", re.DOTALL)
        return replace(answer, raw=row.sub(self._spot_price, answer.bytes().decode()).encode())

    def _spot_price(self, match: re.Match[str]) -> str:
        from datetime import UTC, datetime

        text = match.group(0)
        kind = re.search(r"<instanceType>(.*?)</instanceType>", text)
        price = price_usd_per_h(kind.group(1) if kind else "", spot=True)
        now = datetime.fromtimestamp(self.state.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        text = re.sub(r"<spotPrice>.*?</spotPrice>", f"<spotPrice>{price:.6f}</spotPrice>", text)
        return re.sub(r"<timestamp>.*?</timestamp>", f"<timestamp>{now}</timestamp>", text)

    def _named(self, call: AwsCall) -> list[EmulatedMachine]:
        found = (self._instances.machine(name, call.region) for name in call.listed("InstanceId"))
        return [machine for machine in found if machine is not None]

    def _take(self, name: str, on: str) -> Queued | None:
        return self.state.fault(name, "aws", on)

    def _kill_runner(self, name: str, on: str) -> bool:
        if self._take(name, on) is None:
            return False
        self.state.runner.kill()
        return True

    def _pass_through(self, call: AwsCall, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Let moto's S3 answer, whose bodies may be large: neither held back nor recorded."""
        seen: dict[str, int] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            seen["status"] = int(status.split(maxsplit=1)[0])
            return start_response(status, headers)

        result = self._moto(environ, start)
        self._record(call, Answer(seen.get("status", 200)), len(self.state.faults.fired), self.state.clock())
        return result

    def _record(self, call: AwsCall, answer: Answer, fired: int, now: float) -> None:
        hidden = {name: HIDDEN if name.split(".")[0] in HIDDEN_FIELDS else value for name, value in call.fields.items()}
        self.state.requests.add(
            Recorded(
                at=now,
                cloud="aws",
                method=call.method,
                path=call.path,
                query={name: value for name, value in parse_qsl(call.query) if not name.startswith("X-Amz-")},
                headers=shown_headers(call.headers) | {"service": call.service, "region": call.region},
                body=hidden if hidden else {"Action": call.action},
                is_authorised=self._is_known(call),
                status=answer.status,
                answer=_shown(call, answer),
                answer_headers=dict(answer.headers),
                fault=tuple(f.name for f in self.state.faults.fired[fired:]),
                is_lost=answer.is_lost,
            )
        )


class _Hidden:
    """Keeps instances out of moto's sight for one answer."""

    def __init__(self, ec2: Any, names: list[str]) -> None:
        self._reservations, self._names = ec2.reservations, names
        self._kept: dict[str, Any] = {}

    def __enter__(self) -> None:
        for key, reservation in list(self._reservations.items()):
            if any(instance.id in self._names for instance in reservation.instances):
                self._kept[key] = self._reservations.pop(key)

    def __exit__(self, *_: object) -> None:
        self._reservations.update(self._kept)


def _shown(call: AwsCall, answer: Answer) -> str | None:
    """Return an answer for the record; what STS and IAM give out are keys."""
    if call.service not in ("ec2", "ssm") or answer.raw is None:
        return None
    text = answer.raw.decode(errors="replace")
    return re.sub(r"(<keyMaterial>).*?(</keyMaterial>)", rf"\1{HIDDEN}\2", text, flags=re.DOTALL)


def _refused(status: int, code: str, message: str) -> Answer:
    return aws_wire.refusal("ec2", status, code, message)


def _states(action: str, machines: list[EmulatedMachine], before: list[str], after: list[str]) -> Answer:
    rows = "".join(
        f"<item><instanceId>{machine.id}</instanceId>"
        f"<currentState><code>{STATES[new]}</code><name>{new}</name></currentState>"
        f"<previousState><code>{STATES[old]}</code><name>{old}</name></previousState></item>"
        for machine, old, new in zip(machines, before, after, strict=True)
    )
    return aws_wire.ec2_answer(action, f"<instancesSet>{rows}</instancesSet>")


def _send(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    content = answer.bytes()
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
    start_response(
        f"{answer.status} {'OK' if answer.status < 400 else 'Error'}",
        [
            *headers.items(),
            ("Content-Length", str(len(content) + (1 if answer.is_lost else 0))),
        ],
    )
    return [content[: len(content) // 2] if answer.is_lost else content]
