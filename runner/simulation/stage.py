"""What a simulated life is played on: a cloud, its machines, the network, the user's computer, and who notes it all."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.adapters.tools import Tools
from runner.cloud_api.library import library_key
from runner.cloud_api.pacing import PACE_FOLDER
from runner.cloud_api.wire import wire_of
from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import EmulatedMachine
from runner.emulation.service import Module
from runner.lifecycle.steps.plan import checker
from runner.rehearsal.services import emulated_clouds, known_faults
from runner.simulation.boot_ends import BY_ITSELF, power_off
from runner.simulation.boxes import Fate, SimulatedBox, SimulatedYard
from runner.simulation.computer import Computer
from runner.simulation.disk_below import DiskAbove
from runner.simulation.flaws import GUARD_FAILS
from runner.simulation.life import Told
from runner.simulation.network import CloudWire, Network
from runner.simulation.planner import check
from runner.simulation.process import KILLED, Process
from runner.simulation.programs import SimulatedApart, SimulatedTools, TerraformChild, guard_main
from runner.simulation.rates import Rates
from runner.simulation.servers import Servers
from runner.simulation.store import SimulatedStore
from runner.simulation.store_seams import equip, uploads_of
from runner.simulation.strands import quickest
from runner.simulation.terraform import NEIGHBOUR, SimulatedTerraform, create_all, inputs_of, neighbours_inputs
from runner.simulation.trainer import EPOCH, Course
from runner.simulation.turns import Turns

if TYPE_CHECKING:
    from runner.adapters.process import Apart
    from runner.emulation.calls import Handler

Command = Callable[[Sequence[str], Process], int]
"""Runs one command line in a process's world, and returns its exit status."""
BEGAN = datetime.fromtimestamp(EPOCH, UTC)
HOST = "{}.simulated"
SOON_S = 1.0
"""Seconds until somebody else's machine has booted: nobody is to spend a life on watching it boot."""
SAVE_EVERY = 4
KEPT = 3
"""Checkpoints that the trainer keeps by default; without a store nothing looks at the others."""


