"""Who keeps a machine, and who ends it: further rules of a life, about runners, guards, sweeps and leases."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import find_cloud
from runner.emulation.machines import EmulatedMachine
from runner.simulation.flaws import GUARD_FAILS
from runner.simulation.life import LIFE_S, Ended, Life, end_s
from runner.simulation.more_acts import GUARD_OFF
from runner.simulation.promises import SAVING_S, TO_LOOK_S, is_limited, kept_waiting_s
from runner.simulation.trainer import EPOCH

DRIVING = ("train", "resume", "watch")
ASKED = re.compile(r"\s*(?P<at_s>[\d.]+) (?P<name>\S+) (POST \S*/terminate|DELETE \S+) ")
"""The line of a history that says who has asked for the end of a machine, whatever came of it."""
LOCKED = re.compile(r"\s*(?P<at_s>[\d.]+) \S+ DELETE \S+ 409")
OWN_ENDS = ("its own lease (not_renewed", "its own lease (never set up")
"""How the end of a machine begins that has ended itself for want of a runner."""
REMOVED = re.compile(r"\s*(?P<at_s>[\d.]+) \S+ DELETE \S*volumes/\S+ 2\d\d")
BOX_GONE = frozenset({"box_killed", "box_stopped_outside", "box_deleted_in_console", "spot_notice"})
"""Faults by which a machine loses what could end it from inside."""
BOOT_S = 25 * 60.0
"""So long a machine may boot, by default."""
FOR_A_WHILE_S = 60.0
"""A runner that has been at work for so long has renewed its lease, and its guard knows of it."""
MOMENT_S = 5.0
STILL = frozenset({"stop", "full disk", "damage", "kill lease", "crash", "kill"})
"""Acts by which a runner's words end, or are not written down."""
UNFOLLOWED = frozenset({"stop", "lid", "full disk"})
"""Acts by which a runner starts no other guard for a while."""
AWAY = frozenset({"lid", "cut"})
"""Acts by which they do not reach the machine, for a while."""
SILENT = frozenset({"api_down", "box_killed"})
"""Faults by which no word reaches the machine for long, and its lease is over under its runner's eyes."""
SHORT_S = 600.0
"""An absence that no lease minds."""


def taken_away(life: Life) -> Iterator[str]:
    """Yield the machines that a guard, a sweep or a lease has ended while a runner was at work on them."""
    if any(act.kind in STILL for act in life.script) or is_limited(life):
        return
    is_away = any(act.kind in AWAY and act.number > SHORT_S for act in life.script)
    is_out = bool(SILENT & life.faults_of_the_cloud)
    for machine in life.ours:
        driver = _driver(life, machine)
        if driver is None or machine.ended_at is None:
            continue
        by = _ended_by(life, machine, driver)
        # Its runner asks a cloud that is down to end it, and renews nothing any more.
        gives_up = is_out and life.trained_until.get(machine.id, math.inf) < end_s(machine)
        may_end = {"guard": False, "sweep": is_away or is_out, "its own lease": is_away or gives_up}
        if not may_end.get(by, True):
            yield f"{machine.id} was terminated by {by} while {driver.words[0]} was at work on it"


def boots_for_ever(life: Life) -> Iterator[str]:
    """Yield the machines that never came up, and were waited for although their time to boot was long over."""
    if any(act.kind in STILL | AWAY for act in life.script):
        return
    longest_s = BOOT_S + SAVING_S + TO_LOOK_S + kept_waiting_s(life)
    for machine in life.ours:
        waited_s = end_s(machine) - (machine.created_at - EPOCH)
        if math.isinf(machine.active_at) and waited_s > longest_s:
            yield f"{machine.id} never came up, and was waited for for {waited_s:.0f} s"


def kept_too_dear(life: Life) -> Iterator[str]:
    """Yield the machines that cost more than agreed, and were kept all the same."""
    if any(act.kind in STILL | AWAY for act in life.script):
        return
    for machine in life.ours:
        up_s = end_s(machine) - (machine.active_at - EPOCH)
        if "price_differs" in machine.traits and up_s > SAVING_S + kept_waiting_s(life):
            yield f"{machine.id} cost more than agreed, and was kept for {up_s:.0f} s"


