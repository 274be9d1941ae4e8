"""Stories of runs that are killed, left or taken down, and of what is there, damaged or refused when somebody comes.

They are short: each has what a fault of one kind is seen by, and little that could hide it.
"""

from __future__ import annotations

import random

from runner.run.journal import JOURNAL_NAME
from runner.run.planned import PLAN_NAME
from runner.run.state import STATE_NAME
from runner.safety.lease_word import LEASE_NAME
from runner.simulation.flaws import FAILS, FLAW, LEASE_STAYS_DEAD, SLOW
from runner.simulation.more_acts import FIRST, TERRAFORM_STATE
from runner.simulation.script import HOUR_S, RUN_S, Act, Script
from runner.simulation.telling import (
    AFAR,
    DOWN,
    RESUME,
    SEVERAL,
    SWEEP,
    WATCH,
    WHEN_ENDED,
    WHEN_UP,
    late,
    maybe,
    setting,
    soon,
    wrong,
)

UNANSWERED = "launch_500_after_create"
BORN = (
    UNANSWERED,
    "boot_never_active",
    "boot_unhealthy_spell",
    "terminate_slow",
    "leftover_volume",
    "leftover_key",
)
"""What may be wrong with a machine, or with what is beside it, from the request for it on."""
FILES = (STATE_NAME, STATE_NAME, "config.json", "config.json", "host.json", PLAN_NAME, LEASE_NAME, TERRAFORM_STATE)
LISTINGS = ("listing_500", "listing_schema_changed", "listing_empty_body", "listing_partial_page")
LOCKS = ("pod_locked", "stopped_disk_bills", "terminate_ignored", "terminate_500")
LAGS_S = 100.0
"""A machine is listed so late at most: within two minutes `down` looks for what nobody has answered for."""
LOST = ("1", "any", "lost")
"""Words of a launch of which no answer comes."""
HASTY = "compute.teardown_timeout_minutes=0.5"
KEYS = ("type", "type", "type with another key", "type without a key")


def is_killed_early(chance: random.Random) -> Script:
    """The runner mostly is killed while its machine is made, maybe with Terraform, and somebody comes back soon."""
    at_s = chance.uniform(4.0, 90.0)
    lost = wrong(chance, UNANSWERED, *LOST)
    born = chance.choice((*(wrong(chance, name) for name in (*BORN, "price_differs")), lost, lost))
    alone = maybe(chance, Act("kill terraform", at_s + 0.5))
    words = chance.choice((DOWN, DOWN, DOWN, WATCH, RESUME, SWEEP, ("status",)))
    killed = (Act("kill", at_s), *alone) if chance.random() < 0.75 else ()
    return (*maybe(chance, born), *killed, soon(chance, *words))


def is_come_back_to_early(chance: random.Random) -> Script:
    """The runner is killed while its machine is made, and whoever comes back at once is not shown the machine yet."""
    lags = Act("fault", 0.0, chance.uniform(30.0, LAGS_S), ("listing_lags",))
    lost = maybe(chance, wrong(chance, UNANSWERED, *(LOST if chance.random() < 0.5 else ())), often=0.3)
    damage = Act("damage", words=(chance.choice((STATE_NAME, "config.json", JOURNAL_NAME)), "cut"), number=0.5)
    kill = Act("kill", chance.uniform(10.0, 60.0))
    back = Act("type", 1.0, words=chance.choice((DOWN, DOWN, RESUME)))
    return (lags, *lost, *maybe(chance, kill, often=0.8), *maybe(chance, damage, often=0.3), back)


def is_taken_up_again(chance: random.Random) -> Script:
    """A run is interrupted and goes on, and maybe its runner is killed then, at any of its calls."""
    killed_at = chance.choice((0.0, 0.0, float(chance.randint(100, 1200))))
    slow = maybe(chance, Act(FLAW, words=(SLOW,)))
    lags = maybe(chance, Act("fault", 1.0, chance.uniform(30.0, LAGS_S), ("listing_lags",)), often=0.3)
    resumed = Act("type", 5.0, killed_at, RESUME)
    at_s = chance.uniform(150.0, RUN_S)
    closed = maybe(chance, Act("hang up", at_s + chance.uniform(60.0, 250.0)), often=0.3)
    later = soon(chance, *chance.choice((DOWN, DOWN, WATCH, RESUME, SWEEP)))
    return (*slow, *lags, Act("interrupt", at_s), *closed, resumed, later)


