"""The processes beside the trainer: when they end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainer.supervisor import beside
from trainer.supervisor.beside import Parent


def test_its_parent_is_gone_when_the_pipe_ends_and_no_trainer_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = ["running", "running", "lost"]
    monkeypatch.setattr(beside, "read_status", lambda output: type("Status", (), {"state": states.pop(0)})())
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as pipe:
        parent = Parent(pipe, tmp_path)
        assert not parent.is_over(0.0)
        os.close(write)
        assert [parent.is_over(0.0) for _ in range(3)] == [False, False, True]
