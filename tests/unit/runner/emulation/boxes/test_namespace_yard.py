"""Real boxes: booted, logged in to, cut off, killed, and nothing left. They need root on Linux."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runner.adapters.process import run, start
from runner.emulation.boxes import Yard, build_tree, clean, namespace_box, supported
from runner.emulation.boxes.disk import mounts_under
from runner.emulation.boxes.names import tag_in, tag_of
from runner.emulation.boxes.namespace_box import BYTECODE
from runner.emulation.boxes.network import interfaces, namespaces
from runner.emulation.boxes.support import systemd_supported
from runner.errors import UsageError
from runner.run.run_dir import PROJECT
from tests.unit.runner.emulation.boxes.boxes_login import Login, answers, wait_until

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.skipif(supported() is not None, reason=f"no real boxes here: {supported()}"),
]
NAME = "test"
IMPORTS_FROM_ZIP = """set -e; cd /tmp
echo 'print("here")' > told.py
python3 -m zipfile -c sent.zip told.py
rm told.py
PYTHONPATH=sent.zip python3 -c 'import told'"""
OWNER = """import os, signal, sys
from pathlib import Path
from runner.emulation.boxes import Yard
yard = Yard(Path(sys.argv[1]), "test")
address = yard.boot("pod", kind="pod", user="root", public_keys=[])
print(address.host, address.port, flush=True)
signal.pause()
"""


@pytest.fixture(scope="module", autouse=True)
def tree() -> Path:
    """Build the tree before anything is waited for; two calls give the same one."""
    assert build_tree("vm") == build_tree("pod")
    return build_tree()


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path / "yard", NAME)
    yield yard
    yard.close()
    assert left(tmp_path / "yard") == []


def left(folder: Path) -> list[str]:
    """Return everything that is left of a yard."""
    tag = tag_of(folder, NAME)
    names = [name for name in [*interfaces(), *namespaces()] if tag_in(name) == tag]
    return [*names, *(str(path) for path in mounts_under(folder)), *(str(path) for path in folder.glob("boxes/*"))]


@pytest.mark.skipif(systemd_supported() is not None, reason=f"no systemd in boxes here: {systemd_supported()}")
def test_a_vm_boots_with_systemd_and_its_user_data_and_ends_itself(yard: Yard, login: Login, tmp_path: Path) -> None:
    host_key = Login(tmp_path / "yard")
    user_data = {
        "ssh_keys": {"ed25519_private": host_key.key.read_text(), "ed25519_public": host_key.public},
        "ssh_deletekeys": True,
        "write_files": [{"path": "/etc/douse/token", "content": "t", "permissions": "0600"}],
        "runcmd": ["echo done > /etc/douse/ran"],
    }
    gone = threading.Event()

    address = yard.boot(
        "vm",
        kind="vm",
        user="ubuntu",
        public_keys=[login.public],
        user_data=f"#cloud-config\n{yaml.safe_dump(user_data)}",
        on_exit=gone.set,
    )
    boot_s = wait_until(lambda: answers(address), "a boot")
    said = login(address, "whoami; hostname; cat /proc/1/comm; sudo cat /etc/douse/token /etc/douse/ran")
    keys = run(["ssh-keyscan", "-t", "ed25519", address.host], timeout_s=20).stdout
    kept = login(address, f"{IMPORTS_FROM_ZIP}\nls /{BYTECODE}")
    login(address, "sudo systemctl poweroff")

    assert said.stdout == "ubuntu\nvm\nsystemd\ntdone\n"
    assert host_key.public.split()[1] in keys
    assert address.port == 22
    assert re.fullmatch(r"here\n1000-14-[0-9a-f]{16}-told\.py\n", kept.stdout), "what Ansible sends is compiled anew"
    assert gone.wait(30)
    assert not yard.is_alive("vm")
    print(f"vm: sshd after {boot_s:.2f} s")


@pytest.mark.skipif(systemd_supported() is not None, reason=f"no systemd in boxes here: {systemd_supported()}")
def test_a_vm_starts_again_when_it_is_asked_to(yard: Yard, login: Login) -> None:
    gone = threading.Event()
    address = yard.boot("vm", kind="vm", user="ubuntu", public_keys=[login.public], on_exit=gone.set)
    wait_until(lambda: answers(address), "a boot")
    login(address, "touch ~/kept")

    login(address, "sudo systemctl reboot")
    wait_until(lambda: yard.console("vm").count("Reached target multi-user.target") == 2, "the second boot")
    wait_until(lambda: answers(address), "the second boot")

    assert login(address, "ls").stdout == "kept\n"
    assert not gone.is_set()


def test_a_vm_goes_without_systemd_where_it_must(yard: Yard, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_box, "systemd_supported", lambda: "no control groups")
    gone = threading.Event()

    address = yard.boot("vm", kind="vm", user="ubuntu", public_keys=[login.public], on_exit=gone.set)
    wait_until(lambda: answers(address), "a boot")
    login(address, "sudo shutdown -h now")

    assert gone.wait(30)
    assert yard.console("vm").startswith("boxes: vm goes without systemd: no control groups\n")


def test_a_pod_is_a_container_with_its_variables(yard: Yard, login: Login) -> None:
    env = {"PUBLIC_KEY": login.public, "DOUSE_RUN": "run 1"}

    address = yard.boot("pod", kind="pod", user="root", public_keys=[], env=env)
    boot_s = wait_until(lambda: answers(address), "a boot")
    said = login(
        address, "whoami; hostname; cat /proc/1/comm; test -d /run/systemd/system; echo $?; date -s 12:00 2>&1"
    )
    variables = login(address, "cat /proc/1/environ").stdout.split("\0")

    assert said.stdout.splitlines()[:4] == ["root", "pod", "tini", "1"]
    assert "Operation not permitted" in said.stdout
    assert "DOUSE_RUN=run 1" in variables
    assert address.port != 22
    print(f"pod: sshd after {boot_s:.2f} s")


def test_a_killed_box_vanishes_and_boots_again_from_its_disk(yard: Yard, login: Login) -> None:
    told: list[str] = []

    def boot() -> None:
        address = yard.boot(
            "pod", kind="pod", user="root", public_keys=[login.public], on_exit=lambda: told.append("x")
        )
        wait_until(lambda: answers(address), "a boot")

    boot()
    address = yard.boot("other", kind="pod", user="root", public_keys=[login.public])
    wait_until(lambda: answers(address), "a boot")
    login(address, "echo kept > ~/file")
    yard.kill("other")
    assert (yard.alive(), answers(address)) == (["pod"], False)

    again = yard.boot("other", kind="pod", user="root", public_keys=[login.public])
    wait_until(lambda: answers(again), "a boot")

    assert again == address
    assert login(again, "cat ~/file").stdout == "kept\n"
    yard.remove("pod")
    yard.remove("pod")
    assert told == []


def test_a_box_is_cut_off_and_let_back(yard: Yard, login: Login) -> None:
    address = yard.boot("pod", kind="pod", user="root", public_keys=[login.public])
    wait_until(lambda: answers(address), "a boot")

    yard.partition("pod", True)
    assert not answers(address)
    assert yard.is_alive("pod")
    yard.partition("pod", False)

    wait_until(lambda: answers(address), "the way back")


def test_a_box_that_cannot_boot_says_why_and_is_reported_as_ended(yard: Yard, tmp_path: Path) -> None:
    gone = threading.Event()
    (tmp_path / "yard" / "boxes" / "pod").mkdir(parents=True)
    (tmp_path / "yard" / "boxes" / "pod" / "disk").write_text("in the way")

    yard.boot("pod", kind="pod", user="root", public_keys=[], on_exit=gone.set)

    assert gone.wait(30)
    assert not yard.is_alive("pod")
    assert yard.console("pod").startswith("boxes: pod does not boot: [Errno 17] File exists")


def test_the_driver_role_finds_its_packages_without_a_network(yard: Yard, login: Login) -> None:
    address = yard.boot("pod", kind="pod", user="root", public_keys=[login.public])
    wait_until(lambda: answers(address), "a boot")

    first = login(address, "apt-get update -qq && apt-get install -y nvidia-driver-580-server 2>&1", timeout_s=120)
    second = login(address, "apt-get install -y nvidia-driver-580-server; nvidia-smi; echo $?", timeout_s=120)

    assert first.exit_code == 0, first.stdout
    assert "0 upgraded, 0 newly installed" in second.stdout
    assert second.stdout.endswith("\n9\n")


def test_two_yards_stand_side_by_side(yard: Yard, tmp_path: Path) -> None:
    other = Yard(tmp_path / "other", NAME)

    try:
        assert other.gateway != yard.gateway
    finally:
        other.close()


def test_an_open_yard_is_not_opened_again(yard: Yard, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is in use"):
        Yard(tmp_path / "yard", NAME)


def test_what_a_killed_owner_leaves_is_ended_by_name(tmp_path: Path) -> None:
    folder, log = tmp_path / "yard", tmp_path / "owner.log"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    owner = start([sys.executable, "-c", OWNER, str(folder)], log=log, cwd=tmp_path, env=environment)
    try:
        wait_until(lambda: log.read_text().count("\n") == 1, "the owner's start")
        wait_until(lambda: "listening" in _console(folder), "a boot")
        assert clean(folder) == []  # its owner lives
    finally:
        owner.signal(signal.SIGKILL)
        owner.wait(10)
    assert left(folder) != []

    ended = clean(folder)

    assert any(name.startswith("process ") for name in ended)
    assert left(folder) == []
    assert clean(folder) == []


def _console(folder: Path) -> str:
    path = folder / "boxes" / "pod" / "console.log"
    return path.read_text() if path.exists() else ""
