"""What both worlds promise: the real one on this machine, and the virtual one, in which no time passes at all."""

from __future__ import annotations

import gc
import os
import signal
import stat
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from runner import world as worlds
from runner.simulation.world import VirtualWorld
from runner.world import Entry, LockedError, RealWorld, World

SOON_S = 20.0


@pytest.fixture(params=["real", "virtual"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "real":
        yield RealWorld({"HOME": "/home/ada"})
        return
    with VirtualWorld(environ={"HOME": "/home/ada"}) as found:
        yield found


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Entry:
    world.disk.make_folder(tmp_path)
    return Entry(tmp_path, world.disk)


def test_the_environment_is_what_was_given(world: World) -> None:
    assert dict(world.environ) == {"HOME": "/home/ada"}
    assert world.home == Path("/home/ada")


def test_the_command_is_given_in_a_whole_path(world: World) -> None:
    assert world.folder.is_absolute()


def test_two_worlds_of_one_start_have_the_same_id(world: World) -> None:
    assert world.boot_id == type(world)().boot_id


def test_a_system_without_an_id_for_its_start_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "BOOT_ID", tmp_path / "none")

    assert RealWorld().boot_id == ""


def test_the_clock_that_counts_sleep_goes_on_with_the_other(world: World) -> None:
    slept, awake = world.boottime_s(), world.monotonic_s()
    world.sleep(0.01)

    assert world.boottime_s() > slept
    assert world.monotonic_s() > awake


def test_a_machine_that_slept_has_lost_time_on_the_other_clock_alone() -> None:
    with VirtualWorld() as world:
        now = world.now()
        world.fall_asleep(3600.0)

        assert (world.boottime_s(), world.monotonic_s()) == (3600.0, 0.0)
        assert world.now() - now == timedelta(hours=1)


def test_a_program_that_is_not_there_is_not_found(world: World) -> None:
    assert world.find_program("no-such-program") is None


def test_a_program_is_looked_for_on_the_path_that_was_given(tmp_path: Path) -> None:
    for folder in ("first", "on-path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").write_text("#!/bin/sh\n")
        (tmp_path / folder / "tool").chmod(0o755)
    (tmp_path / "on-path" / "data").write_text("no program")
    world = RealWorld({"PATH": str(tmp_path / "on-path")})

    assert world.find_program("tool") == tmp_path / "on-path" / "tool"
    assert world.find_program("tool", first=[tmp_path / "first"]) == tmp_path / "first" / "tool"
    assert world.find_program(str(tmp_path / "first" / "tool")) == tmp_path / "first" / "tool"
    assert world.find_program("data") is None


def test_time_of_day_is_utc_and_seconds_pass(world: World) -> None:
    began, began_s = world.now(), world.monotonic_s()

    world.sleep(0.02)

    assert began.tzinfo is UTC
    assert world.now() - began >= timedelta(seconds=0.019)
    assert world.monotonic_s() - began_s >= 0.019


def test_no_two_tokens_are_alike(world: World) -> None:
    tokens = {world.token() for _ in range(100)}

    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {16}
    assert len(world.token(4)) == 8


def test_a_file_is_written_whole_with_its_folder(folder: Entry) -> None:
    file = folder / "a" / "b.json"

    file.write_bytes(b"{}")
    file.write_bytes(b"[]")

    assert file.read_bytes() == b"[]"
    assert file.read_text() == "[]"
    assert [entry.name for entry in (folder / "a").entries()] == ["b.json"]
    assert (folder / "a").is_dir()
    assert file.is_file()
    assert file.exists()
    assert file.size_bytes() == 2


def test_a_file_is_added_to(folder: Entry) -> None:
    (folder / "events").append(b"one\n")
    (folder / "events").append(b"two\n", synced=True)

    assert (folder / "events").read_bytes() == b"one\ntwo\n"


def test_nothing_is_added_in_a_folder_that_is_missing(folder: Entry) -> None:
    with pytest.raises(FileNotFoundError):
        (folder / "none" / "events").append(b"one\n")


def test_what_is_missing_says_so(folder: Entry) -> None:
    missing = folder / "none"

    assert not missing.exists()
    assert missing.entries() == []
    assert missing.size_bytes() == 0
    missing.unlink()
    missing.remove_tree()
    with pytest.raises(FileNotFoundError):
        missing.read_bytes()


def test_a_folder_that_must_be_new_is_refused_where_it_is_there(world: World, folder: Entry) -> None:
    world.disk.make_folder(folder.path / "new", exist_ok=False)

    with pytest.raises(FileExistsError):
        world.disk.make_folder(folder.path / "new", exist_ok=False)


def test_a_file_and_a_folder_get_other_names(folder: Entry) -> None:
    (folder / "part" / "x").write_bytes(b"1")
    (folder / "old").write_bytes(b"2")

    (folder / "part").rename(folder / "whole")
    (folder / "old").rename(folder / "new")

    assert [entry.name for entry in folder.entries()] == ["new", "whole"]
    assert (folder / "whole" / "x").read_bytes() == b"1"


def test_files_and_trees_are_removed(folder: Entry) -> None:
    (folder / "tree" / "deep" / "x").write_bytes(b"1")
    (folder / "y").write_bytes(b"2")

    (folder / "y").unlink()
    (folder / "tree").remove_tree()

    assert folder.entries() == []


def test_a_change_has_its_time(world: World, folder: Entry) -> None:
    (folder / "x").write_bytes(b"1")

    assert abs(world.disk.changed_at(folder.path / "x") - world.now()) < timedelta(minutes=10)


def test_a_lock_is_held_once_and_names_its_holder(world: World, folder: Entry) -> None:
    path = folder.path / "lock"

    assert world.disk.lock_holder(path) is None
    with world.disk.lock(path):
        assert world.disk.lock_holder(path) == world.process_id
        with pytest.raises(LockedError), world.disk.lock(path):
            pass

    assert world.disk.lock_holder(path) is None
    with world.disk.lock(path):
        assert world.disk.lock_holder(path) == world.process_id


def test_work_goes_on_beside_the_rest(world: World) -> None:
    seen: list[str] = []
    go, done = world.event(), world.event()

    def work() -> None:
        go.wait(SOON_S)
        seen.append("worked")
        done.set()

    task = world.start(work, name="work")
    assert seen == []
    go.set()

    assert done.wait(SOON_S)
    assert task.join(SOON_S)
    assert seen == ["worked"]


def test_a_wait_ends_with_its_time(world: World) -> None:
    event = world.event()

    assert not event.wait(0.01)
    assert not event.is_set()
    assert not world.bell().wait(0.01)


def test_a_bell_wakes_once(world: World) -> None:
    bell = world.bell()

    bell.ring()
    bell.ring()

    assert bell.wait(SOON_S)
    assert not bell.wait(0.01)


def test_a_bell_that_nobody_holds_leaves_no_pipe_behind() -> None:
    world = RealWorld({})

    def descriptors() -> int:
        gc.collect()
        return sum(1 for _ in Path("/dev/fd").iterdir())

    before = descriptors()
    for _ in range(20):
        world.bell()

    assert descriptors() == before


def test_a_lock_lets_one_in(world: World) -> None:
    lock = world.lock()

    with lock:
        assert not lock.acquire(0.01)
    assert lock.acquire(0.01)
    lock.release()


def test_a_signal_reaches_its_handler(world: World) -> None:
    heard: list[str] = []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        world.on_signals({signal.SIGUSR1: lambda: heard.append("usr1")})
        world.signal(world.process_id, signal.SIGUSR1)
        world.sleep(0.01)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert heard == ["usr1"]


def test_nobody_listens_on_a_free_port(world: World) -> None:
    with pytest.raises(ConnectionRefusedError):
        world.connect("127.0.0.1", world.free_port(), 1.0)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_scratch_folder_is_gone_with_its_block(world: World, in_memory: bool) -> None:
    with world.scratch("douse-test-", in_memory=in_memory) as folder:
        (folder / "x").write_text("1")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    assert not folder.exists()


def test_a_file_gets_its_mode_before_its_content(tmp_path: Path) -> None:
    RealWorld().disk.write(tmp_path / "key", b"secret", 0o600)

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_real_lock_of_another_process_is_seen(tmp_path: Path) -> None:
    world, path = RealWorld(), tmp_path / "lock"
    told, tell = os.pipe()
    over, end = os.pipe()
    child = os.fork()
    if child == 0:
        with world.disk.lock(path):
            os.write(tell, b"!")
            os.read(over, 1)
        os._exit(0)
    try:
        os.read(told, 1)
        assert world.disk.lock_holder(path) == child
        with pytest.raises(LockedError), world.disk.lock(path):
            pass
    finally:
        os.write(end, b"!")
        os.waitpid(child, 0)
        for number in (told, tell, over, end):
            os.close(number)

    assert world.disk.lock_holder(path) is None
