"""The lease: what it decides by a fake clock, and the whole of it as a process with a harmless end."""

from __future__ import annotations

import ast
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.playbooks.conftest import LEASE, RUNPOD

TTL_S = 100.0
HARD_END = 1000.0


def runs(python: str) -> bool:
    """Return whether an interpreter is there and more than a shim."""
    path = shutil.which(python)
    return path is not None and subprocess.run([path, "-c", ""], capture_output=True, timeout=30).returncode == 0


OLD_PYTHONS = [name for name in ("python3.8", "python3.9", "python3.10") if runs(name)]


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "method": "none",
        "api": {},
        "ttl_s": TTL_S,
        "hard_end_s": 3600.0,
        "idle_s": 3600.0,
        "grace_s": 5.0,
        "upload_timeout_s": 5.0,
        "trainer_stop": [],
        "end_command": [],
    } | changes


def test_a_lease_that_nobody_renews_runs_out(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)

    assert one.why_over(TTL_S - 1) is None
    assert one.why_over(TTL_S) == "not_renewed"


def test_any_change_of_the_beat_renews(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)
    one.look("renew 1", 60.0)
    one.look("renew 2", 120.0)

    assert one.why_over(219.0) is None
    assert one.why_over(220.0) == "not_renewed"


def test_the_same_beat_again_renews_nothing(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)
    for now in range(0, 110, 10):
        one.look("renew 1", float(now))

    assert one.why_over(100.0) == "not_renewed"


def test_a_beat_that_vanishes_renews_nothing(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)
    one.look("renew 1", 0.0)
    one.look(None, 50.0)
    one.look("renew 1", 60.0)

    assert one.why_over(100.0) == "not_renewed"


def test_hold_needs_no_renewal_but_ends_at_the_hard_end(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)
    for now in range(0, 1000, 50):
        one.look("hold 7", float(now))

    assert one.why_over(999.0) is None
    assert one.why_over(HARD_END) == "hard_end"


def test_after_hold_a_whole_term_begins(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)
    one.look("hold 1", 500.0)
    one.look("renew 2", 501.0)

    assert one.why_over(600.0) is None
    assert one.why_over(601.0) == "not_renewed"


def test_no_renewal_passes_the_hard_end(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 0.0)
    one.look("renew 99", HARD_END - 1)

    assert one.why_over(HARD_END) == "hard_end"


def test_a_daemon_that_is_restarted_renews_nothing(lease: ModuleType) -> None:
    one = lease.Lease(TTL_S, HARD_END, 90.0, "renew 1", 10.0)
    one.look("renew 1", 90.0)

    assert one.why_over(110.0) == "not_renewed"


BEFORE = "of another boot"


