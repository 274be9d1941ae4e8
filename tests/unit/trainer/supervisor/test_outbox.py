"""The outbox: what is in the store after which look, whatever the trainer and the store do meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.checkpoints.complete import MANIFEST_NAME, REQUIRED_FILES, complete, newest_complete
from trainer.checkpoints.places import Folder, Place
from trainer.checkpoints.pull import pull
from trainer.errors import ConfigError, StoreError
from trainer.events import EventLog, EventName, read_events
from trainer.supervisor import outbox as module
from trainer.supervisor.outbox import Order, Outbox, Surroundings, keep_sending, read_order
from trainer.supervisor.status import read_status

FINGERPRINTS = {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"}


class CutOffError(Exception):
    """The process ends here."""


class Watched(Folder):
    """A folder as a store, which keeps the order of its changes and may do something before each."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.changes: list[str] = []
        self.before: Callable[[int], None] = lambda count: None

    def put(self, path: Path, name: str, sha256: str) -> None:
        self._change(name)
        super().put(path, name, sha256)

    def write(self, content: bytes, name: str) -> None:
        self._change(name)
        super().write(content, name)

    def remove(self, name: str) -> None:
        self._change(f"-{name}")
        super().remove(name)

    def _change(self, what: str) -> None:
        self.before(len(self.changes))
        self.changes.append(what)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The store that every outbox here opens."""
    found = Watched(tmp_path / "store")
    monkeypatch.setattr(module, "open_place", lambda *_, **__: found)
    return found


def an_outbox(tmp_path: Path, **order: Any) -> Outbox:
    (tmp_path / "output").mkdir(exist_ok=True)
    return Outbox(Order("file:///store", **order), tmp_path / "output")


def save(tmp_path: Path, step: int, *, is_complete: bool = True) -> Path:
    path = tmp_path / "output" / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}")
    if is_complete:
        complete(path, step, FINGERPRINTS)
    return path


def note(output: Path, event: EventName, **values: Any) -> None:
    """Let the trainer write an event."""
    log = EventLog(output / "events.jsonl")
    log.write(event, **values)
    log.close()


def stored_steps(tmp_path: Path) -> list[int]:
    """Return the steps of the checkpoints in the store that have a manifest."""
    found = (tmp_path / "store" / "checkpoints").glob(f"checkpoint-*/{MANIFEST_NAME}")
    return sorted(int(path.parent.name.removeprefix("checkpoint-")) for path in found)


def told(tmp_path: Path, *names: str) -> list[tuple[str, int | None]]:
    events = read_events(tmp_path / "output" / "events.jsonl")
    return [(event["event"], event.get("step")) for event in events if not names or event["event"] in names]


def test_a_checkpoint_goes_once_with_its_manifest_last(tmp_path: Path, store: Watched) -> None:
    outbox = an_outbox(tmp_path)
    save(tmp_path, 2)

    assert outbox.send()
    moved = [name for name in store.changes if "checkpoint-2" in name]
    assert outbox.send()

    assert len(moved) == len(REQUIRED_FILES) + 1
    assert moved[-1] == f"checkpoints/checkpoint-2/{MANIFEST_NAME}"
    assert [name for name in store.changes if "checkpoint-2" in name] == moved
    assert told(tmp_path) == [("checkpoint_stored", 2)]
    assert pull(f"file://{tmp_path}/store", tmp_path / "back").checkpoint == 2


def test_one_without_a_manifest_waits_until_it_is_whole(tmp_path: Path, store: Watched) -> None:
    outbox, path = an_outbox(tmp_path), save(tmp_path, 2, is_complete=False)

    assert outbox.send()
    assert store.changes == []

    complete(path, 2, FINGERPRINTS)
    assert outbox.send()
    assert stored_steps(tmp_path) == [2]


def test_of_several_the_newest_goes_and_the_others_are_named(tmp_path: Path, store: Watched) -> None:
    outbox = an_outbox(tmp_path)
    for step in (2, 4, 10):
        save(tmp_path, step)

    assert outbox.send()

    assert stored_steps(tmp_path) == [10]
    assert told(tmp_path) == [("checkpoint_skipped", 2), ("checkpoint_skipped", 4), ("checkpoint_stored", 10)]


def test_one_that_the_trainer_removes_while_it_is_sent_arrives_whole(tmp_path: Path, store: Watched) -> None:
    outbox, path = an_outbox(tmp_path), save(tmp_path, 2)
    store.before = lambda count: shutil.rmtree(path, ignore_errors=True)

    assert outbox.send()

    assert pull(f"file://{tmp_path}/store", tmp_path / "back").checkpoint == 2


def test_what_it_holds_is_neither_kept_nor_copied(tmp_path: Path, store: Watched) -> None:
    outbox, path = an_outbox(tmp_path), save(tmp_path, 2)
    links: list[int] = []
    store.before = lambda count: links.append((path / "optimizer.pt").stat().st_nlink)

    outbox.send()

    assert set(links[: len(REQUIRED_FILES)]) == {2}
    assert not (tmp_path / "output" / module.HELD / "checkpoints").exists()


def test_a_disk_without_links_gets_a_copy(tmp_path: Path, store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    outbox, path = an_outbox(tmp_path), save(tmp_path, 2)
    store.before = lambda count: shutil.rmtree(path, ignore_errors=True)

    assert outbox.send()

    assert pull(f"file://{tmp_path}/store", tmp_path / "back").checkpoint == 2


def test_what_the_trainer_has_removed_goes_from_the_store_once_a_newer_one_is_there(
    tmp_path: Path, store: Watched
) -> None:
    outbox = an_outbox(tmp_path)
    for step in (2, 4):
        save(tmp_path, step)
        outbox.send()
    shutil.rmtree(tmp_path / "output" / "checkpoints" / "checkpoint-2")
    assert outbox.send()
    assert stored_steps(tmp_path) == [2, 4]

    save(tmp_path, 6)
    outbox.send()

    assert stored_steps(tmp_path) == [4, 6]
    assert not (tmp_path / "store" / "checkpoints" / "checkpoint-2").exists()
    written = store.changes.index(f"checkpoints/checkpoint-6/{MANIFEST_NAME}")
    removed = [index for index, name in enumerate(store.changes) if name.startswith("-")]
    assert min(removed) > written
    assert store.changes[removed[0]] == f"-checkpoints/checkpoint-2/{MANIFEST_NAME}"


def test_nothing_goes_from_the_store_because_the_output_folder_is_gone(tmp_path: Path, store: Watched) -> None:
    outbox = an_outbox(tmp_path)
    for step in (2, 4):
        save(tmp_path, step)
        outbox.send()
    last = save(tmp_path, 6)
    store.before = lambda count: shutil.rmtree(last.parent, ignore_errors=True)

    outbox.send()

    assert stored_steps(tmp_path) == [2, 4, 6]


def test_checkpoints_of_another_outbox_stay(tmp_path: Path, store: Watched) -> None:
    save(tmp_path, 2)
    an_outbox(tmp_path).send()
    shutil.rmtree(tmp_path / "output" / "checkpoints" / "checkpoint-2")
    outbox = an_outbox(tmp_path)
    for step in (4, 6):
        save(tmp_path, step)
        outbox.send()

    assert stored_steps(tmp_path) == [2, 4, 6]


@pytest.mark.parametrize("cut", range(25))
def test_after_any_number_of_writes_the_store_has_a_whole_checkpoint(tmp_path: Path, store: Watched, cut: int) -> None:
    """An outbox that is killed at any write, and followed by another one, or by nobody."""
    outbox = an_outbox(tmp_path)
    save(tmp_path, 2)
    outbox.send()
    begun = len(store.changes)

    def cut_off(count: int) -> None:
        if count - begun >= cut:
            raise CutOffError

    store.before = cut_off
    try:
        for step in (4, 6):
            save(tmp_path, step)
            shutil.rmtree(tmp_path / "output" / "checkpoints" / f"checkpoint-{step - 2}")
            outbox.send()
    except CutOffError:
        pass
    pull(f"file://{tmp_path}/store", tmp_path / "back")

    found, _ = newest_complete(tmp_path / "back" / "checkpoints")
    assert found is not None
    assert found.step >= max(outbox.sent)

    store.before = lambda count: None
    an_outbox(tmp_path).send()
    newest = max(int(path.name.partition("-")[2]) for path in (tmp_path / "output" / "checkpoints").iterdir())
    assert pull(f"file://{tmp_path}/store", tmp_path / "again").checkpoint == newest


def test_what_the_store_refuses_is_told_once_and_tried_again(tmp_path: Path, store: Watched) -> None:
    outbox = an_outbox(tmp_path)
    save(tmp_path, 2)

    def refuse(count: int) -> None:
        raise StoreError("sync: s3://b/r refuses: SlowDown", resolution="wait")

    store.before = refuse
    assert [outbox.send(), outbox.send()] == [False, False]
    assert told(tmp_path) == [("store_failed", None)]
    store.before = lambda count: None
    assert outbox.send()

    assert told(tmp_path) == [("store_failed", None), ("checkpoint_stored", 2)]


def test_a_damaged_checkpoint_does_not_go_and_the_next_one_does(tmp_path: Path, store: Watched) -> None:
    outbox, path = an_outbox(tmp_path), save(tmp_path, 2)
    (path / "optimizer.pt").write_text("something else entirely, of another size")

    assert not outbox.send()
    save(tmp_path, 4)
    assert outbox.send()

    assert stored_steps(tmp_path) == [4]
    failed = [event for event in read_events(tmp_path / "output" / "events.jsonl") if event["event"] == "store_failed"]
    assert "damaged optimizer.pt" in failed[0]["message"]


def test_new_credentials_open_the_store_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []

    def open_with(
        url: str, endpoint_url: str | None, keys: Any, ca_file: Path | None, rclone: str | None, at_once: int | None
    ) -> Place:
        used.append(keys)
        return Folder(tmp_path / "store")

    monkeypatch.setattr(module, "open_place", open_with)
    keys = tmp_path / "keys.json"
    outbox = an_outbox(tmp_path, environment_file=keys)
    for step, value in ((2, "one"), (4, "one"), (6, "two")):
        keys.write_text(json.dumps({"AWS_ACCESS_KEY_ID": value}))
        save(tmp_path, step)
        assert outbox.send()
    keys.unlink()
    save(tmp_path, 8)
    assert outbox.send()

    assert used == [{"AWS_ACCESS_KEY_ID": "one"}, {"AWS_ACCESS_KEY_ID": "two"}, None]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [(["cpu"], [1, None]), (["cuda"], [None]), (["mps"], [None]), (["cuda", "cpu"], [1, None]), ([], [1, None])],
)
def test_it_has_one_thread_while_a_cpu_trains(
    devices: list[str], expected: list[int | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once training is over the machine bills for nothing but the upload."""
    threads: list[int | None] = []

    def open_with(*_: Any, at_once: int | None = None) -> Place:
        threads.append(at_once)
        return Folder(tmp_path / "store")

    monkeypatch.setattr(module, "open_place", open_with)
    outbox = an_outbox(tmp_path)
    for device in devices:
        note(tmp_path / "output", "run_started", device=device)
    for step in (2, 4):
        save(tmp_path, step)
        assert outbox.send()
    save(tmp_path, 6)
    assert outbox.send(is_last=True)

    assert threads == expected
    assert stored_steps(tmp_path) == [2, 4, 6]


