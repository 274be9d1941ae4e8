"""What an emulated cloud's API does with every request: key, pace, route, fault, record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate

from starlette.applications import Starlette

from runner.emulation.calls import Answer, Call, Handler, Route, Router, as_app
from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY, CloudState
from runner.emulation.faults import Queued
from runner.emulation.requests_log import Recorded, shown_headers, without_secrets
from runner.errors import RunnerError

NEIGHBOUR = "0dd0000000000000000000000000001b"
"""A machine of somebody else's, of which nothing but the id can be read."""


class RefusedError(Exception):
    """Carries the answer that refuses a request out of a handler."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer."""
        super().__init__(answer.status)
        self.answer = answer


class Emulator(ABC):
    """One API of one cloud."""

    cloud: str
    recorded_as: str
    another: Emulator | None = None
    """The same API for the other account, where there is one."""

    def __init__(self, state: CloudState) -> None:
        """Take the state that it shows."""
        self.state = state
        self._router = Router(self.routes())

    def app(self) -> Starlette:
        """Return it as an ASGI app."""
        return as_app(self.serve)

    def serve(self, call: Call) -> Answer:
        """Answer one request, and record both; with the key of another account, as that account."""
        authorization = call.headers.get("authorization", "")
        if self.another is not None and OTHER_KEY in authorization:
            headers = {**call.headers, "authorization": authorization.replace(OTHER_KEY, REHEARSAL_KEY)}
            return self.another.serve(replace(call, headers=headers))
        with self.state.turn() as now:
            fired = len(self.state.faults.fired)
            is_authorised, answer = self._answer(call, now)
            if off_s := self.state.off_s(self.cloud, call.path):
                answer = replace(answer, headers={**answer.headers, "date": formatdate(now + off_s, usegmt=True)})
            if self.state.requests.is_kept:
                self._record(call, answer, is_authorised, fired, now)
        return answer

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """Return the API's catalogue."""

    @abstractmethod
    def who(self, call: Call) -> str | None:
        """Return whom the key belongs to, or ``None`` for a key that is not right."""

    @abstractmethod
    def unauthorised(self, call: Call) -> Answer:
        """Return the answer to a wrong key."""

    @abstractmethod
    def paced(self, call: Call, who: str, now: float) -> Answer | None:
        """Count a request; return the refusal when there were too many."""

    @abstractmethod
    def missing(self, call: Call, allowed: Sequence[str]) -> Answer:
        """Return the answer to a path that there is not, or not for this method."""

    @abstractmethod
    def broken(self, message: str) -> Answer:
        """Return a 500 in the cloud's words."""

    def finished(self, answer: Answer, who: str, now: float) -> Answer:
        """Return an answer with what the cloud adds to each."""
        return answer

    def guard(self, call: Call, who: str, handler: Handler) -> Answer:
        """Run the handler; a cloud may put something in its way."""
        return handler(call)

    def kill_runner(self, name: str, on: str) -> bool:
        """Kill the runner if that fault is due; return whether it was."""
        if self.state.fault(name, self.cloud, on) is None:
            return False
        self.state.runner.kill()
        return True

    def take(self, name: str, on: str = "") -> Queued | None:
        """Fire a fault of this cloud if it is due."""
        return self.state.fault(name, self.cloud, on)

    def _answer(self, call: Call, now: float) -> tuple[bool, Answer]:
        who = self.who(call)
        if who is None:
            return False, self.unauthorised(call)
        if self.state.is_down(self.cloud, call.path):
            return True, replace(self.broken("the service is unavailable"), status=503)
        refusal = self.paced(call, who, now)
        if refusal is not None:
            return True, self.finished(refusal, who, now)
        found = self._router.find(call)
        if isinstance(found, list):
            return True, self.finished(self.missing(call, found), who, now)
        handler, matched = found
        try:
            answer = self.guard(matched, who, handler)
        except RefusedError as err:
            answer = err.answer
        except RunnerError as err:  # the box could not be made
            answer = self.broken(err.message)
        return True, self.finished(answer, who, now)

    def _record(self, call: Call, answer: Answer, is_authorised: bool, fired: int, now: float) -> None:
        body = call.json()
        shown = answer.raw.decode(errors="replace") if answer.raw is not None else without_secrets(answer.body)
        self.state.requests.add(
            Recorded(
                at=now,
                cloud=self.recorded_as,
                method=call.method,
                path=call.path,
                query={name: value for name, value in call.query.items() if name != "api_key"},
                headers=shown_headers(call.headers),
                body=without_secrets(body),
                is_authorised=is_authorised,
                status=answer.status,
                answer=shown,
                answer_headers=dict(answer.headers),
                fault=tuple(f.name for f in self.state.faults.fired[fired:]),
                is_lost=answer.is_lost,
            )
        )


def listing_fault(emulator: Emulator, answer: Answer, field: str) -> Answer:
    """Return a list as the faults of lists want it; ``field`` is the name that a changed schema gives up."""
    if emulator.take("listing_500") is not None:
        return emulator.broken("An internal server error occurred.")
    if emulator.take("listing_empty_body") is not None:
        return replace(answer, body=None, raw=b"")
    if emulator.take("listing_partial_page") is not None:
        whole = answer.bytes()
        return replace(answer, body=None, raw=whole[: max(1, len(whole) // 2)])
    if isinstance(answer.body, dict) and emulator.take("odd_neighbour") is not None:
        answer = replace(answer, body={**answer.body, field: [*answer.body[field], {"id": NEIGHBOUR}]})
    if emulator.take("listing_schema_changed") is not None and isinstance(answer.body, dict):
        changed = {f"{name}_v2" if name == field else name: value for name, value in answer.body.items()}
        return replace(answer, body=changed)
    return answer
