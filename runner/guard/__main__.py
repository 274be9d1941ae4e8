"""``python -m runner.guard RUN_ID``: the guard of a run, as a process of its own.

Its first word are the facts; it answers once it watches, or with the reason why it cannot. From then on it needs no
file of the checkout, of the virtual environment or of ``runs/``: all may be gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.guard.guard import Guard
    from runner.guard.words import Words
    from runner.world import World

START_S = 30.0
READING, ANSWERING, ERRORS = 0, 1, 2


def main() -> int:
    """Become a process of nobody's, watch over the run, and return the exit status."""
    from runner.adapters.process import leave_tree

    leave_tree()
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a closed terminal is what the guard is for
    from runner.errors import RunnerError
    from runner.guard.place import only_guard
    from runner.world import RealWorld

    world = RealWorld()
    try:
        guard = make_guard(world)
        with only_guard(sys.argv[1], world):
            os.chdir("/")  # nobody has to wait for this process to remove a folder or a disk
            _answer({"pid": world.process_id})
            _close_streams()
            guard.watch()
    except RunnerError as err:
        return _refuse(err.message)
    except OSError as err:
        return _refuse(str(err))
    return 0


def make_guard(world: World, words: Words | None = None) -> Guard:
    """Import all that a guard ever needs, and open the account; the facts are the first word.

    Args:
        world: Time, chance and surroundings.
        words: What its runner says; what comes on standard input where none are given.

    Raises:
        RunnerError: If there is no account, or nothing was said.
    """
    import runner.adapters.ssh  # noqa: F401 - by which the machine of a held run is asked, hours later
    from runner.clouds.registry import open_cloud
    from runner.errors import ToolError
    from runner.guard.box import trainer_state
    from runner.guard.guard import Guard
    from runner.guard.words import PipedWords, facts_in

    words = words or PipedWords(world, READING)
    first = words.next(START_S)
    if not first:
        raise ToolError("guard: nobody said which run to watch over", resolution="it is started by `make train`")
    facts = facts_in(first[0])
    return Guard(facts, open_cloud(facts.cloud, world), world, words, partial(trainer_state, world))


def _answer(said: dict[str, object]) -> None:
    os.write(ANSWERING, json.dumps(said).encode() + b"\n")


def _refuse(reason: str) -> int:
    try:
        _answer({"error": reason})
    except OSError:
        return 1  # nobody listens any more: it has watched, and its notes say the rest
    return 1


def _close_streams() -> None:
    """Hold no stream of whoever started this; what is written there goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (ANSWERING, ERRORS):
        os.dup2(nowhere, stream)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
