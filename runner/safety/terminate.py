"""Terminate what carries a run's mark in an account: list, terminate, list again until nothing of it is left.

Everything that terminates ends here: the end of a run, ``down``, the sweep, and a person in trouble. All it needs is an
account and the run's id. Terraform, the run's folder, its run file or a version of Douse that understands them do not
matter: whatever else is broken, the machine is found by its mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.cloud_api.labels import belongs_to
from runner.cloud_api.models import Cloud, Listing, Resource
from runner.errors import CloudError, CloudUnavailableError, NotFoundError, RateLimitedError
from runner.safety.patience import Patience

ORDER = ("instance", "spot_request", "volume", "address", "security_group", "key", "schedule")
"""Machines first: what is attached to one goes only after it."""
PASSING = (CloudUnavailableError, RateLimitedError)
"""Trouble that may be over by the next try. An answer that cannot be read is not: it is reported immediately."""

Wait = Callable[[float], None]
Look = Callable[[], Listing]


@dataclass(frozen=True)
class Terminated:
    """What was seen of a termination.

    Attributes:
        ended: What was there and is gone.
        left: What is still there.
        unread: What could not be read: something of the run may hide behind it.
        looked_for_s: Seconds from the first look to the last.
        refused: What the cloud said last when it was asked to terminate what is left, or ``None``.
    """

    ended: list[Resource]
    left: list[Resource]
    unread: list[CloudError]
    looked_for_s: float = 0.0
    refused: CloudError | None = None

    @property
    def is_proved(self) -> bool:
        """Whether the account's own listing shows that nothing is left."""
        return not self.left and not self.unread

    def problems(self, account: str) -> list[str]:
        """Return why it is not proved, what is still there first; nothing where it is.

        Args:
            account: The name of the account in these sentences.
        """
        left = ", ".join(f"{found.kind} {found.id}" for found in self.left)
        unread = [f"{account} could not be read to the end: {err.message}" for err in self.unread]
        why = "" if self.refused is None else f" ({self.refused.message})"
        return [f"{account} still has {left}{why}", *unread] if left else unread


def of_run(cloud: Cloud, run_id: str) -> Listing:
    """Return everything of one run that exists in an account, and what could not be read.

    Raises:
        CloudError: If the account cannot be read at all; that is never "nothing there".
    """
    found = cloud.listing()
    return Listing([one for one in found.resources if belongs_to(run_id, one.run_id, one.name)], found.unread)


def terminate_run(
    cloud: Cloud,
    run_id: str,
    *,
    outcome_unknown: bool,
    wait: Wait,
    patience: Patience | None = None,
    look: Look | None = None,
) -> Terminated:
    """Terminate everything of one run on one cloud, and look until it is gone.

    Args:
        cloud: The account.
        run_id: The run.
        outcome_unknown: Something was asked for and never answered: look for longer than the listing may lag.
        wait: Pause in seconds between two looks.
        patience: How long to wait for what.
        look: Returns the account's listing, for whoever keeps what each look showed; the cloud's own where not given.

    Raises:
        CloudError: If the account cannot be read to the end.
    """
    return terminate_all(
        cloud,
        lambda found: belongs_to(run_id, found.run_id, found.name),
        outcome_unknown=outcome_unknown,
        wait=wait,
        patience=patience,
        look=look,
    )


def terminate_all(
    cloud: Cloud,
    wanted: Callable[[Resource], bool],
    *,
    outcome_unknown: bool = False,
    wait: Wait,
    patience: Patience | None = None,
    look: Look | None = None,
) -> Terminated:
    """Terminate all that is wanted on one cloud, asking again as long as it is there; see ``terminate_run``."""
    table = patience or Patience()
    seen: dict[tuple[str, str], Resource] = {}
    waited_s = 0.0
    while True:
        trouble, refused = None, None
        there: list[Resource] = []
        unread: list[CloudError] = []
        try:
            listing = (look or cloud.listing)()
            there = sorted(filter(wanted, listing.resources), key=lambda found: ORDER.index(found.kind))
            unread = listing.unread
            seen |= {(found.kind, found.id): found for found in there}
            refused = _end_each(cloud, there)
            trouble = refused or next((err for err in unread if isinstance(err, PASSING)), None)
        except PASSING as err:
            trouble = err
        pause_s = table.pause_s
        if not there and trouble is None:
            due_s = table.next_look_s(waited_s) if outcome_unknown else None
            if due_s is None:
                return Terminated(list(seen.values()), [], unread, waited_s)
            pause_s = due_s
        if waited_s >= table.longest_s:
            if trouble is not None and not there:
                raise trouble
            ids = {(found.kind, found.id) for found in there}
            ended = [found for key, found in seen.items() if key not in ids]
            return Terminated(ended, there, unread, waited_s, refused)
        wait(pause_s)
        waited_s += pause_s


def _end_each(cloud: Cloud, there: Sequence[Resource]) -> CloudError | None:
    """Ask for the end of each; return the last trouble. What hangs on a machine may refuse until that is gone."""
    trouble: CloudError | None = None
    with_machine = {found.run_id for found in there if found.kind == "instance"}
    for found in there:
        if found.status == "ending":
            continue
        if found.kind == "schedule" and found.run_id in with_machine:
            continue  # it terminates the machine if we cannot
        try:
            cloud.end(found)
        except NotFoundError:
            continue
        except CloudError as err:
            trouble = err
    return trouble
