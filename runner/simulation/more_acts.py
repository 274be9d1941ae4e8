"""Acts that few lives have: other ways to begin a run, steps by hand, a sweep beside a runner, a guard killed alone.

They come from a chance of their own, so that what else a seed draws does not change with them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from runner.simulation.rates import MoreRates
from runner.simulation.script import DAMAGED, HOUR_S, RUN_S, Act, Script

RUN_ID = "RUN"
"""Stands for the id of the run in a command."""
FIRST = "first"
"""Kind of the act whose words begin the run, in place of `train`."""
SETTING = "setting"
"""Kind of the act whose words go to the run file."""
GUARD_OFF = "budget.guard=false"
SETTINGS = (
    "compute.recoveries=2",
    "budget.max_usd=2",
    "budget.max_hours=0.2",
    GUARD_OFF,
    "checkpointing.bring_home=true",
)
TERRAFORM_STATE = "terraform/terraform.tfstate"
TERRAFORM_INPUTS = "terraform/run.auto.tfvars.json"
BY_HAND = (("up",), ("configure",), ("launch",), ("collect",))
ON_THE_SIDE = (
    ("costs", "--bill"),
    ("terminate", "--run", RUN_ID),
    ("collect",),
    ("configure",),
    ("launch",),
    ("runs",),
    ("resume", "--yes", "--detach"),
)


def draw_more(chance: random.Random, rates: MoreRates) -> Script:
    """Return the further acts of one life.

    Args:
        chance: Where they come from.
        rates: How often what happens.
    """
    acts: list[Act] = []
    if chance.random() < rates.setting:
        acts.append(Act(SETTING, words=(chance.choice(SETTINGS),)))
    if chance.random() < rates.guard_alone:
        acts.append(Act("kill guard", chance.uniform(0.0, RUN_S)))
    if chance.random() < rates.sweep_beside:
        acts.append(Act("sweep beside", chance.uniform(0.0, 3 * RUN_S)))
    if chance.random() < rates.by_hand:
        return (*acts, *_by_hand(chance))
    if chance.random() < rates.detached:
        acts.append(Act(FIRST, words=("train", "--detach")))
    if chance.random() < rates.damaged_more:
        file = chance.choice((*DAMAGED, TERRAFORM_STATE, TERRAFORM_STATE))
        acts.append(Act("damage", words=(file, chance.choice(("empty", "cut", "lost"))), number=0.5))
    if chance.random() < rates.on_the_side:
        acts.append(Act("type", chance.choice((5.0, 400.0, HOUR_S)), words=chance.choice(ON_THE_SIDE)))
    if chance.random() < rates.full_disk:
        acts.append(Act("full disk", chance.uniform(0.0, RUN_S), chance.choice((60.0, 1800.0, 5 * HOUR_S))))
    return tuple(acts)


def draw_own(chance: random.Random, settings: Sequence[str], rates: MoreRates) -> Script:
    """Return a setting that only runs on the life's cloud have, if it draws one of them."""
    if not settings or chance.random() >= rates.own_setting:
        return ()
    return (Act(SETTING, words=(chance.choice(settings),)),)


def in_order(script: Script, more: Script) -> Script:
    """Return all acts of a life: what is typed in the end, a `down` mostly, comes last."""
    if not script or not script[-1].kind.startswith("type"):
        return (*script, *more)
    return (*script[:-1], *more, script[-1])


def _by_hand(chance: random.Random) -> Script:
    """Return a run whose steps are typed one after the other, as far as the user gets."""
    first, *later = BY_HAND[: chance.randint(1, len(BY_HAND))]
    pauses = (5.0, 300.0, 5 * HOUR_S)
    return (Act(FIRST, words=first), *(Act("type", chance.choice(pauses), words=words) for words in later))
