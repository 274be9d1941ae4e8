"""The tables of faults in ``docs/rehearsal.md``, made from the faults themselves: this module writes them again."""

from __future__ import annotations

from collections.abc import Iterable

from runner.emulation.fault_table import FAULTS, GENERAL_ARGUMENTS, INSIDE, Fault, sentence
from runner.errors import UsageError
from runner.rehearsal.at_step import AT_STEP
from runner.rehearsal.faults import (
    AT_LAUNCH,
    DETACHED,
    DIRTY,
    FILE_FAULTS,
    HOSTILE,
    LOST,
    ONE_VERB_FAULTS,
    OTHER_RUNS,
    RUNNER_ACTIONS,
    STEPS,
    VERB_FAULTS,
    VERBS,
)
from runner.rehearsal.hostile import ATTACKS
from runner.rehearsal.services import known_faults
from runner.run.run_dir import PROJECT

PAGE = PROJECT / "docs" / "rehearsal.md"
RENEW = "make docs"
BEGIN = f"<!-- made by `{RENEW}` from here -->"
END = f"<!-- made by `{RENEW}` up to here -->"

BOOT = "`boot` is the part of `provision` in which there is a machine that bills."
STORE = "`store` is the part of `train` in which a checkpoint is in the store."
FILE = "`<file>` is a file of the run's folder, `runs/<run id>/state.json` unless it is given."


def main() -> None:
    """Write the tables into the page again."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(page: str) -> str:
    """Return a page with the tables of now between its two marks.

    Raises:
        UsageError: If the page does not have both marks, once and in order.
    """
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended or BEGIN in after or END in before + after:
        raise UsageError(
            f"docs: {PAGE.name} does not have the two markers of its tables",
            resolution=f"put `{BEGIN}` and `{END}` back",
        )
    return f"{before}{BEGIN}\n\n{fault_tables()}\n\n{END}{after}"


def fault_tables() -> str:
    """Return the faults of clouds, of the runner and of the user's own machine, as tables and what holds for all."""
    steps = ", ".join(f"`{step}`" for step in STEPS)
    verbs = ", ".join(f"`{verb}`" for verb in VERBS)
    general = " and ".join(f"`{name}`" for name in GENERAL_ARGUMENTS if name != "cloud")  # a rehearsal has one
    clouds = _table(
        ("name", "what happens", *known_faults(), "arguments"),
        (_cloud_row(fault) for fault in FAULTS.values() if _is_asked_of_a_cloud(fault.name)),
    )
    runner = _table(
        ("name", "what happens to the runner, or to or by its machine"),
        (
            *((f"`{name}@<step>`", action.does) for name, action in RUNNER_ACTIONS.items()),
            *((f"`{name}:step=<n>`", f"{one.does}, once it has trained step `n`") for name, one in AT_STEP.items()),
            *((f"`{name}`{_mark(FAULTS[name])}", f"{FAULTS[name].does} (at {FAULTS[name].step})") for name in INSIDE),
            *((f"`{HOSTILE}:{name}`", f"{one.does} (at {one.step})") for name, one in ATTACKS.items()),
        ),
    )
    refusals = "\n".join(
        f"- `{fault.name}` on {cloud}: {said.impossible[fault.name]}"
        for fault in FAULTS.values()
        for cloud, said in known_faults().items()
        if fault.name in said.impossible
    )
    return "\n\n".join(
        (
            clouds,
            f"Every one also takes {general} (see above). Those with † act on a machine's network or programs.",
            f"What cannot happen, and why:\n\n{refusals}",
            runner,
            f"`<step>` is one of {steps}; `train` begins with the first step that has been trained. {BOOT} {STORE}",
            _home_table(),
            f"`<verb>` is one of {verbs}, and has to be among `AFTERWARDS=`. {FILE}",
        )
    )


def _home_table() -> str:
    return _table(
        ("name", "what is wrong on your own machine, or with another run of yours"),
        (
            *((f"`{name}@<verb>`", does) for name, does in VERB_FAULTS.items()),
            *((f"`{name}`", does) for name, (_, does) in ONE_VERB_FAULTS.items()),
            *((f"`{name}`", does) for name, does in (DIRTY | DETACHED | OTHER_RUNS | LOST).items()),
            *((f"`{name}:file=<file>`", does) for name, does in FILE_FAULTS.items()),
        ),
    )


def _is_asked_of_a_cloud(name: str) -> bool:
    """Return whether ``FAULTS=`` hands this name to the emulated cloud, and not to the runner's own driver."""
    return name in AT_LAUNCH or ("@" not in name and name not in INSIDE)


def _cloud_row(fault: Fault) -> tuple[str, ...]:
    clouds = known_faults()
    where = ("yes" if fault.name in said.possible else "–" for said in clouds.values())
    return (
        f"`{fault.name}`{_mark(fault)}",
        sentence(fault, clouds),
        *where,
        ", ".join(_argument(name, value) for name, value in fault.arguments.items()),
    )


def _mark(fault: Fault) -> str:
    return " †" if fault.needs_real_box else ""


def _argument(name: str, value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{name}={shown}`"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (heads, *rows)]
    return "\n".join((lines[0], "|" + "---|" * len(heads), *lines[1:]))


if __name__ == "__main__":
    main()
