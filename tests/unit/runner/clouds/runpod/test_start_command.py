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

LONGEST = 4096
"""What others are known to send as a pod's command; the vendor says no limit."""


def test_the_watch_starts_before_the_images_own_start_and_both_have_all_they_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, own_start = tmp_path / "boot", tmp_path / "start.sh"
    monkeypatch.setattr(module, "FOLDER", str(folder))
    monkeypatch.setattr(module, "OWN_START", str(own_start))
    for name, text in (("python3", f"echo $0 $* $RUNPOD_POD_ID > {tmp_path}/watch"), ("start.sh", "echo started; pwd")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "watch").touch()
    path = f"{tmp_path}:{os.environ['PATH']}"

    done = subprocess.run(
        shlex.split(start_command(3300)), capture_output=True, text=True, timeout=60, check=True,
        env={"PATH": path, "RUNPOD_POD_ID": "pod1"},
    )  # fmt: skip

    assert done.stdout == "started\n/\n"
    assert (folder / "douse_boot.py").read_bytes() == PROGRAM.read_bytes()
    api = yaml.safe_load(ROLES.read_text())["lease_api"]
    assert json.loads((folder / "settings.json").read_text()) == {"ttl_s": 3300, "api": api}
    assert (tmp_path / "watch").exists()


def test_the_command_is_short_and_the_same_each_time() -> None:
    assert start_command(3300) == start_command(3300)
    assert len(start_command(3300)) <= LONGEST


def test_the_pods_folder_is_the_one_that_the_role_of_the_lease_looks_into() -> None:
    assert yaml.safe_load(ROLES.read_text())["lease_boot_folder"] == module.FOLDER


@pytest.mark.parametrize("image", [None, IMAGE, "runpod/base:1.0.2-ubuntu2404"])
def test_the_vendors_images_have_a_lease_from_the_start(image: str | None) -> None:
    assert why_no_boot_lease(image) is None


@pytest.mark.parametrize("image", ["mine/image:1", "mine/runpod/pytorch:1", "runpod/pytorch-mine:1"])
def test_of_an_image_whose_start_is_not_known_that_is_said(image: str) -> None:
    assert f"does not know how {image} starts" in str(why_no_boot_lease(image))
