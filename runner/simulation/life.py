"""What a simulated life leaves to be judged: what was noted, what the commands said, and the cloud's own book."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from runner.emulation.machines import EmulatedMachine
from runner.simulation.script import Script
from runner.simulation.store import SimulatedStore
from runner.simulation.trainer import EPOCH

LIFE_S = 48 * 3600.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A command of the user's that has ended.

    Attributes:
        words: The command.
        began_s: When it began.
        ended_s: When it ended.
        status: Its exit status; negative for a signal.
        printed: What it printed.
        traceback: What it died of, if that was a defect.
        billing: Ids of the run's machines that billed when it ended.
        key_is_right: Whether it had the key of the account in which the run's machines billed when it ended.
    """

    words: tuple[str, ...]
    began_s: float
    ended_s: float
    status: int
    printed: str
    traceback: str
    billing: tuple[str, ...]
    key_is_right: bool


@dataclass(frozen=True)
class Span:
    """How long a process of the user's computer lived.

    Attributes:
        name: What it is called.
        began_s: When it began.
        ended_s: When it ended; ``None`` where it lives on.
        was_killed: Whether it was killed.
    """

    name: str
    began_s: float
    ended_s: float | None
    was_killed: bool


@dataclass(frozen=True)
class Training:
    """What was trained on a machine.

    Attributes:
        machine: The machine.
        begun: When training began there, at which step, and whether what it went on from was complete; more than once
            where it was started again.
        until_s: When it was gone, for its cloud or by itself.
        saved: When the last trainer saved which step.
        is_sent: Whether the machine knew of the store.
        is_spoiled: Whether its disk spoils what it saves.
    """

    machine: EmulatedMachine
    begun: tuple[tuple[float, int, bool], ...]
    until_s: float
    saved: tuple[tuple[float, int], ...]
    is_sent: bool
    is_spoiled: bool


@dataclass(frozen=True)
class Told:
    """A notice that was sent.

    Attributes:
        at_s: When.
        by: The id of the process that has sent it, a command or a guard.
        event: What it is about, as in ``notices.events``.
        words: Its title and its body.
        billing: The ids of our machines that billed at that moment.
    """

    at_s: float
    by: int
    event: str
    words: str
    billing: tuple[str, ...]


@dataclass
class Life:
    """What a life left to be judged.

    Attributes:
        seed: Its seed.
        cloud: The cloud's name.
        script: What happened to it.
        history: What was noted, a line each.
        ended: The commands, in the order of their ends.
        receipts: Each receipt with the machines' rows at that time, as found at the end of each command.
        beside_receipts: What else there was of a run when there was a receipt of it, a line each.
        machines: The cloud's own book at the end.
        rows: The same as the emulators show it.
        leftovers: What else is there at the end.
        foreign: The ids of the machines of others.
        guard_gaps: Spans in which no guard could work: it was killed, or its computer slept or was off the network.
        set_up: The ids of the machines that had a lease of their own.
        leased: The ids of those of them that can end themselves by it.
        promised_s: Since when a machine has a lease of its own, or was promised one: it trains. By the machine's id.
        trained_until: When the last trainer of a machine ended or would have, in seconds, by the machine's id.
        saved: The last step that a machine's last trainer had saved, by the machine's id.
        cut_short: The step at which a machine's trainer was when its machine ended under it, by the machine's id.
        interrupted: The ids of the machines whose last trainer was asked to stop, and did.
        torn: What is wrong with the adapters that came home.
        spans: How long each process of the user's computer lived.
        alive: Processes that live on at the end.
        files: The files of the run's folder at the end.
        troubles: Why it was no life: nobody could go on, or a thread died.
        faults: How many faults happened.
        store: The store of its run, with its book; ``None`` where it had none.
        steps: How many steps that run has, where its machines were not told another number.
        trainings: What was trained on each of our machines, where there is a store.
        told: The notices, in their order.
        exposed: Where a secret of the store's lies at home, or was said to a program.
    """

    seed: int
    cloud: str
    script: Script
    history: list[str] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    receipts: list[tuple[dict[str, Any], list[Row]]] = field(default_factory=list)
    beside_receipts: list[str] = field(default_factory=list)
    set_up: set[str] = field(default_factory=set)
    leased: set[str] = field(default_factory=set)
    promised_s: dict[str, float] = field(default_factory=dict)
    trained_until: dict[str, float] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
    cut_short: dict[str, int] = field(default_factory=dict)
    interrupted: set[str] = field(default_factory=set)
    torn: list[str] = field(default_factory=list)
    machines: list[EmulatedMachine] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    leftovers: list[tuple[str, str, str]] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    guard_gaps: list[tuple[float, float]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    faults: int = 0
    store: SimulatedStore | None = None
    steps: int = 0
    trainings: list[Training] = field(default_factory=list)
    exposed: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    @property
    def ours(self) -> list[EmulatedMachine]:
        """The machines of its own run."""
        return [machine for machine in self.machines if machine.id not in self.foreign]

    @property
    def faults_of_the_cloud(self) -> set[str]:
        """The names of the faults that its cloud brings about."""
        return {act.words[0] for act in self.script if act.kind == "fault"}

    @property
    def digest(self) -> str:
        """The SHA-256 of its history."""
        return hashlib.sha256("\n".join(self.history).encode()).hexdigest()


def end_s(machine: EmulatedMachine) -> float:
    """Return when a machine ended, in seconds from the beginning; of one that bills on, when its life ends."""
    return LIFE_S if machine.ended_at is None else machine.ended_at - EPOCH
