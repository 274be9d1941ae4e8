"""The outbox: a process beside the trainer that brings each checkpoint into the store as soon as it is complete.

Training never waits for it. It looks at the folder of checkpoints with the lowest priority and sends the newest one;
those that became complete before it meanwhile are skipped, so that a slow store is behind by one upload at most. While
a CPU trains it sends in one thread. What it sends it holds by hard links, so that the trainer may remove old
checkpoints as always. The events and the logs of trainer and GPUs go along: the story of a machine that is lost is
whole up to its last checkpoint.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trainer.checkpoints.complete import list_finished, list_newest_first
from trainer.checkpoints.keys import keys_that_serve
from trainer.checkpoints.names import step_of
from trainer.checkpoints.places import Place, open_place
from trainer.checkpoints.push import forget_checkpoint, push_checkpoint, push_file
from trainer.errors import ConfigError, StoreError
from trainer.events import EventLog, EventName, read_events
from trainer.files import read_json
from trainer.supervisor.beside import step_aside
from trainer.supervisor.gpu_log import LOG

LOOK_S = 1.0
CHECKPOINTS = "checkpoints"
STORY = ("events.jsonl", "trainer.log", LOG)
STORY_EVERY_S = 60.0
RETRY_S = (5.0, 15.0, 30.0, 60.0)
"""Waits after one failure, two, ...; the last one comes again."""
LAST_WORDS_S = 300.0
"""How long what is left is tried for once training is over: the lease tries again before the machine ends."""
KEY_ID = "AWS_ACCESS_KEY_ID"
HELD = ".outbox"
"""The folder of what is being sent; its name keeps it out of what else goes to the store or home."""


@dataclass(frozen=True)
class Order:
    """Which store takes the run's work.

    Attributes:
        url: ``s3://bucket/prefix``, ``file:///path`` or ``rclone://remote/path`` of the run's own folder.
        endpoint_url: Address of a store that speaks S3; ``None`` is Amazon's.
        environment_file: JSON file of credentials as variables, renewed by the runner, or of what leads rclone to its
            configuration; ``None`` looks where boto3 and rclone do.
        ca_file: Certificates of those who vouch for the endpoint; ``None`` trusts whom the system trusts.
        own_rights: What gives this machine rights of its own, which serve when the credentials have ended; ``None``
            where it has none.
        rclone: rclone's program; ``None`` looks on PATH.
    """

    url: str
    endpoint_url: str | None = None
    environment_file: Path | None = None
    ca_file: Path | None = None
    own_rights: str | None = None
    rclone: str | None = None


def read_order(path: Path) -> Order:
    """Return the order that the runner has put onto the machine.

    Raises:
        ConfigError: If there is none, or it names no store.
    """
    found = read_json(path)
    if found is None or not isinstance(found.get("url"), str):
        raise ConfigError(f"outbox: {path} names no store", resolution="run `make launch` again")
    keys, ca_file = found.get("environment_file"), found.get("ca_file")
    endpoint_url = found.get("endpoint_url") or None
    files = (Path(keys) if keys else None, Path(ca_file) if ca_file else None)
    return Order(found["url"], endpoint_url, *files, found.get("own_rights") or None, found.get("rclone") or None)


class Surroundings:
    """What an outbox needs of its machine besides the files: a machine that is simulated has others."""

    def step_aside(self) -> None:
        """Let everything else on the machine go first."""
        step_aside()

    def now_s(self) -> float:
        """Return seconds that go on whatever the time of day is set to."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def open(self, order: Order, keys: dict[str, str] | None, at_once: int | None) -> Place:
        """Return the store of an order."""
        return open_place(order.url, order.endpoint_url, keys, order.ca_file, order.rclone, at_once=at_once)

    def tell(self, output: Path, event: EventName, **values: object) -> None:
        """Write an event beside the trainer's."""
        log = EventLog(output / "events.jsonl")
        try:
            log.write(event, **values)
        finally:
            log.close()


def keep_sending(
    order: Order, output: Path, *, is_over: Callable[[float], bool], surroundings: Surroundings | None = None
) -> None:
    """Send what becomes complete until ``is_over``, and then what is left, trying for ``LAST_WORDS_S`` at most.

    Args:
        order: The store.
        output: The run's output folder.
        is_over: Waits so many seconds at most; returns whether nothing more will be written.
        surroundings: The machine; ``None`` for this one.
    """
    there = surroundings or Surroundings()
    there.step_aside()
    outbox, failures = Outbox(order, output, there), 0
    while not is_over(_pause_s(failures)):
        failures = 0 if outbox.send() else failures + 1
    failures, end_s = 0, there.now_s() + LAST_WORDS_S
    while not outbox.send(is_last=True) and there.now_s() < end_s:
        failures += 1
        there.pause(_pause_s(failures))


