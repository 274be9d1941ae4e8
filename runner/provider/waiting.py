"""Wait until a machine is up, and until it is gone; every wait has an end and hears when Terraform has to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from runner.cloud_api.models import Trust
from runner.errors import NEVER_UP, NotFoundError, RunInterruptedError
from runner.provider.candidates import TROUBLE, interrupted
from runner.provider.pauses import pauses_s
from runner.provider.resource import Ctx, ProblemError
from runner.world import World

Phase = Literal["pending", "up", "stopped", "ending", "gone"]

LAG_S = 60.0
"""How long a new machine may be missing from the answers, or read as stopped."""
TROUBLE_S = 300.0
"""How long a machine may stay unseen for trouble on the cloud's side before the wait is given up."""
ASK_AGAIN_S = 60.0
"""Seconds after which an end that shows no effect is asked for again."""
DESTROY = "run `terraform destroy` (or `make down`): it bills until then"


@dataclass(frozen=True)
class Sighting:
    """A machine as the cloud shows it now.

    Attributes:
        machine_id: The cloud's id.
        name: Its name.
        status: The cloud's word for how it stands.
        phase: Ours.
        instance_type: The kind of machine.
        region: Where it stands, or ``None`` while that is open.
        price_usd_per_h: What it costs, or ``None`` where it is unknown.
        ssh: Host and port at which sshd should answer, or ``None`` until there are any.
        trust: Whose machine it is, or ``None`` where it is unknown.
    """

    machine_id: str
    name: str
    status: str
    phase: Phase
    instance_type: str | None
    region: str | None
    price_usd_per_h: float | None
    ssh: tuple[str, int] | None
    trust: Trust | None = None


class Site(Protocol):
    """Where one machine stands."""

    @property
    def cloud(self) -> str:
        """Return the cloud's name."""

    def look(self, machine_id: str) -> Sighting:
        """Return how the machine stands; ``NotFoundError`` if there is none."""

    def terminate(self, machine_id: str) -> None:
        """Ask for its end; one that is gone is fine."""


def wait_until_up(
    ctx: Ctx,
    site: Site,
    machine_id: str,
    world: World,
    timeout_s: float,
    *,
    sshd_answers: Callable[[str, int], bool],
    seen: Callable[[Sighting], None],
) -> None:
    """Return when the machine runs, has an address, and sshd answers there.

    Args:
        ctx: The call.
        site: Where the machine stands.
        machine_id: The machine.
        world: Where time passes.
        timeout_s: Longest wait.
        sshd_answers: Returns whether sshd greets at a host and port.
        seen: Called with each sighting.

    Raises:
        ProblemError: If it does not come up in time, is gone, or Terraform has to stop.
    """
    began_s = good_s = world.monotonic_s()
    for pause_s in pauses_s():
        found = _look_patiently(site, machine_id, world.monotonic_s() - good_s)
        if isinstance(found, Sighting):
            seen(found)
            good_s = world.monotonic_s()
            if found.phase == "up" and found.ssh is not None and sshd_answers(*found.ssh):
                return
            if _has_failed(found, good_s - began_s):
                raise _not_up(site, machine_id, f"it is {found.status} before it was up", "")
            found = _progress(found)
        if (left_s := began_s + timeout_s - world.monotonic_s()) <= 0:
            raise _not_up(site, machine_id, f"not up after {timeout_s:.0f} s", found)
        if ctx.stop.wait(min(pause_s, left_s)):
            raise _interrupted_boot(site, machine_id)


def wait_until_gone(ctx: Ctx, site: Site, machine_id: str, world: World, timeout_s: float) -> None:
    """Ask for the machine's end, again where that fails or shows no effect, and return when it is gone for good.

    Raises:
        ProblemError: If it is still there after ``timeout_s``, or Terraform has to stop.
    """
    began_s = world.monotonic_s()
    asked_s: float | None = None
    last = "it was not seen yet"
    for pause_s in pauses_s():
        if asked_s is None or world.monotonic_s() - asked_s > ASK_AGAIN_S:
            try:
                site.terminate(machine_id)
                asked_s = world.monotonic_s()
            except TROUBLE as err:
                last = err.message
        try:
            sighting = site.look(machine_id)
        except NotFoundError:
            return
        except TROUBLE as err:
            last = err.message
        else:
            last = f"it is {sighting.status}"
            if sighting.phase == "gone":
                return
        left_s = began_s + timeout_s - world.monotonic_s()
        asked = "was asked to terminate" if asked_s is not None else "may not have received the request to terminate"
        if left_s <= 0:
            raise _still_there(site, machine_id, f"is still there after {timeout_s:.0f} s", f"it {asked}; {last}")
        if ctx.stop.wait(min(pause_s, left_s)):
            raise interrupted(site.cloud, f"{machine_id} {asked}; it was not seen to be gone ({last})", DESTROY)


def _look_patiently(site: Site, machine_id: str, unseen_s: float) -> Sighting | str:
    """Return how a new machine stands, or why it cannot be read at the moment."""
    try:
        return site.look(machine_id)
    except NotFoundError as err:
        if unseen_s > LAG_S:
            raise _not_up(site, machine_id, "the cloud does not know it (any more)", err.message) from err
        return err.message
    except TROUBLE as err:
        if unseen_s > TROUBLE_S:
            raise _not_up(site, machine_id, f"its state could not be read for {TROUBLE_S:.0f} s", err.message) from err
        return err.message
    except RunInterruptedError as err:
        raise _interrupted_boot(site, machine_id) from err


def _has_failed(sighting: Sighting, waited_s: float) -> bool:
    return sighting.phase in ("ending", "gone") or (sighting.phase == "stopped" and waited_s > LAG_S)


def _interrupted_boot(site: Site, machine_id: str) -> ProblemError:
    return interrupted(site.cloud, f"{machine_id} exists and bills; it is kept in the state as tainted", DESTROY)


def _progress(sighting: Sighting) -> str:
    if sighting.phase != "up":
        return f"it is {sighting.status}"
    if sighting.ssh is None:
        return f"it is {sighting.status}, but there is no address for SSH"
    return f"it is {sighting.status}, but sshd does not answer at {sighting.ssh[0]}:{sighting.ssh[1]}"


def _not_up(site: Site, machine_id: str, what: str, last: str) -> ProblemError:
    return ProblemError(
        f"{site.cloud}: {machine_id}: {what}{f': {last}' if last else ''}",
        details=f"{NEVER_UP}; it is kept in the state as tainted",
        resolution=DESTROY,
    )


def _still_there(site: Site, machine_id: str, what: str, last: str) -> ProblemError:
    return ProblemError(
        f"{site.cloud}: {machine_id} {what}",
        details=f"{last}. It may still bill.",
        resolution=f"terminate {machine_id} in the cloud's console, then run `terraform destroy` (`make down`) again",
    )
