"""The simulated lives' SSH and Ansible, held to the real ones: what the product sees of each way to fail is the same.

The real ones are an sshd of our own on loopback and playbooks on this machine.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from runner.adapters.machine import Allowance, Machine
from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_login import Way
from runner.errors import RunnerError
from runner.run.models import Host
from runner.simulation.process import Process
from runner.simulation.programs import SimulatedTools
from runner.simulation.stage import Stage
from runner.world import RealWorld
from tests.unit.runner.adapters.test_ansible import INVENTORY, TASKS, play, playbooks
from tests.unit.runner.conftest import Sshd, no_guard, sshd
from tests.unit.runner.simulation.lived import FAIR
from tests.unit.runner.simulation.test_terraform import SETTINGS

__all__ = ["no_guard", "playbooks", "sshd"]

pytestmark = pytest.mark.enable_socket
PLENTY = Allowance(1 << 30)
BOX = "l1-abc"


class Desk(Protocol):
    """Where somebody logs in to a machine."""

    machine: Machine
    there: str
    """A folder on it."""

    def cut(self) -> None:
        """Let the machine answer no more."""


class RealDesk:
    """A real sshd."""

    def __init__(self, server: Sshd, folder: Path) -> None:
        """Log in to it."""
        host = Host(
            "127.0.0.1", server.port, getpass.getuser(), "given", "given", "here", False, 0.0, None, "local"
        )  # fmt: skip
        self.machine: Machine = SshMachine(RealWorld(), host, folder / "known_hosts", Way(str(server.identity)))
        self.there, self.cut = str(folder / "there"), server.stop


class SimulatedDesk:
    """The stand-in."""

    def __init__(self, stage: Stage) -> None:
        """Boot a box and log in to it."""
        self.stage = stage
        self.user = Process(stage.laptop, {}, name="user")
        stage.turns.adopt("user", self.user)
        self.tools = SimulatedTools(self.user, stage)
        address = stage.yard.boot(BOX, kind="vm", user="ubuntu", public_keys=[])
        host = Host(address.host, address.port, "ubuntu", "lambda", "i-1", "here", False, 1.0, None, "a10")
        self.user.sleep(600.0)
        self.machine: Machine = self.tools.log_in(self.user, host, Path(), Way(""))
        self.there = "/home/user/there"

    def cut(self) -> None:
        self.stage.yard.partition(BOX, True)

    def play(self, cancel: Callable[[], bool] | None = None) -> object:
        """Run a playbook on the box."""
        address = self.stage.yard.boxes[BOX].address
        where = {"ansible_host": address.host, "ansible_port": address.port}
        return self.tools.run_playbook(
            "setup.yml",
            inventory={"all": {"hosts": {"box": where}}},
            environment="lambda",
            variables={"verify_prefix": "/home/user/run"},
            log=Path(),
            world=self.user,
            cancel=cancel,
        )


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedDesk]:
    stage = Stage("lambda", 1, tmp_path / "simulated", FAIR, {"lambda": SETTINGS})
    try:
        yield SimulatedDesk(stage)
    finally:
        stage.turns.close()


def failure(act: Callable[[], object]) -> str:
    """Return the kind of error that an act raises, and its first word; nothing where it raises none."""
    try:
        act()
    except RunnerError as err:
        return f"{type(err).__name__} {err.message.split(':')[0]} {err.exit_code}"
    return ""


def what_is_missing(desk: Desk, folder: Path) -> list[object]:
    """Ask for what is not there."""
    machine, there = desk.machine, desk.there
    machine.remove_tree(f"{there}/none")
    return [
        machine.read_from(f"{there}/none", 0),
        machine.names(f"{there}/none"),
        machine.exists(f"{there}/none"),
        machine.run(["sh", f"{there}/lease/say", "renew 1"], timeout_s=20).exit_code != 0,
    ]


def what_is_brought_and_fetched(desk: Desk, folder: Path) -> list[object]:
    """Bring a folder and a file, look at them, fetch them, remove them."""
    machine, there = desk.machine, desk.there
    source = folder / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "one").write_bytes(b"0123456789")
    machine.put(source, there)
    machine.put(source / "deep" / "one", f"{there}/two")
    machine.get(there, folder / "back", PLENTY)
    machine.get(f"{there}/two", folder / "two", PLENTY)
    found: list[object] = [machine.names(there), machine.exists(f"{there}/deep"), machine.read_from(f"{there}/two", 4)]
    found += [(folder / "back" / "deep" / "one").read_bytes(), (folder / "two").read_bytes()]
    machine.remove_tree(there)
    return [*found, machine.exists(there)]


def a_machine_that_is_gone(desk: Desk, folder: Path) -> list[object]:
    """Do everything on a machine that does not answer any more."""
    machine, there = desk.machine, desk.there
    source = folder / "file"
    source.write_bytes(b"x")
    machine.put(source, f"{there}/file")
    desk.cut()
    acts: list[Callable[[], object]] = [
        lambda: machine.run(["true"], timeout_s=20),
        lambda: machine.put(source, f"{there}/again"),
        lambda: machine.get(f"{there}/file", folder / "back", PLENTY),
        lambda: machine.read_from(f"{there}/file", 0),
        lambda: machine.names(there),
        lambda: machine.exists(there),
        lambda: machine.remove_tree(there),
    ]
    return [*map(failure, acts), (folder / "back").exists()]


@pytest.mark.parametrize("mode", [what_is_missing, what_is_brought_and_fetched, a_machine_that_is_gone])
def test_the_product_sees_the_same_machine(
    mode: Callable[[Desk, Path], list[object]], sshd: Sshd, simulated: SimulatedDesk, tmp_path: Path
) -> None:
    folders = [tmp_path / "for real", tmp_path / "for the stand-in"]
    for folder in folders:
        folder.mkdir()

    assert mode(RealDesk(sshd, folders[0]), folders[0]) == mode(simulated, folders[1])


def test_a_playbook_that_fails_is_seen_alike(playbooks: Path, simulated: SimulatedDesk, tmp_path: Path) -> None:
    (playbooks / "setup.yml").write_text(TASKS.format(command="/bin/false"))
    simulated.stage.rates = replace(FAIR, play_fails=1.0)

    assert failure(simulated.play) == failure(lambda: play("setup.yml", tmp_path / "log"))
    assert failure(simulated.play).startswith("PlaybookFailedError configure")


def test_a_playbook_that_is_stopped_is_seen_alike(playbooks: Path, simulated: SimulatedDesk, tmp_path: Path) -> None:
    (playbooks / "setup.yml").write_text(TASKS.format(command="sleep 60"))

    stopped = failure(lambda: play("setup.yml", tmp_path / "log", cancel=lambda: True))

    assert failure(lambda: simulated.play(lambda: True)) == stopped != ""


def test_a_machine_that_a_playbook_cannot_reach_is_seen_alike(
    playbooks: Path, simulated: SimulatedDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (playbooks / "setup.yml").write_text(TASKS.format(command="/bin/true"))
    nobody = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
    monkeypatch.setitem(INVENTORY["all"]["hosts"], "box", nobody)
    simulated.cut()

    unreachable = failure(lambda: play("setup.yml", tmp_path / "log"))

    assert failure(simulated.play) == unreachable
    assert unreachable.startswith("PlaybookFailedError configure")
