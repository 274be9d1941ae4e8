"""Whether another runner keeps a run's machine, whom this guard does not hear.

That is one on another computer, or one on this computer whose guard does not see this one: a cache folder that was
emptied, or is another one, has no lock of ours.
"""

from __future__ import annotations

from pathlib import Path

from runner.cloud_api.labels import belongs_to
from runner.cloud_api.models import Cloud
from runner.errors import RunnerError
from runner.guard.words import Facts
from runner.run.run_dir import RunDir
from runner.safety.asked import DAMAGE
from runner.safety.lease_word import MOVES_PER_LEASE, Word, last_word
from runner.world import World

TAKES_OVER_S = 2.0
"""No runner takes a run over and leaves it within so few seconds; a word in the folder has whole ones."""
SHOWN_LATE_S = 120.0
"""A lease that a cloud shows ends so much later than it might: a beat, and a whole minute."""


def said_here(facts: Facts, world: World, since_word_s: float, since_gone_s: float | None) -> tuple[Word, float] | None:
    """Return the last word of another runner in the run's folder that still counts, and how many seconds old it is.

    A ``renew`` counts for a lease, a ``hold`` where it is newer than the last word to this guard, and not of the runner
    that this guard heard: one that was killed between its words to the machine and to the guard has left the run to
    nobody. ``None`` where neither is so, or nothing can be read: the folder may be gone, and the clock may have been
    set since.

    Args:
        facts: The run.
        world: The run's folder, and the time.
        since_word_s: Seconds since the last word to this guard.
        since_gone_s: Seconds since its runner was gone, ``None`` as long as it is not.
    """
    if since_gone_s is not None:
        since_word_s = min(since_word_s, since_gone_s - TAKES_OVER_S)
    try:
        word = last_word(RunDir(Path(facts.folder), world))
        age_s = -1.0 if word is None else (world.now() - word[1]).total_seconds()
    except DAMAGE:
        return None
    if word is None or not 0 <= age_s < (facts.lease_s if word[0] == "renew" else since_word_s):
        return None
    return word[0], age_s


def is_shown_at_cloud(facts: Facts, cloud: Cloud, world: World, since_word_s: float) -> bool:
    """Return whether the cloud shows a lease that another computer's runner has set after the last word to us.

    A longer one than a runner sets is that of the launch, and keeps nothing.

    Args:
        facts: The run.
        cloud: The account in which it rents.
        world: The time.
        since_word_s: Seconds since the last word to this guard.
    """
    try:
        listing = cloud.listing()
    except RunnerError:
        return False  # whoever terminates asks again
    now_there, longest_s = world.now() + listing.clock_off, facts.lease_s * (1 + 1 / MOVES_PER_LEASE)
    shown = [
        (found.lease_until - now_there).total_seconds()
        for found in listing.resources
        if found.lease_until is not None and belongs_to(facts.run_id, found.run_id, found.name)
    ]
    return any(longest_s - since_word_s + SHOWN_LATE_S < left_s <= longest_s + SHOWN_LATE_S for left_s in shown)
