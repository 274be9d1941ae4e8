"""The yard for whoever may not make namespaces: logins on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.rehearsal.boxes.address import BoxOrder
from runner.rehearsal.boxes.loopback_yard import LoopbackYard
from runner.rehearsal.boxes.user_data import UserData
from tests.unit.runner.rehearsal.boxes_login import Login, answers, wait_until


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[LoopbackYard]:
    yard = LoopbackYard(tmp_path / "yard", "making network namespaces and mounts needs root")
    yield yard
    yard.close()


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


def test_a_box_has_a_home_of_its_own(yard: LoopbackYard, login: Login, tmp_path: Path) -> None:
    order = BoxOrder("pod", "root", [], UserData(), {"PUBLIC_KEY": login.public, "DOUSE_RUN": "r1"})

    address = yard.boot("one", order)
    wait_until(lambda: answers(address), "a start")
    said = login(address, 'echo "$HOME"; echo "$DOUSE_RUN"')

    assert said.stdout == f"{tmp_path}/yard/boxes/one/home\nr1\n"
    assert address.host == "127.0.0.1"


def test_a_killed_box_takes_along_what_was_detached(yard: LoopbackYard, login: Login, tmp_path: Path) -> None:
    gone = threading.Event()
    order = BoxOrder("vm", "ubuntu", [login.public], UserData(), on_exit=gone.set)
    address = yard.boot("one", order)
    wait_until(lambda: answers(address), "a start")
    login(address, "setsid nohup sleep 300 > /dev/null 2>&1 < /dev/null & echo $! > ~/pid")
    pid = (tmp_path / "yard/boxes/one/home/pid").read_text().strip()

    yard.kill("one")

    wait_until(lambda: not _is_running(pid), "the end of what was detached")
    assert yard.alive() == []
    assert not gone.is_set()


def test_what_needs_a_network_of_its_own_is_refused_with_the_reason(yard: LoopbackYard) -> None:
    with pytest.raises(UsageError) as caught:
        yard.partition("one", True)

    assert caught.value.message == (
        "boxes: cutting a box off the network needs a real box, and one is none: "
        "making network namespaces and mounts needs root"
    )
    assert caught.value.resolution == "rehearse as root on Linux, or leave this fault out"


def _is_running(pid: str) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
