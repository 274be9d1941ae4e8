"""The machines behind the emulated clouds: a disk, a trainer, a lease, and whether anybody can reach them."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

from runner.emulation.machines import BoxKind
from runner.emulation.paper_yard import PaperAddress
from runner.run.run_dir import PROJECT
from runner.simulation.boot_ends import PowerOff, set_boot_ends
from runner.simulation.flaws import LEASE_IS_DEAF, LEASE_IS_ODD, LEASE_STAYS_DEAD, SLOW
from runner.simulation.trainer import Course, SimulatedTrainer
from runner.simulation.turns import Turns, never

HOME = "/home/user"
GREETING = b"SSH-2.0-simulated\r\n"
LEASE_PROGRAM = PROJECT / "playbooks" / "roles" / "lease" / "files" / "douse_lease.py"
OPEN_S = 5.0
"""So long before its sshd answers the port of a box is open."""
SLOW_S = 150.0
"""Seconds of a step on a machine that is slow."""
Note = Callable[[str], None]


@cache
def lease_program() -> ModuleType:
    """Return the program that keeps a lease on a machine, which decides here as it does there."""
    spec = importlib.util.spec_from_file_location("douse_lease", LEASE_PROGRAM)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(LEASE_PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BoxLease:
    """The lease of a box; whoever stops renewing it loses the trainer, and the box where it can end itself.

    Attributes:
        began_s: When it began.
    """

    def __init__(self, box: SimulatedBox, settings: Mapping[str, Any], on_end: Callable[[str], None] | None) -> None:
        """Begin a lease; ``on_end`` ends the machine, where there is a way from inside."""
        program, now = lease_program(), box.now_s
        self._box, self._on_end, self.began_s = box, on_end, now
        self._lease = program.Lease(float(settings["ttl_s"]), now + float(settings["hard_end_s"]), now)
        self._idle = program.Idleness(float(settings["idle_s"]), now)
        self._why_over: str | None = None
        self._is_killed, self._was_killed = False, False

    @property
    def can_end(self) -> bool:
        """Whether there was always a way to end the machine from inside."""
        return self._on_end is not None and not self._was_killed

    def kill(self) -> None:
        """Kill its program: nobody there counts any more."""
        self._is_killed = self._was_killed = True
        self._box.note("the lease's program is killed")

    def answer(self, text: str) -> str:
        """Take a runner's word, and return what the program that takes it says; it starts the lease where that died."""
        flaws, was_running = self._box.fate.flaws, not self._is_killed
        if LEASE_IS_ODD in flaws:
            return "no word was heard"
        if self._is_killed and LEASE_STAYS_DEAD not in flaws:
            self._is_killed = False
        written = LEASE_IS_DEAF not in flaws
        if written and not self._is_killed:
            self.hear(text)
        said = {"written": written, "was_running": was_running, "runs": not self._is_killed, "over": self._why_over}
        return json.dumps(said)

    def hear(self, text: str) -> None:
        """Take a runner's word."""
        self._lease.look(text, self._box.now_s)
        self._idle.look(False, self._box.now_s)

    def live(self) -> None:
        """Look every few seconds, as the real one does, until it is over."""
        while self._why_over is None:
            due_s = self._box.now_s + 30.0 if self._is_killed else self._due_s()
            self._box.turns.wait(never, max(1.0, min(30.0, due_s - self._box.now_s)))
            if self._is_killed:
                continue
            now, is_held = self._box.now_s, (self._lease.beat or "").startswith("hold")
            if is_held:
                self._lease.look(self._lease.beat, now)
                self._idle.look(not self._box.is_training, now)
            why = self._lease.why_over(now) or (self._idle.why_over(now) if is_held else None)
            if why is not None:
                self._end(why)

    def _due_s(self) -> float:
        return float(min(self._lease.hard_end, self._lease.renewed + self._lease.ttl_s))

    def _end(self, why: str) -> None:
        self._why_over = why
        self._box.note(f"the lease is over ({why})")
        self._box.stop_trainer()
        if self._on_end is not None:
            self._on_end(why)


