"""The user of a rehearsal: the verbs that are given, the faults of the runner and of the user's own machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters import process
from runner.adapters.stop import Stop
from runner.cli.parser import make_parser
from runner.cli.terminal import SilentView
from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY
from runner.guard.place import living_guard, only_guard
from runner.rehearsal import blows, user
from runner.rehearsal.faults import RUNNER_ACTIONS, parse_faults
from runner.rehearsal.home import damage, in_another_shell, lose_guard, write_as_a_later_version
from runner.rehearsal.user import User
from runner.run.run_dir import RunDir, create_run, read_json, write_json
from runner.world import RealWorld

WAIT_S = 240.0


class Ended:
    """A program that has ended already."""

    pid = 1

    def poll(self) -> int:
        return 0

    def kill(self) -> int:
        return 0


PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path

verb, runs = sys.argv[1], Path(sys.argv[sys.argv.index("--runs-dir") + 1])
heard = runs.parent / "heard"
if verb != "train":
    with heard.open("a") as file:
        file.write(verb + " " + os.environ.get("LAMBDA_API_KEY", "no key") + "\\n")
    raise SystemExit(int(os.environ["STATUS"]))

def hang_up(*_):
    heard.write_text("SIGHUP")
    os._exit(5)

signal.signal(signal.SIGHUP, hang_up)
run = runs / "20261128-120000-tiny"
run.mkdir(parents=True)
(run / "config.json").write_text("{}")
(run / "state.json").write_text(json.dumps({"steps": {os.environ["STEP"]: {"status": "running"}}}))
while run.exists():
    try:
        print("tick", flush=True)
    except OSError:
        heard.write_text("a dead pipe")
        os._exit(6)
    time.sleep(0.05)
os._exit(7)
"""
"""A runner that is in one step until something happens to it."""


class Listening:
    """Emulated clouds that take everything, with a machine that bills or not."""

    def __init__(self, folder: Path, *, bills: bool = False, **environ: str) -> None:
        self.folder, self.bills, self._environ = folder, bills, environ
        self.sent: list[str] = []
        self.cloud = "lambda"

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder), "LAMBDA_API_KEY": REHEARSAL_KEY, **self._environ}

    def other_account(self) -> dict[str, str]:
        return {"LAMBDA_API_KEY": OTHER_KEY}

    def ask(self, path: str) -> dict[str, Any]:
        return {path[1:]: [{"id": "i-1", "cloud": "lambda", "is_billing": self.bills}] if path == "/machines" else []}

    def send(self, path: str, body: dict[str, Any]) -> None:
        """Take it."""
        self.sent.append(path)


