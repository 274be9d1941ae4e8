"""The lease of the boot, in real boxes: what AWS's user data and a pod's start command make of a machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.adapters.keys import make_key
from runner.cloud_api.environment import MachineOrder
from runner.clouds.aws.cloud import user_data
from runner.clouds.runpod.start_command import start_command
from runner.emulation.box_data import HANGING
from runner.emulation.boxes import BoxAddress, Yard, supported
from runner.emulation.boxes.support import systemd_supported
from tests.unit.playbooks.conftest import LEASE, load
from tests.unit.runner.emulation.boxes.boxes_login import Login, answers, wait_until

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.skipif(supported() is not None, reason=f"no real boxes here: {supported()}"),
]
NEEDS_SYSTEMD = pytest.mark.skipif(
    systemd_supported() is not None, reason=f"no systemd in boxes here: {systemd_supported()}"
)
ONCE_IT_ENDS = "until systemctl is-system-running | grep -q stopping; do sleep 0.1; done"
"""Waits for the shutdown, however long the way to it takes."""


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path / "yard", "boot")
    yield yard
    yard.close()


def order(folder: Path, boot_lease_s: int) -> MachineOrder:
    host_key = folder / "host_ed25519"
    make_key(host_key)
    spare_s = boot_lease_s - MachineOrder(host_key, None, "secure", 1.0, 0, 600, 90_000).boot_lease_s
    return MachineOrder(host_key, None, "secure", 1.0, spare_s, 600, 90_000)


@NEEDS_SYSTEMD
def test_a_machine_that_is_never_set_up_ends_itself(yard: Yard, login: Login, tmp_path: Path) -> None:
    gone = threading.Event()

    yard.boot("vm", kind="vm", user="ubuntu", public_keys=[login.public],
              user_data=user_data(order(tmp_path, 5)), on_exit=gone.set)  # fmt: skip

    assert gone.wait(240)


@NEEDS_SYSTEMD
def test_a_reboot_does_not_move_the_end_and_a_shutdown_that_hangs_is_cut_short(
    yard: Yard, login: Login, tmp_path: Path
) -> None:
    gone = threading.Event()
    address = yard.boot("vm", kind="vm", user="ubuntu", public_keys=[login.public],
                        user_data=user_data(order(tmp_path, 3000)), on_exit=gone.set)  # fmt: skip
    wait_until(lambda: answers(address), "a boot")
    date = "grep OnCalendar /etc/systemd/system/douse-boot-lease.timer"
    active = "systemctl is-active douse-boot-lease.timer"
    wait_until(lambda: login(address, active).stdout == "active\n", "the timer")
    before = login(address, date).stdout
    login(address, "sudo systemctl reboot")
    wait_until(lambda: yard.console("vm").count("Reached target multi-user.target") == 2, "the second boot")
    wait_until(lambda: login(address, active).stdout == "active\n", "the timer of the second boot")

    assert login(address, date).stdout == before
    assert "UTC" in before

    let_shutdown_hang(login, address)
    login(address, "sudo sed -i 's/sleep 300/sleep 2/' /etc/systemd/system/douse-end.service")
    login(address, "sudo systemctl daemon-reload; sudo systemctl start --no-block douse-end")
    assert gone.wait(240)


@NEEDS_SYSTEMD
def test_the_last_word_of_the_lease_cuts_a_shutdown_short_as_well(yard: Yard, login: Login) -> None:
    gone = threading.Event()
    address = yard.boot("vm", kind="vm", user="ubuntu", public_keys=[login.public], on_exit=gone.set)
    wait_until(lambda: answers(address), "a boot")
    let_shutdown_hang(login, address)

    word = load(LEASE).LAST_WORD.replace("sleep 300", f"{ONCE_IT_ENDS}; sleep 2")
    said = login(address, f"sudo {word}")
    login(address, "sudo systemctl poweroff")  # says at times that the machine closed the connection

    assert (said.exit_code, said.stderr) == (0, "")
    assert gone.wait(240)


def let_shutdown_hang(login: Login, address: BoxAddress) -> None:
    login(address, f"printf '{HANGING}' | sudo tee /etc/systemd/system/hangs.service")
    assert login(address, "sudo systemctl daemon-reload; sudo systemctl start hangs").exit_code == 0


def test_a_pod_that_is_never_set_up_asks_for_its_end_and_lets_us_in_meanwhile(yard: Yard, login: Login) -> None:
    env = {
        "PUBLIC_KEY": login.public,
        "RUNPOD_API_KEY": "its-own",
        "RUNPOD_POD_ID": "pod1",
        "DOUSE_RUNPOD_ENDPOINT": "http://127.0.0.1:9/v2",
        "DOUSE_RUNPOD_GRAPHQL_ENDPOINT": "http://127.0.0.1:9/graphql",
    }
    address = yard.boot("pod", kind="pod", user="root", public_keys=[], env=env, command=start_command(1))
    wait_until(lambda: answers(address), "a boot")

    def log() -> str:
        return login(address, "cat /var/lib/douse-boot/boot.log").stdout

    wait_until(lambda: "/v2/pods/pod1" in log(), "the first request")
    assert "nobody set this machine up; " in log()
    assert "its-own" not in log()
