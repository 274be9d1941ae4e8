"""Rent one of the candidates, in their order, and never lose one that may have been rented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from runner.cloud_api.labels import expiry_mark
from runner.cloud_api.models import Offer, Trust
from runner.errors import (
    AccessDeniedError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    RateLimitedError,
    RunInterruptedError,
    UnreadableAnswerError,
)
from runner.provider.pauses import pauses_s
from runner.provider.resource import Ctx, ProblemError
from runner.world import World

ANYWHERE = "any"
"""Region of a candidate that may stand wherever the cloud likes."""
TIME = "%Y-%m-%dT%H:%M:%SZ"
LOOK_FOR_S = 120.0
"""How long a machine is looked for whose launch was not answered; listings may lag."""
TROUBLE = (CloudUnavailableError, RateLimitedError, UnreadableAnswerError)
"""What may be better at the next try."""


@dataclass(frozen=True)
class CandidateInput:
    """A machine that will do, what it may cost, and when its run has to be over there, if it says so."""

    instance_type: str
    region: str
    spot: bool
    max_price_usd_per_h: float
    trust: Trust = "secure"
    expires_at: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> CandidateInput:
        """Return the candidate that a configuration names."""
        ceiling = float(values["max_price_usd_per_h"])
        return cls(
            values["instance_type"],
            values["region"],
            values["spot"],
            ceiling,
            values["trust"] or "secure",
            values.get("expires_at"),
        )

    def by_clock(self, ahead: timedelta) -> CandidateInput:
        """Return it with its end as a clock shows it that is ``ahead`` of this computer's.

        The cloud keeps an end by its own clock, and a sweep judges a mark by that clock too.
        """
        try:
            ends_at = datetime.fromisoformat(self.expires_at or "") + ahead
        except ValueError:
            return self  # none, or none that can be read
        return replace(self, expires_at=f"{ends_at:{TIME}}") if ahead else self

    def marked(self, marks: Mapping[str, str] | None, name: str) -> dict[str, str]:
        """Return the marks of a machine with this candidate's own end in place of the run's, where it has one.

        Args:
            marks: Its tags or variables.
            name: The mark that holds the end.
        """
        return {**(marks or {}), **({name: expiry_mark(self.expires_at)} if self.expires_at else {})}

    def __str__(self) -> str:
        """Return it in words."""
        kind = ", ".join(["spot"] * self.spot + ["community"] * (self.trust == "community"))
        return f"{self.instance_type} in {self.region}{f' ({kind})' if kind else ''}"


@dataclass(frozen=True)
class Rented:
    """A machine that the cloud has said yes to."""

    machine_id: str
    candidate: CandidateInput
    price_usd_per_h: float


Refused = tuple[CandidateInput, str, CloudError | None]
"""A candidate that cannot be had, why, and the cloud's word for it if it was asked."""

ALL_ALIKE: dict[type[CloudError], str] = {BadRequestError: "accepted", AccessDeniedError: "allowed with this key"}
"""What is the fault of the request, or of the key, where all candidates get it; each by itself may be a machine's."""


class Launcher(Protocol):
    """Where one machine is to be rented."""

    cloud: str
    bad_request_is_final: bool

    def offers(self) -> list[Offer]:
        """Return the catalogue with its prices."""

    def launch(self, candidate: CandidateInput, price_usd_per_h: float) -> str:
        """Rent it and return its id."""

    def find(self) -> list[str]:
        """Return the ids of all machines with the name of the one to rent."""


def rent(ctx: Ctx, launcher: Launcher, name: str, candidates: Sequence[CandidateInput], world: World) -> Rented:
    """Rent the first candidate that can be had at its price.

    Raises:
        ProblemError: If a machine of this name is there already, or the launch was interrupted before anything was
            rented, or nobody knows whether a machine was rented.
        NoCapacityError: If no candidate can be had.
        CloudError: If the cloud refuses for a reason that holds for all candidates.
    """
    there = launcher.find()
    if there:
        raise ProblemError(
            f"{launcher.cloud}: a machine named {name} is there already: {', '.join(there)}",
            resolution="terminate it, or `terraform import` it; two machines of one name cannot be distinguished",
            attribute="name",
        )
    offers = launcher.offers()
    refused: list[Refused] = []
    for candidate in (place for one in candidates for place in _places(offers, one)):
        if ctx.stop.is_set():
            raise interrupted(launcher.cloud, "nothing was rented")
        price_usd_per_h = _price(offers, candidate)
        reason = _too_dear(candidate, price_usd_per_h)
        if price_usd_per_h is None or reason:
            refused.append((candidate, reason, None))
            continue
        try:
            machine_id = launcher.launch(candidate, price_usd_per_h)
        except (NoCapacityError, AccessDeniedError) as err:
            refused.append((candidate, err.details or err.message, err))
        except BadRequestError as err:
            if launcher.bad_request_is_final or err.status != 400:
                raise
            refused.append((candidate, err.details or err.message, err))
        except CloudUnavailableError as err:
            machine_id = _find_lost(ctx, launcher, name, candidate, world, err)
            return Rented(machine_id, candidate, price_usd_per_h)
        else:
            return Rented(machine_id, candidate, price_usd_per_h)
    raise _none(launcher.cloud, refused)