@pytest.mark.parametrize(
    ("verb", "says_yes"), [("train", True), ("rebuild", True), ("resume", True), ("down", False), ("watch", False)]
)
def test_a_rehearsal_says_yes_to_what_rents_for_there_is_no_terminal(
    verb: str, says_yes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def start(argv: list[str], *, log: Path, **options: object) -> Ended:
        log.touch()
        started.append(argv)
        return Ended()

    monkeypatch.setattr(user.process, "start", start)

    assert User("runner", Listening(tmp_path), SilentView(), Stop(RealWorld())).run(verb, []) == 0  # type: ignore[arg-type]

    (argv,) = started
    assert make_parser().parse_args(argv[3:]).verb == verb
    assert ("--yes" in argv) is says_yes


def acting(folder: Path, faults: str, *, bills: bool = False, **environ: str) -> tuple[User, int]:
    """Let a runner that is in a step meet its faults; return the user and the exit status."""
    (folder / "fake_runner.py").write_text(PROGRAM)
    _, of_the_runner, at_home = parse_faults(faults)
    clouds = Listening(folder, bills=bills, **environ)
    one = User("fake_runner", clouds, SilentView(), Stop(RealWorld()), at_home)  # type: ignore[arg-type]
    return one, one.run("train", [], of_the_runner)


@pytest.mark.parametrize(
    ("fault", "step", "status", "heard"),
    [
        ("kill_runner@configure", "configure", -9, None),
        ("terminal_closed@configure", "configure", 5, "SIGHUP"),
        ("stdout_gone@configure", "configure", 6, "a dead pipe"),
        ("runs_deleted@stage", "stage", 7, None),
        ("kill_runner@boot", "provision", -9, None),
        ("sighup@collect", "collect", 5, "SIGHUP"),
    ],
)
def test_what_happens_to_a_runner_in_a_step(
    fault: str, step: str, status: int, heard: str | None, tmp_path: Path
) -> None:
    one, found = acting(tmp_path, fault, bills=True, STEP=step)

    assert (found, one.fired) == (status, [fault])
    assert ((tmp_path / "heard").read_text() if heard else None) == heard


def test_a_runner_that_is_stopped_lives_until_the_rehearsal_is_over(tmp_path: Path) -> None:
    one, status = acting(tmp_path, "runner_stopped@configure", STEP="configure")
    (child,) = one._stopped

    assert status == -signal.SIGSTOP
    assert child.poll() is None
    one.close()
    assert child.poll() == -9


def test_a_boot_begins_when_a_machine_bills(tmp_path: Path) -> None:
    one, _ = acting(tmp_path, "runs_deleted@provision,kill_runner@boot", STEP="provision")

    assert one.fired == ["runs_deleted@provision"]


def test_terraform_alone_is_struck(tmp_path: Path) -> None:
    program = tmp_path / "terraform"
    shutil.copy("/bin/sleep", program)
    code = f"import subprocess, sys; sys.exit(subprocess.run([{str(program)!r}, '300']).returncode == -9)"
    child = process.start([sys.executable, "-c", code], log=tmp_path / "log")
    deadline = time.monotonic() + WAIT_S
    try:
        while not blows.strike(child.pid, RUNNER_ACTIONS["kill_terraform"]):
            assert time.monotonic() < deadline

        assert child.wait(WAIT_S) == 1, "it has seen its Terraform die, and lives"
    finally:
        child.kill()


LEASE = """
import sys

sys.stdin.read()
"""
"""A lease's daemon by its name and its words, and by nothing else."""


def test_the_lease_of_the_run_is_killed_and_no_other(tmp_path: Path) -> None:
    program = tmp_path / "lease" / "douse_lease.py"
    program.parent.mkdir()
    program.write_text(LEASE)
    keeping = {}
    for run_id in ("20261128-120000-tiny-k1y5", "20261128-120000-tiny-zzzz"):
        (tmp_path / run_id).mkdir()
        keeping[run_id] = subprocess.Popen(
            [sys.executable, str(program), "run", str(tmp_path / run_id)], stdin=subprocess.PIPE
        )
    killed, spared = keeping.values()
    try:
        assert not blows.kill_lease("20261128-120000-other-k1y5")
        deadline = time.monotonic() + WAIT_S
        while not blows.kill_lease("20261128-120000-tiny-k1y5"):
            assert time.monotonic() < deadline

        assert killed.wait(WAIT_S) == -9
        assert spared.poll() is None
    finally:
        for child in keeping.values():
            child.kill()
            child.communicate(timeout=WAIT_S)


@pytest.mark.parametrize(("verb", "detaches"), [("train", True), ("down", False), ("sweep", False)])
def test_whoever_leaves_a_run_alone_says_so_when_it_begins(
    verb: str, detaches: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def start(argv: list[str], *, log: Path, **options: object) -> Ended:
        log.touch()
        started.append(argv)
        return Ended()

    monkeypatch.setattr(user.process, "start", start)
    one = User("runner", Listening(tmp_path), SilentView(), Stop(RealWorld()), parse_faults("detached_and_done")[2])  # type: ignore[arg-type]
    one.run(verb, [])

    assert ("--detach" in started[0]) is detaches
    assert (one.is_left_up, one.fired) == (True, ["detached_and_done"])


@pytest.mark.parametrize(
    ("fault", "verb", "keys"),
    [
        ("no_key@down", "down", ["no key", REHEARSAL_KEY]),
        ("other_account@sweep", "sweep", [OTHER_KEY, REHEARSAL_KEY]),
        ("other_version@resume", "resume", [REHEARSAL_KEY]),
    ],
)
def test_a_verb_is_given_as_the_fault_has_it_and_then_as_it_should_be(
    fault: str, verb: str, keys: list[str], tmp_path: Path
) -> None:
    one, _ = acting(tmp_path, f"kill_runner@stage,{fault}", STEP="stage", STATUS="0")

    assert one.after_the_kill(-9, [verb]) == 0
    assert (tmp_path / "heard").read_text().splitlines() == [f"{verb} {key}" for key in keys]
    assert one.fired == ["kill_runner@stage", fault]
    assert one.broken == []


@pytest.mark.parametrize("status", [0, 1, 2, 3])
@pytest.mark.parametrize("fault", ["no_key@down", "no_key@sweep", "no_key@status"])
def test_what_bills_after_a_verb_has_to_be_said_by_its_status(
    fault: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "AFTER_THE_LEASE_S", -1.0)
    one, _ = acting(tmp_path, f"kill_runner@stage,{fault}", bills=True, STEP="stage", STATUS=str(status))
    verb = fault.partition("@")[2]

    one.after_the_kill(-9, [verb])

    said = f"something still bills after {verb} with exit status {status}"
    assert one.broken == ([] if status == 3 else [said, said] if verb == "down" else [said])


def test_a_twin_begins_when_the_first_run_provisions(tmp_path: Path) -> None:
    begun: list[str] = []

    class Beginning:
        def begin(self, first: RunDir) -> bool:
            begun.append(first.run_id)
            (tmp_path / "runs" / first.run_id / "config.json").unlink()
            shutil.rmtree(tmp_path / "runs" / first.run_id)
            return True

    (tmp_path / "fake_runner.py").write_text(PROGRAM)
    clouds = Listening(tmp_path, STEP="provision")
    one = User("fake_runner", clouds, SilentView(), Stop(RealWorld()), twin=Beginning())  # type: ignore[arg-type]

    one.run("train", [], parse_faults("same_second_twins")[1])

    assert (begun, one.fired) == (["20261128-120000-tiny"], ["same_second_twins"])


def test_what_is_stuck_is_a_run_on_another_cloud_whose_machine_stays(tmp_path: Path) -> None:
    (tmp_path / "fake_runner.py").write_text(PROGRAM)
    clouds = Listening(tmp_path, bills=True, STEP="train")
    one = User("fake_runner", clouds, SilentView(), Stop(RealWorld()))  # type: ignore[arg-type]
    sent: list[dict[str, Any]] = []
    clouds.send = lambda path, body: sent.append(dict(body))  # type: ignore[method-assign]
    (tmp_path / "runs" / "20261128-120000-tiny").mkdir(parents=True)
    events = tmp_path / "runs" / "20261128-120000-tiny" / "events.jsonl"
    events.write_text('{"event": "step", "step": 1}\n')
    (tmp_path / "fake_runner.py").write_text(PROGRAM.replace("run.mkdir(parents=True)", "run.mkdir(exist_ok=True)"))

    one.leave_stuck("runpod", ["--env", "runpod"])

    assert one.fired == ["stuck_thing"]
    assert sent[-1] == {"name": "terminate_ignored", "count": "always", "args": {"cloud": "runpod"}}
    assert one._latest() == [], "the run that is rehearsed is the one after it"


def test_a_machine_of_another_cloud_is_the_runs_unless_it_is_stuck_there(tmp_path: Path) -> None:
    clouds = Listening(tmp_path, bills=True)
    clouds.cloud = "runpod"
    one = User("runner", clouds, SilentView(), Stop(RealWorld()))  # type: ignore[arg-type]

    assert one._bills(), "the run may have gone on there"
    one._stuck_on = "lambda"
    assert not one._bills()


@pytest.mark.parametrize(("statuses", "sweeps"), [(["0", "0", "3"], 3), (["3"], 1)])
def test_a_schedule_sweeps_until_what_is_stuck_is_said(
    statuses: list[str], sweeps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user, "SWEEP_EVERY_S", 0.0)
    one = User("runner", Listening(tmp_path), SilentView(), Stop(RealWorld()))  # type: ignore[arg-type]
    one._stuck = ["20261128-120000-tiny"]
    given = iter(statuses)
    monkeypatch.setattr(one, "run", lambda *words, **options: int(next(given)))

    assert one._sweep_on_schedule(time.monotonic() + WAIT_S) == 3
    assert list(given) == []


@pytest.mark.parametrize("status", [0, 1])
def test_the_guard_of_before_lives_on_and_the_resume_has_to_go_well_all_the_same(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        monkeypatch.setattr(user, "lose_guard", lambda run: guard.pid)
        one, _ = acting(tmp_path, "kill_runner@stage,two_guards", STEP="stage", STATUS=str(status))

        one.after_the_kill(-9, ["resume"])

        said = f"beside the guard of before, resume ended with exit status {status}"
        assert one.broken == ([] if status == 0 else [said])
        assert one.fired == ["kill_runner@stage", "two_guards"]
        assert guard.poll() is None
        one.close()
        assert guard.wait(WAIT_S) == -9
    finally:
        guard.kill()
        guard.communicate(timeout=WAIT_S)


def test_without_a_guard_there_are_not_two(tmp_path: Path) -> None:
    one, _ = acting(tmp_path, "kill_runner@stage,two_guards", STEP="stage", STATUS="0")

    one.after_the_kill(-9, ["resume"])

    assert one.fired == ["kill_runner@stage"]


def test_a_guard_is_lost_with_its_lock(run: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = RunDir(run.path, RealWorld())

    assert lose_guard(here) is None
    with only_guard(run.run_id, here.world):
        assert lose_guard(here) == os.getpid()
        assert living_guard(run.run_id, here.world) is None


@pytest.mark.parametrize(("bills", "status", "is_broken"), [(True, 3, True), (True, 0, True), (False, 0, False)])
def test_a_down_offline_has_to_terminate_what_bills(
    bills: bool, status: int, is_broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = User("runner", Listening(tmp_path, bills=bills), SilentView(), Stop(RealWorld()))  # type: ignore[arg-type]
    monkeypatch.setattr(one, "run", lambda *words, **options: status)

    one._come_back("down", shell="lock_changed_offline")

    assert bool(one.broken) is is_broken


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 21, tzinfo=UTC), RealWorld())
    write_json(made.config, {"run": {"name": "tiny"}})
    write_json(made.file("state.json"), {"steps": {}})
    return made


@pytest.mark.parametrize(("action", "left"), [("empty", b""), ("cut", b"0123"), ("lost", None)])
def test_a_file_is_damaged_as_the_fault_has_it(action: str, left: bytes | None, run: RunDir) -> None:
    file = run.path / "host.json"
    file.write_bytes(b"01234567")
    name = f"state_file_{action}:file=host.json"

    assert damage(run, parse_faults(name)[2]) == [name]
    assert (file.read_bytes() if file.exists() else None) == left


@pytest.mark.parametrize(
    ("fault", "is_damaged"),
    [("state_file_lost", True), ("other_version@down", True), ("no_key@down", False), ("state_file_cut:file=x", False)],
)
def test_a_damaged_folder_needs_no_receipt(fault: str, is_damaged: bool, tmp_path: Path) -> None:
    one, _ = acting(tmp_path, f"kill_runner@stage,{fault}", STEP="stage", STATUS="0")
    one.after_the_kill(-9, ["down"])

    assert one.is_folder_damaged is is_damaged


def test_checkpoints_are_lost_and_nothing_else(run: RunDir) -> None:
    file = run.checkpoints / "checkpoint-3" / "weights"
    file.parent.mkdir(parents=True)
    file.write_text("w")
    others = sorted(path for path in run.path.rglob("*") if run.checkpoints not in (path, *path.parents))

    assert damage(run, parse_faults("checkpoints_lost")[2]) == ["checkpoints_lost"]
    assert sorted(run.path.rglob("*")) == others
    assert damage(run, parse_faults("checkpoints_lost")[2]) == []


def test_a_file_that_is_not_there_cannot_be_damaged(run: RunDir) -> None:
    assert damage(run, parse_faults("state_file_cut:file=host.json,no_key@down")[2]) == []


def test_a_later_version_has_keys_of_its_own_and_keeps_the_rest(run: RunDir) -> None:
    write_as_a_later_version(run)

    found = read_json(run.config) or {}
    assert found.pop("of_a_later_version") == {"format": 99}
    assert found == {"run": {"name": "tiny"}}
    assert "of_a_later_version" in (read_json(run.file("state.json")) or {})


def test_another_shell_has_no_key_or_another_one_and_nothing_else_is_different() -> None:
    environ, other = {"PATH": "/bin", "KEY": REHEARSAL_KEY}, {"KEY": OTHER_KEY}

    assert in_another_shell(environ, "no_key", other) == {"PATH": "/bin"}
    assert in_another_shell(environ, "other_account", other) == {"PATH": "/bin", "KEY": OTHER_KEY}


@pytest.mark.parametrize("damage", ["empty", "cut", "lost"])
@pytest.mark.parametrize("file", ["config.json", "state.json"])
def test_a_damaged_file_is_no_trouble_for_who_comes_back(file: str, damage: str, tmp_path: Path) -> None:
    one, _ = acting(tmp_path, f"kill_runner@stage,state_file_{damage}:file={file}", STEP="stage", STATUS="0")

    assert one.after_the_kill(-9, ["down", "resume"]) == 0


@pytest.mark.parametrize(("faults", "workspace"), [("", None), ("dirty_environment", "elsewhere")])
def test_a_dirty_environment_is_that_of_every_verb(
    faults: str, workspace: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def start(argv: list[str], *, log: Path, env: dict[str, str], **options: object) -> Ended:
        log.touch()
        seen.append(env.get("TF_WORKSPACE"))
        return Ended()

    monkeypatch.setattr(user.process, "start", start)
    one = User("runner", Listening(tmp_path), SilentView(), Stop(RealWorld()), parse_faults(faults)[2])  # type: ignore[arg-type]
    for verb in ("train", "down"):
        one.run(verb, [])

    assert seen == [workspace, workspace]
    assert one.fired == ([faults] if faults else [])
