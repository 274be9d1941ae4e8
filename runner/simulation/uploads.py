"""How a simulated machine brings its work to the store: the product's outbox, and its ``sync``, over files of its own.

The outbox opens, links and sends real files, so the checkpoints of a simulated trainer are laid out in a folder of this
computer for it. Time, the store and the file of events are the life's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.adapters.ansible import PlaybookRun
from runner.errors import PlaybookFailedError
from runner.simulation.store import SimulatedStore
from runner.simulation.store_client import Asker, open_simulated
from runner.simulation.trainer import SAVE_S, SimulatedTrainer
from runner.simulation.turns import never
from trainer.checkpoints.places import Opener, Place
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import StoreError
from trainer.supervisor.outbox import CHECKPOINTS, LOOK_S, STORY_EVERY_S, Order, Surroundings, keep_sending

if TYPE_CHECKING:
    from runner.simulation.boxes import SimulatedBox
    from runner.world import World
    from trainer.events import EventName

ORDER, SYNC = "/lease/upload.json", "sync.yml"
MEMORY = "/dev/shm/.there"  # noqa: S108 - a file that says that the machine has a file system in memory
GLANCE_S = 5.0
"""A trainer that is stopped is noticed after so long, for its whole course is known otherwise; the real outbox looks
each second."""


class Uploads:
    """What a machine does with the store that its runner has named there."""

    def __init__(self, box: SimulatedBox, store: SimulatedStore, root: Path) -> None:
        """Begin with nothing.

        Args:
            box: The machine.
            store: The store.
            root: A folder of this computer for the machine's files.
        """
        self.box, self.store, self._root = box, store, root
        self._laid: dict[str, bytes] = {}
        box.files[MEMORY] = b"\n"

    def there(self, path: str) -> Path:
        """Return where a file of the machine lies on this computer."""
        return self._root / path.lstrip("/")

    def begin(self, order: str, output: str) -> None:
        """Start an outbox beside the trainer that has just begun."""
        trainer = self.box.trainer
        if trainer is not None:
            outbox = _Outbox(self, trainer, order, output)
            self.box.turns.start(f"outbox of {self.box.name}", self.box, outbox.live)

    def save(self) -> None:
        """Bring everything there as the lease does at its end, once the trainer has saved."""
        path = next((path for path in self.box.files if path.endswith(ORDER)), None)
        if path is None:
            return
        self.pause(SAVE_S)
        order: dict[str, Any] = json.loads(self.box.files[path])
        self.lay_out(order["folder"])
        keys = json.loads(self.box.files[order["environment_file"]])
        try:
            push(
                self.there(order["folder"]),
                order["url"],
                endpoint_url=order["endpoint_url"],
                keys=keys,
                opened=self.opener(self.pause),
            )
        except (StoreError, OSError) as err:
            self.box.note(f"its work is not in the store: {err}")

    def sync(self, variables: Mapping[str, Any], wait: Callable[[float], None]) -> int:
        """Bring the checkpoints there, or the newest from there; return how many files were moved.

        Raises:
            StoreError: If the store cannot be reached or refuses.
        """
        direction: Literal["push", "pull"] = variables["sync_direction"]
        folder = f"{variables['sync_prefix']}/output/{CHECKPOINTS}"
        keys = json.loads(Path(variables["sync_credentials_file"]).read_text(encoding="utf-8"))
        how: dict[str, Any] = {"endpoint_url": variables["sync_endpoint_url"] or None, "keys": keys}
        how["opened"] = self.opener(wait)
        self.lay_out(folder)
        if direction == "push":
            return push(self.there(folder), variables["sync_url"], **how).files
        done = pull(variables["sync_url"], self.there(folder), **how)
        for path in sorted(self.there(folder).rglob("*")):
            if path.is_file() and (name := f"/{path.relative_to(self._root).as_posix()}") not in self._laid:
                self._laid[name] = self.box.files[name] = path.read_bytes()
        return done.files

    def lay_out(self, folder: str) -> None:
        """Let this computer have what the machine has in a folder."""
        tree, start = self.box.tree(), f"{folder}/"
        there = {path: content for path, content in tree.items() if path.startswith(start)}
        for path in [path for path in self._laid if path.startswith(start) and path not in there]:
            del self._laid[path]
            self.there(path).unlink(missing_ok=True)
            if not any(self.there(path).parent.iterdir()):
                self.there(path).parent.rmdir()
        for path, content in there.items():
            self.lay(path, content)
        self.there(folder).mkdir(parents=True, exist_ok=True)

    def lay(self, path: str, content: bytes) -> None:
        """Let this computer have a file of the machine's."""
        if self._laid.get(path) is not content:
            self.there(path).parent.mkdir(parents=True, exist_ok=True)
            self.there(path).write_bytes(content)
            self._laid[path] = content

    def opener(self, wait: Callable[[float], None]) -> Opener:
        """Return what opens the store on the machine, for whoever waits so."""
        asker = Asker(f"box {self.box.name}", wait, lambda: self.box.is_cut_off, {}, lambda _: None)
        return partial(open_simulated, self.store, asker)

    def pause(self, seconds: float) -> None:
        """Let time pass on the machine."""
        self.box.turns.wait(never, seconds)


