"""The question before the first dollar: what the plan says, and whether to go on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import find_cloud
from runner.context import Context
from runner.errors import RunInterruptedError, UsageError
from runner.report.plan.bound import keeper_words, most_words, rights_words
from runner.run.planned import Plan

LOOK_EVERY_S = 0.2
YES = ("y", "yes")


@dataclass(frozen=True)
class Consent:
    """The person who gave the command. Nothing is asked about a machine of one's own.

    Attributes:
        yes: Whether the answer was given beforehand.
    """

    yes: bool

    def is_needed(self, ctx: Context) -> bool:
        """Return whether the run rents a machine and nobody has said yes."""
        return not self.yes and ctx.environment.bills

    def expect(self, ctx: Context) -> None:
        """Refuse to rent unasked, before anything is done.

        Raises:
            UsageError: If there would be a question, and there is no terminal to ask it at.
        """
        self._place(ctx)

    def ask(self, ctx: Context, plan: Plan) -> None:
        """Ask whether to rent what a plan names.

        Raises:
            UsageError: As ``expect``.
            RunInterruptedError: If the answer is no, or Ctrl-C, or the terminal was closed; nothing was rented.
        """
        terminal = self._place(ctx)
        if terminal is None:
            return
        print(f"{question(plan)} [y/N] ", end="", flush=True, file=terminal)
        if _line(ctx, sys.stdin).strip().lower() not in YES:
            raise RunInterruptedError(
                "plan: nothing was rented: the answer was not yes",
                resolution=f"start this run with `make resume RUN={ctx.run.run_id}`, or answer beforehand with YES=1",
            )

    def _place(self, ctx: Context) -> TextIO | None:
        """Return where to ask, or ``None`` where nothing has to be asked; raises as ``expect``."""
        if not self.is_needed(ctx):
            return None
        terminal = _terminal()
        if terminal is None:
            raise UsageError(
                f"plan: {ctx.environment.name} rents a machine for money, and there is no terminal to ask at",
                resolution=f"say yes beforehand with YES=1 (`--yes`), as in `make resume RUN={ctx.run.run_id} YES=1`",
            )
        return terminal


def may_close(run_id: str, trouble: str) -> bool:
    """Ask a person whether to close a run of which a machine may be left; only a typed yes at a terminal is one."""
    terminal = _terminal()
    if terminal is None:
        return False
    words = f"{trouble}\nSomething may go on billing. Close {run_id} all the same? [yes/N] "
    print(words, end="", flush=True, file=terminal)
    return sys.stdin.readline().strip().lower() == "yes"


def ask_to_rent(ctx: Context, *, yes: bool) -> None:
    """Ask whether to rent what the plan of a run names, unless nobody has to be asked; see ``Consent.ask``."""
    consent = Consent(yes)
    if consent.is_needed(ctx):
        consent.ask(ctx, ctx.plan)


def question(plan: Plan) -> str:
    """Return the question: the machine, its price, and the most that any machine of the plan may cost until its end.

    Where nothing at the cloud keeps that end, or the machine is given more than keys for the run's folder, a line
    before says so.
    """
    machines, first = plan.machines, plan.first
    community = [one.trust == "community" for one in machines]
    whose = " (community machine)" if community[0] else " (or a community machine)" if any(community) else ""
    most = most_words(plan)
    bound = f"at most {most}" if most else "as long as it is up"
    before = f"{_rights(plan)}{_caveat(plan)}"
    return f"{before}rent {first.instance_type}{whose} at ${first.price_usd_per_h:.2f}/h, for {bound}?"


def _rights(plan: Plan) -> str:
    """Return a line that says what opens the store to the machine besides keys for the run's folder; else nothing."""
    words = rights_words(plan)
    return f"{words}\n" if words else ""


def _caveat(plan: Plan) -> str:
    """Return a line that says what happens where nothing at the cloud terminates the machine; else nothing."""
    record, dearest = find_cloud(plan.environment), plan.dearest
    if not isinstance(record.hard_end, NotThere) or dearest is None:
        return ""
    return f"{keeper_words(plan.environment, dearest.max_price_usd_per_h)}\n"


def _terminal() -> TextIO | None:
    """Return the stream to ask on, standard error where the output goes elsewhere; ``None`` where nobody can answer."""
    if not _is_terminal(sys.stdin):
        return None
    return next((stream for stream in (sys.stdout, sys.stderr) if _is_terminal(stream)), None)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _line(ctx: Context, stream: TextIO) -> str:
    """Return the next line, hearing signals while nobody types; nothing where the input ends or was closed."""
    while not ctx.world.is_readable(stream, LOOK_EVERY_S):
        ctx.stop.check()
    try:
        return stream.readline()
    except OSError:
        return ""
