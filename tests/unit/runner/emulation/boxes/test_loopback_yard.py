"""The yard for whoever may not make namespaces: logins on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runner.emulation.boxes import loopback_yard
from runner.emulation.boxes.address import BoxOrder
from runner.emulation.boxes.host import BoxError, below
from runner.emulation.boxes.loopback_yard import LoopbackYard, why_no_logins
from runner.emulation.boxes.user_data import UserData
from runner.errors import UsageError
from tests.unit.runner.emulation.boxes.boxes_login import Login, answers, wait_until
from trainer.files import cache_folder


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
    assert address.host.startswith("127.")


def test_boxes_have_an_address_each_and_one_port(yard: LoopbackYard, login: Login, tmp_path: Path) -> None:
    order = BoxOrder("vm", "ubuntu", [login.public], UserData())

    first, second = yard.boot("one", order), yard.boot("two", order)
    wait_until(lambda: answers(first) and answers(second), "a start")

    assert (first.user, first.port) == (second.user, second.port) == yard.login
    assert first.host != second.host
    assert [login(first, "echo $HOME").stdout, login(second, "echo $HOME").stdout] == [
        f"{tmp_path}/yard/boxes/{name}/home\n" for name in ("one", "two")
    ]


def test_a_machine_with_one_address_has_one_machine_at_a_time(
    yard: LoopbackYard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    order = BoxOrder("vm", "ubuntu", [], UserData())
    address = yard.boot("one", order)

    with pytest.raises(BoxError, match="one such box at a time"):
        yard.boot("two", order)

    pod = yard.boot("pod", BoxOrder("pod", "root", [], UserData()))
    assert (address.host, pod.host) == ("127.0.0.1", "127.0.0.1")
    assert address.port == yard.login[1] != pod.port


def test_a_login_changes_nothing_of_this_machine(yard: LoopbackYard, login: Login) -> None:
    address = yard.boot("one", BoxOrder("vm", "ubuntu", [login.public], UserData()))
    wait_until(lambda: answers(address), "a start")

    said = login(address, "sudo -n id; dpkg-query --show --showformat '${db:Status-Status}' python3-venv nothing-such")

    assert (said.stdout, said.stderr) == (
        "installed\ninstalled\n",
        "sudo: a box that is only a login has no root\n",
    )


def test_a_login_has_the_package_cache_and_the_settings_that_packages_are_found_by(
    yard: LoopbackYard, login: Login, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_RETRIES", "7")
    monkeypatch.setenv("SOMETHING_ELSE", "8")

    address = yard.boot("one", BoxOrder("vm", "ubuntu", [login.public], UserData()))
    wait_until(lambda: answers(address), "a start")

    said = login(address, 'readlink -f ~/.cache/douse; echo "$PIP_RETRIES $SOMETHING_ELSE"')
    assert said.stdout == f"{cache_folder().resolve()}\n7 \n"


def test_there_are_no_logins_without_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback_yard, "search_path", lambda: "/nowhere")

    assert why_no_logins() == "there is no sshd here: install openssh-server"


@pytest.mark.parametrize(
    ("user", "has_systemd", "reason"),
    [(0, True, "a login as root would set up services on this very machine"), (0, False, None), (1000, True, None)],
)
def test_root_gets_no_logins_where_services_could_be_set_up(
    user: int, has_systemd: bool, reason: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr(loopback_yard, "SYSTEMD", tmp_path if has_systemd else tmp_path / "none")

    assert why_no_logins() == reason


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


def test_a_killed_box_ends_the_sessions_that_nobody_uses_any_more(
    yard: LoopbackYard, login: Login, tmp_path: Path
) -> None:
    address = yard.boot("one", BoxOrder("vm", "ubuntu", [login.public], UserData()))
    wait_until(lambda: answers(address), "a start")
    held = socket.create_connection((address.host, address.port), timeout=10)
    held.recv(100)  # a session has begun
    (listener,) = (p for p in psutil.process_iter() if f"{tmp_path}/yard/boxes/one/sshd_config" in _argv(p))
    sessions = below(listener.pid)
    assert sessions

    yard.kill("one")

    wait_until(lambda: not any(_is_alive(one) for one in sessions), "the end of the session")
    held.close()


def test_what_needs_a_network_of_its_own_is_refused_with_the_reason(yard: LoopbackYard) -> None:
    with pytest.raises(UsageError) as caught:
        yard.partition("one", True)

    assert caught.value.message == (
        "boxes: cutting a box off the network needs a real box, and one is none: "
        "making network namespaces and mounts needs root"
    )
    assert caught.value.resolution == "rehearse as root on Linux, or leave this fault out"


def _argv(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _is_running(pid: str) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
