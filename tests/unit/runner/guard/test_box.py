"""How training stands, read over a real sshd with a key and a host key that are in no file of the run."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from runner.errors import HostKeyError
from runner.guard.box import trainer_state
from runner.guard.words import Held
from runner.run.models import Host
from runner.world import RealWorld
from tests.unit.runner.conftest import Sshd


def held(sshd: Sshd, prefix: Path, host_key: str) -> Held:
    host = Host("127.0.0.1", sshd.port, getpass.getuser(), "i-1", "any", "any", False, 1.0, None, "lambda")
    known = f"[127.0.0.1]:{sshd.port} {' '.join(host_key.split()[:2])}\n"
    return Held(3600.0, 600.0, host, str(prefix), sshd.identity.read_text(), known)


def test_the_supervisor_is_asked_with_what_is_in_memory(sshd: Sshd, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho \'{"state": "exited", "exit_code": 0}\'\n')
    python.chmod(0o755)

    state = trainer_state(RealWorld(), held(sshd, tmp_path, (sshd.folder / "host_key.pub").read_text()))

    assert state == "exited"


def test_another_machine_at_its_address_is_not_asked(sshd: Sshd, tmp_path: Path) -> None:
    other = (sshd.folder / "id_ed25519.pub").read_text()

    with pytest.raises(HostKeyError):
        trainer_state(RealWorld(), held(sshd, tmp_path, other))
