"""Further rules of a life: what a sweep, a `down` and a run that was left on purpose promise to whoever typed it."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from runner.emulation.machines import EmulatedMachine
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS
from runner.simulation.flaws import FLAW, GUARD_FAILS, SLOW
from runner.simulation.life import LIFE_S, Ended, Life, end_s
from runner.simulation.more_acts import GUARD_OFF
from runner.simulation.script import Act
from runner.simulation.telling import SEVERAL
from runner.simulation.trainer import EPOCH

LEASE_S, SAVING_S = 900.0, 600.0
TO_LOOK_S = 1200.0
"""From when the guard begins to terminate to the end: patience with the cloud, its own slowness, tries again."""
CONTINUES = "continues without a runner"
LEFT_ON_PURPOSE = (CONTINUES, "left up ")
TRAINS, TIME_LENGTH = ": training begins at step", 10
DAMAGED_CONFIG = "happens: damage config.json"
LAUNCH_S = 60.0
"""A trainer that is being launched as its runner leaves begins within so long."""
IDLE_S = 3600.0
"""For how long a machine that was left on purpose is kept without a trainer, by default."""
BOOT_LEASE_S = 25 * 60.0 + 1800.0
"""What a cloud shows of a machine that is not set up yet: the boot time-out and half an hour."""
FINISHING = ("train", "resume", "watch")
"""Commands that bring a run to its end."""
NAMES_ADAPTER = "adapter      "
"""Words of a command that says where the adapter is."""
DRIVING = ("train", "resume", "watch", "up", "configure", "launch")
NOTHING_TAKEN_OVER = ("has no trainer to watch", "host.json is damaged")
"""Words of a command that has left a run as it was."""
LOOKING = ("sweep", "status")
"""Verbs that leave a run alone that was left on purpose."""
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
REFUSALS = frozenset({"terminate_500", "terminate_ignored", "terminate_rate_limited"})
"""Faults by which a cloud refuses to terminate a machine, a number of times."""
PATIENT, HASTY = 10, "teardown_timeout"
"""A cloud that refuses more often may keep `down` from its work, and one that does so twice where a setting says so."""
STUCK = frozenset({"pod_locked", "key_invalid", "key_forbidden", "stopped_disk_bills", "listing_schema_changed"})
"""Faults by which a cloud keeps a machine, or what it shows, from whoever asks."""
ORDERLY = frozenset({"interrupt", "setting", "type", "sweep beside"})
"""Acts after which whatever a trainer has saved comes home; a machine that is slow changes nothing of that."""


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
    for one in life.ended:
        is_down = one.words[0] == "down" and one.key_is_right and one.status >= 0
        if is_down and one.billing and not (_is_disturbed(life, one) or _is_refused(life, one)):
            yield f"down at {one.ended_s:.0f} s ended with {one.status}, and {one.billing[0]} bills"


def _is_disturbed(life: Life, one: Ended) -> bool:
    """Return whether something went on during a command that may have kept it from its work."""
    during = (act for act in life.script if act.kind in UNREACHED)
    return any(act.at_s <= one.ended_s and one.began_s <= act.at_s + act.number for act in during)


def _is_refused(life: Life, one: Ended) -> bool:
    """Return whether a command has said that something may bill, of a cloud that refuses more often than it may ask."""
    is_hasty = any(HASTY in word for act in life.script for word in act.words)
    often = (act.words[1] for act in life.script if act.words[0:1] and act.words[0] in REFUSALS and len(act.words) > 1)
    most = 1 if is_hasty else PATIENT
    return one.status == EXIT_LEFTOVERS and any(word == SEVERAL or int(word) > most for word in often)


def one_at_a_time(life: Life) -> Iterator[str]:
    """A run has one machine: no second one bills beside it."""
    for first, second in itertools.combinations(sorted(life.ours, key=lambda one: one.created_at), 2):
        if end_s(first) - (second.created_at - EPOCH) > OVERLAP_S:
            yield f"{second.id} bills beside {first.id}"


def held_is_kept(life: Life) -> Iterator[str]:
    """A run that was left on purpose goes on until its trainer has ended, and its machine not for long after that."""
    if life.faults_of_the_cloud:
        return
    for owner in life.ended:
        on_some = _trains_by(life, owner.ended_s + LAUNCH_S)
        on_these = not owner.billing or any(machine in life.trained_until for machine in owner.billing)
        if CONTINUES in owner.printed and not (on_some and on_these):
            yield f"{owner.words[0]} said at {owner.ended_s:.0f} s that the run continues, and nothing trains"
        for machine in _left_by(life, owner):
            trained_s = life.trained_until.get(machine.id)
            ended_s = end_s(machine)
            if trained_s is None:
                continue
            if ended_s < trained_s and not _typed_between(life, owner.ended_s, ended_s, but=LOOKING):
                yield f"{machine.id} was left to train until {trained_s:.0f} s, and ended at {ended_s:.0f} s"
            is_stopped = machine.id in life.interrupted and owner.ended_s < trained_s and not is_limited(life)
            if is_stopped and not _typed_between(life, owner.ended_s, trained_s, but=LOOKING):
                yield f"{machine.id} was left to train, and its trainer was stopped at {trained_s:.0f} s"
            over_s = max(trained_s, owner.ended_s) + IDLE_S + SAVING_S + TO_LOOK_S
            gaps = [1 for _, end in guard_gaps(life) if machine.id not in life.leased and end >= trained_s]
            if ended_s > over_s and not gaps and not _typed_between(life, owner.ended_s, over_s):
                yield f"{machine.id} was left to train until {trained_s:.0f} s, and idled until {ended_s:.0f} s"


def is_limited(life: Life) -> bool:
    """Return whether the run of a life has a budget that may end it."""
    return any("budget." in word for act in life.script for word in act.words)


def lost_checkpoints(life: Life) -> Iterator[str]:
    """Yield the trainings that began anew although a machine before had a checkpoint that could have come home."""
    if any(not _is_orderly(act) for act in life.script) or sum(act.kind == "interrupt" for act in life.script) > 1:
        return
    ours = sorted(life.ours, key=lambda one: one.created_at)
    for first, second in itertools.pairwise(ours):
        box = f"box {second.box}: training begins at step 0"
        if life.saved.get(first.id) and any(line.endswith(box) for line in life.history):
            yield f"{second.id} trained from the first step on, and {first.id} had saved step {life.saved[first.id]}"
    for machine in ours:
        if life.cut_short.get(machine.id):
            yield f"{machine.id} was terminated while it trained, at step {life.cut_short[machine.id]}"


def _is_orderly(act: Act) -> bool:
    """Return whether whatever a trainer has saved comes home after an act."""
    return (act.kind in ORDERLY and not act.number) or (act.kind, act.words) == (FLAW, (SLOW,))


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
    stopped = (act for act in life.script if act.kind == "stop" and act.at_s < sweep.began_s < act.at_s + act.number)
    frozen_s = [act.at_s for act in stopped for one in life.ended if one.began_s < act.at_s < one.ended_s]
    if any(_trains_by(life, at_s) for at_s in frozen_s):  # before that no word was said whose age could count
        return frozen_s[0]
    if any(one.began_s <= sweep.began_s < one.ended_s for one in life.ended if one.words[0] in DRIVING):
        return None
    before = [
        one
        for one in life.ended
        if one.ended_s <= sweep.began_s
        and one.words[0] in DRIVING
        and not any(words in one.printed for words in NOTHING_TAKEN_OVER)
        and not _was_asleep(life, one)
    ]
    if not before or sweep.status != EXIT_DONE or any(words in before[-1].printed for words in LEFT_ON_PURPOSE):
        return None
    return max(before[-1].ended_s, _made_young_s(life, sweep))


def _made_young_s(life: Life, sweep: Ended) -> float:
    """Return when `config.json` was last damaged: its time of change is the age of a run that never had a lease."""
    times_s = [float(line[:TIME_LENGTH]) for line in life.history if DAMAGED_CONFIG in line]
    return max((at_s for at_s in times_s if at_s <= sweep.began_s), default=0.0)


def _was_asleep(life: Life, one: Ended) -> bool:
    """Return whether a command did nothing, for its computer slept from before its beginning until after its end."""
    lids = (act for act in life.script if act.kind == "lid")
    return any(act.at_s <= one.began_s and one.ended_s <= act.at_s + act.number for act in lids)


def _trains_by(life: Life, until_s: float) -> bool:
    """Return whether a trainer had begun by a moment."""
    return any(float(line[:TIME_LENGTH]) < until_s for line in life.history if TRAINS in line)


def _typed_between(life: Life, since_s: float, until_s: float, but: Collection[str] = ()) -> bool:
    """Return whether a command was given between two moments, other than some."""
    return any(since_s <= one.began_s < until_s and one.words[0] not in but for one in life.ended)


def _left_by(life: Life, owner: Ended) -> list[EmulatedMachine]:
    """Return the machines that a command left up on purpose."""
    if not any(words in owner.printed for words in LEFT_ON_PURPOSE):
        return []
    return [machine for machine in life.ours if machine.id in owner.billing]
