"""The ends that a machine brings along from its first boot, where it powers itself off to be terminated.

Two timers of systemd's, as its user data sets them: one for the hard end, and one for a machine that is never set up,
which the role of the lease stops.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from runner.emulation.cloud_state import CloudState

if TYPE_CHECKING:
    from runner.simulation.boxes import SimulatedBox

HARD_END = re.compile(r"--on-active=(\d+)")
BOOT_LEASE = re.compile(r"OnActiveSec=(\d+)")
PowerOff = Callable[["SimulatedBox", str], None]
"""Powers a box off, and says why."""
BY_ITSELF = "its own lease ({})"
"""Why a machine ended that its own lease has ended."""


def set_boot_ends(box: SimulatedBox, user_data: str | None, power_off: PowerOff) -> None:
    """Set the timers that a box's user data asks for, if any."""
    turns = box.turns
    for pattern, end in ((HARD_END, power_off), (BOOT_LEASE, partial(_unless_set_up, power_off))):
        found = pattern.search(user_data or "")
        if found is not None:
            at_s = turns.passed_s + box.fate.boot_s + float(found[1])
            turns.at(at_s, partial(end, box, "hard_end" if end is power_off else "never set up"))


def power_off(books: Iterable[CloudState], box: SimulatedBox, why: str) -> None:
    """Let a box power off, unless it is gone or its machine never ran; its cloud does what the machine's setting says.

    Args:
        books: What exists, by account.
        box: The box.
        why: What the program that ends it says.
    """
    for book in books:
        with book.turn() as now:
            for machine in list(book.machines.values()):
                if machine.box == box.name and not (machine.is_ended or box.is_dead or machine.active_at > now):
                    box.note(f"powers off ({why})")
                    book.act(machine, "shutdown")
                    if machine.is_ended:
                        machine.ended_by = BY_ITSELF.format(why)


def _unless_set_up(end: PowerOff, box: SimulatedBox, why: str) -> None:
    if box.lease is None:
        end(box, why)
