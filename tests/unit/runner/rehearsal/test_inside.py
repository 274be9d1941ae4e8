"""What befalls a machine that trains: who is asked to bring it about, and whether there was a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.rehearsal import blows, inside
from runner.rehearsal.inside import befall
from tests.unit.runner.conftest import wait_until

WAIT_S = 240.0


class Listening:
    """An emulated cloud that takes everything, with a machine that bills or not."""

    def __init__(self, folder: Path, *, bills: bool = True) -> None:
        self.folder = folder
        self.machines = [{"id": "i-0", "is_billing": False}, {"id": "i-1", "is_billing": bills}]
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, path: str, body: dict[str, Any]) -> None:
        self.sent.append((path, body))


def struck(action: str, cloud: Listening) -> bool:
    return befall(action, cloud, "a-run", cloud.machines)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_disk_is_filled_once_there_is_one(is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "fill_disks", lambda boxes: is_there and boxes == tmp_path / "boxes" / "boxes")

    assert struck("disk_full_on_box", Listening(tmp_path)) is is_there


@pytest.mark.parametrize(
    ("action", "sent"),
    [
        ("box_rebooted", [("/machines/i-1/restart", {})]),
        ("container_restarted", [("/machines/i-1/restart", {})]),
        ("network_lost", [("/machines/i-1/partition", {"on": True})]),
        ("network_partition", [("/machines/i-1/partition", {"on": on}) for on in (True, False)]),
    ],
)
def test_the_machine_that_bills_is_the_one_that_meets_it(
    action: str, sent: list[tuple[str, dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "PARTITION_S", 0.0)
    cloud, without = Listening(tmp_path), Listening(tmp_path, bills=False)

    assert struck(action, cloud)
    assert cloud.sent == sent
    assert not struck(action, without)
    assert without.sent == []


@pytest.mark.parametrize(
    ("name", "is_here", "is_killed"),
    [("sshd: me@notty", True, True), ("sshd: me@notty", False, False), ("sshd: sshd -D [listener] 0", True, False)],
)
def test_logins_on_the_machines_of_this_rehearsal_are_killed_and_no_others(
    name: str, is_here: bool, is_killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = blows.network_of(os.getpid())
    monkeypatch.setattr(blows, "networks_of", lambda folder: {mine} if is_here and folder == tmp_path else set())
    with subprocess.Popen(["sleep", "600"]) as other:
        login = subprocess.Popen([name, "-c", "import time; time.sleep(600)"], executable=sys.executable)
        monkeypatch.setattr(blows.psutil, "process_iter", lambda: map(blows.psutil.Process, (other.pid, login.pid)))
        try:
            wait_until(lambda: blows.psutil.Process(login.pid).cmdline() != [], WAIT_S)
            assert struck("ssh_dropped", Listening(tmp_path)) is is_killed
            wait_until(lambda: not is_killed or login.poll() is not None, WAIT_S)
            assert (login.poll() is not None, other.poll()) == (is_killed, None)
        finally:
            login.kill()
            login.wait()
            other.kill()


def test_a_process_that_has_ended_has_no_network() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert blows.network_of(ended.pid) == 0
