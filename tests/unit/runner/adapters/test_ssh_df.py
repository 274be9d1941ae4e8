"""Free space by the words of a machine's ``df``, whatever these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from runner.adapters.process import Cancel
from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_login import Way
from runner.errors import ConnectionLostError, TransferError
from runner.run.models import Completed, Host
from runner.world import RealWorld
from tests.unit.runner.adapters.hostile_host import Tree, hostile_host

HEAD = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n"


class Saying(SshMachine):
    """A machine whose programs say one thing, and on which nothing exists."""

    def __init__(self, folder: Path, stdout: str) -> None:
        host = Host("127.0.0.1", 1, "u", "i", "m", "here", False, 0.0, None, "existing")
        super().__init__(RealWorld(), host, folder / "known_hosts", Way())
        self.stdout, self.asked = stdout, list[Sequence[str]]()

    def exists(self, path: str) -> bool:
        return False

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
    ) -> Completed:
        self.asked.append(argv)
        return Completed(tuple(argv), 0, self.stdout)


@pytest.mark.parametrize(
    ("row", "free_kib"),
    [
        ("/dev/vda1         50000000 10000000  40000000      20% /\n", 40_000_000),
        ("//nas/My Share    50000000 10000000      1234      99% /mnt/my share\n", 1234),
        ("tmpfs                    0        0         0       -  /run\n", 0),
        ("/dev/vda1         50000000 60000000 -10000000     120% /\n", 0),
    ],
)
def test_free_space_stands_before_the_share_whatever_the_names_hold(tmp_path: Path, row: str, free_kib: int) -> None:
    machine = Saying(tmp_path, HEAD + row)

    assert machine.free_bytes("/no/such/folder") == free_kib * 1024
    assert machine.asked == [["df", "-Pk", "/"]]


@pytest.mark.parametrize(
    "stdout", ["", "\n", HEAD, "df: no file systems processed\n", "a b c d e f\n", f"/dev/x 1 1 {'9' * 30} 1% /\n"]
)
def test_a_machine_that_does_not_say_is_an_expected_error(tmp_path: Path, stdout: str) -> None:
    with pytest.raises(TransferError, match="does not say how much space is free under /"):
        Saying(tmp_path, stdout).free_bytes("/home/u")


@pytest.mark.enable_socket
def test_a_machine_without_a_root_folder_takes_no_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")

    with hostile_host(tmp_path, Tree({})) as machine, pytest.raises((TransferError, ConnectionLostError)):
        machine.put(tmp_path / "one", "/home/u/one")
