"""The command that a pod is started with, carried out by the real shell."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from runner.clouds.runpod import start_command as module
from runner.clouds.runpod.cloud import IMAGE
from runner.clouds.runpod.start_command import PROGRAM, ROLES, start_command, why_no_boot_lease
from tests.unit.runner.conftest import wait_until

LONGEST = 4096
"""What others are known to send as a pod's command; the vendor says no limit."""


def started(folder: Path) -> str:
    """Carry out the command with stand-ins in ``folder``; return what the image's own start says."""
    done = subprocess.run(
        shlex.split(start_command(3300)), capture_output=True, text=True, timeout=60, check=True,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "RUNPOD_POD_ID": "pod1"},
    )  # fmt: skip
    return done.stdout


def stand_in(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the image's own start, and a Python that notes how it is called."""
    monkeypatch.setattr(module, "FOLDER", str(tmp_path / "boot"))
    monkeypatch.setattr(module, "OWN_START", str(tmp_path / "start.sh"))
    stand_in(tmp_path / "start.sh", "echo started; pwd")
    stand_in(tmp_path / "python3", f"echo $* $RUNPOD_POD_ID > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/watch")
    return tmp_path


def is_whole(pod: Path) -> bool:
    """Return whether the watch was started, with its program and its settings there."""
    wait_until((pod / "watch").exists)
    settings = {"ttl_s": 3300, "api": yaml.safe_load(ROLES.read_text())["lease_api"]}
    assert (pod / "watch").read_text() == f"douse_boot.py {pod}/boot pod1\n"
    assert json.loads((pod / "boot" / "settings.json").read_text()) == settings
    return (pod / "boot" / "douse_boot.py").read_bytes() == PROGRAM.read_bytes()


def test_the_watch_starts_before_the_images_own_start_and_both_have_all_they_need(pod: Path) -> None:
    assert started(pod) == "started\n/\n"
    assert is_whole(pod)


def test_a_container_that_starts_again_with_a_full_disk_has_the_watch_of_its_last_start(pod: Path) -> None:
    started(pod)
    assert is_whole(pod)
    (pod / "watch").unlink()
    stand_in(pod / "gzip", "exit 1")

    assert started(pod) == "started\n/\n"
    assert is_whole(pod)


def test_the_command_is_short_and_the_same_each_time() -> None:
    made_anew = module._unpack_all.__wrapped__

    assert made_anew(3300) == made_anew(3300)
    assert made_anew(3300) in start_command(3300)
    assert len(start_command(3300)) <= LONGEST


def test_the_command_is_made_once_for_each_time_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = start_command(3300), start_command(3301)
    monkeypatch.setattr(module, "ROLES", None)  # it would be read

    assert start_command(3300) == first != other


def test_the_pods_folder_is_the_one_that_the_role_of_the_lease_looks_into() -> None:
    assert yaml.safe_load(ROLES.read_text())["lease_boot_folder"] == module.FOLDER


@pytest.mark.parametrize("image", [None, IMAGE, "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"])
def test_the_vendors_images_have_a_lease_from_the_start(image: str | None) -> None:
    assert why_no_boot_lease(image) is None


@pytest.mark.parametrize("image", ["mine/image:1", "mine/runpod/pytorch:1", "runpod/pytorch-mine:1"])
def test_of_an_image_whose_start_is_not_known_that_is_said(image: str) -> None:
    assert f"does not know how {image} starts" in str(why_no_boot_lease(image))