@pytest.fixture
def clocks(lease: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Set the machine's two clocks: seconds since its boot, and the time of day."""

    def set_to(since_boot_s: float, time_of_day: float) -> None:
        monkeypatch.setattr(lease, "clock", lambda: since_boot_s)
        monkeypatch.setattr(lease.time, "time", lambda: time_of_day)

    return set_to


def kept_settings(boot: str, **changes: Any) -> dict[str, Any]:
    return {"wanted": settings(), "set_at": 5000.0, "boot_id": boot, "wall": 1e6} | changes


def kept_state(boot: str, **changes: Any) -> dict[str, Any]:
    """Return how the lease stood a second after 500 s of its 3600: renewed 40 s before."""
    return {"left_s": 3100.0, "renewed": 5460.0, "at": 5500.0, "wall": 1e6 + 500, "boot_id": boot} | changes


def test_over_a_reboot_the_time_that_the_machine_was_off_counts(lease: ModuleType, clocks: Any) -> None:
    clocks(30.0, 1e6 + 500 + 90)

    assert lease.hard_end_of(kept_settings(BEFORE), kept_state(BEFORE)) == 30.0 + 3100.0 - 90.0
    assert lease.renewed_at(kept_settings(BEFORE), kept_state(BEFORE)) == 30.0 - 90.0 - 40.0


def test_a_chain_of_reboots_moves_neither_end(lease: ModuleType, clocks: Any) -> None:
    have, state, wall = kept_settings(BEFORE), kept_state(BEFORE), 1e6 + 500
    for number in range(50):
        wall += 60
        clocks(2.0, wall)
        left_s, renewed = lease.hard_end_of(have, state) - 2.0, lease.renewed_at(have, state)
        state = {"left_s": left_s, "renewed": renewed, "at": 2.0, "wall": wall, "boot_id": f"boot {number}"}

    assert left_s == 3600.0 - (wall - 1e6)
    assert 2.0 - renewed == 40.0 + 50 * 60


def test_a_time_of_day_that_has_gone_back_adds_nothing(lease: ModuleType, clocks: Any) -> None:
    clocks(30.0, 1e6 - 7200)

    assert lease.hard_end_of(kept_settings(BEFORE), kept_state(BEFORE)) == 30.0 + 3100.0
    assert lease.hard_end_of(kept_settings(BEFORE), None) == 30.0 + 3600.0


def test_without_the_last_look_the_hard_end_is_counted_from_where_it_was_set(lease: ModuleType, clocks: Any) -> None:
    clocks(30.0, 1e6 + 3000)

    assert lease.hard_end_of(kept_settings(BEFORE), None) == 30.0 + 600.0
    assert lease.renewed_at(kept_settings(BEFORE), None) is None


@pytest.mark.parametrize("time_of_day", [1e6 - 1e5, 1e6 + 1e5])
def test_within_one_boot_the_time_of_day_counts_for_nothing(lease: ModuleType, clocks: Any, time_of_day: float) -> None:
    clocks(5600.0, time_of_day)
    have, state = kept_settings(lease.boot_id()), kept_state(lease.boot_id(), left_s=77.0)

    assert lease.hard_end_of(have, state) == 8600.0
    assert lease.renewed_at(have, state) == 5460.0


def test_after_a_reboot_a_daemon_that_is_restarted_goes_by_the_clock_since_the_boot(
    lease: ModuleType, clocks: Any
) -> None:
    clocks(700.0, 1e6 - 1e5)
    state = kept_state(lease.boot_id(), at=600.0, renewed=590.0)

    assert lease.hard_end_of(kept_settings(BEFORE), state) == 600.0 + 3100.0
    assert lease.renewed_at(kept_settings(BEFORE), state) == 590.0


def test_what_an_older_release_wrote_down_is_still_read(lease: ModuleType, tmp_path: Path) -> None:
    folder = lease.Folder(str(tmp_path))
    wanted = {name: value for name, value in settings().items() if name != "idle_s"}
    folder.write("settings.json", {"wanted": wanted, "set_at": lease.clock() - 600, "boot_id": lease.boot_id()})
    old = {"beat": "renew 1", "renewed": lease.clock() - 40, "left_s": 3000.0, "boot_id": lease.boot_id()}
    folder.write("state.json", old)

    have, state = lease.read_settings(folder), lease.read_state(folder)

    assert lease.hard_end_of(have, state) == have["set_at"] + 3600.0
    assert lease.renewed_at(have, state) == pytest.approx(old["renewed"], abs=1.0)


WHOLE = '{"renewed": 1, "left_s": 1, '


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"renewed": "x"}', '{"renewed": NaN, "left_s": 1}', '{"left_s": 1}', WHOLE + '"beat": 1}',
        WHOLE + '"idle_s": "x"}', WHOLE + '"idle_s": NaN}',
    ],
)  # fmt: skip
def test_a_damaged_state_is_none(lease: ModuleType, tmp_path: Path, text: str) -> None:
    folder = lease.Folder(str(tmp_path))
    folder.path("state.json").write_text(text)

    assert lease.read_state(folder) is None


def test_settings_whose_boot_is_damaged_have_an_end_all_the_same(lease: ModuleType) -> None:
    have = kept_settings(BEFORE)
    del have["boot_id"]

    assert lease.hard_end_of(have, None) < lease.clock() + 3600.0
    assert lease.renewed_at(have, kept_state(lease.boot_id(), at=600.0, renewed=590.0)) == 590.0