@dataclass
class Fate:
    """What becomes of a box, drawn before it boots: see ``Rates``."""

    boot_s: float
    course: Course
    trainer_dies_after_s: float | None = None
    flaws: frozenset[str] = frozenset()


class SimulatedBox:
    """One machine, which is the place of its own tasks."""

    def __init__(self, name: str, address: PaperAddress, turns: Turns, fate: Fate, note: Note) -> None:
        """Begin to boot."""
        self.name, self.address, self.turns, self.fate = name, address, turns, fate
        self.files: dict[str, bytes] = {}
        self.trainer: SimulatedTrainer | None = None
        self.lease: BoxLease | None = None
        self.is_dead, self.is_cut_off = False, False
        self.place, self.is_awake, self.slept_s = self, True, 0.0
        self._up_s = self.now_s + fate.boot_s
        self._output = ""
        self._note = note

    @property
    def now_s(self) -> float:
        """The time, in seconds of the world."""
        return self.turns.passed_s

    @property
    def answers(self) -> bool:
        """Whether one can log in."""
        return not self.is_dead and not self.is_cut_off and self.now_s >= self._up_s

    @property
    def is_almost_up(self) -> bool:
        """Whether its port is open and its sshd is not there yet."""
        return not self.is_dead and not self.is_cut_off and 0.0 < self._up_s - self.now_s <= OPEN_S

    @property
    def is_training(self) -> bool:
        """Whether a trainer runs."""
        return self.trainer is not None and self.trainer.exit_code(self.now_s) is None

    def note(self, text: str) -> None:
        """Write a line of the history."""
        self._note(f"box {self.name}: {text}")

    def begin_lease(self, settings: Mapping[str, Any], on_end: Callable[[str], None] | None) -> None:
        """Start the lease's daemon, unless it runs."""
        if self.lease is None:
            self.lease = BoxLease(self, settings, on_end)
            self.turns.start(f"lease of {self.name}", self, self.lease.live)

    def train(self, output: str, *, is_resumed: bool, limit_s: float | None, recipe: str = "") -> None:
        """Start the trainer, with the path of its recipe."""
        earlier = [int(name.rpartition("-")[2]) for name in self.names(f"{output}/checkpoints")] if is_resumed else []
        dies = self.fate.trainer_dies_after_s
        self._keep()
        self._output = output
        dies_s, resumed = None if dies is None else self.now_s + dies, max(earlier, default=0)
        course = self._course(recipe)
        self.trainer = SimulatedTrainer(course, self.now_s, resumed, limit_s, dies_s, self.fate.flaws)
        self.fate.trainer_dies_after_s = None
        self.note(f"training begins at step {resumed}")

    def _course(self, recipe: str) -> Course:
        """Return how training goes here: as long as the recipe says, where it says that in steps."""
        course, content = self.fate.course, self.files.get(recipe)
        steps = None if content is None else json.loads(content)["training"].get("max_steps")
        step_s = SLOW_S if SLOW in self.fate.flaws else course.step_s
        return replace(course, steps=steps or course.steps, step_s=step_s)

    def stop_trainer(self) -> None:
        """Let the trainer save and stop."""
        if self.trainer is not None:
            self.trainer.stop(self.now_s)

    def tree(self) -> dict[str, bytes]:
        """Return every file by its path."""
        return self.files if self.trainer is None else self.files | self.trainer.files(self.now_s, f"{self._output}/")

    def read(self, path: str) -> bytes:
        """Return a file's content, nothing where it is missing."""
        if self.trainer is None or not path.startswith(f"{self._output}/"):
            return self.files.get(path, b"")
        if path == f"{self._output}/events.jsonl":
            return self.files.get(path, b"") + self.trainer.events(self.now_s)
        if path == f"{self._output}/exit.json":
            code = None if self.trainer.is_lost else self.trainer.exit_code(self.now_s)
            return b"" if code is None else json.dumps({"exit_code": code}).encode()
        return self.tree().get(path, b"")

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        start = f"{folder.rstrip('/')}/"
        inside = [path[len(start) :] for path in self.tree() if path.startswith(start)]
        return sorted({path.partition("/")[0] for path in inside})

    def remove(self, path: str) -> None:
        """Remove a file or a folder; of a trainer that has ended the output goes with it."""
        if self.trainer is not None and self._output.startswith(path):
            self.trainer = None
        self._keep()
        start = f"{path}/"
        self.files = {name: text for name, text in self.files.items() if name != path and not name.startswith(start)}

    def _keep(self) -> None:
        """Take what an earlier try of the trainer has left for files of the disk."""
        if self.trainer is None:
            return
        events = f"{self._output}/events.jsonl"
        self.files = self.tree() | {events: self.read(events)}
        self.trainer = None