class _Outbox(Surroundings):
    """One outbox, which knows in advance when there will be something to send."""

    def __init__(self, uploads: Uploads, trainer: SimulatedTrainer, order: str, output: str) -> None:
        self._uploads, self._box, self._trainer, self._output = uploads, uploads.box, trainer, output
        values: dict[str, Any] = json.loads(self._box.files[order])
        self._keys: str = values["environment_file"]
        self._order = Order(values["url"], values["endpoint_url"], uploads.there(self._keys))
        self._story_s = self.now_s() + STORY_EVERY_S

    def live(self) -> None:
        """Send until training is over, and what is left then."""
        keep_sending(self._order, self._uploads.there(self._output), is_over=self._is_over, surroundings=self)

    def step_aside(self) -> None:
        """Do nothing: it takes nothing from anybody here."""

    def now_s(self) -> float:
        return self._box.now_s

    def pause(self, seconds: float) -> None:
        self._uploads.pause(seconds)
        self._lay_out()

    def open(self, order: Order, keys: dict[str, str] | None, at_once: int | None) -> Place:
        place: Place = self._uploads.opener(self._uploads.pause)(order.url, order.endpoint_url, keys, at_once=at_once)
        return place

    def tell(self, output: Path, event: EventName, **values: object) -> None:
        del output
        self._box.note(f"outbox: {event} {values.get('step', '')}".rstrip())
        self._trainer.tell(self.now_s(), event, **values)

    def _is_over(self, seconds: float) -> bool:
        """Wait as long as it was asked to or, where nothing has failed, until there is something to send."""
        if seconds > LOOK_S:
            self._uploads.pause(seconds)
        else:
            now_s = self.now_s()
            until_s = max(min(self._trainer.next_s(now_s), self._story_s), now_s + LOOK_S)
            while self.now_s() < until_s and not self._is_ended:
                self._uploads.pause(min(GLANCE_S, until_s - self.now_s()))
        if self.now_s() >= self._story_s:
            self._story_s = self.now_s() + STORY_EVERY_S
        self._lay_out()
        return self._is_ended

    @property
    def _is_ended(self) -> bool:
        return self._box.trainer is not self._trainer or self._trainer.exit_code(self.now_s()) is not None

    def _lay_out(self) -> None:
        uploads, events = self._uploads, f"{self._output}/events.jsonl"
        uploads.lay_out(f"{self._output}/{CHECKPOINTS}")
        uploads.lay(events, self._box.read(events))
        uploads.lay(self._keys, self._box.files.get(self._keys, b"{}"))


def play_sync(box: SimulatedBox, variables: Mapping[str, Any], world: World) -> PlaybookRun:
    """Be the playbook of `make sync`.

    Raises:
        PlaybookFailedError: If the store cannot be reached or refuses.
    """
    done = PlaybookRun()
    try:
        if box.uploads is not None:
            done.changed = box.uploads.sync(variables, world.sleep)
    except StoreError as err:
        raise PlaybookFailedError(f"configure: {SYNC}: {err.message}", resolution=err.resolution) from err
    return done