@pytest.mark.parametrize("text", ["", "{", "{}", '{"wanted": 1}', '{"wanted": {}, "set_at": 1}'])
def test_damaged_settings_are_read_from_their_copy(lease: ModuleType, tmp_path: Path, text: str) -> None:
    folder = lease.Folder(str(tmp_path))
    folder.write(lease.SETTINGS_COPY, kept_settings(BEFORE))
    folder.path("settings.json").write_text(text)

    assert lease.read_settings(folder) == kept_settings(BEFORE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "magic"}, "method is magic"),
        ({"ttl_s": 0}, "ttl_s must be a positive"),
        ({"hard_end_s": -1}, "hard_end_s must be a positive"),
        ({"grace_s": float("nan")}, "grace_s must be a positive"),
        ({"surprise": 1}, "settings must be exactly"),
        ({"method": "api"}, r"method api needs api\.key_variable"),
        ({"method": "api", "api": {"key_variable": "KEY", "requests": []}}, r"at least one of api\.requests"),
    ],
)
def test_senseless_settings_are_refused(lease: ModuleType, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        lease.check_settings(settings(**changes))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Call the lease on a folder of one's own; whatever runs there is ended afterwards."""

    def call(verb: str, *words: str, given: Any = None, python: str = sys.executable) -> Any:
        return subprocess.run(
            [python, str(LEASE), verb, str(tmp_path), *words],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            timeout=240,
        )

    yield call
    pid = json.loads(call("status").stdout)["pid"]
    if pid:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(f"/dev/shm/douse-lease-{os.geteuid()}-{tmp_path.name}", ignore_errors=True)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def program(path: Path, text: str) -> list[str]:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def ending(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return settings that end in a file instead of a machine, after the trainer was stopped."""
    stop = program(folder / "stop", f"echo stop >> {folder}/story")
    end = program(folder / "end", f"echo end >> {folder}/story")
    return settings(trainer_stop=stop, end_command=end, **changes)


def story(folder: Path) -> list[str]:
    path = folder / "story"
    return path.read_text().split() if path.exists() else []


def ended(folder: Path) -> Any:
    return json.loads((folder / "lease" / "ended.json").read_text())


def test_a_lease_nobody_renews_stops_the_trainer_and_then_ends_the_machine(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.3))
    assert daemon("ensure").stdout.strip() == "started"

    wait_for(lambda: "end" in story(tmp_path))

    assert story(tmp_path) == ["stop", "end"]
    assert (ended(tmp_path)["reason"], ended(tmp_path)["trainer_stop"]) == ("not_renewed", 0)


def test_who_comes_back_while_the_trainer_is_stopped_or_later_hears_that_the_lease_is_over(
    daemon: Any, tmp_path: Path
) -> None:
    slow = program(
        tmp_path / "slow", f"echo stop >> {tmp_path}/story; while ! [ -e {tmp_path}/go ]; do sleep 0.1; done"
    )
    daemon("settle", given=ending(tmp_path, ttl_s=0.3) | {"trainer_stop": slow})
    daemon("ensure")
    wait_for(lambda: story(tmp_path) == ["stop"])

    meanwhile = say(tmp_path, "renew 2")["over"]
    (tmp_path / "go").touch()
    wait_for(lambda: "end" in story(tmp_path))

    assert (meanwhile, say(tmp_path, "renew 3")["over"]) == ("not_renewed", "not_renewed")


def test_a_lease_that_is_over_stays_so_when_its_daemon_was_killed_before_the_end(daemon: Any, tmp_path: Path) -> None:
    slow = program(
        tmp_path / "slow", f"echo stop >> {tmp_path}/story; while ! [ -e {tmp_path}/go ]; do sleep 0.1; done"
    )
    daemon("settle", given=ending(tmp_path, ttl_s=0.3) | {"trainer_stop": slow})
    daemon("ensure")
    wait_for(lambda: story(tmp_path) == ["stop"])
    os.kill(json.loads(daemon("status").stdout)["pid"], signal.SIGKILL)
    wait_for(lambda: json.loads(daemon("status").stdout)["pid"] is None)
    (tmp_path / "go").touch()

    assert say(tmp_path, "hold 2")["over"] == "not_renewed"

    wait_for(lambda: "end" in story(tmp_path))
    assert ended(tmp_path)["reason"] == "not_renewed"


def test_the_same_settings_begin_a_new_lease_where_the_old_one_is_over(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    (tmp_path / "lease" / "ending.json").write_text('{"reason": "not_renewed"}')

    assert daemon("settle", given=settings()).stdout.strip() == "changed"
    assert say(tmp_path, "renew 1")["over"] is None


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"reason": 7}'])
def test_a_damaged_word_of_its_end_leaves_the_lease_as_it_was(daemon: Any, tmp_path: Path, damaged: str) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.3))
    (tmp_path / "lease" / "ending.json").write_text(damaged)
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert ended(tmp_path)["reason"] == "not_renewed"


def test_new_settings_begin_a_lease_that_is_not_over(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.3))
    daemon("ensure")
    wait_for(lambda: "end" in story(tmp_path))

    daemon("settle", given=settings())

    assert say(tmp_path, "renew 1")["over"] is None


def test_the_hard_end_comes_in_spite_of_hold(daemon: Any, tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "lease" / "beat").write_text("hold 1")
    daemon("settle", given=ending(tmp_path, ttl_s=0.2, hard_end_s=1.0))
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert (ended(tmp_path)["reason"], ended(tmp_path)["beat"]) == ("hard_end", "hold 1")


def held(folder: Path, word: str = "hold 1") -> Path:
    """Leave a machine alone on purpose, or do not; return the trainer's output folder."""
    (folder / "lease").mkdir(exist_ok=True)
    (folder / "lease" / "beat").write_text(word)
    output = folder / "output"
    output.mkdir(exist_ok=True)
    return output


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a process that looks like the run's trainer, and write down that it runs."""
    started: list[subprocess.Popen[bytes]] = []

    def start(output: Path | None = None) -> subprocess.Popen[bytes]:
        sleeping = [sys.executable, "-c", "import time; time.sleep(300)"]
        process = subprocess.Popen([*sleeping, "--output", str(output or tmp_path / "output")])
        started.append(process)
        wait_for(lambda: Path(f"/proc/{process.pid}/cmdline").read_bytes() != b"")
        who = {"supervisor_pid": 2**30, "trainer_pid": process.pid}
        (tmp_path / "output" / "supervisor.json").write_text(json.dumps(who))
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_machine_that_was_left_alone_ends_when_its_trainer_has_exited(daemon: Any, tmp_path: Path) -> None:
    (held(tmp_path) / "exit.json").write_text('{"exit_code": 0}')
    daemon("settle", given=ending(tmp_path, ttl_s=0.2, idle_s=0.5))
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert (ended(tmp_path)["reason"], story(tmp_path)) == ("idle", ["stop", "end"])


def test_a_machine_that_was_left_alone_ends_when_its_trainer_was_killed_and_not_before(
    daemon: Any, trainer: Any, tmp_path: Path
) -> None:
    held(tmp_path)
    process = trainer()
    daemon("settle", given=ending(tmp_path, ttl_s=0.2, idle_s=0.1))
    daemon("ensure")
    looks = tmp_path / "lease" / "state.json"
    wait_for(looks.exists)
    first = looks.stat().st_mtime_ns
    wait_for(lambda: looks.stat().st_mtime_ns != first)  # a second look: the machine is still there
    assert json.loads(looks.read_text())["idle_s"] is None
    assert story(tmp_path) == []

    process.kill()
    wait_for(lambda: "end" in story(tmp_path))

    assert ended(tmp_path)["reason"] == "idle"


def test_a_machine_whose_trainer_was_never_started_ends_as_well(lease: ModuleType, tmp_path: Path) -> None:
    assert not lease.trainer_runs(lease.Folder(str(tmp_path)))


def test_a_process_that_has_the_number_of_the_trainer_is_not_the_trainer(
    lease: ModuleType, trainer: Any, tmp_path: Path
) -> None:
    held(tmp_path)
    folder = lease.Folder(str(tmp_path))

    trainer(tmp_path / "another")
    another = lease.trainer_runs(folder)
    trainer()

    assert (another, lease.trainer_runs(folder)) == (False, True)


def test_a_trainer_under_another_name_of_its_folder_is_the_trainer(
    lease: ModuleType, trainer: Any, tmp_path: Path
) -> None:
    held(tmp_path)
    trainer()
    (tmp_path / "link").symlink_to(tmp_path)

    assert lease.trainer_runs(lease.Folder(str(tmp_path / "link")))


def test_what_a_killed_trainer_leaves_to_its_parent_does_not_run(
    lease: ModuleType, trainer: Any, tmp_path: Path
) -> None:
    held(tmp_path)
    process = trainer()

    process.kill()
    wait_for(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")

    assert not lease.trainer_runs(lease.Folder(str(tmp_path)))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"supervisor_pid": null}'])
def test_a_trainer_of_which_nothing_can_be_read_may_run(lease: ModuleType, tmp_path: Path, damage: str) -> None:
    (held(tmp_path) / "supervisor.json").write_text(damage)

    assert lease.trainer_runs(lease.Folder(str(tmp_path)))


def test_only_what_is_idle_without_a_break_for_so_long_is_over(lease: ModuleType) -> None:
    one = lease.Idleness(100.0, 0.0)
    for is_idle, now in ((True, 0.0), (True, 99.0), (False, 99.5), (True, 100.0)):
        one.look(is_idle, now)
        assert one.why_over(now) is None

    one.look(True, 199.0)
    assert one.why_over(199.0) is None
    assert one.why_over(200.0) == "idle"


def test_a_daemon_that_is_restarted_goes_on_counting(lease: ModuleType) -> None:
    one = lease.Idleness(100.0, 1000.0, so_far_s=60.0)
    one.look(True, 1000.0)

    assert one.why_over(1039.0) is None
    assert one.why_over(1040.0) == "idle"


def test_a_machine_whose_runner_has_the_word_is_not_idle(daemon: Any, tmp_path: Path) -> None:
    """It is fetching the results: a trainer that has ended is no reason to take them away."""
    (held(tmp_path, "renew 1") / "exit.json").write_text('{"exit_code": 0}')
    daemon("settle", given=ending(tmp_path, ttl_s=1.5, idle_s=0.1))
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert ended(tmp_path)["reason"] == "not_renewed"


def test_the_work_is_uploaded_before_the_machine_ends(daemon: Any, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    program(python, f'echo upload >> {tmp_path}/story; echo "$@" > {tmp_path}/words')
    (tmp_path / "lease").mkdir()
    order = {"folder": "/f", "url": "s3://b/p", "endpoint_url": None, "environment_file": "/dev/shm/e", "ca_file": "/c"}
    order |= {"own_rights": "instance profile x", "rclone": "/r"}
    (tmp_path / "lease" / "upload.json").write_text(json.dumps(order))
    daemon("settle", given=ending(tmp_path, ttl_s=0.2))
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert story(tmp_path) == ["stop", "upload", "end"]
    assert (tmp_path / "words").read_text().split() == [
        *("-m", "trainer", "sync", "push", "--folder", "/f", "--url", "s3://b/p"),
        *(
            "--environment-file",
            "/dev/shm/e",
            "--ca-file",
            "/c",
            "--own-rights",
            "instance",
            "profile",
            "x",
            "--rclone",
            "/r",
        ),
    ]
    assert ended(tmp_path)["upload"] == 0


def test_a_trainer_that_is_not_there_yet_does_not_keep_the_machine(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.2) | {"trainer_stop": [str(tmp_path / "venv/bin/python"), "-m"]})
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert ended(tmp_path)["trainer_stop"] == "not there"


def test_where_the_machine_cannot_end_itself_it_says_so_and_stops_the_trainer(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.2) | {"end_command": []})
    daemon("ensure")

    wait_for(lambda: "KEEPS BILLING" in (tmp_path / "lease" / "lease.log").read_text())

    assert story(tmp_path) == ["stop"]
    assert json.loads(daemon("status").stdout)["running"]


def test_an_end_that_fails_is_tried_again(daemon: Any, tmp_path: Path) -> None:
    wanted = ending(tmp_path, ttl_s=0.2)
    program(tmp_path / "end", f"echo end >> {tmp_path}/story; test $(grep -c end {tmp_path}/story) -gt 1")
    daemon("settle", given=wanted)
    daemon("ensure")

    wait_for(lambda: json.loads(daemon("status").stdout)["pid"] is None)

    assert story(tmp_path) == ["stop", "end", "end"]


def test_a_second_start_leaves_the_daemon_alone_and_a_restart_replaces_it(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    daemon("ensure")
    first = json.loads(daemon("status").stdout)["pid"]

    assert daemon("ensure").stdout.strip() == "unchanged"
    assert json.loads(daemon("status").stdout)["pid"] == first
    assert daemon("ensure", "restart").stdout.strip() == "started"
    assert json.loads(daemon("status").stdout)["pid"] != first


def test_the_daemon_has_a_session_of_its_own_and_all_its_streams_in_files(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    daemon("ensure")
    pid = json.loads(daemon("status").stdout)["pid"]

    assert os.getsid(pid) == pid
    streams = [str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)]
    assert streams == ["/dev/null", *[str(tmp_path / "lease" / "lease.log")] * 2]


def test_settling_the_same_twice_changes_nothing_and_a_later_hard_end_does(daemon: Any) -> None:
    said = [
        daemon("settle", given=settings()).stdout.strip(),
        daemon("settle", given=settings(hard_end_s=3590.0)).stdout.strip(),
        daemon("settle", given=settings(hard_end_s=7200.0)).stdout.strip(),
        daemon("settle", given=settings(hard_end_s=7200.0, ttl_s=5.0)).stdout.strip(),
    ]

    assert said == ["changed", "unchanged", "changed", "changed"]


def test_a_killed_daemon_that_comes_back_goes_on_where_it_was(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    daemon("ensure")
    wait_for(lambda: json.loads(daemon("status").stdout)["state"] is not None)
    before = json.loads(daemon("status").stdout)
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: json.loads(daemon("status").stdout)["pid"] is None)
    state = tmp_path / "lease" / "state.json"
    state.write_text(json.dumps({**before["state"], "left_s": 1e9}))

    daemon("ensure")
    wait_for(lambda: json.loads(daemon("status").stdout)["state"]["left_s"] < 1e8)

    after = json.loads(daemon("status").stdout)["state"]
    assert after["left_s"] <= before["state"]["left_s"]
    assert after["renewed"] == before["state"]["renewed"]


def test_it_reads_as_python_3_8() -> None:
    ast.parse(LEASE.read_text(), feature_version=(3, 8))


@pytest.mark.skipif(not OLD_PYTHONS, reason="needs Python 3.8, 3.9 or 3.10")
@pytest.mark.parametrize("python", OLD_PYTHONS or ["none"])
def test_it_runs_on_an_old_python(daemon: Any, tmp_path: Path, python: str) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.2), python=python)
    assert daemon("ensure", python=python).stdout.strip() == "started"

    wait_for(lambda: "end" in story(tmp_path))