def test_the_story_goes_along_with_each_checkpoint_and_at_the_end(tmp_path: Path, store: Watched) -> None:
    outbox, output = an_outbox(tmp_path), tmp_path / "output"
    note(output, "step", step=1)
    assert outbox.send()
    assert store.changes == []

    save(tmp_path, 2)
    outbox.send()
    first = (tmp_path / "store" / "events.jsonl").read_text()
    note(output, "run_ended", status="accepted", exit_code=0)
    (output / "trainer.log").write_text("last words\n")
    outbox.send(is_last=True)

    assert '"step": 1' in first
    assert (tmp_path / "store" / "events.jsonl").read_bytes() == (output / "events.jsonl").read_bytes()
    assert (tmp_path / "store" / "trainer.log").read_text() == "last words\n"


def test_the_story_goes_while_there_is_no_checkpoint_too(
    tmp_path: Path, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORY_EVERY_S", 0.0)
    outbox = an_outbox(tmp_path)
    note(tmp_path / "output", "step", step=1)

    assert outbox.send()
    assert outbox.send()

    assert store.changes == ["events.jsonl"]


def test_it_sends_until_nothing_more_is_written_and_what_is_left(
    tmp_path: Path, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "step_aside", lambda: None)
    monkeypatch.setattr(module, "RETRY_S", (0.0,))
    (tmp_path / "output").mkdir()
    looks: list[float] = []
    failing = [True, False, True, True]

    def is_over(wait_s: float) -> bool:
        looks.append(wait_s)
        save(tmp_path, len(looks))
        return len(looks) == 3

    def fail_sometimes(count: int) -> None:
        if failing and failing.pop(0):
            raise StoreError("sync: the store is away", resolution="wait")

    store.before = fail_sometimes
    keep_sending(Order("file:///store"), tmp_path / "output", is_over=is_over)

    assert len(looks) == 3
    assert looks[:2] == [module.LOOK_S, 0.0]  # after a failure it waits as long as that asks for
    assert max(stored_steps(tmp_path)) == 3


def test_what_is_left_is_not_tried_for_ever(tmp_path: Path, store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "step_aside", lambda: None)
    monkeypatch.setattr(module, "RETRY_S", (0.01,))
    monkeypatch.setattr(module, "LAST_WORDS_S", 0.05)
    (tmp_path / "output").mkdir()
    save(tmp_path, 2)

    def refuse(count: int) -> None:
        raise StoreError("sync: the store is away", resolution="wait")

    store.before = refuse
    keep_sending(Order("file:///store"), tmp_path / "output", is_over=lambda _: True)

    assert stored_steps(tmp_path) == []


def test_a_machine_of_another_kind_has_its_own_store_time_and_place_for_events(tmp_path: Path) -> None:
    class Elsewhere(Surroundings):
        """A machine whose time passes when it waits, and never otherwise."""

        def __init__(self) -> None:
            self.passed_s, self.opened, self.told = 0.0, list[object](), list[str]()

        def step_aside(self) -> None:
            """Do nothing."""

        def now_s(self) -> float:
            return self.passed_s

        def pause(self, seconds: float) -> None:
            self.passed_s += seconds

        def open(self, order: Order, keys: dict[str, str] | None, at_once: int | None) -> Place:
            self.opened.append((order.url, keys, at_once))
            raise StoreError("sync: the store is away", resolution="wait")

        def tell(self, output: Path, event: EventName, **values: object) -> None:
            self.told.append(f"{event} of {output.name}")

    there = Elsewhere()
    save(tmp_path, 2)

    keep_sending(Order("file:///store"), tmp_path / "output", is_over=lambda _: True, surroundings=there)

    assert there.passed_s == 5.0 + 15.0 + 30.0 + 5 * 60.0
    assert set(there.opened) == {("file:///store", None, None)}
    assert there.told == ["store_failed of output"]
    assert not (tmp_path / "output" / "events.jsonl").exists()


def test_its_events_hide_no_end_of_the_trainer(tmp_path: Path) -> None:
    output = tmp_path / "output"
    who = {f"{role}_{what}": 0 for role in ("supervisor", "trainer") for what in ("pid", "started")}
    who = {**who, "supervisor_pid": 2**22 + 1, "trainer_pid": 2**22 + 2}
    note(output, "run_ended", status="accepted", exit_code=0)
    note(output, "checkpoint_stored", step=2)
    (output / "supervisor.json").write_text(json.dumps({**who, "started_at": "2026-01-01T00:00:00.000+00:00"}))

    assert (read_status(output).state, read_status(output).exit_code) == ("exited", 0)


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"url": 3}'])
def test_an_order_that_names_no_store_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "upload.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ConfigError, match="names no store"):
        read_order(path)


def test_an_order_is_read_as_the_runner_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "upload.json"
    order = {"folder": "/o", "url": "s3://b/r", "endpoint_url": None, "environment_file": "/dev/shm/store.json"}
    path.write_text(json.dumps(order))

    assert read_order(path) == Order("s3://b/r", None, Path("/dev/shm/store.json"))

    path.write_text(json.dumps(order | {"endpoint_url": "https://s3.example", "ca_file": "/box/store-ca.pem"}))
    assert read_order(path) == Order(
        "s3://b/r", "https://s3.example", Path("/dev/shm/store.json"), Path("/box/store-ca.pem")
    )
