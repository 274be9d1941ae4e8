"""The rule of stores: what it judges by, and that each part of it finds a fault that is planted in the product."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.errors import TransferError
from runner.lifecycle import drive, finish
from runner.run.models import Completed
from runner.simulation import stage, store_rules
from runner.simulation.life import Life
from runner.simulation.rules import judge
from runner.simulation.script import Act
from runner.simulation.store import CUTS, FOLDER, LOSES, ROLE, SPOILS, URL, Entry, is_complete
from runner.simulation.store_rules import shelf_of
from runner.simulation.telling import setting
from runner.simulation.trainer import Course, checkpoint_files
from runner.store import arming
from tests.unit.runner.simulation.lived import lived, statuses
from trainer.checkpoints import places
from trainer.checkpoints.complete import MANIFEST_NAME, Listed
from trainer.supervisor import outbox
from trainer.supervisor.outbox import Outbox

STORE = setting(f"store.url={URL}")
LOST = Act("fault", 0.0, 540.0, ("box_killed",))
"""The machine is lost once two checkpoints of it are in the store."""
AGAIN = Act("type", 30.0, words=("resume", "--yes"))
Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every training have 20 steps of 40 s, and a checkpoint after each fourth."""
    monkeypatch.setattr(stage, "Course", lambda *words: Course(20, 40.0, 4))


def early_manifest(patch: pytest.MonkeyPatch) -> None:
    """Let an outbox send the manifest of a checkpoint before its files."""
    whole = outbox.push_checkpoint

    def push_checkpoint(place: places.Place, folder: Path, checkpoint: str) -> Any:
        place.write((folder / checkpoint / MANIFEST_NAME).read_bytes(), f"{checkpoint}/{MANIFEST_NAME}")
        return whole(place, folder, checkpoint)

    patch.setattr(outbox, "push_checkpoint", push_checkpoint)


def forgetful_outbox(patch: pytest.MonkeyPatch) -> None:
    """Let an outbox remove what it has just sent."""
    patch.setattr(
        Outbox,
        "_forget",
        lambda self, place: outbox.forget_checkpoint(place, f"checkpoints/checkpoint-{self.sent[-1]}"),
    )


def lazy_outbox(patch: pytest.MonkeyPatch) -> None:
    """Let an outbox send the story alone."""
    patch.setattr(Outbox, "_waiting", lambda self: [])


def no_fetch(patch: pytest.MonkeyPatch) -> None:
    """Let a resumed run not look into its store."""
    patch.setattr(drive.storing, "fetch_past", lambda ctx: None)


def credulous_pull(patch: pytest.MonkeyPatch) -> None:
    """Let whatever comes from a store be what its manifest lists, where it is as long."""
    patch.setattr(
        Listed, "is_at", lambda self, path, sha256=None: path.is_file() and path.stat().st_size == self.size_bytes
    )


def unstored_adapter(patch: pytest.MonkeyPatch) -> None:
    """Let an adapter stay at home."""
    patch.setattr(finish.storing, "copy_home", lambda ctx, names: None)


def refused_adapter(patch: pytest.MonkeyPatch) -> None:
    """Let a store be given what it does not take, where nothing has gone wrong."""

    def refuse(ctx: Any, names: Any) -> None:
        raise TransferError("store: refused", resolution="try again")

    patch.setattr(finish.storing, "copy_home", refuse)


def printed_secret(patch: pytest.MonkeyPatch) -> None:
    """Let whoever arms a machine print what opens the store."""
    keys_there = arming._keys_there

    def shown(ctx: Any, machine: Any, fallback: str) -> Any:
        keys = keys_there(ctx, machine, fallback)
        ctx.view.line(json.dumps(keys.values))
        return keys

    patch.setattr(arming, "_keys_there", shown)


def written_secret(patch: pytest.MonkeyPatch) -> None:
    """Let it be noted in the run's folder."""
    keys_there = arming._keys_there

    def noted(ctx: Any, machine: Any, fallback: str) -> Any:
        keys = keys_there(ctx, machine, fallback)
        ctx.run.file("keys.json").write_bytes(json.dumps(keys.values).encode())
        return keys

    patch.setattr(arming, "_keys_there", noted)


