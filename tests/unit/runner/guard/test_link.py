"""A real guard beside a stand-in of the runner: what it survives, and what it is handed; the cloud is in here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import uvicorn

from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.errors import ToolError
from runner.guard.link import start_guard
from runner.guard.place import end_guard, living_guard
from runner.guard.words import Facts, Receivers, line_of
from runner.run.run_dir import PROJECT
from runner.world import RealWorld
from tests.unit.runner.adapters.notices.receivers import WebServer, serving
from tests.unit.runner.conftest import WAIT_S, wait_until
from tests.unit.runner.emulation.emulated import HandClock, Lab
from tests.unit.runner.fake_cloud import RUN_ID

KEEPS = "import json, os, sys; open(sys.argv[1], 'a').write(json.dumps(dict(os.environ)) + chr(10))"
RUNNER = """
import json, sys, time
from pathlib import Path
from runner.guard.link import start_guard
from runner.guard.words import facts_in
from runner.world import RealWorld

facts = facts_in(json.loads(sys.argv[1]))
guard = start_guard(facts, RealWorld(), Path(sys.argv[2]))
print("watching", flush=True)
time.sleep(3600)
"""
LATE_IMPORTS = """
import sys
from runner.guard.__main__ import make_guard
from runner.world import RealWorld

class Late:
    found = []
    def find_spec(self, name, path=None, target=None):
        self.found.append(name)

