"""Further rules of a life: what a sweep, a `down` and a run that was left on purpose promise to whoever typed it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from runner.emulation.machines import EmulatedMachine
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS
from runner.simulation.flaws import GUARD_FAILS
from runner.simulation.life import LIFE_S, Ended, Life
from runner.simulation.more_acts import GUARD_OFF
from runner.simulation.trainer import EPOCH

LEASE_S, SAVING_S = 900.0, 600.0
TO_LOOK_S = 1200.0
"""From when the guard begins to terminate to the end: patience with the cloud, its own slowness, tries again."""
LEFT_ON_PURPOSE = ("continues without a runner", "left up ")
IDLE_S = 3600.0
"""For how long a machine that was left on purpose is kept without a trainer, by default."""
BOOT_LEASE_S = 25 * 60.0 + 1800.0
"""What a cloud shows of a machine that is not set up yet: the boot time-out and half an hour."""
DRIVING = ("train", "resume", "watch", "up", "configure", "launch")
NOTHING_TAKEN_OVER = "has no trainer to watch"
LISTED_S = 210.0
"""Clouds list a machine so late at most."""
OVERLAP_S = 200.0
"""A machine that was asked to end may bill so long beside the next one."""
AT_CLOUD_S = 400.0
"""The lease that a cloud shows ends so much later than what the machine was promised."""
AGAIN_S = 60.0
"""After so long at most a guard asks again for what was refused."""
UNREACHED = frozenset({"lid", "cut", "kill terraform", "interrupt", "crash", "stop"})
"""Acts by which a command may be kept from what it promises, and says so."""
STUCK = frozenset({"pod_locked", "key_invalid", "key_forbidden", "stopped_disk_bills", "listing_schema_changed"})
"""Faults by which a cloud keeps a machine, or what it shows, from whoever asks."""
ORDERLY = frozenset({"interrupt", "setting", "type", "sweep beside"})
"""Acts after which whatever a trainer has saved comes home."""


def sweep_is_thorough(life: Life) -> Iterator[str]:
    """A sweep that ends without status 3 has shown what bills, and has terminated what nobody drives."""
    for one in _ended(life, "sweep"):
        if not one.key_is_right:
            continue
        billing = [machine for machine in life.ours if machine.id in one.billing]
        for machine in billing:
            if one.began_s - (machine.created_at - EPOCH) > LISTED_S and machine.id not in one.printed:
                yield f"the sweep at {one.ended_s:.0f} s ended with {one.status}, and does not name {machine.id}"
        since_s = _driverless_since(life, one)
        lease_s = LEASE_S if any(machine.id in life.set_up for machine in billing) else BOOT_LEASE_S
        if billing and since_s is not None and one.began_s > since_s + lease_s + AT_CLOUD_S:
            yield f"the sweep at {one.ended_s:.0f} s left {billing[0].id}, which nobody drove from {since_s:.0f} s on"


def down_takes_down(life: Life) -> Iterator[str]:
    """After `make down` with the right key nothing of the run bills, where nothing kept it from its work."""
    if life.faults_of_the_cloud & STUCK:
        return
    kinds = {act.kind for act in life.script}
    for one in life.ended:
        if one.words[0] == "down" and one.key_is_right and one.status >= 0 and one.billing and not kinds & UNREACHED:
            yield f"down at {one.ended_s:.0f} s ended with {one.status}, and {one.billing[0]} bills"


def one_at_a_time(life: Life) -> Iterator[str]:
    """A run has one machine: no second one bills beside it."""
    for first, second in itertools.combinations(sorted(life.ours, key=lambda one: one.created_at), 2):
        ended_at = EPOCH + LIFE_S if first.ended_at is None else first.ended_at
        if ended_at - second.created_at > OVERLAP_S:
            yield f"{second.id} bills beside {first.id}"


def held_is_kept(life: Life) -> Iterator[str]:
    """A run that was left on purpose goes on until its trainer has ended, and its machine not for long after that."""
    if life.faults_of_the_cloud:
        return
    for owner in life.ended:
        for machine in _left_by(life, owner):
            trained_s = life.trained_until.get(machine.id)
            ended_s = LIFE_S if machine.ended_at is None else machine.ended_at - EPOCH
            if trained_s is None:
                continue
            if ended_s < trained_s and not _typed_between(life, owner.ended_s, ended_s):
                yield f"{machine.id} was left to train until {trained_s:.0f} s, and ended at {ended_s:.0f} s"
            over_s = max(trained_s, owner.ended_s) + IDLE_S + SAVING_S + TO_LOOK_S
            gaps = [1 for _, end in guard_gaps(life) if machine.id not in life.leased and end >= trained_s]
            if ended_s > over_s and not gaps and not _typed_between(life, owner.ended_s, over_s):
                yield f"{machine.id} was left to train until {trained_s:.0f} s, and idled until {ended_s:.0f} s"


def lost_checkpoints(life: Life) -> Iterator[str]:
    """Yield the trainings that began anew although a machine before had a checkpoint that could have come home."""
    if {act.kind for act in life.script} - ORDERLY or sum(act.kind == "interrupt" for act in life.script) > 1:
        return
    for first, second in itertools.pairwise(sorted(life.ours, key=lambda one: one.created_at)):
        box = f"box {second.box}: training begins at step 0"
        if life.saved.get(first.id) and any(line.endswith(box) for line in life.history):
            yield f"{second.id} trained from the first step on, and {first.id} had saved step {life.saved[first.id]}"


def guard_gaps(life: Life) -> list[tuple[float, float]]:
    """Return the spans in which no guard could work: one that was killed may have been followed by another."""
    if any({GUARD_OFF, GUARD_FAILS} & set(act.words) for act in life.script):
        return [(0.0, LIFE_S)]
    starts = [span.began_s for span in life.spans if span.name == "guard"]
    return [
        (begin, end if end < LIFE_S else min((at for at in starts if at > begin), default=end))
        for begin, end in life.guard_gaps
    ]


def kept_waiting_s(life: Life) -> float:
    """Return for how long its cloud kept everybody waiting at most: it was down, or refused a number of times."""
    waited_s = 0.0
    for act in life.script:
        if act.kind == "fault":
            waited_s += act.number if act.words[0] == "api_down" else 0.0
            waited_s += sum(AGAIN_S * int(often) for often in act.words[1:] if often.isdecimal())
    return waited_s


def _ended(life: Life, verb: str) -> list[Ended]:
    """Return the commands of a verb that ended by themselves, with a status that promises something."""
    return [one for one in life.ended if one.words[0] == verb and one.status >= 0 and one.status != EXIT_LEFTOVERS]


def _driverless_since(life: Life, sweep: Ended) -> float | None:
    """Return since when nobody drove the run as a sweep began; ``None`` where it was left on purpose, or is new."""
    before = [
        one
        for one in life.ended
        if one.ended_s <= sweep.began_s and one.words[0] in DRIVING and NOTHING_TAKEN_OVER not in one.printed
    ]
    if not before or sweep.status != EXIT_DONE or any(words in before[-1].printed for words in LEFT_ON_PURPOSE):
        return None
    return before[-1].ended_s


def _typed_between(life: Life, since_s: float, until_s: float) -> bool:
    """Return whether a command was given between two moments."""
    return any(since_s <= one.began_s < until_s for one in life.ended)


def _left_by(life: Life, owner: Ended) -> list[EmulatedMachine]:
    """Return the machines that a command left up on purpose."""
    if not any(words in owner.printed for words in LEFT_ON_PURPOSE):
        return []
    return [machine for machine in life.ours if machine.id in owner.billing]