def secret_argument(patch: pytest.MonkeyPatch) -> None:
    """Let it be an argument of a program."""

    def said(world: Any, machine: Any, run_id: str, fallback: str, values: Any, *, name: str) -> str:
        done: Completed = machine.run(["tee", *values.values()], timeout_s=1)
        return str(done.exit_code)

    patch.setattr(arming, "put_secrets", said)


STORE_IS, WORDS_ARE = "the store is whole", "words are kept"


@pytest.mark.parametrize(
    ("rule", "plant", "acts"),
    [
        (STORE_IS, early_manifest, ()),
        (STORE_IS, forgetful_outbox, ()),
        (STORE_IS, lazy_outbox, ()),
        (STORE_IS, no_fetch, (LOST, AGAIN)),
        (STORE_IS, no_fetch, (LOST, setting("compute.recoveries=2"))),
        (STORE_IS, credulous_pull, (LOST, Act(SPOILS, 570.0), AGAIN)),
        (STORE_IS, unstored_adapter, ()),
        (STORE_IS, refused_adapter, ()),
        (WORDS_ARE, printed_secret, ()),
        (WORDS_ARE, written_secret, (setting(f"store.role_arn={ROLE}"),)),
        (WORDS_ARE, secret_argument, ()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_fault_breaks_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, plant: Plant, acts: tuple[Act, ...]
) -> None:
    plant(monkeypatch)

    broken = judge(lived(tmp_path, STORE, *acts))

    assert rule in {one.rule for one in broken}


@pytest.mark.parametrize(
    "acts", [(), (LOST, AGAIN), *((LOST, Act(how, 570.0), AGAIN) for how in (SPOILS, CUTS, LOSES))]
)
def test_a_life_without_a_fault_keeps_it(tmp_path: Path, acts: tuple[Act, ...]) -> None:
    life = lived(tmp_path, STORE, *acts)

    assert judge(life) == []
    assert statuses(life)[-1][1] == 0


@pytest.mark.parametrize(("how", "step"), [(None, 8), (SPOILS, 4), (CUTS, 4), (LOSES, 4)])
def test_a_run_goes_on_from_the_newest_checkpoint_that_is_complete(tmp_path: Path, how: str | None, step: int) -> None:
    damage = () if how is None else (Act(how, 570.0),)
    life = lived(tmp_path, STORE, LOST, *damage, AGAIN)

    assert [step for training in life.trainings for _, step, _ in training.begun] == [0, step]


# what the book says


def entries(*written: tuple[str, bytes | None], who: str = "box") -> list[Entry]:
    return [
        Entry(float(at_s), who, f"{FOLDER}/one/checkpoints/{key}", content)
        for at_s, (key, content) in enumerate(written)
    ]


def of_step(step: int) -> list[tuple[str, bytes | None]]:
    return [(f"checkpoint-{step}/{name}", content) for name, content in checkpoint_files(step).items()]


def test_a_checkpoint_is_complete_once_its_manifest_is_there_and_what_it_lists() -> None:
    files = checkpoint_files(4)
    assert is_complete(files)
    for name in files:
        assert not is_complete({other: text for other, text in files.items() if other != name})
        assert not is_complete(files | {name: b"?"})


def test_the_newest_complete_step_is_known_for_every_moment() -> None:
    shelf = shelf_of(entries(*of_step(4), *of_step(8)))

    assert [shelf.newest("one", at_s) for at_s in (5.0, 6.0, 12.0, 13.0)] == [0, 4, 4, 8]
    assert (shelf.newest("another"), shelf.torn, shelf.lost) == (0, [], [])


def test_the_newest_one_is_not_to_be_removed_by_anybody_but_older_ones_are() -> None:
    both = [*of_step(4), *of_step(8)]

    assert shelf_of(entries(*both, (f"checkpoint-4/{MANIFEST_NAME}", None))).lost == []
    assert len(shelf_of(entries(*both, (f"checkpoint-8/{MANIFEST_NAME}", None))).lost) == 1
    assert (
        shelf_of(
            [*entries(*both), Entry(20.0, "", f"{FOLDER}/one/checkpoints/checkpoint-8/{MANIFEST_NAME}", None)]
        ).lost
        == []
    )


def test_a_life_without_a_store_has_nothing_to_keep() -> None:
    assert list(store_rules.store_is_whole(Life(1, "lambda", ()))) == []
