"""Stories of moments that a chance in time hardly ever meets: they wait for what happens, or follow upon each other.

They are told in lives that have none of the other stories, so that each seed of those keeps its life.
"""

from __future__ import annotations

import random

from runner.run.journal import JOURNAL_NAME
from runner.safety.lease_word import LEASE_NAME
from runner.simulation.flaws import FLAW, LEASE_STAYS_DEAD
from runner.simulation.happenings import AT_LAUNCH
from runner.simulation.more_acts import TERRAFORM_INPUTS
from runner.simulation.script import HOUR_S, RUN_S, Act, Script
from runner.simulation.stories_of_kills import STORIES_OF_KILLS
from runner.simulation.telling import DOWN, NOTICES, RESUME, SWEEP, WATCH, late, maybe, setting, soon


def is_met_at_the_launch(chance: random.Random) -> Script:
    """Something happens while the answer to a launch is on its way: the cloud has the machine, nobody here knows it."""
    what = chance.choice(("interrupt", "interrupt", "interrupt", "hang up", "kill", "kill terraform"))
    again = maybe(chance, Act(AT_LAUNCH, number=chance.uniform(0.5, 20.0), words=("interrupt",)))
    lags = maybe(chance, Act("fault", 0.0, chance.uniform(30.0, 100.0), ("listing_lags",)), often=0.3)
    return (*lags, Act(AT_LAUNCH, words=(what,)), *again, soon(chance, *chance.choice((DOWN, RESUME, SWEEP, WATCH))))


def has_lost_its_inputs(chance: random.Random) -> Script:
    """The runner is killed, and what Terraform was given for its machine holds something else when somebody comes."""
    damage = Act("damage", words=(TERRAFORM_INPUTS, chance.choice(("empty", "cut", "lost", "odd"))), number=0.5)
    back = soon(chance, *chance.choice((WATCH, WATCH, RESUME, DOWN, ("launch",))))
    return (Act("kill", chance.uniform(100.0, RUN_S)), damage, back)


def is_swept_beside_its_guard(chance: random.Random) -> Script:
    """The runner is killed, its guard is not; a sweep cannot read what the machine was told last."""
    odd = (
        Act("damage", words=(name, chance.choice(("odd", "cut"))), number=0.5) for name in (LEASE_NAME, JOURNAL_NAME)
    )
    sweeps = (Act("type", pause_s, words=chance.choice((SWEEP, ("sweep",)))) for pause_s in (1.0, 120.0))
    return (Act("kill", chance.uniform(100.0, RUN_S)), *maybe(chance, *odd, often=0.8), *sweeps)


def is_cut_off_in_a_sweep(chance: random.Random) -> Script:
    """A sweep ends what is left of a run, and the network is gone in the middle of it."""
    at_s, swept_s = chance.uniform(100.0, RUN_S), chance.uniform(3.0, 9.0) * HOUR_S
    dead = (Act(FLAW, words=(LEASE_STAYS_DEAD,)), Act("kill lease", at_s - 0.5))
    swept = Act("sweep beside", swept_s)
    cut = Act("cut", swept_s + chance.uniform(0.5, 15.0), chance.choice((30.0, 4000.0)))
    return (*dead, Act("kill", at_s), Act("kill guard", at_s), swept, cut, late(chance, SWEEP, DOWN))


def is_heard_of(chance: random.Random) -> Script:
    """Somebody gets notices of a run whose runner is killed, left or taken down."""
    return (setting(NOTICES), *chance.choice(STORIES_OF_KILLS)(chance))


RARER_STORIES = (
    is_met_at_the_launch,
    has_lost_its_inputs,
    is_swept_beside_its_guard,
    is_cut_off_in_a_sweep,
    is_heard_of,
    is_heard_of,
)
