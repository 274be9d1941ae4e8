"""A run that is killed at any moment of its uploads: a complete, right checkpoint is chosen, if one was promised."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trainer.checkpoints.complete import MANIFEST_NAME, REQUIRED_FILES, complete, newest_complete, verify
from trainer.checkpoints.places import Folder
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import CheckpointError, StoreError

KEPT = 2


class KilledError(Exception):
    """The program was killed."""


class Mortal(Folder):
    """A folder whose user is killed before some write, in the middle of which it leaves half a file."""

    def __init__(self, root: Path, life: Life) -> None:
        super().__init__(root)
        self._there, self._life = root, life

    def put(self, path: Path, name: str, sha256: str) -> None:
        self._die_in(name, path.read_bytes())
        super().put(path, name, sha256)

    def write(self, content: bytes, name: str) -> None:
        self._die_in(name, content)
        super().write(content, name)

    def _die_in(self, name: str, content: bytes) -> None:
        self._life.writes += 1
        if self._life.ends_at is not None and self._life.writes > self._life.ends_at:
            target = self._there / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(f".{target.name}.part").write_bytes(content[: len(content) // 2])
            raise KilledError


@dataclass
class Life:
    """A program that pushes.

    Attributes:
        ends_at: Writes that it lives to see the end of; ``None``: all.
        writes: Writes that it has begun.
    """

    ends_at: int | None = None
    writes: int = 0


@dataclass
class Run:
    """A run that saves checkpoints, keeps the last few and the best, and brings them to a store.

    Attributes:
        root: Where its folder and its store are.
        step: The last one saved.
        best: Step with the best loss.
        promised: Newest step of a push that came to its end.
    """

    root: Path
    step: int = 0
    best: int = 0
    promised: int = 0
    saved: dict[int, dict[str, bytes]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / "output"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def save(self, *, is_best: bool) -> None:
        """Save the next step, and remove what is neither among the last nor the best."""
        self.step += 1
        self.best = self.step if is_best else self.best
        path = self.folder / "checkpoints" / f"checkpoint-{self.step}"
        path.mkdir(parents=True)
        for name in REQUIRED_FILES:
            (path / name).write_text(f"{name} of step {self.step} " * 3)
        best = f"/srv/checkpoint-{self.best}" if self.best else None
        state = {"global_step": self.step, "best_model_checkpoint": best}
        (path / "trainer_state.json").write_text(json.dumps(state))
        complete(path, self.step, {"recipe": "r"})
        (self.folder / "events.jsonl").write_text("{}\n" * self.step)
        self.saved[self.step] = files(path)
        kept = {*range(self.step - KEPT + 1, self.step + 1), self.best}
        for other in path.parent.iterdir():
            if int(other.name.removeprefix("checkpoint-")) not in kept:
                shutil.rmtree(other)

    def push(self, life: Life) -> bool:
        """Bring all to the store; return whether the program lived."""
        with pytest.MonkeyPatch.context() as patch, suppress(KilledError):
            patch.setattr("trainer.checkpoints.push.open_place", lambda *words: Mortal(self.store, life))
            push(self.folder, f"file://{self.store}")
            self.promised = self.step
        return self.promised == self.step

    def check(self) -> None:
        """Pull on a new machine: what comes is whole, right, and at least as new as was promised."""
        back = self.root / "back"
        shutil.rmtree(back, ignore_errors=True)
        whole = self.whole_there()
        assert max(whole, default=0) >= self.promised
        try:
            done = pull(f"file://{self.store}", back)
        except StoreError:
            assert not whole
            return
        found, problems = newest_complete(back / "checkpoints")
        assert problems == []
        assert (done.checkpoint or 0) == (found.step if found else 0) == max(whole, default=0)
        for path in sorted((back / "checkpoints").glob("checkpoint-*")):
            assert files(path) == self.saved[verify(path).step]
        if found is not None:
            best = json.loads((found.path / "trainer_state.json").read_text())["best_model_checkpoint"]
            step = int(best.rpartition("-")[2]) if best else found.step
            is_said = any(f"checkpoint-{step}, the best" in remark for remark in done.remarks)
            assert (back / "checkpoints" / f"checkpoint-{step}").is_dir() == (step in whole) != is_said

    def whole_there(self) -> set[int]:
        """Return the steps whose checkpoints lie in the store as they were saved."""
        there = {step: self.store / "checkpoints" / f"checkpoint-{step}" for step in self.saved}
        return {step for step, path in there.items() if path.is_dir() and files(path) == self.saved[step]}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


@pytest.fixture
def run_in(tmp_path: Path) -> Callable[[str], Run]:
    """What makes a run of its own."""
    return lambda name: Run(tmp_path / name)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: programs are killed here, not machines."""
    monkeypatch.setattr("os.fsync", lambda file: None)


def test_every_prefix_of_the_writes_leaves_a_store_to_go_on_from(
    run_in: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "at_once", 1)
    ends_at, is_alive = 0, False
    while not is_alive:
        run = run_in(str(ends_at))
        life, is_alive = Life(ends_at), True
        for number in range(3):
            run.save(is_best=number == 0)
            is_alive = is_alive and run.push(life)
            run.check()
        shutil.rmtree(run.root)
        ends_at += 1
    assert ends_at > 3 * (len(REQUIRED_FILES) + 1)


def test_runs_that_are_killed_again_and_again_lose_nothing_that_was_promised(run_in: Callable[[str], Run]) -> None:
    for seed in range(12):
        chance, run = random.Random(seed), run_in(str(seed))
        for _ in range(5):
            run.save(is_best=chance.random() < 0.4)
            run.push(Life(chance.choice([None, chance.randint(0, 25)])))
            run.check()
        shutil.rmtree(run.root)


def test_of_damaged_checkpoints_the_newest_whole_one_is_chosen_and_each_newer_one_is_named(
    run_in: Callable[[str], Run], tmp_path: Path
) -> None:
    for seed in range(20):
        chance, run = random.Random(seed), run_in(str(seed))
        for _ in range(4):
            run.save(is_best=True)
            run.push(Life())
        newest_whole = chance.randint(1, 3)
        for step in range(newest_whole + 1, 5):
            damage(run.store / "checkpoints" / f"checkpoint-{step}", chance)

        done = pull(f"file://{run.store}", tmp_path / f"back-{seed}")

        assert done.checkpoint == newest_whole
        named = [remark.split()[0] for remark in done.remarks]
        assert named == [f"checkpoints/checkpoint-{step}" for step in range(4, newest_whole, -1)]


def damage(folder: Path, chance: random.Random) -> None:
    """Damage one file, in one of the ways in which files are damaged."""
    path = folder / chance.choice([*REQUIRED_FILES, MANIFEST_NAME])
    content = bytearray(path.read_bytes())
    ways = ["gone", "short", "long", "empty", *(["changed"] if path.name != MANIFEST_NAME else [])]
    match chance.choice(ways):
        case "gone":
            path.unlink()
            return
        case "short":
            content = content[: chance.randint(1, len(content) - 1)]
        case "long":
            content += b"x"
        case "changed":
            content[chance.randrange(len(content))] ^= 1 << chance.randint(0, 7)
        case "empty":
            content = bytearray()
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        verify(folder)
