"""The watch that a container is started with: what it does with a machine that is never set up, and with a lease."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.playbooks.conftest import LEASE, RUNPOD, load

PROGRAM = LEASE.with_name("douse_boot.py")
TTL_S = 3300.0


class OverError(BaseException):
    """Ends a watch that would go on for ever."""


class Life:
    """A clock that goes on with each sleep, and what the watch asks and starts meanwhile."""

    def __init__(self, watch: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, ends_s: float) -> None:
        self.now, self.folder, self.ends_s = 1000.0, folder, ends_s
        self.asked: list[tuple[float, str, str, str | None]] = []
        self.started: list[float] = []
        self.lease_status, self.refusals = 0, 0
        monkeypatch.setattr(watch, "clock", lambda: self.now)
        monkeypatch.setattr(watch.time, "time", lambda: 1e9 + self.now)
        monkeypatch.setattr(watch.time, "sleep", self._sleep)
        monkeypatch.setattr(watch.urllib.request, "urlopen", self._ask)
        monkeypatch.setattr(watch.subprocess, "run", self._start)
        monkeypatch.setattr(watch.sys, "argv", [str(PROGRAM), str(folder)])
        monkeypatch.setenv("RUNPOD_API_KEY", "its-own-key")
        monkeypatch.setenv("RUNPOD_POD_ID", "pod1")
        monkeypatch.setenv("DOUSE_RUNPOD_ENDPOINT", "http://127.0.0.1:1/v2")
        (folder / "settings.json").write_text(json.dumps({"ttl_s": TTL_S, "api": RUNPOD["lease_api"]}))

    def set_up(self, prefix: str = "/srv/runs/one") -> None:
        (self.folder / "lease").write_text(prefix)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now - 1000.0 >= self.ends_s:
            raise OverError

    def _ask(self, request: Any, timeout: float) -> Any:
        body = None if request.data is None else request.data.decode()
        self.asked.append((self.now - 1000.0, request.get_method(), request.full_url, body))
        assert request.get_header("Authorization") == "Bearer its-own-key"
        raise OSError("refused")

    def _start(self, argv: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        assert argv[1:] == ["/srv/runs/one/lease/douse_lease.py", "ensure", "/srv/runs/one"]
        self.started.append(self.now - 1000.0)
        return subprocess.CompletedProcess(argv, self.lease_status, b"unchanged\n", b"")


@pytest.fixture
def watch() -> ModuleType:
    return load(PROGRAM)


def live(watch: ModuleType) -> None:
    with pytest.raises(OverError):
        watch.main()


def test_a_machine_that_is_never_set_up_is_ended_and_asked_for_ever(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=TTL_S + 20_000)

    live(watch)

    assert TTL_S <= life.asked[0][0] <= TTL_S + watch.POLL_S
    assert len(life.asked) == 2000
    ways = {(method, url, body) for _, method, url, body in life.asked}
    assert ("DELETE", "http://127.0.0.1:1/v2/pods/pod1", None) in ways
    assert ("POST", "http://127.0.0.1:1/v2/pods/pod1/action", '{"action": "terminate"}') in ways
    assert len(ways) == 3


def test_a_container_that_is_started_again_gets_no_new_time(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=2000)
    live(watch)
    life.ends_s = TTL_S + 100

    live(watch)

    assert TTL_S <= life.asked[0][0] <= TTL_S + watch.POLL_S


@pytest.mark.parametrize("text", ["", "x", "nan", "1e30"])
def test_a_damaged_note_of_the_end_keeps_no_machine(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=TTL_S + 100)
    (tmp_path / "ends").write_text(text)

    live(watch)

    assert TTL_S <= life.asked[0][0] <= TTL_S + watch.POLL_S


def test_a_full_disk_keeps_nobody_from_watching(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=TTL_S + 100)
    (tmp_path / "ends").mkdir()

    live(watch)

    assert life.asked


def test_a_machine_with_a_lease_is_left_alone_and_its_lease_is_kept_running(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=10 * TTL_S)
    life.set_up()

    live(watch)

    assert life.asked == []
    assert life.started[:3] == [0.0, 10.0, 20.0]


def test_a_container_that_is_started_again_long_after_it_was_set_up_has_time_to_start_its_lease(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=10 * TTL_S)
    life.set_up()
    live(watch)
    life.lease_status, life.ends_s = 1, 11 * TTL_S + 100

    live(watch)

    assert life.asked[0][0] >= 11 * TTL_S - watch.POLL_S


def test_a_machine_whose_lease_does_not_start_any_more_is_ended(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=TTL_S + 100)
    life.set_up()
    life.lease_status = 1

    live(watch)

    assert life.asked[0][0] >= TTL_S


@pytest.mark.parametrize("pod", ["", 'x"}) { id }', "x?y=1", "two words"])
def test_a_variable_that_would_change_a_request_is_not_sent(
    watch: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pod: str
) -> None:
    life = Life(watch, monkeypatch, tmp_path, ends_s=TTL_S + 100)
    monkeypatch.setenv("RUNPOD_POD_ID", pod)

    live(watch)

    assert life.asked == []


def test_it_starts_a_real_lease_that_was_killed(tmp_path: Path, watch: ModuleType) -> None:
    prefix = tmp_path / "run"
    (prefix / "lease").mkdir(parents=True)
    (prefix / "lease" / "douse_lease.py").write_bytes(LEASE.read_bytes())
    settings = {
        "method": "none", "api": {}, "ttl_s": 100.0, "hard_end_s": 3600.0, "idle_s": 600.0, "grace_s": 5.0,
        "upload_timeout_s": 5.0, "trainer_stop": [], "end_command": [],
    }  # fmt: skip
    own = [sys.executable, str(prefix / "lease" / "douse_lease.py")]
    subprocess.run([*own, "settle", str(prefix)], input=json.dumps(settings), text=True, check=True, timeout=60)
    (tmp_path / "lease").write_text(f"{prefix}\n")

    assert not watch.keeps_lease(tmp_path / "nothing")
    assert watch.keeps_lease(tmp_path)
    pid = int((prefix / "lease" / "pid").read_text())
    try:
        assert Path(f"/proc/{pid}").exists()
    finally:
        os.kill(pid, 9)


def test_it_reads_as_python_3_8() -> None:
    ast.parse(PROGRAM.read_text(), feature_version=(3, 8))