class SimulatedYard:
    """Where boxes come from."""

    def __init__(self, turns: Turns, chance: random.Random, fates: Callable[[], Fate], note: Note) -> None:
        """Begin without any."""
        self._turns, self._chance, self._fates, self._note = turns, chance, fates, note
        self.boxes: dict[str, SimulatedBox] = {}
        self.by_address: dict[tuple[str, int], SimulatedBox] = {}
        self.on_exit: dict[str, Callable[[], None]] = {}
        self.catch_up: Callable[[], None] = lambda: None
        """Lets the clouds do what is due, so that nobody finds a machine that is gone by then."""
        self.power_off: PowerOff = lambda _box, _why: None
        """Lets a box power itself off, and its cloud take note of it."""
        self._count = 0

    def boot(
        self,
        box: str,
        *,
        kind: BoxKind,
        user: str,
        public_keys: list[str],
        user_data: str | None = None,
        env: Mapping[str, str] | None = None,
        command: str = "",
        on_exit: Callable[[], None] | None = None,
    ) -> PaperAddress:
        """Begin to boot a box."""
        del user, public_keys, env, command
        self._count += 1
        address = PaperAddress(f"192.0.2.{self._count % 254 + 1}", 22 if kind == "vm" else 20000 + self._count)
        made = SimulatedBox(box, address, self._turns, self._fates(), self._note)
        self.boxes[box] = self.by_address[address.host, address.port] = made
        if on_exit is not None:
            self.on_exit[box] = on_exit
        made.note("boots")
        set_boot_ends(made, user_data, self.power_off)
        return address

    def is_alive(self, box: str) -> bool:
        """Return whether a box runs."""
        return box in self.boxes and not self.boxes[box].is_dead

    def kill(self, box: str) -> None:
        """Let a box vanish."""
        if self.is_alive(box):
            self.boxes[box].note("is gone")
            self.boxes[box].is_dead = True

    def remove(self, box: str) -> None:
        """End a box."""
        self.kill(box)

    def partition(self, box: str, on: bool) -> None:
        """Cut a box off, or let it back."""
        self.boxes[box].is_cut_off = on

    def tell(self, box: str, notice: bytes) -> None:
        """Do nothing: no trainer of a simulated life asks for a notice."""

    def at(self, host: str, port: int) -> SimulatedBox | None:
        """Return the box at an address, as it is now."""
        self.catch_up()
        return self.by_address.get((host, port))

    def connect(self, host: str, port: int) -> Greeting:
        """Return a connection to a box's sshd.

        Raises:
            ConnectionRefusedError: If none answers there.
        """
        box = self.at(host, port)
        if box is not None and box.is_almost_up:
            return Greeting(b"")
        if box is None or not box.answers:
            raise ConnectionRefusedError(f"nothing listens at {host}:{port}")
        return Greeting(GREETING)


class Greeting:
    """A connection on which sshd greets, or that is closed without a word, as by whoever passes its port on."""

    def __init__(self, words: bytes) -> None:
        """Take what is said."""
        self._words = words

    def sendall(self, data: bytes, /) -> None:
        """Send into nothing."""
        del data

    def recv(self, size: int, /) -> bytes:
        """Return the greeting."""
        return self._words[:size]

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Answer at once in any case."""
        del timeout_s

    def close(self) -> None:
        """Close it."""
