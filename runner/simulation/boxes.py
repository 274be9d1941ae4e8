"""The machines behind the emulated clouds: a disk, a trainer, a lease, and whether anybody can reach them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.emulation.machines import BoxKind
from runner.emulation.paper_yard import PaperAddress
from runner.simulation.boot_ends import PowerOff, set_boot_ends
from runner.simulation.box_lease import BoxLease
from runner.simulation.flaws import SLOW
from runner.simulation.store import is_complete
from runner.simulation.trainer import Course, SimulatedTrainer
from runner.simulation.turns import Turns
from runner.simulation.uploads import Uploads
from trainer.checkpoints.recipes import LENGTH_KEYS

HOME = "/home/user"
GREETING = b"SSH-2.0-simulated\r\n"
OPEN_S = 5.0
"""So long before its sshd answers the port of a box is open."""
SLOW_S = 150.0
"""Seconds of a step on a machine that is slow."""
Note = Callable[[str], None]


@dataclass
class Fate:
    """What becomes of a box, drawn before it boots: see ``Rates``."""

    boot_s: float
    course: Course
    trainer_dies_after_s: float | None = None
    flaws: frozenset[str] = frozenset()
    uploads: Callable[[SimulatedBox], Uploads] | None = None


class SimulatedBox:
    """One machine, which is the place of its own tasks."""

    def __init__(self, name: str, address: PaperAddress, turns: Turns, fate: Fate, note: Note) -> None:
        """Begin to boot."""
        self.name, self.address, self.turns, self.fate = name, address, turns, fate
        self.files: dict[str, bytes] = {}
        self.trainer: SimulatedTrainer | None = None
        self.lease: BoxLease | None = None
        self.begun: list[tuple[float, int, bool]] = []
        """When training began here, at which step, and whether the checkpoint of that step was complete."""
        self.is_dead, self.is_cut_off, self.died_s = False, False, math.inf
        self.place, self.is_awake, self.slept_s = self, True, 0.0
        self._up_s = self.now_s + fate.boot_s
        self._output = ""
        self._note = note
        self.uploads = None if fate.uploads is None else fate.uploads(self)

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
        self.begun.append((self.now_s, resumed, self.uploads is None or self._is_sound(output, resumed)))
        self.note(f"training begins at step {resumed}")

    def _is_sound(self, output: str, step: int) -> bool:
        """Return whether there is nothing to go on from, or it has all that its manifest lists."""
        start = f"{output}/checkpoints/checkpoint-{step}/"
        files = {path.removeprefix(start): text for path, text in self.files.items() if path.startswith(start)}
        return step == 0 or is_complete(files)

    def _course(self, recipe: str) -> Course:
        """Return how training goes here: as long as the recipe says, where it says that in steps."""
        course, content = self.fate.course, self.files.get(recipe)
        training = {} if content is None else json.loads(content)["training"]
        length = json.dumps({key: training.get(key.partition(".")[2]) for key in LENGTH_KEYS})
        step_s = SLOW_S if SLOW in self.fate.flaws else course.step_s
        return replace(course, steps=training.get("max_steps") or course.steps, step_s=step_s, length=length)

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
        self.commands: list[Sequence[str]] = []
        """The arguments of every program that somebody has started on the user's computer or from there."""
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
            self.boxes[box].is_dead, self.boxes[box].died_s = True, self.boxes[box].now_s

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
