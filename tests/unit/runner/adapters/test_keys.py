"""A run's own SSH keys."""

from __future__ import annotations

import stat
from pathlib import Path

import paramiko

from runner.adapters.keys import make_key, public_key


def test_a_pair_belongs_together_and_is_the_users_alone(tmp_path: Path) -> None:
    private = tmp_path / "ssh" / "id_ed25519"

    make_key(private)

    read = paramiko.Ed25519Key.from_private_key_file(str(private))
    assert public_key(private) == f"{read.get_name()} {read.get_base64()}"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700


def test_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    private = tmp_path / "id"
    make_key(private)
    first = private.read_bytes()

    make_key(private)

    assert private.read_bytes() == first


def test_a_pair_cut_short_is_made_again(tmp_path: Path) -> None:
    private = tmp_path / "id"
    private.write_text("half")

    make_key(private)

    assert public_key(private).startswith("ssh-ed25519 ")
    assert private.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
