"""A trainer without a model: what stands on its machine at each moment is worked out from when it was started."""

from __future__ import annotations

import bisect
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from runner.simulation.flaws import FAILS, NO_LAST_WORD, ODD_EVENTS, STALLS, as_read
from trainer.checkpoints.complete import FORMAT, MANIFEST_NAME, REQUIRED_FILES
from trainer.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from trainer.export.checksums import CHECKSUMS

LOAD_S, EXPORT_S, SAVE_S = 20.0, 15.0, 5.0
KILLED = 137
KEPT_OUTPUTS = 256
EPOCH = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Course:
    """How training goes: ``steps`` in all, ``step_s`` seconds each, a checkpoint after every ``save_every``.

    Of these the last ``kept`` stay on its disk; ``None`` for all. ``length`` is what the recipe says of the steps, as
    JSON.
    """

    steps: int
    step_s: float
    save_every: int
    kept: int | None = None
    length: str = "null"


@dataclass
class SimulatedTrainer:
    """One try of the trainer.

    Attributes:
        course: How it goes.
        began_s: When it was started.
        resumed: The step that it goes on from.
        limit_s: Seconds after which it stops by itself, with a checkpoint.
        dies_s: When it is killed, by nobody in particular; ``None`` for never.
        flaws: What is wrong with its machine.
    """

    course: Course
    began_s: float
    resumed: int = 0
    limit_s: float | None = None
    dies_s: float | None = None
    flaws: frozenset[str] = frozenset()
    _lines: list[tuple[float, bytes]] = field(default_factory=list, init=False)
    _ends: tuple[float, int] = field(default=(0.0, 0), init=False)
    _saved: list[tuple[float, int]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Lay out its whole course."""
        first_s = self.began_s + LOAD_S
        self._say(self.began_s, "run_started", max_steps=self.course.steps, resumed_from_step=self.resumed)
        for step in range(self.resumed + 1, self.course.steps + 1):
            at_s = first_s + (step - self.resumed) * self.course.step_s
            self._say(at_s, "step", step=step, max_steps=self.course.steps, loss=1.0 / step)
            if step % self.course.save_every == 0 or step == self.course.steps:
                self._save(at_s, step)
                self._say(at_s, "evaluation", step=step, eval_loss=1.0 / step, model="training")
        ends_s = first_s + (self.course.steps - self.resumed) * self.course.step_s + EXPORT_S
        self._say(ends_s, "run_ended", status="accepted", exit_code=EXIT_DONE)
        self._ends = (ends_s, EXIT_DONE)
        if self.limit_s is not None and self.began_s + self.limit_s < ends_s:
            self.stop(self.began_s + self.limit_s)
        if self.dies_s is not None:
            self.kill(self.dies_s)
        self._suffer(first_s)

    def _suffer(self, first_s: float) -> None:
        """Let the machine's flaws show, after some steps."""
        at_s = first_s + 2.5 * self.course.step_s
        if ODD_EVENTS in self.flaws:
            self._lines.insert(1, (self.began_s, b"no event\n"))
        if NO_LAST_WORD in self.flaws:
            self.kill(at_s)
        if FAILS in self.flaws:
            self._fail(at_s, "train: the loss is not finite")
        if STALLS in self.flaws:
            self._fail(at_s, "train: training stood still for 600 s, for the second time", stalled_s=600.0)

    def _fail(self, at_s: float, message: str, *, stalled_s: float = 0.0) -> None:
        """End with an error, maybe after standing still for a while; one that has ended by then is left alone."""
        if at_s >= self._ends[0]:
            return
        self._forget(at_s)
        if stalled_s:
            stalled = {"silent_s": stalled_s, "limit_s": stalled_s, "again": False}
            self._say(at_s + stalled_s, "stalled", step=self.step(at_s), **stalled)
        self._ends = (at_s + stalled_s, EXIT_FAILED)
        self._say(at_s + stalled_s, "run_ended", status="failed", exit_code=EXIT_FAILED, message=message)

    def stop(self, now_s: float) -> None:
        """Let it save and stop; one that has ended, or is about to, is left alone."""
        if now_s + SAVE_S >= self._ends[0]:
            return
        step = self.step(now_s)
        self._forget(now_s)
        self._say(now_s, "interrupted", step=step)
        if step > self.resumed:
            self._save(now_s + SAVE_S, step)
        ended = {"status": "interrupted", "exit_code": EXIT_INTERRUPTED, "message": "asked to stop"}
        self._say(now_s + SAVE_S, "run_ended", **ended)
        self._ends = (now_s + SAVE_S, EXIT_INTERRUPTED)

    def kill(self, now_s: float) -> None:
        """End it where it is; one that has ended is left alone."""
        if now_s < self._ends[0]:
            self._forget(now_s)
            self._ends = (now_s, KILLED)

    @property
    def is_lost(self) -> bool:
        """Whether nobody is left to say how it ended."""
        return NO_LAST_WORD in self.flaws and self._ends[1] == KILLED

    @property
    def ends_s(self) -> float:
        """When it ends, or has ended."""
        return self._ends[0]

    def exit_code(self, now_s: float) -> int | None:
        """Return its exit status, once it has ended."""
        return self._ends[1] if now_s >= self._ends[0] else None

    def step(self, now_s: float) -> int:
        """Return how many steps are done."""
        passed_s = min(now_s, self._ends[0]) - self.began_s - LOAD_S
        return max(self.resumed, min(self.course.steps, self.resumed + int(max(0.0, passed_s) / self.course.step_s)))

    def checkpoints(self, now_s: float) -> list[int]:
        """Return the steps of the complete checkpoints."""
        steps = sorted({step for at_s, step in self._saved if at_s <= now_s})
        return steps if self.course.kept is None else steps[-self.course.kept :]

    def next_s(self, now_s: float) -> float:
        """Return when it saves the next time, or ends."""
        return min([at_s for at_s, _ in self._saved if at_s > now_s], default=self._ends[0])

    def saves(self) -> list[tuple[float, int]]:
        """Return when it has saved which step, or will as things are."""
        return list(self._saved)

    def tell(self, now_s: float, event: str, **values: object) -> None:
        """Note an event of somebody beside it, after all that is there."""
        line = (now_s, _line(now_s, event, **values))
        bisect.insort_right(self._lines, line, key=lambda one: one[0])

    def events(self, now_s: float) -> bytes:
        """Return its event file."""
        shown = bisect.bisect_right(self._lines, now_s, key=lambda line: line[0])
        return b"".join([line for _, line in self._lines[:shown]])

    def files(self, now_s: float, folder: str = "") -> dict[str, bytes]:
        """Return the files in its output folder, besides the events and the earlier checkpoints; not to be changed.

        Args:
            now_s: When they are looked at.
            folder: What their paths begin with.
        """
        code = None if self.is_lost else self.exit_code(now_s)
        return _output(tuple(self.checkpoints(now_s)), code, self.course, self.flaws, folder)

    def _say(self, at_s: float, event: str, **values: object) -> None:
        self._lines.append((at_s, _line(at_s, event, **values)))

    def _save(self, at_s: float, step: int) -> None:
        self._saved.append((at_s, step))
        self._say(at_s, "checkpoint_saved", step=step, path=f"checkpoint-{step}")

    def _forget(self, now_s: float) -> None:
        """Forget what would have come after a moment."""
        self._lines = [line for line in self._lines if line[0] <= now_s]
        self._saved = [saved for saved in self._saved if saved[0] <= now_s]


def _line(at_s: float, event: str, **values: object) -> bytes:
    """Return a line of an event file."""
    time = datetime.fromtimestamp(EPOCH + at_s, UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "event": event, **values}).encode() + b"\n"