def interrupted(cloud: str, what: str, resolution: str = "run `terraform apply` (or `make up`) again") -> ProblemError:
    """Return the error for work that was stopped on request."""
    return ProblemError(f"{cloud}: interrupted: {what}", resolution=resolution)


def _places(offers: Sequence[Offer], candidate: CandidateInput) -> list[CandidateInput]:
    """Return a candidate, or one for each region that has it now where it may stand anywhere: not all clouds choose."""
    same = _like(offers, candidate)
    if candidate.region != ANYWHERE or any(offer.region == ANYWHERE for offer in same):
        return [candidate]
    regions = [offer.region for offer in same if offer.available is not False]
    return [replace(candidate, region=region) for region in regions] or [candidate]


def _like(offers: Sequence[Offer], candidate: CandidateInput) -> list[Offer]:
    """Return the offers of such a machine, wherever it is."""
    wanted = (candidate.instance_type, candidate.spot, candidate.trust)
    return [offer for offer in offers if (offer.instance_type, offer.spot, offer.trust) == wanted]


def _price(offers: Sequence[Offer], candidate: CandidateInput) -> float | None:
    """Return the catalogue's price, the candidate's own region first; ``None`` if it does not list such a machine."""
    same = _like(offers, candidate)
    here = [offer for offer in same if offer.region == candidate.region] or same
    return max((offer.price_usd_per_h for offer in here), default=None)


def _too_dear(candidate: CandidateInput, price_usd_per_h: float | None) -> str:
    if price_usd_per_h is None:
        return "the catalogue does not list it, so its price is unknown"
    if price_usd_per_h > candidate.max_price_usd_per_h:
        return f"costs ${price_usd_per_h:g}/h, more than ${candidate.max_price_usd_per_h:g}/h"
    return ""


def _find_lost(
    ctx: Ctx, launcher: Launcher, name: str, candidate: CandidateInput, world: World, lost: CloudUnavailableError
) -> str:
    """Look for the machine of a launch that nobody answered, with an end.

    Raises:
        ProblemError: If it does not turn up, or there are several.
    """
    deadline_s, trouble = world.monotonic_s() + LOOK_FOR_S, ""
    for pause_s in pauses_s():
        try:
            found = launcher.find()
        except TROUBLE as err:
            found, trouble = [], f"\n{err.message}"
        except (CloudError, RunInterruptedError) as err:
            raise _maybe(launcher.cloud, name, candidate, err.message, lost) from err
        if len(found) == 1:
            ctx.warn(
                f"{launcher.cloud}: the answer to the launch was lost; {found[0]} was found by its name", lost.message
            )
            return found[0]
        if found:
            raise _maybe(launcher.cloud, name, candidate, f"several were found: {', '.join(found)}", lost)
        left_s = deadline_s - world.monotonic_s()
        if left_s <= 0:
            raise _maybe(launcher.cloud, name, candidate, f"not in the listing for {LOOK_FOR_S:.0f} s{trouble}", lost)
        if ctx.stop.wait(min(pause_s, left_s)):
            raise _maybe(launcher.cloud, name, candidate, "interrupted while looking for it", lost)
    raise AssertionError("pauses have no end")


def _maybe(cloud: str, name: str, candidate: CandidateInput, why: str, lost: CloudUnavailableError) -> ProblemError:
    return ProblemError(
        f"{cloud}: nobody knows whether {candidate} was rented: a machine named {name} may exist and bill",
        details=f"{why}\n{lost.message}",
        resolution=f"look for {name} in the cloud's console and terminate it, or run `make sweep`",
    )


def _none(cloud: str, refused: Sequence[Refused]) -> CloudError:
    """Return the error for a list of candidates none of which can be had."""
    reported = "\n".join(f"{candidate}: {reason}" for candidate, reason, _ in refused)
    errors = [err for _, _, err in refused]
    last = errors[-1] if errors else None
    for kind, word in ALL_ALIKE.items():
        if last is not None and all(isinstance(err, kind) for err in errors):
            said = (last.details or last.message).splitlines()[0]
            return kind(
                f"{cloud}: none of {len(refused)} candidates is {word}: {said}",
                details=reported,
                resolution=last.resolution,
                code=last.code,
                status=last.status,
            )
    return NoCapacityError(
        f"{cloud}: none of {len(refused)} candidates is available",
        details=reported,
        resolution="add to `candidates` (compute.instance_types in a run file), or try later",
    )
