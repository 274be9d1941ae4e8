"""Many lives on all processors: counted, shown as they go, and the first that broke a rule shrunk and told."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TextIO

from runner.errors import counted
from runner.simulation.life import Life
from runner.simulation.living import live
from runner.simulation.rules import RULES, Broken, judge, worst_cases
from runner.simulation.shrink import shrink
from runner.simulation.stage import Command
from runner.world import MEMORY

CHUNK = 10
"""Lives that one process lives before it reports."""
EVERY_S = 1.0
LINE_EVERY_S = 30.0
LAST_LINES = 60
COLLECT_EVERY = 100_000
"""Objects after which rubbish that refers to itself is looked for; Python's own 700 cost a sixth of a life. Without any
look until the end of a chunk a life takes longer: its memory is no longer that of the life before."""
LONGEST_LIFE_S = 600.0
"""Real seconds after which a life hangs: its process says where, and ends. A greenlet that hangs leaves nobody else."""
STDERR = 2


@dataclass
class Tally:
    """What many lives came to.

    Attributes:
        lives: How many.
        faults: How many faults they had.
        worst: How many machines billed on to the end as the plan had said that they might.
        digests: The SHA-256 of each history, by seed.
        broken: The rules that did not hold, by seed.
    """

    lives: int = 0
    faults: int = 0
    worst: int = 0
    digests: dict[int, str] = field(default_factory=dict)
    broken: dict[int, list[Broken]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Count another's lives among these."""
        self.lives += other.lives
        self.faults += other.faults
        self.worst += other.worst
        self.digests |= other.digests
        self.broken |= other.broken

    @property
    def digest(self) -> str:
        """The SHA-256 of all histories, in the order of their seeds."""
        return hashlib.sha256("".join(self.digests[seed] for seed in sorted(self.digests)).encode()).hexdigest()

    def words(self, cloud: str, took_s: float) -> str:
        """Return it in a line."""
        rules = f"{counted(len(RULES) * self.lives, 'rule')} checked"
        held = counted(len(self.broken), "life breaks a rule", "lives break a rule") if self.broken else "all held"
        named = f", {counted(self.worst, 'worst case')} that the plan had named" if self.worst else ""
        pace = self.lives / took_s if took_s > 0 else 0.0
        return (
            f"{counted(self.lives, 'life', 'lives')} on {cloud}, {pace:.1f} a second: "
            f"{counted(self.faults, 'fault')}, {rules}: {held}{named}"
        )


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """Yield a folder for the lives of this process, in memory where there is a way."""
    os.environ["LANGUAGE"] = "C"  # else argparse looks for translations on the disk, for every command of every life
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="douse-simulation-", dir=where) as folder:
        yield Path(folder) / "life"


def live_some(seeds: Sequence[int], cloud: str, command: Command) -> Tally:
    """Live some lives, one after the other."""
    tally = Tally()
    with room() as folder:
        for seed in seeds:
            faulthandler.dump_traceback_later(LONGEST_LIFE_S, exit=True, file=STDERR)
            life = live(seed, cloud, folder, command)
            broken = judge(life)
            one = Tally(1, life.faults, worst_cases(life), {seed: life.digest}, {seed: broken} if broken else {})
            tally.add(one)
    faulthandler.cancel_dump_traceback_later()
    if gc.get_threshold()[0] == COLLECT_EVERY:
        gc.collect()
        gc.freeze()  # what is left are modules and caches, which no later look goes through
    return tally


def live_many(seeds: Sequence[int], cloud: str, command: Command, processes: int, shown: TextIO) -> Tally:
    """Live many lives, showing how far it is; Ctrl-C ends it with what there is.

    Args:
        seeds: A life each.
        cloud: The cloud's name.
        command: Runs a command line in a world; a function of a module, for other processes find it by its name.
        processes: How many live at a time.
        shown: Where the progress is shown.
    """
    tally, began_s = Tally(), time.monotonic()
    progress = _Progress(len(seeds), cloud, shown)
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=settle_in) as pool:
        doing: list[Future[Tally]] = [pool.submit(live_some, chunk, cloud, command) for chunk in chunks]
        try:
            for done in as_completed(doing):
                tally.add(done.result())
                progress.show(tally, time.monotonic() - began_s)
        except KeyboardInterrupt:
            _let_go(pool)
    progress.end(tally, time.monotonic() - began_s)
    return tally


def _let_go(pool: ProcessPoolExecutor) -> None:
    """Wait for the lives that go on, and begin no other; on a second Ctrl-C wait for none."""
    try:
        pool.shutdown(cancel_futures=True)
    except KeyboardInterrupt:
        for child in active_children():
            child.kill()


def tell(seed: int, broken: Broken, cloud: str, command: Command) -> list[str]:
    """Return a broken rule as it is shown: the shortest life that breaks it, and the end of its history."""
    with room() as folder:
        again = lambda script: live(seed, cloud, folder, command, script=script)  # noqa: E731
        life, found = shrink(live(seed, cloud, folder, command), broken, again)
    return told(life, found)


def told(life: Life, broken: Broken | None) -> list[str]:
    """Return a life for people: what was broken, its acts, its commands, its history."""
    rule = [] if broken is None else [f"BROKEN: {broken.rule}: {broken.why}"]
    acts = [f"  {act}" for act in life.script] or ["  nothing but the network's weather"]
    commands = [f"  {one.ended_s:10.2f} {' '.join(one.words[:1])} ended with {one.status}" for one in life.ended]
    history = life.history if broken is None else life.history[-LAST_LINES:]
    return [
        f"seed {life.seed} on {life.cloud}, history {life.digest}",
        *rule,
        "what happened to it:",
        *acts,
        "its commands:",
        *commands,
        "its history:" if broken is None else f"the last {len(history)} lines of its history:",
        *history,
    ]


def settle_in() -> None:
    """Make this process one that does nothing but live: deaf to Ctrl-C, which the one that shows the progress hears."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(COLLECT_EVERY)


class _Progress:
    """A line that grows in a terminal, a line now and then elsewhere."""

    def __init__(self, total: int, cloud: str, stream: TextIO) -> None:
        self._total, self._cloud, self._stream = total, cloud, stream
        self._is_terminal, self._shown_s = stream.isatty(), 0.0

    def show(self, tally: Tally, passed_s: float) -> None:
        if passed_s - self._shown_s < (EVERY_S if self._is_terminal else LINE_EVERY_S):
            return
        self._shown_s = passed_s
        self._write(f"{100 * tally.lives // self._total:3} % {tally.words(self._cloud, passed_s)}", is_last=False)

    def end(self, tally: Tally, passed_s: float) -> None:
        self._write(tally.words(self._cloud, passed_s), is_last=True)

    def _write(self, text: str, *, is_last: bool) -> None:
        start, end = ("\r", "\n" if is_last else "") if self._is_terminal else ("", "\n")
        self._stream.write(f"{start}{text}{end}")
        self._stream.flush()
