"""The guest's part, without a guest: it is a program of its own, so it is tried on a folder."""

from __future__ import annotations

import base64
import getpass
import grp
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.boxes.guest import first_boot
from runner.emulation.boxes.user_data import UserData, WriteFile

OWNER = f"{getpass.getuser()}:{grp.getgrgid(os.getgid()).gr_name}"


def entry(path: Path, **values: Any) -> dict[str, Any]:
    return WriteFile(path=str(path), **{"owner": OWNER, **values}).model_dump()


def test_a_file_is_written_with_its_mode(tmp_path: Path) -> None:
    first_boot.write_files([entry(tmp_path / "a" / "b", content="x", permissions="0640")], deferred=False)

    assert (tmp_path / "a" / "b").read_text() == "x"
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o640


def test_content_may_be_encoded_and_appended(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("one ")
    two = base64.b64encode(b"two").decode()

    first_boot.write_entry(entry(tmp_path / "x", content=two, encoding="b64", append=True))

    assert (tmp_path / "x").read_text() == "one two"


def test_a_deferred_file_waits_for_the_user(tmp_path: Path) -> None:
    entries = [entry(tmp_path / "late", defer=True), entry(tmp_path / "early")]

    first_boot.write_files(entries, deferred=False)

    assert [path.name for path in tmp_path.iterdir()] == ["early"]


def test_the_ordered_host_key_takes_the_place_of_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh_host_rsa_key").write_text("old")
    monkeypatch.setattr(first_boot, "SSH", tmp_path)
    keys = {"ed25519_private": "private", "ed25519_public": "public"}

    first_boot.set_host_keys(UserData.model_validate({"ssh_keys": keys}).model_dump())

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "ssh_host_ed25519_key": "private\n",
        "ssh_host_ed25519_key.pub": "public\n",
    }
    assert stat.S_IMODE((tmp_path / "ssh_host_ed25519_key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("command", "argv"),
    [("", ["{start}"]), ("bash -c 'watch & exec /start.sh'", ["bash", "-c", "watch & exec /start.sh"])],
)
def test_a_pod_starts_with_its_command_or_its_images_own_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, argv: list[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(first_boot, "OWN_START", tmp_path / "start.sh")
    monkeypatch.setattr(first_boot.os, "execvp", lambda _program, argv: started.append(argv))

    first_boot.start_pod({"port": 2222, "command": command})

    assert started == [[word.format(start=tmp_path / "start.sh") for word in argv]]
    assert "exec /usr/sbin/sshd -D -e -p 2222" in (tmp_path / "start.sh").read_text()
    assert os.access(tmp_path / "start.sh", os.X_OK)


def test_commands_run_as_one_script_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_boot, "INSTANCE", tmp_path)

    first_boot.run_commands(["WORD='a b'", ["echo", "two  words"], 'echo "$WORD"; exit 3'])

    assert capfd.readouterr().out == "two  words\na b\nfirst boot: runcmd ended with 3\n"
