"""The shell in which a verb of a rehearsal is given: its command, its folder, its variables."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from runner.rehearsal.changed_checkout import OFFLINE, as_make_gives_it, make_changed_checkout
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import DIRTY
from runner.rehearsal.home import ASTRAY, in_another_shell
from runner.run.run_dir import PROJECT

OFFLINE_SHELL = "lock_changed_offline"
OTHER_KEYS = ("no_key", "other_account")


def in_shell(
    program: str, words: Sequence[str], emulators: Emulators, wrong: Collection[str]
) -> tuple[list[str], Path, dict[str, str]]:
    """Return a command, the folder that it is given in, and its environment.

    Args:
        program: Module that is the command line.
        words: The verb and its options.
        emulators: The clouds.
        wrong: What is wrong with the shell: names of faults; what is none of a shell's does not count.
    """
    environ = emulators.environment()
    if set(wrong) & set(DIRTY):
        environ |= ASTRAY
    for action in OTHER_KEYS:
        if action in wrong:
            environ = in_another_shell(environ, action, emulators.other_account())
    if OFFLINE_SHELL in wrong:
        return as_make_gives_it(program, words), make_changed_checkout(emulators.folder), {**environ, **OFFLINE}
    return [sys.executable, "-m", program, *words], PROJECT, environ
