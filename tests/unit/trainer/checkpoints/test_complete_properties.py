"""Checkpoints cut off after any of their writes: the newest complete one is taken, a half one is named and skipped."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.examples import examples
from tests.tools.odd_values import changed, values
from tests.unit.trainer.checkpoints.small_checkpoints import FINGERPRINTS
from trainer.checkpoints.complete import MANIFEST_NAME, REQUIRED_FILES, complete, newest_complete, verify
from trainer.checkpoints.places import Folder
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import StoreError

Act = tuple[str, int, str]
"""What is done (``write``, ``complete``, ``delete``), of which step, to which file."""


@st.composite
def histories(draw: st.DrawFn) -> list[Act]:
    """Return the acts of some saves, each in the order that the trainer keeps: files, manifest, then older ones go."""
    acts: list[Act] = []
    for step in range(1, draw(st.integers(1, 3)) + 1):
        acts += [("write", step, name) for name in draw(st.permutations(REQUIRED_FILES))]
        acts += [("complete", step, MANIFEST_NAME)]
        if step > 1 and draw(st.booleans()):
            acts += [("delete", step - 1, name) for name in draw(st.permutations((*REQUIRED_FILES, MANIFEST_NAME)))]
    return acts


def carry_out(folder: Path, acts: list[Act]) -> None:
    for act, step, name in acts:
        path = folder / f"checkpoint-{step}"
        path.mkdir(exist_ok=True)
        if act == "write":
            (path / name).write_text(f"{name} of step {step}")
        elif act == "complete":
            complete(path, step, FINGERPRINTS)
        else:
            (path / name).unlink()


def whole_after(acts: list[Act]) -> set[int]:
    touched = {step for act, step, _ in acts if act == "delete"}
    return {step for act, step, _ in acts if act == "complete"} - touched


@examples(60)
@given(acts=histories(), data=st.data())
def test_after_any_part_of_the_writes_the_newest_complete_one_is_taken(acts: list[Act], data: st.DataObject) -> None:
    done = acts[: data.draw(st.integers(0, len(acts)))]
    with tempfile.TemporaryDirectory() as folder:
        carry_out(Path(folder), done)

        found, problems = newest_complete(Path(folder))

    whole, begun = whole_after(done), {step for _, step, _ in done}
    assert (None if found is None else found.step) == max(whole, default=None)
    passed_over = sorted((step for step in begun if step > max(whole, default=0)), reverse=True)
    assert [problem.split()[1] for problem in problems] == [f"checkpoint-{step}" for step in passed_over]
    # What has ever been complete is only given up for a newer one that is.
    ever = {step for act, step, _ in done if act == "complete"}
    assert not ever or found is not None


@examples(60)
@given(cut=st.integers(0, 400), byte=st.integers(0, 255), name=st.sampled_from((*REQUIRED_FILES, MANIFEST_NAME)))
def test_a_file_that_is_cut_or_changed_anywhere_costs_its_checkpoint_alone(cut: int, byte: int, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        steps = [
            act
            for step in (1, 2)
            for act in [*(("write", step, one) for one in REQUIRED_FILES), ("complete", step, "")]
        ]
        carry_out(Path(folder), steps)
        path = Path(folder) / "checkpoint-2" / name
        content = path.read_bytes()
        at = cut % len(content)
        changed_to = content[:at] + bytes([byte]) + content[at + 1 :] if byte % 2 else content[:at]
        path.write_bytes(changed_to)

        found, problems = newest_complete(Path(folder))

    assert found is not None
    if found.step == 2:  # what is read of the manifest has not changed
        assert name == MANIFEST_NAME or changed_to == content
    else:
        assert [problem.split()[1] for problem in problems] == ["checkpoint-2"]


@examples(200)
@given(data=st.data())
def test_whatever_a_manifest_holds_it_verifies_or_is_a_named_problem(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        carry_out(Path(folder), [*(("write", 1, name) for name in REQUIRED_FILES), ("complete", 1, "")])
        path = Path(folder) / "checkpoint-1" / MANIFEST_NAME
        manifest: dict[str, Any] = json.loads(path.read_text())
        odd = data.draw(changed(manifest) | values)
        path.write_text(json.dumps(odd))

        found, problems = newest_complete(Path(folder))
        sent = push(Path(folder), f"file://{folder}/store")

    assert (found is None) == (problems != [])
    assert found is None or found.step == int(odd["step"])
    assert all(problem.startswith("checkpoint: checkpoint-1 ") for problem in problems)
    assert sent.checkpoint == 1 or sent.remarks


class Failing(Folder):
    """A folder whose disk is full after so many files."""

    def __init__(self, root: Path, files_left: int) -> None:
        super().__init__(root)
        self.left = files_left

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreError("sync: the disk is full", resolution="make room")

    def put(self, path: Path, name: str, sha256: str) -> None:
        self._count()
        super().put(path, name, sha256)

    def write(self, content: bytes, name: str) -> None:
        self._count()
        super().write(content, name)


def at(place: Callable[[], Folder]) -> Any:
    """Return a stand-in for what opens a store."""
    return lambda *_: place()


@examples(40)
@given(acts=histories(), files=st.integers(0, 24), data=st.data())
def test_a_push_that_is_cut_anywhere_leaves_whole_checkpoints_and_goes_on(
    acts: list[Act], files: int, data: st.DataObject
) -> None:
    done = acts[: data.draw(st.integers(0, len(acts)))]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        here, there, back = (Path(folder) / name for name in ("here", "there", "back"))
        here.mkdir()
        carry_out(here, done)
        patch.setattr("trainer.checkpoints.push.open_place", at(lambda: Failing(there, files)))
        is_cut = False
        try:
            push(here, "file:///x")
        except StoreError:
            is_cut = True
        stored = {path.parent.name for path in there.rglob(MANIFEST_NAME)}
        for name in stored:
            assert verify(there / name).step == int(name.split("-")[1])

        for module in ("push", "pull"):
            patch.setattr(f"trainer.checkpoints.{module}.open_place", at(lambda: Folder(there)))
        push(here, "file:///x")
        whole = whole_after(done)
        if whole:
            assert pull("file:///x", back).checkpoint == max(whole)
            assert verify(back / f"checkpoint-{max(whole)}").step == max(whole)
        assert is_cut or stored == {f"checkpoint-{step}" for step in whole}