def guards_follow(life: Life) -> Iterator[str]:
    """Yield the guards that were killed under a runner that lived on, and that no other one followed."""
    if any({GUARD_OFF, GUARD_FAILS} & set(act.words) or act.kind in UNFOLLOWED for act in life.script):
        return
    guards = [span for span in life.spans if span.name == "guard"]
    for killed in (span for span in guards if span.was_killed):
        at_s = killed.ended_s or 0.0
        driven = (one for one in life.ended if one.words[0] in DRIVING and one.began_s + MOMENT_S < at_s)
        is_driven = any(at_s + FOR_A_WHILE_S < one.ended_s for one in driven)
        # A runner that has just ended its machine needs a guard with the next one.
        spans = ((machine.created_at - EPOCH, end_s(machine)) for machine in life.ours)
        is_needed = any(began_s < at_s + FOR_A_WHILE_S < ended_s for began_s, ended_s in spans)
        if is_driven and is_needed and not any(at_s < span.began_s < at_s + FOR_A_WHILE_S for span in guards):
            yield f"the guard was killed at {at_s:.0f} s, its runner lived on, and no other guard was started"


def kept_beside(life: Life) -> Iterator[str]:
    """Yield the volumes that nobody removed for long because a machine beside them was locked."""
    if not {"pod_locked", "leftover_volume"} <= life.faults_of_the_cloud or any(
        act.kind in AWAY for act in life.script
    ):
        return
    refused = [float(found["at_s"]) for line in life.history if (found := LOCKED.match(line))]
    removed = [float(found["at_s"]) for line in life.history if (found := REMOVED.match(line))]
    if refused and min(removed, default=LIFE_S) - refused[0] > TO_LOOK_S:
        yield f"a machine was locked from {refused[0]:.0f} s on, and a volume beside it was left"


def has_own_end(life: Life, machine: EmulatedMachine, by_s: float) -> bool:
    """Return whether a machine had a lease of its own by then that can end it, or was promised one: it was to train."""
    if life.promised_s.get(machine.id, math.inf) > by_s:
        return False
    if machine.id in life.leased:
        return True
    is_killed = any(act.kind == "kill lease" for act in life.script)
    return machine.id in life.trained_until and not is_killed and ends_itself(life.cloud)


def ends_itself(cloud: str) -> bool:
    """Return whether the machines of a cloud can end themselves."""
    return not isinstance(find_cloud(cloud).hard_end, NotThere)


def lost_its_end(life: Life, machine: EmulatedMachine) -> bool:
    """Return whether a machine that its cloud would not end has lost what it could end itself by.

    A plan says of such a machine that its last end is kept by a timer of its own.
    """
    if not find_cloud(machine.cloud).hard_end_from_boot:
        return False
    was_hit = bool(life.faults_of_the_cloud & BOX_GONE)
    return math.isinf(machine.active_at) or (machine.is_box_dead and was_hit)


def _driver(life: Life, machine: EmulatedMachine) -> Ended | None:
    """Return the command that was at work on a machine when it ended."""
    ended_s = (machine.ended_at or 0.0) - EPOCH
    for one in life.ended:
        is_at_work = one.began_s + FOR_A_WHILE_S < ended_s and ended_s + MOMENT_S < one.ended_s
        if one.words[0] in DRIVING and one.key_is_right and is_at_work:
            return one
    return None


def _ended_by(life: Life, machine: EmulatedMachine, driver: Ended) -> str:
    """Return who has ended a machine; nothing where its driver had asked for that before, or nobody of the user's."""
    lines = (ASKED.match(line) for line in life.history)
    ended_s = end_s(machine)  # a key and a firewall go after their machine
    within = (found for found in lines if found and driver.began_s <= float(found["at_s"]) <= ended_s)
    asked_by = next((found["name"] for found in within), "")
    if machine.ended_by.startswith(OWN_ENDS):
        return "its own lease" if ends_itself(life.cloud) and not asked_by else ""
    return asked_by if machine.ended_by == "request" and asked_by in ("guard", "sweep") else ""