class FakeRunPod(http.server.ThreadingHTTPServer):
    """RunPod's answers to whoever wants to end a pod: a list of status codes, then 204."""

    def __init__(self, codes: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codes, self.asked = codes, []

    asked: list[tuple[str, str, str | None]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: FakeRunPod

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        code = self.server.codes.pop(0) if self.server.codes else 204
        text = b'{"errors": [{"message": "no"}]}' if code == 200 and "mutation" in body else b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_DELETE = do_POST = answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture
def runpod(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[int]], FakeRunPod]]:
    servers: list[FakeRunPod] = []

    def start(codes: list[int]) -> FakeRunPod:
        server = FakeRunPod(codes)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("DOUSE_RUNPOD_ENDPOINT", f"{url}/v2")
        monkeypatch.setenv("DOUSE_RUNPOD_GRAPHQL_ENDPOINT", f"{url}/graphql")
        monkeypatch.setenv("RUNPOD_POD_ID", "pod1")
        monkeypatch.setenv("RUNPOD_API_KEY", "its-own-key")
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class MachineIsGone(BaseException):
    """What a machine that ends does to the process that ended it."""


def end(
    lease: ModuleType, monkeypatch: pytest.MonkeyPatch, method: str = "api", *, ignores_us: bool = False
) -> list[float]:
    """End the machine and return the waits before it was gone: after the first yes, unless it ignores that."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 300 or (seconds == lease.STILL_HERE_S and not ignores_us):
            raise MachineIsGone

    monkeypatch.setattr(lease.time, "sleep", sleep)
    try:
        lease.end_machine(settings(method=method, api=RUNPOD["lease_api"]), {"reason": "not_renewed"})
    except MachineIsGone:
        return waits
    return waits


@pytest.mark.enable_socket
def test_a_pod_ends_itself_with_its_own_key(lease: Any, runpod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = runpod([])

    waits = end(lease, monkeypatch)

    assert server.asked == [("DELETE", "/v2/pods/pod1", "Bearer its-own-key")]
    assert waits == [lease.STILL_HERE_S]


@pytest.mark.enable_socket
def test_a_pod_tries_every_way_until_one_works(lease: Any, runpod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = runpod([500, 403, 200, 429])

    waits = end(lease, monkeypatch)

    ways = [("DELETE", "/v2/pods/pod1"), ("POST", "/v2/pods/pod1/action"), ("POST", "/graphql")]
    assert [asked[:2] for asked in server.asked] == [*ways, *ways[:2]]
    assert waits == [*lease.END_WAITS_S[:4], lease.STILL_HERE_S]


@pytest.mark.enable_socket
def test_a_pod_that_cannot_be_ended_is_tried_for_ever_and_reported_aloud(
    lease: Any, runpod: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = runpod([500] * 200)

    waits = end(lease, monkeypatch)

    assert waits == [*lease.END_WAITS_S, *[60] * (200 - len(lease.END_WAITS_S)), lease.STILL_HERE_S]
    assert len(server.asked) == 201
    said = capsys.readouterr().out
    assert "THIS MACHINE KEEPS BILLING: try 200 to end it did not work" in said
    assert "its-own-key" not in said


def test_without_its_key_a_pod_is_refused_at_the_start(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)

    missing = json.loads(daemon("check", "api", *RUNPOD["lease_api"]["variables"]).stdout)["missing"]

    assert "RUNPOD_API_KEY" in missing


@pytest.mark.enable_socket
@pytest.mark.parametrize("pod", ["", 'x"}) { id }', "../other", "x?y=1", "two words"])
def test_a_variable_that_would_change_a_request_is_not_sent(
    lease: Any, runpod: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pod: str
) -> None:
    server = runpod([])
    monkeypatch.setenv("RUNPOD_POD_ID", pod)

    end(lease, monkeypatch)

    assert server.asked == []
    assert "RUNPOD_POD_ID" in capsys.readouterr().out


def test_without_roots_word_a_machine_that_has_to_power_off_is_refused(
    lease: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = subprocess.CompletedProcess([], 1, "", "sudo: a password is required\n")
    monkeypatch.setattr(lease.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(lease.subprocess, "run", lambda *_, **__: refused)

    lease.check(lease.Folder(str(tmp_path)), "shutdown")
    shutdown = json.loads(capsys.readouterr().out)
    lease.check(lease.Folder(str(tmp_path)), "none")
    none = json.loads(capsys.readouterr().out)

    assert shutdown == {"missing": "sudo: a password is required", "has_systemd": False}
    assert none == {"missing": "", "has_systemd": False}


def test_a_machine_that_ignores_the_word_gets_a_stronger_one(lease: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[str]] = []
    monkeypatch.setattr(lease.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(
        lease.subprocess, "run", lambda argv, **_: said.append(argv) or subprocess.CompletedProcess(argv, 0)
    )

    waits = end(lease, monkeypatch, "shutdown", ignores_us=True)

    assert [argv for argv in said if "systemd-run" not in argv][:4] == [
        ["sudo", "-n", "systemctl", "poweroff"],
        ["sudo", "-n", "shutdown", "-h", "now"],
        ["sudo", "-n", "poweroff", "-f"],
        ["sudo", "-n", "systemctl", "poweroff"],
    ]
    assert set(waits) == {lease.STILL_HERE_S}


def test_a_shutdown_that_hangs_is_cut_short_from_outside(lease: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[str]] = []
    monkeypatch.setattr(lease.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        lease.subprocess, "run", lambda argv, **_: said.append(argv) or subprocess.CompletedProcess(argv, 0)
    )

    end(lease, monkeypatch, "shutdown")

    last_word, shutdown = said
    assert shutdown == ["systemctl", "poweroff"]
    assert last_word[0] == "systemd-run"
    assert "--property=DefaultDependencies=no" in last_word  # else the shutdown that hangs would stop it first
    assert last_word[-3:] == ["sh", "-c", "sleep 300; exec systemctl --force --force poweroff"]


def test_where_there_is_no_systemd_the_machine_is_shut_down_all_the_same(
    lease: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if argv[0] == "systemd-run":
            raise FileNotFoundError(argv[0])
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(lease.os, "geteuid", lambda: 0)
    monkeypatch.setattr(lease.subprocess, "run", run)

    assert end(lease, monkeypatch, "shutdown") == [lease.STILL_HERE_S]


def say(folder: Path, text: str) -> Any:
    """Say a word to the lease as the runner does, and return the answer."""
    done = subprocess.run(["sh", str(folder / "lease" / "say"), text], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_word_renews_and_says_that_somebody_listens(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    daemon("ensure")

    assert say(tmp_path, "renew 7") == {"was_running": True, "runs": True, "written": True, "over": None}
    wait_for(lambda: (json.loads(daemon("status").stdout)["state"] or {}).get("beat") == "renew 7")


def test_a_word_to_a_dead_daemon_starts_it_again(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    daemon("ensure")
    os.kill(json.loads(daemon("status").stdout)["pid"], signal.SIGKILL)
    wait_for(lambda: json.loads(daemon("status").stdout)["pid"] is None)

    assert say(tmp_path, "renew 8") == {"was_running": False, "runs": True, "written": True, "over": None}
    assert json.loads(daemon("status").stdout)["running"]


def test_a_word_to_a_daemon_that_cannot_start_says_so(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())
    (tmp_path / "lease" / "pid").touch()
    (tmp_path / "lease" / "settings.json").unlink()
    (tmp_path / "lease" / "settings.copy.json").unlink()

    assert say(tmp_path, "renew 9") == {"was_running": False, "runs": False, "written": True, "over": None}


def test_before_its_role_has_started_it_nobody_else_starts_the_daemon(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=settings())

    assert say(tmp_path, "renew 1") == {"was_running": None, "runs": False, "written": True, "over": None}
    assert json.loads(daemon("status").stdout)["pid"] is None


def test_a_daemon_of_systemds_gets_the_time_to_come_back(
    lease: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lease.Folder(str(tmp_path))
    pids = iter([None, None, 7])
    monkeypatch.setattr(lease, "running_pid", lambda _: next(pids))
    monkeypatch.setattr(lease.time, "sleep", lambda _: None)

    assert lease.is_running_soon(folder)


@pytest.fixture
def memory(lease: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the machine's memory."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(lease, "MEMORY", folder)
    return folder


def fill_disk(folder: Path) -> None:
    """Let the disk take no new content: where a part would be written, there is a folder."""
    for name in ("beat", "state.json", "ended.json"):
        (folder / "lease" / f".{name}.part").mkdir(parents=True)


def test_a_word_that_a_full_disk_does_not_take_renews_all_the_same(lease: Any, memory: Path, tmp_path: Path) -> None:
    folder = lease.Folder(str(tmp_path / "box"))
    folder.write_text("beat", "renew 1")
    fill_disk(tmp_path / "box")

    assert folder.write_text("beat", "renew 2")
    assert folder.read_beat() == "renew 2"
    folder.write("state.json", {"left_s": 5})
    assert lease.Folder(str(tmp_path / "box")).read("state.json") == {"left_s": 5}


def test_once_the_disk_has_room_again_it_has_the_last_word(lease: Any, memory: Path, tmp_path: Path) -> None:
    folder = lease.Folder(str(tmp_path / "box"))
    fill_disk(tmp_path / "box")
    folder.write_text("beat", "renew 1")
    (tmp_path / "box" / "lease" / ".beat.part").rmdir()

    folder.write_text("beat", "renew 2")

    assert (tmp_path / "box" / "lease" / "beat").read_text() == "renew 2"
    assert (folder.read_beat(), list(folder.spare.iterdir())) == ("renew 2", [])


def test_what_another_user_has_put_into_memory_is_not_read(lease: Any, memory: Path, tmp_path: Path) -> None:
    folder = lease.Folder(str(tmp_path / "box"))
    folder.write_text("beat", "renew 1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "beat").write_text("hold 2")
    folder.spare.symlink_to(tmp_path / "elsewhere")
    fill_disk(tmp_path / "box")

    assert folder.read_beat() == "renew 1"
    assert not folder.write_text("beat", "renew 3")
    assert (tmp_path / "elsewhere" / "beat").read_text() == "hold 2"


def test_a_machine_with_a_full_disk_ends_when_its_runner_is_gone(daemon: Any, tmp_path: Path) -> None:
    daemon("settle", given=ending(tmp_path, ttl_s=0.5))
    fill_disk(tmp_path)
    daemon("ensure")

    wait_for(lambda: "end" in story(tmp_path))

    assert story(tmp_path) == ["stop", "end"]