guard = make_guard(RealWorld())
sys.meta_path.insert(0, Late())
print(guard.watch())
print([name for name in Late.found if name.split(".")[0] not in sys.stdlib_module_names])
"""


class RealClock(HandClock):
    """The time of day."""

    def __call__(self) -> float:
        return time.time()


@dataclass
class Scene:
    """An emulated cloud at an address, with a machine of the run, and what a runner knows of it."""

    folder: Path
    lab: Lab
    endpoint: str

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DOUSE_CACHE": str(self.folder / "cache"),
            "LAMBDA_API_KEY": REHEARSAL_KEY,
            "DOUSE_LAMBDA_ENDPOINT": self.endpoint,
            "DOUSE_LAMBDA_PACE_S": "0",
            "DOUSE_PATIENCE": "0.001",
        }

    @property
    def world(self) -> RealWorld:
        return RealWorld(self.environ)

    @property
    def log(self) -> Path:
        return self.folder / "guard.log"

    def facts(self, lease_s: float = 3600.0, receivers: Receivers | None = None) -> Facts:
        folder = str(self.folder / "runs" / RUN_ID)
        return Facts(RUN_ID, "lambda", folder, lease_s, 0.0, 36000.0, self.endpoint, receivers)

    def receivers(self, *urls: str, **variables: str) -> Receivers:
        """Return addresses, and a program that keeps the variables of each notice."""
        keeps = [sys.executable, "-c", KEEPS, str(self.folder / "kept")]
        return Receivers(list(urls), ["terminated", "failed"], keeps, str(self.folder), variables)

    def kept(self) -> list[dict[str, str]]:
        """Return the variables of the notices that have come so far."""
        try:
            return [json.loads(line) for line in (self.folder / "kept").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def has_guard(self) -> bool:
        return living_guard(RUN_ID, self.world) is not None


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    lab = Lab(clock=RealClock())
    app = lab.services["lambda"].asgi
    assert app is not None
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = Scene(tmp_path, lab, f"http://127.0.0.1:{port}/api/v1")
    (tmp_path / "runs" / RUN_ID / "logs").mkdir(parents=True)
    yield found
    end_guard(RUN_ID, found.world, ends_itself=False)
    server.should_exit = True
    thread.join(WAIT_S)


@contextlib.contextmanager
def runner_in(code: Path, scene: Scene, lease_s: float) -> Iterator[subprocess.Popen[str]]:
    """Start a stand-in of the runner that has a guard, and come back once that watches."""
    argv = [sys.executable, "-c", RUNNER, line_of("facts", scene.facts(lease_s)).decode(), str(scene.log)]
    with subprocess.Popen(argv, cwd=code, env=scene.environ, stdout=subprocess.PIPE, text=True) as runner:
        try:
            assert runner.stdout is not None
            assert runner.stdout.readline() == "watching\n", scene.log.read_text()
            yield runner
        finally:
            runner.kill()


def kill_tree(pid: int) -> None:
    """Kill a process with all that it has started."""
    root = psutil.Process(pid)
    for process in [*root.children(recursive=True), root]:
        process.kill()


def test_the_machine_goes_though_runner_runs_and_code_are_gone(scene: Scene) -> None:
    machine = scene.lab.launched()
    code = scene.folder / "code"
    for name in ("runner", "trainer"):
        shutil.copytree(PROJECT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))

    with runner_in(code, scene, lease_s=1.0) as runner:
        shutil.rmtree(code)
        shutil.rmtree(scene.folder / "runs")
        kill_tree(runner.pid)

    wait_until(lambda: scene.lab.billing() == [])
    wait_until(lambda: not scene.has_guard())
    requests = scene.lab.control.get("/requests").json()["requests"]
    assert [entry["path"] for entry in requests if machine in str(entry)][-1].endswith("/instance-operations/terminate")
    assert not (scene.folder / "runs").exists()


def test_nothing_is_imported_once_it_watches(scene: Scene) -> None:
    """A virtual environment that is removed under it takes nothing from it."""
    scene.lab.launched()

    done = subprocess.run(
        [sys.executable, "-c", LATE_IMPORTS],
        input=line_of("facts", scene.facts(0.1, scene.receivers())).decode(),
        cwd=PROJECT,
        env=scene.environ,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )

    assert done.stderr == ""
    over, late = done.stdout.splitlines()
    assert "shows nothing of the run" in over
    assert late == "[]"
    assert len(scene.kept()) == 2


def test_people_hear_of_it_with_their_own_secrets_alone_and_one_who_hangs_delays_no_end(scene: Scene) -> None:
    scene.lab.launched()

    with WebServer() as server, serving(server):
        receivers = scene.receivers(f"json://{server.place}/${{HOOK}}", HOOK="silent")
        guard = start_guard(scene.facts(0.5, receivers), scene.world, scene.log)
        process = psutil.Process(living_guard(RUN_ID, scene.world) or 0)
        environ = process.environ()
        guard.end()
        wait_until(lambda: len(scene.kept()) == 2)
        assert scene.lab.billing() == []
        assert scene.has_guard(), "it waits for who hangs, with nothing left to terminate"

    assert [one["DOUSE_NOTICE_EVENT"] for one in scene.kept()] == ["terminated", "failed"]
    assert all(one["HOOK"] == "silent" for one in scene.kept())
    assert not any("LAMBDA_API_KEY" in one for one in scene.kept())
    assert "HOOK" not in environ
    assert {path for path, _ in server.got} == {"/silent"}


def test_a_living_runner_has_its_machine_and_its_guard(scene: Scene) -> None:
    scene.lab.launched()

    with runner_in(PROJECT, scene, lease_s=3600.0):
        assert scene.has_guard()
        assert len(scene.lab.billing()) == 1


def test_a_second_guard_takes_over_and_the_first_ends(scene: Scene) -> None:
    first = start_guard(scene.facts(), scene.world, scene.log)
    before = living_guard(RUN_ID, scene.world)
    second = start_guard(scene.facts(), scene.world, scene.log)
    after = living_guard(RUN_ID, scene.world)

    assert before
    assert after
    assert before != after
    wait_until(lambda: not psutil.pid_exists(before) or psutil.Process(before).status() == psutil.STATUS_ZOMBIE)
    assert (first.say(line_of("alive")), second.say(line_of("alive"))) == (False, True)
    first.end()
    second.end()


def test_one_whose_run_is_over_ends_at_once(scene: Scene) -> None:
    guard = start_guard(scene.facts(), scene.world, scene.log)

    guard.say(line_of("over"))

    wait_until(lambda: not scene.has_guard())
    assert "nothing is left" in (scene.folder / "runs" / RUN_ID / "guard.json").read_text()
    guard.end()


def test_its_key_is_on_no_command_line_and_no_other_secret_goes_along(scene: Scene) -> None:
    others = {"HF_TOKEN": "hub", "AWS_SECRET_ACCESS_KEY": "aws", "RUNPOD_API_KEY": "pod", "MY_PASSWORD": "mine"}
    guard = start_guard(scene.facts(), RealWorld(scene.environ | others), scene.log)

    process = psutil.Process(living_guard(RUN_ID, scene.world) or 0)

    assert process.cmdline()[1:] == ["-m", "runner.guard", RUN_ID]
    assert process.environ()["LAMBDA_API_KEY"] == REHEARSAL_KEY
    assert not others.keys() & process.environ().keys()
    assert not any(REHEARSAL_KEY in path.read_text() for path in scene.folder.rglob("*") if path.is_file())
    guard.end()


def test_it_is_no_child_of_its_runner_and_holds_no_folder(scene: Scene) -> None:
    guard = start_guard(scene.facts(), scene.world, scene.log)

    process = psutil.Process(living_guard(RUN_ID, scene.world) or 0)

    assert process.pid not in [child.pid for child in psutil.Process().children(recursive=True)]
    assert os.getsid(process.pid) != os.getsid(0)
    assert process.cwd() == "/"
    guard.end()


def test_one_that_cannot_start_says_why(scene: Scene) -> None:
    without_key = {name: value for name, value in scene.environ.items() if name != "LAMBDA_API_KEY"}

    with pytest.raises(ToolError, match="did not start: lambda: there is no API key"):
        start_guard(scene.facts(), RealWorld(without_key), scene.log)


def test_one_that_gives_no_answer_did_not_start(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))

    with pytest.raises(ToolError, match="did not start: it gave no answer; see"):
        start_guard(scene.facts(), scene.world, scene.log)