@lru_cache(maxsize=KEPT_OUTPUTS)
def _output(
    saved: tuple[int, ...], code: int | None, course: Course, flaws: frozenset[str], folder: str
) -> dict[str, bytes]:
    """Return the files of an output folder: a machine is looked at again and again between two checkpoints.

    Args:
        saved: The steps that were saved.
        code: The exit status, ``None`` where there is none.
        course: How training goes.
        flaws: What is wrong with the machine.
        folder: What the paths begin with.
    """
    found = {
        f"checkpoints/checkpoint-{step}/{name}": content
        for step in saved
        for name, content in checkpoint_files(step).items()
    }
    if code is not None:
        found["exit.json"] = json.dumps({"exit_code": code}).encode()
    if code == EXIT_DONE:
        found |= {f"adapter/{name}": content for name, content in adapter_files(course.steps, course.length).items()}
        found["metrics.json"] = b"{}"
    return {f"{folder}{name}": content for name, content in as_read(found, flaws).items()}


_CHECKPOINTS: dict[int, dict[str, bytes]] = {}
_ADAPTERS: dict[tuple[int, str], dict[str, bytes]] = {}


def checkpoint_files(step: int) -> dict[str, bytes]:
    """Return the files of a checkpoint, its manifest the last."""
    if step not in _CHECKPOINTS:
        files = {name: f"{name} of step {step}".encode() for name in REQUIRED_FILES}
        files["trainer_state.json"] = json.dumps({"global_step": step}).encode()
        listed = [
            {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        ]
        manifest = {"format": FORMAT, "step": step, "files": listed, "fingerprints": {}, "recipe": None}
        _CHECKPOINTS[step] = {**files, MANIFEST_NAME: json.dumps(manifest).encode()}
    return _CHECKPOINTS[step]


def adapter_files(steps: int, length: str = "null") -> dict[str, bytes]:
    """Return the files of the adapter that all steps make, with their checksums.

    Args:
        steps: All steps of the training.
        length: What the recipe says of them, as JSON.
    """
    if (steps, length) not in _ADAPTERS:
        files = {
            "acceptance.json": b'{"accepted": true}',
            "adapter_model.safetensors": f"trained {steps} steps".encode(),
            "manifest.json": f'{{"length": {length}}}'.encode(),
        }
        sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
        _ADAPTERS[steps, length] = {**files, CHECKSUMS: sums.encode()}
    return _ADAPTERS[steps, length]