def is_lost_again(chance: random.Random) -> Script:
    """A run is interrupted and goes on, and its runner is killed while the second machine is asked for, which lags."""
    lags = Act("fault", 1.0, chance.uniform(60.0, LAGS_S), ("listing_lags",))
    resumed = Act("type", 5.0, float(chance.randint(200, 700)), RESUME)
    back = Act("type", 1.0, words=chance.choice((DOWN, DOWN, RESUME)))
    return (lags, Act("interrupt", chance.uniform(150.0, 400.0)), resumed, back)


def is_killed_at_the_end(chance: random.Random) -> Script:
    """The runner is killed, or stopped for long, while it takes its run down."""
    at_s = chance.uniform(150.0, RUN_S)
    slow = maybe(chance, wrong(chance, "terminate_slow"))
    back = soon(chance, *chance.choice((WATCH, WATCH, RESUME, DOWN, ("status",), SWEEP)))
    then_s = at_s + chance.uniform(1.0, 40.0)
    then = chance.choice((Act("kill", then_s), Act("stop", then_s, chance.choice((600.0, 2 * HOUR_S)))))
    return (*slow, Act("interrupt", at_s), then, back)


def is_left_for_long(chance: random.Random) -> Script:
    """The run is left on purpose, or its terminal is closed, and nobody comes for half a day or more."""
    left = chance.choice((Act(FIRST, words=("train", "--detach")), Act("hang up", chance.uniform(60.0, RUN_S))))
    alone = maybe(chance, Act("kill guard", chance.uniform(RUN_S, 3 * RUN_S)))
    return (*maybe(chance, Act(FLAW, words=(SLOW,))), left, *alone, late(chance, DOWN, WATCH, SWEEP))


def is_left_to_a_sweep(chance: random.Random) -> Script:
    """Runner, guard and maybe the machine's own lease are killed at once; a sweep hours later finds what is left."""
    at_s = chance.uniform(100.0, RUN_S)
    lease = _maybe_dead_lease(chance, at_s)
    damage = Act("damage", words=(chance.choice((STATE_NAME, "config.json")), "cut"), number=0.5)
    locked = wrong(chance, chance.choice(LOCKS), chance.choice(("230", "1")))
    sweep = Act("type", chance.choice((2.0, 9.0)) * HOUR_S, words=chance.choice((SWEEP, SWEEP, ("sweep",))))
    spoiled = (*maybe(chance, locked, often=0.3), *maybe(chance, damage, often=0.3))
    return (*lease, Act("kill", at_s), Act("kill guard", at_s), *spoiled, sweep)


def is_swept_from_afar(chance: random.Random) -> Script:
    """Somebody sweeps while the run trains for long, maybe on another computer, maybe when the clock was just set."""
    at_s = chance.uniform(0.7, 1.9) * HOUR_S
    where = chance.choice(((), AFAR))
    clock = maybe(chance, Act("set clock", at_s - 20.0, chance.choice((-30.0, 30.0)) * HOUR_S))
    left = maybe(chance, Act(FIRST, words=("train", "--detach")))
    swept = Act("sweep beside", at_s, words=(*SWEEP, *where))
    return (Act(FLAW, words=(SLOW,)), setting("training.max_steps=60"), *left, *clock, swept)


def is_damaged(chance: random.Random) -> Script:
    """A file of a run whose runner was killed is damaged, and somebody comes back, maybe without the key."""
    at_s = chance.uniform(60.0, 500.0)
    damage = Act("damage", words=(chance.choice(FILES), chance.choice(("empty", "cut", "lost", "odd"))), number=0.5)
    typed = soon(chance, *chance.choice((DOWN, DOWN, DOWN, SWEEP, WATCH, RESUME)), kind=chance.choice(KEYS))
    locked, out = wrong(chance, "pod_locked", SEVERAL), Act("fault", 0.0, 3000.0, ("api_down", "1", WHEN_UP))
    trouble = maybe(chance, chance.choice((locked, out)))
    return (*trouble, Act("kill", at_s), *maybe(chance, Act("kill guard", at_s)), damage, typed)


def has_a_damaged_journal(chance: random.Random) -> Script:
    """The journal of a run whose runner was killed is cut short, emptied or lost, and somebody comes back."""
    at_s = chance.uniform(20.0, 500.0)
    damage = Act("damage", words=(JOURNAL_NAME, chance.choice(("cut", "cut", "empty", "lost"))), number=chance.random())
    lags = maybe(chance, Act("fault", 0.0, chance.uniform(30.0, LAGS_S), ("listing_lags",)), often=0.3)
    typed = soon(chance, *chance.choice((DOWN, SWEEP, RESUME)), kind=chance.choice(KEYS))
    return (*lags, Act("kill", at_s), *maybe(chance, Act("kill guard", at_s)), damage, typed)


