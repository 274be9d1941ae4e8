"""The queue of faults: what was asked for, what fits the cloud, what has fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from runner.emulation.fault_table import FAULTS, GENERAL_ARGUMENTS, Argument, CloudFaults, Fault
from runner.errors import UsageError

Stage = Literal["any", "machine", "ended"]
Count = int | Literal["always"]


class FaultRefusedError(UsageError):
    """A fault that does not exist, does not fit the cloud, or is asked for in words that it does not know."""


@dataclass
class Queued:
    """A fault that waits for its moment.

    Attributes:
        name: Its name.
        cloud: Where it will happen.
        remaining: How often it will still fire; ``None`` for always.
        arguments: What was set, on top of the defaults.
        fired: How often it has fired.
        passed: Requests that were let by for ``after``.
        refused: Candidates that ``no_capacity`` has refused so far.
        refuses_from: When it has refused the first one; ``None`` as long as it has refused none.
    """

    name: str
    cloud: str
    remaining: int | None
    arguments: Mapping[str, Argument]
    fired: int = 0
    passed: int = 0
    refused: set[str] = field(default_factory=set)
    refuses_from: float | None = None

    @property
    def is_spent(self) -> bool:
        """Return whether it will not fire any more."""
        return self.remaining == 0

    def number(self, argument: str) -> float:
        """Return a numeric argument."""
        return float(self.arguments[argument])


@dataclass(frozen=True)
class Fired:
    """One firing."""

    name: str
    cloud: str
    at: float
    on: str


class FaultQueue:
    """Faults in the order they were asked for."""

    def __init__(
        self, clouds: Mapping[str, CloudFaults], *, served: Sequence[str] | None = None, has_real_boxes: bool = True
    ) -> None:
        """Take what every cloud says of faults, which are served (else all), and whether boxes are real machines."""
        self.clouds = clouds
        self._served = tuple(clouds) if served is None else tuple(served)
        self._has_real_boxes = has_real_boxes
        self._queued: list[Queued] = []
        self._fired: list[Fired] = []

    def add(self, name: str, count: Count | None = None, arguments: Mapping[str, Argument] | None = None) -> Queued:
        """Queue a fault; ``count`` is how often it fires (``no_capacity``: for how many candidates).

        Raises:
            FaultRefusedError: If there is no such fault, or it cannot happen here.
        """
        fault = FAULTS.get(name)
        if fault is None:
            raise FaultRefusedError(f"faults: no fault {name!r}", resolution=f"use one of {', '.join(sorted(FAULTS))}")
        known = {**GENERAL_ARGUMENTS, **fault.arguments}
        chosen = {**known, **_checked(fault, known, arguments or {})}
        cloud = self._cloud_for(fault, str(chosen["cloud"]))
        if name == "no_capacity":  # a number is that of candidates: each stays refused however often it is asked for
            chosen, count = ({**chosen, "candidates": str(count)} if isinstance(count, int) else chosen), "always"
        if name == "odd_neighbour":  # whoever lives next door does so for every list
            count = "always"
        count = 1 if count is None else count
        if count != "always" and count < 1:
            raise FaultRefusedError(f"faults: {name} cannot fire {count} times", resolution="give a count of 1 or more")
        queued = Queued(name, cloud, None if count == "always" else count, chosen)
        self._queued.append(queued)
        return queued

    def take(
        self, name: str, cloud: str, *, at: float, on: str = "", stages: Sequence[Stage] = ("any",)
    ) -> Queued | None:
        """Fire a fault if one of this name is due; ``stages`` are those that hold now, ``on`` says what it hit."""
        for queued in self._queued:
            if queued.name != name or queued.cloud != cloud or queued.is_spent:
                continue
            if queued.arguments["when"] not in ("any", *stages):
                continue
            if queued.passed < queued.number("after"):
                queued.passed += 1
                continue
            self._fire(queued, at, on)
            return queued
        return None

    def peek(self, name: str, cloud: str) -> Queued | None:
        """Return the first fault of this name that is not spent, without firing it."""
        for queued in self._queued:  # each request asks for a handful of faults, and nearly always there is none
            if queued.name == name and queued.cloud == cloud and not queued.is_spent:
                return queued
        return None

    def refuses(self, candidate: str, cloud: str, at: float, *, stages: Sequence[Stage] = ("any",)) -> bool:
        """Return whether ``no_capacity`` refuses a candidate; one that was refused stays so while that lasts."""
        queued = self.peek("no_capacity", cloud)
        if queued is None or queued.arguments["when"] not in ("any", *stages):
            return False
        began, lasts_s = at if queued.refuses_from is None else queued.refuses_from, queued.number("lasts_s")
        if lasts_s and at - began >= lasts_s:
            return False
        limit = str(queued.arguments["candidates"])
        if candidate not in queued.refused and limit != "all" and len(queued.refused) >= int(limit):
            return False
        queued.refused.add(candidate)
        queued.refuses_from = began
        self._fire(queued, at, candidate)
        return True

    def clear(self) -> None:
        """Forget what has not fired; what has stays on record."""
        self._queued = []

    def why_not(self, name: str, cloud: str) -> str | None:
        """Return why a fault cannot happen on a cloud, or ``None`` where it can."""
        return self.clouds[cloud].impossible.get(name)

    @property
    def fired(self) -> Sequence[Fired]:
        """Return every firing so far."""
        return self._fired

    def report(self) -> dict[str, object]:
        """Return the waiting faults, the fired ones, and the names that never fired."""
        return {
            "queued": [_shown(queued) for queued in self._queued if not queued.is_spent],
            "fired": [vars(fired) for fired in self._fired],
            "never_fired": sorted({queued.name for queued in self._queued if not queued.fired}),
        }

    def _fire(self, queued: Queued, at: float, on: str) -> None:
        queued.fired += 1
        if queued.remaining is not None:
            queued.remaining -= 1
        self._fired.append(Fired(queued.name, queued.cloud, at, on))

    def _cloud_for(self, fault: Fault, asked: str) -> str:
        if fault.needs_real_box and not self._has_real_boxes:
            raise FaultRefusedError(
                f"faults: {fault.name} needs machines with a network and a disk of their own",
                resolution="rehearse as root on Linux, or leave this fault out",
            )
        served = [cloud for cloud in self._served if asked in ("", cloud)]
        if not served:
            raise FaultRefusedError(
                f"faults: {fault.name} is for {asked}, which is not served",
                resolution=f"name one of {', '.join(self._served)}",
            )
        for cloud in served:
            if fault.name in self.clouds[cloud].possible:
                return cloud
        elsewhere = [cloud for cloud, said in self.clouds.items() if fault.name in said.possible]
        raise FaultRefusedError(
            f"faults: {fault.name} does not happen on {served[0]}: {self.why_not(fault.name, served[0])}",
            resolution=f"use it on {' or '.join(elsewhere)}",
        )


def _checked(fault: Fault, known: Mapping[str, Argument], given: Mapping[str, Argument]) -> Mapping[str, Argument]:
    """Return the arguments in the type of their defaults."""
    checked: dict[str, Argument] = {}
    for name, value in given.items():
        if name not in known:
            raise FaultRefusedError(
                f"faults: {fault.name} has no argument {name!r}", resolution=f"use {', '.join(sorted(known))}"
            )
        try:
            checked[name] = _as(type(known[name]), value)
        except ValueError as err:
            raise FaultRefusedError(
                f"faults: {fault.name}: {name} is {value!r}",
                resolution=f"give it like its default, {known[name]!r}",
            ) from err
    _check_values(fault, checked)
    return checked


def _as(wanted: type, value: Argument) -> Argument:
    if wanted is bool:
        words = {"true": True, "false": False, "1": True, "0": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    return str(value) if wanted is str else float(value)


def _check_values(fault: Fault, checked: Mapping[str, Argument]) -> None:
    allowed = {"when": ("any", "machine", "ended"), "at": ("launch", "any")}
    for name, words in allowed.items():
        if name in checked and checked[name] not in words:
            raise FaultRefusedError(
                f"faults: {fault.name}: {name} is {checked[name]!r}", resolution=f"use one of {', '.join(words)}"
            )
    candidates = str(checked.get("candidates", "all"))
    if candidates != "all" and not candidates.isdecimal():
        raise FaultRefusedError(
            f"faults: {fault.name}: candidates is {candidates!r}", resolution="use a whole number, or all"
        )


def _shown(queued: Queued) -> dict[str, object]:
    return {
        "name": queued.name,
        "cloud": queued.cloud,
        "remaining": "always" if queued.remaining is None else queued.remaining,
        "fired": queued.fired,
        "args": dict(queued.arguments),
    }
