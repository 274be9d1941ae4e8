"""Refuse variables that no goal takes: ``python3 -m runner.cli.make_variables NAME=VALUE... -- GOAL...``.

make ignores a variable that nothing reads, so that ``make train CONIG=my.yml`` would rent a machine for another run.
What a target takes stands in brackets in its help line, and nowhere else. The Makefile runs this before anything is
installed, so it uses the standard library alone, and Python 3.8 parses it, as it does the bootstrap.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAKEFILE = Path(__file__).resolve().parent.parent.parent / "Makefile"
OF_EVERY_TARGET = "PYTHON"
OF_MAKE_ITSELF = re.compile(r"[.-]|MAKE|MFLAGS|GNUMAKEFLAGS")
TARGET = re.compile(r"([a-z-]+):(?!=)")
BRACKETS = re.compile(r"#.*\[([^\]]*)\]\s*$")
VARIABLE = re.compile(r"\b([A-Z]+)(=1\b)?(?![a-z])")
SWITCH_VALUES = ("1", "yes", "true", "", "0", "no", "false")
GOAL = "help"
"""What make does without a goal."""


def main(words: Sequence[str]) -> int:
    """Print ``ok``, or complain; return the exit status.

    Args:
        words: The variables that were given, as NAME=VALUE; then ``--`` and the goals.
    """
    at = list(words).index("--")
    problem = complaint(words[:at], words[at + 1 :], taken_by_target(MAKEFILE.read_text(encoding="utf-8")))
    if problem is None:
        print("ok")
        return 0
    print("error: {}\nhint:  {}".format(*problem), file=sys.stderr)
    return 2


def taken_by_target(makefile: str) -> dict[str, dict[str, bool]]:
    """Return the variables of each target by name, and whether each is a switch, as in ``YES=1``."""
    found: dict[str, dict[str, bool]] = {}
    for line in makefile.splitlines():
        target, brackets = TARGET.match(line), BRACKETS.search(line)
        if target is not None:
            variables = VARIABLE.findall(brackets.group(1)) if brackets is not None else []
            found[target.group(1)] = {name: bool(switch) for name, switch in variables}
    return found


def complaint(
    given: Iterable[str], goals: Sequence[str], targets: Mapping[str, Mapping[str, bool]]
) -> tuple[str, str] | None:
    """Return what is wrong with the first variable that is, and what to do; ``None`` where nothing is.

    Args:
        given: The variables, as NAME=VALUE.
        goals: The goals of the command line; a variable is good where one of them takes it.
        targets: What each target takes. A goal that is none of them is left to make, which knows none of it either.
    """
    known = [goal for goal in goals or [GOAL] if goal in targets]
    taken = {name: switch for goal in known for name, switch in targets[goal].items()}
    taken.setdefault(OF_EVERY_TARGET, False)
    command = "`make {}`".format(" ".join(known))
    for text in given:
        name, _, value = text.partition("=")
        if not known or OF_MAKE_ITSELF.match(name):
            continue
        if name not in taken:
            return _misspelt(name, command, [other for other in taken if other != OF_EVERY_TARGET])
        if taken[name] and value.strip() not in SWITCH_VALUES:
            return f"{name} is {value!r}, and it is a switch of {command}", f"write {name}=1, or leave it out"
        if not taken[name] and not value.strip():
            return f"{name} is given to {command} without a value", f"write {name}=<value>, or leave it out"
    return None


def _misspelt(name: str, command: str, taken: Sequence[str]) -> tuple[str, str]:
    near = difflib.get_close_matches(name.upper(), taken, 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{name}: no such variable of {command}{guess}", f"it takes {', '.join(taken) or 'none'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