class Stage:
    """Everything of one life besides the user.

    Attributes:
        home: The user's home folder.
        history: What happened, a line each.
        processes: Every process of the user's computer that there was.
        children: Every Terraform that was started.
        has_turns: Whether the processes of the user's computer take turns at the cloud.
        has_neighbour: Whether somebody else is to rent a machine beside this life's first.
        flaws: What is wrong with this life's machines.
        store: The store of the user's runs, where they have one.
        steps: How many steps a run with a store has, once there was a machine.
        mishaps: Plays that have failed, and trainers that are to die.
        ended: What is called when a process has ended.
    """

    def __init__(
        self, cloud: str, seed: int, folder: Path, rates: Rates, settings: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Set everything up; nothing is rented, nothing runs.

        Args:
            cloud: The cloud's name.
            seed: Where all chance comes from.
            folder: A folder of this machine for what programs open by themselves; the user's home is in it.
            rates: How often what goes wrong.
            settings: Durations and quotas of each emulated cloud that the user has an account on.
        """
        self.cloud, self.folder, self.home, self.rates = cloud, folder, folder / "home", rates
        self._where = str(folder)
        self.history: list[str] = []
        self.processes: list[Process] = []
        self.children: list[TerraformChild] = []
        self.ended: Callable[[Process], None] = lambda _: None
        self.chance = random.Random(f"life {seed}")  # noqa: S311 - to be the same each time is what it is for
        self.turns = Turns(random.Random(f"turns {seed}"), quickest())  # noqa: S311
        self.yard = SimulatedYard(self.turns, self.chance, self._fate, self.note)
        names = random.Random(f"names {seed}")  # noqa: S311
        self.state = CloudState(
            self.yard,
            self.clock,
            faults=known_faults(),
            settings=settings,
            has_real_boxes=False,
            keeps_requests=False,
            token=lambda size: names.randbytes(size).hex(),
        )
        self.yard.catch_up = self.catch_up
        self.yard.power_off = lambda box, why: power_off(self.books, box, why)
        self.modules, served = dict[str, Module](), dict[str, "Handler"]()
        self.account, other_account = dict[str, str](), dict[str, str]()
        self._libraries: dict[Hashable, Callable[[Process], object]] = {}
        for name in settings:
            emulated = emulated_clouds()[name]
            paper = emulated.on_paper
            service = (emulated.build if paper is None else paper.build)(self.state)
            if paper is not None:
                self._libraries[library_key(name)] = paper.library
            if service.serve is None or emulated.module is None:
                raise AssertionError(f"{name} has no module that could be simulated")
            self.modules[name], served[HOST.format(name)] = emulated.module, service.serve
            endpoints = {key: f"https://{HOST.format(name)}{path}" for key, path in service.paths.items()}
            self.account |= emulated.environment(endpoints)
            other_account |= emulated.other_account
        self.network = Network(served, self.clock, self.chance, rates)
        self.network.count_machines = lambda: len(self.machines)
        self.calm = Network(served, self.clock, self.chance, replace(rates, requests=()))
        self.has_neighbour = False
        self._neighbour: Process | None = None
        self.store: SimulatedStore | None = None
        self.steps = 0
        self.flaws: frozenset[str] = frozenset()
        self.told: list[Told] = []
        self.mishaps = 0
        self.has_turns = self.chance.random() < rates.shared_turns
        self.other_account = self.account | other_account
        self.laptop = Computer(self.turns, names, began=BEGAN, make_disk=partial(DiskAbove, runs=self.home / "runs"))
        self.laptop.servers = Servers(self.yard)

    @property
    def is_cut(self) -> bool:
        """Whether the user's computer is off the network."""
        return self.turns.passed_s < self.network.cut_until_s

    @property
    def books(self) -> list[CloudState]:
        """What exists, by account."""
        return [self.state, *self.state.others]

    @property
    def machines(self) -> list[EmulatedMachine]:
        """Every machine that there was, in all accounts."""
        return [machine for book in self.books for machine in book.machines.values()]

    def billing(self) -> tuple[str, ...]:
        """Return the ids of our machines that bill now."""
        ours = (machine for machine in self.machines if machine.id not in self.neighbours)
        return tuple(machine.id for machine in ours if machine.meter.is_billing and not machine.is_ended)

    @property
    def neighbours(self) -> set[str]:
        """The ids of others' machines."""
        return {machine.id for machine in self.machines if NEIGHBOUR in machine.name}

    def catch_up(self) -> None:
        """Let the clouds do what is due; it is done as a turn begins."""
        self.state.catch_up()
        for book in self.state.others:
            book.catch_up()

    def clock(self) -> float:
        """Return the cloud's time of day, in seconds since the epoch."""
        return EPOCH + self.turns.passed_s

    def note(self, text: str) -> None:
        """Write a line of the history."""
        self.history.append(f"{self.turns.passed_s:10.2f} {text.replace(self._where, '')}")

    def environ(self, account: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a command of the user's."""
        cache = str(self.home / ".cache")
        return {
            "HOME": str(self.home),
            "USER": "user",
            "PATH": "/usr/bin",
            "XDG_CACHE_HOME": cache,
            **({PACE_FOLDER: str(self.home / ".cache" / "pace")} if self.has_turns else {}),
            **account,
        }

    def spawn(
        self,
        name: str,
        environ: Mapping[str, str],
        work: Callable[[Process], int],
        *,
        crash_at: int | None = None,
        network: Network | None = None,
    ) -> Process:
        """Start a process on the user's computer."""
        shared: dict[Hashable, object] = {checker: check}
        wires = network or self.network

        def live(process: Process) -> int:
            return work(process)

        process = self.laptop.spawn(environ, name, live, crash_at=crash_at, on_end=self._on_end, shared=shared)
        self.processes.append(process)
        process.shared(Tools, lambda: SimulatedTools(process, self))
        for key, library in self._libraries.items():
            process.shared(key, partial(library, process))
        if self.store is not None:
            equip(process, self.store, wires)
        process.shared(wire_of, lambda: lambda _, headers, **__: CloudWire(wires, process, self.note, headers))
        return process

    def start_terraform(self, words: list[str], folder: Path, environ: Mapping[str, str]) -> TerraformChild:
        """Start a command of Terraform's."""
        made: list[SimulatedTerraform] = []
        process = self.spawn("terraform", environ, lambda _: made[0].main())
        made.append(SimulatedTerraform(process, words, folder, self._module_in(folder)))
        if words[0] == "apply" and self.has_neighbour:
            self.has_neighbour = False
            self._move_in(folder, environ)
        child = TerraformChild(process, made[0])
        self.children.append(child)
        return child

    def _module_in(self, folder: Path) -> Module:
        """Return the root module whose files lie in a working copy; the run may have moved to another cloud."""
        if len(self.modules) == 1:
            return self.modules[self.cloud]
        text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf")))
        return next(module for module in self.modules.values() if f'"{module.machine}"' in text)

    def _move_in(self, folder: Path, environ: Mapping[str, str]) -> None:
        """Let somebody else rent a machine in the same account, for a run that is not over before this life is."""

        def work(process: Process) -> int:
            inputs = neighbours_inputs(inputs_of(folder, environ))
            create_all(process, self._module_in(folder), inputs)
            return 0

        self._neighbour = self.spawn("neighbour", environ, work, network=self.calm)

    def start_guard(self, owner: Process, run_id: str, environ: Mapping[str, str]) -> Apart:
        """Start the guard of a run, which goes on without its owner."""
        made: list[SimulatedApart] = []

        def work(process: Process) -> int:
            if GUARD_FAILS in self.flaws and self.chance.random() < 0.5:
                return 1
            process.on_signals({signal.SIGHUP: lambda: None, signal.SIGINT: lambda: None})
            return guard_main(process, run_id, lambda: made[0])

        guard = self.spawn("guard", environ, work)
        made.append(SimulatedApart(owner, guard))
        return made[0]

    def play_steps(self) -> int:
        """Return how many steps of some seconds a playbook takes."""
        return self.chance.randint(2, 8)

    def play_fails(self) -> bool:
        """Return whether a playbook fails."""
        fails = self.chance.random() < self.rates.play_fails
        self.mishaps += fails
        return fails

    def end_from_inside(self, box: SimulatedBox, method: str) -> Callable[[str], None] | None:
        """Return what a box does to terminate its own machine, ``None`` where it can do nothing.

        It asks the cloud, for as long as it takes, or powers itself off.
        """
        if method == "shutdown":
            return lambda why: power_off(self.books, box, why)
        if method != "api":
            return None

        def end(why: str) -> None:
            for book in self.books:
                with book.turn():
                    mine = [one for one in book.machines.values() if one.box == box.name and not one.is_ended]
                    for machine in mine:
                        book.end(machine, BY_ITSELF.format(why), after_s=5.0)

        return end

    def _fate(self) -> Fate:
        chance, rates = self.chance, self.rates
        soonest_s, latest_s = rates.boot_s
        boot_s = soonest_s + (latest_s - soonest_s) * chance.random() ** rates.boot_skew
        course = Course(chance.choice(rates.steps), chance.choice(rates.step_s), SAVE_EVERY)
        if self.store is not None:  # what is in it is of one run, which has as many steps on every machine
            self.steps = self.steps or course.steps
            course = replace(course, steps=self.steps, kept=KEPT)
        dies = chance.uniform(30.0, 300.0) if chance.random() < rates.trainer_dies else None
        self.mishaps += dies is not None
        is_ours = self.turns.current.owner is not self._neighbour
        uploads = None if self.store is None else uploads_of(self.store, self.folder / "boxes")
        return Fate(boot_s if is_ours else SOON_S, course, dies, self.flaws, uploads)

    def _on_end(self, process: Process) -> None:
        how = "killed" if process.exit_status == KILLED else f"exit {process.exit_status}"
        self.note(f"{process.name} {process.process_id} ends: {how}")
        self.ended(process)
