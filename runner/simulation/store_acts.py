"""Stores in lives: which lives have one, what it does to them, and what users do about that.

It comes from a chance of its own, so that a life without a store is as it was before there were any.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from runner.simulation.flaws import FLAW, SLOW
from runner.simulation.rates import StoreRates
from runner.simulation.script import HOUR_S, RUN_S, Act, Script
from runner.simulation.store import CUTS, ENDPOINT, LOSES, ROLE, SPOILS, URL, SimulatedStore
from runner.simulation.telling import DOWN, LOSSES, RESUME, WATCH, maybe, setting, typed

if TYPE_CHECKING:
    from runner.simulation.happenings import Scene
    from runner.simulation.stage import Stage

STORE, ENDPOINTS, ROLES = "store.url=", "store.endpoint_url=", "store.role_arn="
LAST_CALL = 1100
"""Of 40 undisturbed runs with a store 32 had fewer calls of their world (seeds 0 to 39 on the default cloud)."""
SYNCS = (("sync", "push"), ("sync", "pull"))
TROUBLES = ("store down", "store busy", "store denies", "store mute", "store late")
DAMAGES = (SPOILS, CUTS, LOSES)


def draw_store(chance: random.Random, rates: StoreRates, faults: Sequence[str]) -> Script:
    """Return the acts of a life's store, first the run file's settings; nothing where it has none.

    Args:
        chance: Where they come from.
        rates: How often what happens.
        faults: The faults that the emulated cloud can bring about by itself.
    """
    if chance.random() >= rates.has_one:
        return ()
    acts = [setting(f"{STORE}{URL}")]
    acts += maybe(chance, setting(f"{ENDPOINTS}{ENDPOINT}"), often=0.4)
    acts += maybe(chance, setting(f"{ROLES}{ROLE}"))
    for kind, rate in rates.troubles:
        if chance.random() < rate:
            acts.append(Act(kind, chance.uniform(0.0, 2 * RUN_S), chance.choice(rates.trouble_s)))
    for kind, rate in rates.damages:
        if chance.random() < rate:
            acts.append(Act(kind, chance.uniform(200.0, 2 * RUN_S)))
    told = chance.choice(TALES)(chance)
    return (*acts, *(act for act in told if act.kind != "fault" or act.words[0] in faults))


def with_store(store: Script, script: Script, chance: random.Random) -> Script:
    """Return a life's acts with those of its store among them; in half of the lives nothing else happens."""
    if not store:
        return script
    if chance.random() < 0.5:
        return (*store, Act("type", HOUR_S, words=DOWN))
    if script and script[-1].kind.startswith("type"):
        return (*store, *script)
    return (*script, *store)


def _is_lost(chance: random.Random) -> Script:
    """The machine is lost, and the run goes on with another one by itself, or by hand."""
    lost = Act("fault", 0.0, chance.uniform(150.0, RUN_S), (chance.choice(LOSSES),))
    alone = maybe(chance, setting("compute.recoveries=2"))
    return (lost, *alone, typed(chance, *chance.choice((RESUME, RESUME, WATCH))))


def _is_killed(chance: random.Random) -> Script:
    """The runner is killed, or leaves, and somebody comes back, mostly when the machine is gone."""
    kill = Act("kill", chance.uniform(200.0, RUN_S))
    left = Act("first", words=("train", "--detach"))
    again = Act("type", chance.choice((30.0, 600.0, 2 * HOUR_S, 9 * HOUR_S)), words=chance.choice((RESUME, WATCH)))
    return (chance.choice((kill, left)), again)


def _is_cut_short(chance: random.Random) -> Script:
    """The runner is killed at any of its calls, those to the store among them, and somebody comes back."""
    crash = Act("crash", number=float(chance.randint(1, LAST_CALL)))
    verbs = (RESUME, WATCH, DOWN, *SYNCS)
    return (crash, *(typed(chance, *chance.choice(verbs)) for _ in range(chance.choice((1, 2)))))


def _is_stopped(chance: random.Random) -> Script:
    """The run is interrupted, and taken up again; then its next machine may be lost, and it is taken up once more."""
    lost = Act("fault", 0.0, chance.uniform(200.0, RUN_S), ("box_killed", "2"))
    slow = maybe(chance, Act(FLAW, words=(SLOW,)))
    twice = maybe(chance, lost, typed(chance, *RESUME))
    return (*slow, Act("interrupt", chance.uniform(150.0, RUN_S)), typed(chance, *RESUME), *twice)


def _is_synced(chance: random.Random) -> Script:
    """Somebody brings checkpoints there or from there by hand, while the machine is up or later."""
    first = maybe(chance, Act("first", words=("train", "--detach")))
    return (*first, *(typed(chance, *chance.choice(SYNCS)) for _ in range(2)), *maybe(chance, typed(chance, *RESUME)))


def _is_long(chance: random.Random) -> Script:
    """Training takes longer than the keys of a role serve, with a runner beside it or without."""
    left = maybe(chance, Act("first", words=("train", "--detach")))
    return (setting("training.max_steps=40"), Act(FLAW, words=(SLOW,)), *left, typed(chance, *RESUME))


def _is_plain(chance: random.Random) -> Script:
    """Nothing happens but to the store."""
    return maybe(chance, typed(chance, *RESUME), often=0.3)


TALES: tuple[Callable[[random.Random], Script], ...] = (
    _is_lost,
    _is_lost,
    _is_killed,
    _is_cut_short,
    _is_cut_short,
    _is_stopped,
    _is_synced,
    _is_long,
    _is_plain,
)


def store_of(script: Script, stage: Stage, seed: int) -> SimulatedStore | None:
    """Return the store that a life's run file names; ``None`` where it names none."""
    words = [word for act in script if act.kind == "setting" for word in act.words]
    if not any(word.startswith(STORE) for word in words):
        return None
    is_gateway = any(word.startswith(ENDPOINTS) for word in words)
    chance = random.Random(f"store weather {seed}")  # noqa: S311 - to be the same each time is what it is for
    has_weather = bool(stage.rates.requests)
    manner = "gateway" if is_gateway else "amazon"
    return SimulatedStore(manner, stage.turns, chance, stage.note, has_weather=has_weather)  # type: ignore[arg-type]


def _is_troubled(scene: Scene, act: Act) -> None:
    """Let the store answer badly for a while."""
    if scene.stage.store is not None:
        scene.stage.store.troubles.append((act.at_s, act.at_s + act.number, act.kind))


def _is_damaged(scene: Scene, act: Act) -> None:
    """Let the store damage its newest checkpoint."""
    if scene.stage.store is not None:
        scene.stage.store.damage(act.kind)


STORE_HAPPENINGS: Mapping[str, Callable[[Scene, Act], None]] = {
    **dict.fromkeys(TROUBLES, _is_troubled),
    **dict.fromkeys(DAMAGES, _is_damaged),
}
STORE_WORDS: Mapping[str, str] = {
    "store down": "the store cannot be reached for {length}",
    "store busy": "the store sends everybody away (503) for {length}",
    "store denies": "the store lets nobody in for {length}",
    "store mute": "the store does what it is asked and its answers are lost, for {length}",
    "store late": "the store answers almost a minute late, for {length}",
    SPOILS: "the store damages the weights of its newest checkpoint",
    CUTS: "the store cuts the weights of its newest checkpoint short",
    LOSES: "the store loses the manifest of its newest checkpoint",
}
"""Each of them in words."""
