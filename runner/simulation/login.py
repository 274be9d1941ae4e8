"""The way onto a simulated machine: what the steps do there by SSH, in time that passes in the process that does it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.adapters.machine import Allowance
from runner.adapters.process import Cancel, ToolCancelledError
from runner.errors import ConnectionLostError
from runner.run.events import LOOK_BYTES
from runner.run.models import Completed, Host
from runner.simulation.boxes import HOME, SimulatedBox, SimulatedYard
from runner.simulation.disk import MemoryDisk
from runner.simulation.flaws import NO_START
from runner.simulation.trainer import SAVE_S
from runner.world import World

if TYPE_CHECKING:
    from runner.simulation.network import Network

WAY_S, CONNECT_S, GIVE_UP_S = 0.05, 0.8, 30.0
PYTHON = "/usr/bin/python3"


class SimulatedLogin:
    """A machine that one can log in to."""

    def __init__(self, world: World, host: Host, yard: SimulatedYard, network: Network) -> None:
        """Connect with the first use."""
        self._world, self._host, self._yard, self._network = world, host, yard, network
        self._is_open = False

    @property
    def name(self) -> str:
        """Return ``user@address:port``."""
        return f"{self._host.user}@{self._host.address}:{self._host.port}"

    @property
    def home(self) -> str:
        """Return the user's home folder there."""
        self._box()
        return HOME

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
    ) -> Completed:
        """Run a program there."""
        del timeout_s, env
        box, words = self._box(), list(argv)
        self._yard.commands.append(words)
        if "supervise" in words:
            if not box.read(words[0]):
                return Completed(tuple(words), 127, "", f"{words[0]}: no such file")
            return self._supervise(box, words[words.index("supervise") + 1 :], words, cancel)
        if words[0] == "sh" and words[1].endswith("/lease/say"):
            if box.lease is None:
                return Completed(tuple(words), 127, "", "no such file")
            return Completed(tuple(words), 0, box.lease.answer(words[2]))
        return Completed(tuple(words), 0, f"{PYTHON}\n" if "python3" in words[-1] else "")

    def put(self, source: Path, target: str, *, cancel: Cancel | None = None) -> None:
        """Bring a file or a folder there."""
        box = self._box()
        paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
        for path in paths or [source]:
            if cancel is not None and cancel():
                raise ToolCancelledError("ssh: stopped on request", resolution="continue with `make resume`")
            content = path.read_bytes() if path.is_file() else self._world.disk.read(path)
            box.files[target if path == source else f"{target}/{path.relative_to(source)}"] = content
        if target.endswith("/lease/beat") and box.lease is not None:
            box.lease.hear(box.files[target].decode().strip())

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        """Fetch a file or a folder; a connection that breaks on the way leaves nothing of it."""
        del allowance
        box = self._box()
        tree = box.tree()
        found = {path: text for path, text in tree.items() if path == source or path.startswith(f"{source}/")}
        for _ in found:
            self._box()
            if cancel is not None and cancel():
                raise ToolCancelledError("ssh: stopped on request", resolution="continue with `make resume`")
        for path, text in found.items():
            place = target if path == source else target / path[len(source) + 1 :]
            if isinstance(self._world.disk, MemoryDisk):  # what it fetches lies below that one
                self._world.disk.need_room(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)

    def read_from(self, path: str, offset: int) -> bytes:
        """Return a part of a file."""
        return self._box().read(path)[offset : offset + LOOK_BYTES]

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        return self._box().names(path)

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a folder."""
        box = self._box()
        return bool(box.read(path)) or bool(box.names(path))

    def remove_tree(self, path: str) -> None:
        """Remove a file or a folder."""
        self._box().remove(path)

    def free_bytes(self, path: str) -> int:
        """Return that there is room."""
        self._box()
        del path
        return 1 << 40

    def close(self) -> None:
        """Let the connection go."""
        self._is_open = False

    def _box(self) -> SimulatedBox:
        """Return the machine, once a way there took its time.

        Raises:
            ConnectionLostError: If it does not answer.
        """
        self._world.sleep(WAY_S if self._is_open else CONNECT_S)
        box = self._yard.at(self._host.address, self._host.port)
        is_cut = self._world.boottime_s() < self._network.cut_until_s
        if box is None or not box.answers or is_cut:
            self._is_open = False
            self._world.sleep(GIVE_UP_S)
            raise ConnectionLostError(
                f"ssh: {self.name} does not answer", resolution="check that the machine is up: `make status`"
            )
        self._is_open = True
        return box

    def _supervise(
        self, box: SimulatedBox, order: Sequence[str], words: Sequence[str], cancel: Cancel | None
    ) -> Completed:
        """Be the trainer's supervisor."""
        output = order[list(order).index("--output") + 1]
        if order[0] == "start" and NO_START in box.fate.flaws:
            return Completed(tuple(words), 1, "", "supervise: the trainer ended before its first event")
        if order[0] == "start" and not box.is_training:
            hours = order[list(order).index("--max-hours") + 1] if "--max-hours" in order else None
            limit_s = None if hours is None else float(hours) * 3600
            recipe = order[list(order).index("--config") + 1]
            box.train(output, is_resumed="--resume" in order, limit_s=limit_s, recipe=recipe)
            if "--store" in order and box.uploads is not None:
                box.uploads.begin(order[list(order).index("--store") + 1], output)
        if order[0] == "stop" and box.trainer is not None:
            if "--now" in order:
                box.trainer.kill(box.now_s)
            else:
                box.stop_trainer()
                self._wait_for(SAVE_S + 1, cancel)
        return Completed(tuple(words), 0, json.dumps(_status(box)))

    def _wait_for(self, seconds: float, cancel: Cancel | None) -> None:
        until_s = self._world.monotonic_s() + seconds
        while self._world.monotonic_s() < until_s:
            self._world.sleep(1.0)
            if cancel is not None and cancel():
                raise ToolCancelledError("ssh: stopped on request", resolution="continue with `make resume`")


def _status(box: SimulatedBox) -> Mapping[str, object]:
    if box.trainer is None:
        return {"state": "none", "exit_code": None, "step": None, "checkpoint": None}
    code, steps = box.trainer.exit_code(box.now_s), box.trainer.checkpoints(box.now_s)
    is_lost = code is not None and box.trainer.is_lost
    return {
        "state": "running" if code is None else "lost" if is_lost else "exited",
        "exit_code": None if is_lost else code,
        "step": box.trainer.step(box.now_s),
        "checkpoint": max(steps, default=None),
    }
