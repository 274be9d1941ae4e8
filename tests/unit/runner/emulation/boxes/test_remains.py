"""What is found and ended by its name, and what is left alone; without namespaces, so that anybody can run it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner.emulation.boxes import disk, registry, remains
from runner.emulation.boxes.disk import Shared, mounts_under
from runner.emulation.boxes.host import BoxError

MOUNTINFO = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:40 / /y/boxes/vm/root rw,relatime - overlay douse-0123abcd-10 rw,lowerdir=/t
41 40 0:41 / /y/boxes/vm/root/opt/my\040wheels ro,relatime - ext4 /dev/vda rw
42 22 0:42 / /y/boxes/vm2/root rw,relatime - overlay douse-0123abcd-11 rw,lowerdir=/t
"""


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "registry_folder", lambda: tmp_path)
    monkeypatch.setattr(remains, "_has_kernel_names", lambda: False)
    return tmp_path


def test_mounts_are_found_under_a_box_and_not_under_its_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "mountinfo"
    info.write_text(MOUNTINFO)
    monkeypatch.setattr(disk, "MOUNTINFO", info)

    assert mounts_under(Path("/y/boxes/vm")) == [Path("/y/boxes/vm/root"), Path("/y/boxes/vm/root/opt/my wheels")]
    assert disk.marked_mounts() == [
        ("douse-0123abcd-10", Path("/y/boxes/vm/root")),
        ("douse-0123abcd-11", Path("/y/boxes/vm2/root")),
    ]


def test_a_folder_with_a_mount_in_it_is_never_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box").mkdir()
    monkeypatch.setattr(disk, "attempt", lambda argv: False)
    monkeypatch.setattr(disk, "mounts_under", lambda folder: [folder / "root"])

    with pytest.raises(BoxError, match=r"stays mounted"):
        disk.delete(tmp_path / "box")

    assert (tmp_path / "box").is_dir()


def test_a_path_that_a_mount_would_misread_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "attempt", lambda argv: False)

    with pytest.raises(BoxError, match="a character in its path that a mount cannot take"):
        disk.mount_disk(tmp_path / "a:b", tmp_path, "douse-0123abcd-10", [Shared((tmp_path,), "x")])


def test_a_yard_whose_owner_lives_is_left_alone(registered: Path, tmp_path: Path) -> None:
    entry = registry.Entry("0123abcd", tmp_path / "yard")
    (tmp_path / "yard" / "boxes").mkdir(parents=True)

    assert remains.clean() == []
    assert (tmp_path / "yard" / "boxes").is_dir()
    entry.close()


def test_a_yard_whose_owner_is_dead_is_ended_and_forgotten(registered: Path, tmp_path: Path) -> None:
    entry = registry.Entry("0123abcd", tmp_path / "yard")
    entry._lock.close()  # what the kernel does when the owner dies
    (tmp_path / "yard" / "boxes").mkdir(parents=True)

    remains.clean()

    assert not (tmp_path / "yard" / "boxes").exists()
    assert registry.entries() == {}


def test_the_runner_of_a_dead_rehearsal_is_ended_with_all_that_it_started(registered: Path, tmp_path: Path) -> None:
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '300']).pid, flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", code, "--runs-dir", str(tmp_path / "runs")]
    other = [sys.executable, "-c", "import sys; sys.stdin.read()", "--runs-dir", str(tmp_path / "elsewhere" / "runs")]
    found = [subprocess.Popen(one, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for one in (argv, other)]
    try:
        below = int((found[0].stdout or sys.stdin).readline())
        registry.Entry("0123abcd", tmp_path / "yard")._lock.close()

        ended = remains.clean()

        assert ended == sorted(f"process {pid}" for pid in (found[0].pid, below))
        assert found[0].wait(240) == -signal.SIGKILL
        assert found[1].poll() is None
    finally:
        for one in found:
            one.kill()
            one.communicate()


def test_only_the_yard_of_the_given_folder_is_cleaned(registered: Path, tmp_path: Path) -> None:
    for tag in ("0123abcd", "4567abcd"):
        registry.Entry(tag, tmp_path / tag)._lock.close()

    remains.clean(tmp_path / "0123abcd")

    assert registry.entries() == {"4567abcd": tmp_path / "4567abcd"}


def test_an_open_yard_cannot_be_opened_twice(registered: Path, tmp_path: Path) -> None:
    entry = registry.Entry("0123abcd", tmp_path)

    with pytest.raises(BlockingIOError):
        registry.Entry("0123abcd", tmp_path)

    entry.close()


@pytest.mark.parametrize(
    ("argv", "is_ours"),
    [
        (["/usr/bin/systemd-nspawn", "--boot", "--machine=douse-0123abcd-10"], True),
        (["systemd-nspawn", "--machine=douse-4567abcd-10"], False),
        (["sshd", "-f", "/y/boxes/vm/sshd_config"], True),
        (["sshd", "-f", "/etc/ssh/sshd_config"], False),
        (["vi", "/y/boxes/vm/sshd_config"], False),
        ([], False),
    ],
)
def test_only_processes_that_were_started_for_the_yard_are_ours(argv: list[str], is_ours: bool) -> None:
    assert remains._is_started_for(argv, "0123abcd", Path("/y")) is is_ours