class Outbox:
    """Knows what was sent so far, and sends the rest."""

    def __init__(self, order: Order, output: Path, surroundings: Surroundings | None = None) -> None:
        """Begin with nothing sent.

        Args:
            order: The store.
            output: The run's output folder.
            surroundings: The machine; ``None`` for this one.
        """
        self.sent: list[int] = []
        """Steps of the checkpoints that this process has sent and that are in the store, oldest first."""
        self._order, self._output, self._there = order, output, surroundings or Surroundings()
        self._place: Place | None = None
        self._opened_with: tuple[dict[str, str] | None, int | None] = (None, None)
        self._is_cpu: bool | None = None
        self._last_failure = ""
        self._is_by_own = False
        self._story_at_s = self._there.now_s()
        self._story_sizes: dict[str, int] = {}

    def send(self, *, is_last: bool = False) -> bool:
        """Send the newest checkpoint, if there is a new one, and the story, if it is due; return whether all went well.

        What the store refuses is told once, as an event, and tried again with the next call.
        """
        waiting = self._waiting()
        is_due = is_last or self._there.now_s() >= self._story_at_s + STORY_EVERY_S
        if not waiting and not is_due:
            return True
        try:
            place = self._open(is_last=is_last)
            if waiting:
                self._send_checkpoint(place, *waiting)
            self._send_story(place)
        except (StoreError, OSError) as err:
            self._place = None
            self._tell_failure(err)
            return False
        self._last_failure = ""
        return True

    def _send_checkpoint(self, place: Place, newest: Path, *older: Path) -> None:
        begun_s = self._there.now_s()
        held = self._hold(newest)
        try:
            done = push_checkpoint(place, held, f"{CHECKPOINTS}/{newest.name}")
        finally:
            shutil.rmtree(held, ignore_errors=True)
        if done.remarks:
            raise StoreError(f"outbox: {done.remarks[0]}", resolution="the next checkpoint is tried")
        for skipped in reversed(older):
            self._tell(
                "checkpoint_skipped", step=step_of(skipped.name), message=f"{newest.name} was complete before its turn"
            )
        took_s = round(self._there.now_s() - begun_s, 3)
        self.sent.append(step_of(newest.name))
        self._tell("checkpoint_stored", step=step_of(newest.name), size_bytes=done.size_bytes, duration_s=took_s)
        self._forget(place)

    def _waiting(self) -> list[Path]:
        """Return the complete checkpoints after the last one sent, newest first."""
        last = max(self.sent, default=-1)
        return [path for path in list_finished(self._output / CHECKPOINTS) if step_of(path.name) > last]

    def _hold(self, checkpoint: Path) -> Path:
        """Return a folder with the checkpoint's files under further names: it may be removed while it is sent."""
        held = self._output / HELD
        shutil.rmtree(held, ignore_errors=True)
        shutil.copytree(checkpoint, held / CHECKPOINTS / checkpoint.name, copy_function=_link)
        return held

    def _send_story(self, place: Place) -> None:
        for name in STORY:
            path = self._output / name
            size_bytes = path.stat().st_size if path.exists() else 0
            if size_bytes and self._story_sizes.get(name) != size_bytes:
                copy = self._output / HELD / name
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, copy)
                push_file(place, copy, name)
                self._story_sizes[name] = size_bytes
        self._story_at_s = self._there.now_s()

    def _forget(self, place: Place) -> None:
        """Remove from the store what this process has sent and the trainer has removed here since.

        The trainer keeps the newest and the best ones; what it has removed is older than the one that was just sent.
        """
        here = {step_of(path.name) for path in list_newest_first(self._output / CHECKPOINTS)}
        if self.sent[-1] not in here:  # the folder itself is gone, or its last checkpoint: that was not the trainer
            return
        for step in [step for step in self.sent[:-1] if step not in here]:
            forget_checkpoint(place, f"{CHECKPOINTS}/checkpoint-{step}")
            self.sent.remove(step)

    def _open(self, *, is_last: bool) -> Place:
        """Return the store, opened anew when its credentials have changed, the last try failed or training is over."""
        order = self._order
        keys = None if order.environment_file is None else read_json(order.environment_file)
        if order.own_rights is not None:
            keys = self._or_own(keys or {}, order.own_rights)
        at_once = None if is_last or not self._trains_on_cpu() else 1
        if self._place is None or (keys, at_once) != self._opened_with:
            self._place = self._there.open(order, keys, at_once)
            self._opened_with = keys, at_once
        return self._place

    def _trains_on_cpu(self) -> bool:
        """Return whether training needs the CPU; as long as nothing says so, it does.

        Its threads meet after each product: one that shares its core with an upload, if only for what the lowest
        priority is given, holds up all of them.
        """
        if self._is_cpu is None:
            started = [one for one in read_events(self._output / "events.jsonl") if one["event"] == "run_started"]
            self._is_cpu = started[-1].get("device") == "cpu" if started else None
        return self._is_cpu is not False

    def _or_own(self, brought: dict[str, str], name: str) -> dict[str, str]:
        """Return what was brought as long as it lasts; from then on, told once, the machine's own rights serve."""
        keys = keys_that_serve(brought, datetime.now(UTC))
        is_own = KEY_ID not in keys
        if is_own and not self._is_by_own:
            words = f"its keys have ended or are gone: {name} of this machine opens it"
            self._tell("store_by_own_rights", message=words)
        self._is_by_own = is_own
        return keys

    def _tell_failure(self, err: StoreError | OSError) -> None:
        message = err.message if isinstance(err, StoreError) else str(err)
        if message != self._last_failure:
            self._last_failure = message
            resolution = err.resolution if isinstance(err, StoreError) else "make room on the machine's disk"
            self._tell("store_failed", message=message, resolution=resolution)

    def _tell(self, event: EventName, **values: object) -> None:
        self._there.tell(self._output, event, **values)


def _pause_s(failures: int) -> float:
    return LOOK_S if failures == 0 else RETRY_S[min(failures, len(RETRY_S)) - 1]


def _link(source: str, target: str) -> str:
    """Give a file another name; where the disk cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
