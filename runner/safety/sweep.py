"""The sweep: everything of ours that exists in whole accounts, found without any state of Terraform's or of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runner.cloud_api.labels import belongs_to
from runner.cloud_api.models import Cloud, Resource
from runner.errors import CloudError, CloudUnavailableError, NotFoundError, RateLimitedError

LISTING_LAG_S = 45.0
"""How long a cloud may take to list what it has just made: an unanswered create is looked for this long."""
PATIENCE_S = 600.0
"""How long a machine may take from "terminate" to gone."""
PAUSE_S = 5.0
ORDER = ("instance", "spot_request", "volume", "address", "security_group", "key")
"""Machines first: what is attached to one goes only after it."""
PASSING = (CloudUnavailableError, RateLimitedError)
"""Trouble that may be over by the next try. An answer that cannot be read is not: it is reported immediately."""

Wait = Callable[[float], None]


@dataclass(frozen=True)
class Leftovers:
    """What is left after a sweep of one cloud.

    Attributes:
        ended: What was there and is gone.
        left: What is still there.
    """

    ended: list[Resource]
    left: list[Resource]


def of_run(cloud: Cloud, run_id: str) -> list[Resource]:
    """Return everything of one run that exists in an account.

    Raises:
        CloudError: If the account cannot be read; that is never "nothing there".
    """
    return [found for found in cloud.resources() if belongs_to(run_id, found.run_id, found.name)]


def end_run(
    cloud: Cloud, run_id: str, *, outcome_unknown: bool, wait: Wait, patience_s: float = PATIENCE_S
) -> Leftovers:
    """End everything of one run on one cloud, and look until it is gone.

    Args:
        cloud: The account.
        run_id: The run.
        outcome_unknown: Something was asked for and never answered: look for longer than the listing may lag.
        wait: Pause in seconds between two looks.
        patience_s: How long to go on in all, in seconds.

    Raises:
        CloudError: If the account cannot be read to the end.
    """
    return end_all(
        cloud,
        lambda found: belongs_to(run_id, found.run_id, found.name),
        look_for_s=LISTING_LAG_S if outcome_unknown else 0.0,
        wait=wait,
        patience_s=patience_s,
    )


def end_all(
    cloud: Cloud,
    wanted: Callable[[Resource], bool],
    *,
    look_for_s: float = 0.0,
    wait: Wait,
    patience_s: float = PATIENCE_S,
) -> Leftovers:
    """End all that is wanted on one cloud, asking again as long as it is there; see ``end_run``."""
    seen: dict[tuple[str, str], Resource] = {}
    waited_s = 0.0
    while True:
        trouble: CloudError | None = None
        try:
            there = sorted(filter(wanted, cloud.resources()), key=lambda found: ORDER.index(found.kind))
            seen |= {(found.kind, found.id): found for found in there}
            if not there and waited_s >= look_for_s:
                return Leftovers(list(seen.values()), [])
            trouble = _end_each(cloud, there)
        except PASSING as err:
            there, trouble = [], err
        if waited_s >= patience_s:
            if trouble is not None:
                raise trouble
            ids = {found.id for found in there}
            return Leftovers([found for found in seen.values() if found.id not in ids], there)
        wait(PAUSE_S)
        waited_s += PAUSE_S


def _end_each(cloud: Cloud, there: Sequence[Resource]) -> CloudError | None:
    """Ask for the end of each; return the last trouble. What hangs on a machine may refuse until that is gone."""
    trouble: CloudError | None = None
    for found in there:
        if found.status == "ending":
            continue
        try:
            cloud.end(found)
        except NotFoundError:
            continue
        except CloudError as err:
            trouble = err
    return trouble
