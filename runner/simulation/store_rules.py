"""What must hold of a life's store, judged by its book alone: what has reached it stays whole, and is gone on from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runner.emulation.machines import EmulatedMachine
from runner.errors import EXIT_DONE
from runner.simulation.life import Ended, Life, Training
from runner.simulation.promises import FINISHING, NAMES_ADAPTER
from runner.simulation.store import FOLDER, Entry, SimulatedStore, is_complete
from runner.simulation.store_acts import DAMAGES, ENDPOINTS, ROLES, STORE
from runner.simulation.trainer import EPOCH, adapter_files
from trainer.checkpoints.complete import MANIFEST_NAME
from trainer.checkpoints.names import is_checkpoint, step_of
from trainer.export.checksums import CHECKSUMS

SENDING_S = 60.0
"""A checkpoint is in the store so long after it was saved, besides what big files take."""
BIG_FILES = 4
"""So many go there until then: those of a checkpoint that is being sent, and of the next."""
FAULT_S = 150.0
"""For a request that failed the outbox waits so long at most until the next try is through."""
ROLE_SERVES_S = 2700.0
"""Keys of a role, brought when training began, serve for so long at least, whether or not somebody renews them."""
ROLE_RENEWED_S = 1200.0
"""A runner that has been there for so long has brought new ones."""
ASLEEP = frozenset({"lid", "cut", "stop", "full disk", "set clock"})
"""Acts by which a runner does nothing for a while, or loses its sense of time."""
GOES_ON_FROM_HERE, NOT_STORED = "; going on from checkpoint-", "not stored: "
"""Words of a command to which the store did not give what it has, or that it did not take from."""
LENGTH, WEIGHTS = "training.max_steps", "adapter_model.safetensors"
RENTED_S = 60.0
"""Whoever looked into the store before an adapter came there has asked for its machine by then."""
UNKNOWING = frozenset({"damage", "type with another key", "type without a key"})
"""Acts by which whoever comes back may not know what the run was to make, or may not look."""
UNREACHED = frozenset({"network_partition", "network_lost", "ssh_dropped"})
"""Faults by which a machine is off the network."""


@dataclass
class Shelf:
    """What a store has, gone through from the first line of its book on.

    Attributes:
        files: The objects, by key.
        steps: The steps of each run's complete checkpoints, by run.
        torn: Checkpoints that had a manifest before they were complete.
        lost: Checkpoints that somebody removed, or broke, without a newer one.
        _newest: When the newest complete step of a run changed, by run.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    steps: dict[str, set[int]] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _newest: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Take a line of the book."""
        if entry.content is None:
            self.files.pop(entry.key, None)
        else:
            self.files[entry.key] = entry.content
        run, _, inner = entry.key.removeprefix(f"{FOLDER}/").partition("/")
        parts = inner.split("/")
        if len(parts) == 3 and parts[0] == "checkpoints" and is_checkpoint(parts[1]):
            self._look(entry, run, parts[1])
        elif inner == f"adapter/{CHECKSUMS}" and entry.content is not None and not _has_sums(self.files, entry.key):
            self.torn.append(f"the adapter of {run} has checksums at {entry.at_s:.0f} s and is not whole")

    def newest(self, run: str, at_s: float = math.inf) -> int:
        """Return the newest complete step of a run at a moment; 0 for none."""
        return next((step for since_s, step in reversed(self._newest.get(run, [])) if since_s <= at_s), 0)

    def _look(self, entry: Entry, run: str, checkpoint: str) -> None:
        folder, steps = f"{FOLDER}/{run}/checkpoints/{checkpoint}", self.steps.setdefault(run, set())
        before, where = max(steps, default=0), f"{checkpoint} of {run} at {entry.at_s:.0f} s"
        is_there = is_complete({key.removeprefix(f"{folder}/"): text for key, text in self._inside(folder)})
        (steps.add if is_there else steps.discard)(step_of(checkpoint))
        if entry.who and entry.content is not None and entry.key.endswith(f"/{MANIFEST_NAME}") and not is_there:
            self.torn.append(f"{where} has a manifest and is not complete")
        now = max(steps, default=0)
        if entry.who and now < before:
            self.lost.append(f"{where} was the newest complete one, and {entry.who} broke it")
        if now != before:
            self._newest.setdefault(run, []).append((entry.at_s, now))

    def _inside(self, folder: str) -> Iterator[tuple[str, bytes]]:
        start = f"{folder}/"
        return ((key, text) for key, text in self.files.items() if key.startswith(start))


def shelf_of(book: Sequence[Entry], until_s: float = math.inf) -> Shelf:
    """Return what a store has had by a moment."""
    shelf = Shelf()
    for entry in book:
        if entry.at_s <= until_s:
            shelf.take(entry)
    return shelf


def store_is_whole(life: Life) -> Iterator[str]:
    """What has reached the store is whole and never lost, and later tries go on from the newest, which is there."""
    if life.store is None:
        return
    shelf = shelf_of(life.store.book)
    is_damaged = any(act.kind in DAMAGES for act in life.script)
    yield from shelf.lost
    yield from () if is_damaged else shelf.torn
    yield from () if is_damaged else _rented_for_nothing(life, life.store)
    for training in life.trainings:
        yield from _begun_too_early(life, training, shelf)
        if not is_damaged:
            yield from _unsent(life, life.store, training, shelf)
    for one in life.ended:
        if not is_damaged:
            yield from _unstored(life, life.store, one)
        if _is_alone(life) and one.words[0] in ("train", "resume") and one.status != EXIT_DONE:
            yield f"{one.words[0]} ended with {one.status} at {one.ended_s:.0f} s, and nothing had gone wrong"


def _rented_for_nothing(life: Life, store: SimulatedStore) -> Iterator[str]:
    """Yield the machines that were rented although all that the run was to make was in the store by then."""
    if store.faults or store.troubles or _has(life, LENGTH) or any(act.kind in UNKNOWING for act in life.script):
        return
    shelf = Shelf()
    for entry in store.book:
        shelf.take(entry)
        if not entry.key.endswith(f"/adapter/{CHECKSUMS}") or entry.content is None:
            continue
        for machine in life.ours if _has_sums(shelf.files, entry.key) else ():
            made_s = machine.created_at - EPOCH
            if made_s > entry.at_s + RENTED_S:
                rented = f"{machine.id} was rented at {made_s:.0f} s"
                yield f"{rented}, and the adapter was in the store at {entry.at_s:.0f} s"


def _begun_too_early(life: Life, training: Training, shelf: Shelf) -> Iterator[str]:
    """Yield a training that began before what the store had when its machine was made."""
    made_s, run = training.machine.created_at - EPOCH, _run_of(training.machine, shelf)
    there = shelf.newest(run, made_s)
    for at_s, step, is_whole in training.begun:
        if not is_whole:
            yield f"{training.machine.id} goes on from a checkpoint that is not complete, at {at_s:.0f} s"
        if step < there and not any(GOES_ON_FROM_HERE in one.printed for one in life.ended if one.ended_s >= made_s):
            yield f"{training.machine.id} began at step {step} at {at_s:.0f} s, and the store had step {there}"


def _unsent(life: Life, store: SimulatedStore, training: Training, shelf: Shelf) -> Iterator[str]:
    """Yield the checkpoints that were not in the store some time after they were saved."""
    if not training.is_sent or training.is_spoiled or life.faults_of_the_cloud & UNREACHED:
        return
    troubled_s = sum(until_s - from_s for from_s, until_s, _ in store.troubles)
    patience_s = SENDING_S + BIG_FILES * store.big_s + FAULT_S * store.faults + troubled_s
    run, serves_s = _run_of(training.machine, shelf), ROLE_SERVES_S if _has(life, ROLES) else math.inf
    begun_s = max((begun_s for begun_s, *_ in training.begun), default=0.0)
    for at_s, step in training.saved:
        due_s = at_s + patience_s
        is_open = at_s - begun_s < serves_s or _is_driven(life, at_s)
        if due_s < training.until_s and is_open and shelf.newest(run, due_s) < step:
            saved = f"{training.machine.id} saved step {step} at {at_s:.0f} s"
            yield f"{saved}, and it is not in the store at {due_s:.0f} s"


def _is_driven(life: Life, at_s: float) -> bool:
    """Return whether a runner was at work at a moment, which renews what opens the store; nothing kept it from that."""
    if any(act.kind in ASLEEP for act in life.script):
        return False
    return any(
        one.began_s < at_s - ROLE_RENEWED_S and at_s < one.ended_s for one in life.ended if one.words[0] in FINISHING
    )


def _unstored(life: Life, store: SimulatedStore, one: Ended) -> Iterator[str]:
    """Yield a command that says that all is done, and has not brought the adapter into the store."""
    if one.words[0] not in FINISHING or one.status != EXIT_DONE or NAMES_ADAPTER not in one.printed:
        return
    earlier = (other for other in life.ended if other.ended_s < one.ended_s)
    if "is done already" in one.printed or any(NOT_STORED in other.printed for other in earlier):
        return
    files, where = shelf_of(store.book, one.ended_s).files, f"{one.words[0]} ended with 0 at {one.ended_s:.0f} s"
    sums = [key for key in files if key.endswith(f"/adapter/{CHECKSUMS}")]
    if not sums or not all(_has_sums(files, key) for key in sums):
        yield f"{where}, and the store has no whole adapter"
    for key in () if _has(life, LENGTH) else sums:
        if files.get(f"{key.rpartition('/')[0]}/{WEIGHTS}") != adapter_files(life.steps)[WEIGHTS]:
            yield f"{where}, and the adapter is not that of {life.steps} steps"


def _has_sums(files: Mapping[str, bytes], key: str) -> bool:
    """Return whether files are what a list of checksums beside them says."""
    lines = (line.split("  ", 1) for line in files[key].decode().splitlines())
    folder = key.rpartition("/")[0]
    return all(hashlib.sha256(files.get(f"{folder}/{name}", b"")).hexdigest() == sha256 for sha256, name in lines)


def _run_of(machine: EmulatedMachine, shelf: Shelf) -> str:
    return next((run for run in shelf.steps if run in machine.name), "")


def _has(life: Life, setting: str) -> bool:
    return any(word.startswith(setting) for act in life.script for word in act.words)


def _is_alone(life: Life) -> bool:
    """Return whether nothing has happened to a life, but that its run file has a store."""
    own = (STORE, ENDPOINTS, ROLES)
    acts = [act for act in life.script if not (act.kind == "setting" and act.words[0].startswith(own))]
    is_calm = not life.faults and life.store is not None and not life.store.faults
    return is_calm and {act.kind for act in acts} <= {"type"}