def is_locked(chance: random.Random) -> Script:
    """The cloud does not let a machine go, whoever asks: somebody has locked it, or it is only stopped."""
    locked = wrong(chance, chance.choice(LOCKS), chance.choice(("15", "60")))
    killed = maybe(chance, Act("kill", chance.uniform(60.0, RUN_S)))
    first, second = (chance.choice((DOWN, DOWN, SWEEP, RESUME)) for _ in range(2))
    volume = maybe(chance, wrong(chance, "leftover_volume"), often=0.3)
    return (setting(HASTY), locked, *volume, *killed, Act("type", 5.0, words=first), soon(chance, *second))


def is_kept_from_its_guard(chance: random.Random) -> Script:
    """A cloud that answers nothing, or refuses hundreds of times, lets the guard have its way in the end."""
    out = Act("fault", float(chance.randint(0, 30)), chance.uniform(2500.0, 9000.0), ("api_down", "1", WHEN_UP))
    refuses = wrong(chance, chance.choice(("terminate_500", "terminate_ignored")), "400")
    fails = Act(FLAW, words=(FAILS,))
    gone = chance.choice((Act("kill", chance.uniform(60.0, 500.0)), fails))
    acts = (chance.choice((out, refuses)), gone, late(chance, DOWN, SWEEP))
    return (*acts[:2], *maybe(chance, setting(HASTY)), acts[2])


def is_unread(chance: random.Random) -> Script:
    """What a cloud lists cannot be read while a run is ended, or when somebody comes back."""
    often, after = chance.choice(("1", "2", "5", "60")), float(chance.randint(0, 8))
    when = chance.choice((WHEN_UP, WHEN_ENDED, WHEN_ENDED))
    unread = Act("fault", after, 60.0, (chance.choice(LISTINGS), often, when))
    at_s = chance.choice((chance.uniform(10.0, 80.0), chance.uniform(80.0, RUN_S)))
    slow = maybe(chance, wrong(chance, "terminate_slow"), often=0.3)
    back = soon(chance, *chance.choice((DOWN, DOWN, SWEEP, RESUME)))
    return (unread, *slow, *maybe(chance, Act("kill", at_s), often=0.7), back)


def is_stopped_and_swept(chance: random.Random) -> Script:
    """The runner is stopped for half a day, its guard and maybe the lease are killed; somebody sweeps hours later."""
    at_s = chance.uniform(200.0, RUN_S)
    swept = Act("sweep beside", at_s + chance.uniform(0.8, 3.0) * HOUR_S)
    lease = _maybe_dead_lease(chance, at_s)
    return (*lease, Act("stop", at_s, 10 * HOUR_S), Act("kill guard", at_s), swept)


def is_cut_off(chance: random.Random) -> Script:
    """The computer is off the network for a moment while the run trains for longer than a lease."""
    length_s = chance.choice((20.0, 120.0, 300.0))
    return (Act(FLAW, words=(SLOW,)), Act("cut", chance.uniform(300.0, 2 * RUN_S), length_s))


def is_asleep_at_launch(chance: random.Random) -> Script:
    """The runner is killed as it begins and the lid closed; Terraform asks for a machine when the computer wakes."""
    at_s, slept_s = chance.uniform(3.0, 15.0), chance.choice((1.0, 6.0)) * HOUR_S
    lags = Act("fault", 0.0, chance.uniform(125.0, 200.0), ("listing_lags",))
    return (lags, Act("kill", at_s), Act("lid", at_s + chance.uniform(0.1, 3.0), slept_s), late(chance, DOWN, SWEEP))


def _maybe_dead_lease(chance: random.Random, at_s: float) -> Script:
    """Return the acts by which the machine's own lease is dead from a moment on, or none."""
    dead = (Act(FLAW, words=(LEASE_STAYS_DEAD,)), Act("kill lease", at_s - 0.5))
    return dead if chance.random() < 0.6 else ()


STORIES_OF_KILLS = (
    is_killed_early,
    is_come_back_to_early,
    is_taken_up_again,
    is_lost_again,
    is_killed_at_the_end,
    is_left_for_long,
    is_left_to_a_sweep,
    is_swept_from_afar,
    is_damaged,
    has_a_damaged_journal,
    is_locked,
    is_kept_from_its_guard,
    is_unread,
    is_stopped_and_swept,
    is_cut_off,
    is_asleep_at_launch,
)
