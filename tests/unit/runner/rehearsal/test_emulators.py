"""The surroundings of a rehearsed runner: one emulated cloud, and nothing that leads to a real account."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runner.adapters.process import start
from runner.rehearsal import emulators as module
from runner.rehearsal.emulators import Emulators, scrubbed


def test_nothing_that_leads_to_a_real_account_reaches_a_rehearsal() -> None:
    found = scrubbed(
        {
            "AWS_PROFILE": "me",
            "LAMBDA_API_KEY": "x",
            "RUNPOD_API_KEY_FILE": "f",
            "DOUSE_LAMBDA_PACE_S": "1",
            "DOUSE_NOTICE_URLS": "ntfy://x",
            "PATH": "/",
        }
    )

    assert found == {"DOUSE_LAMBDA_PACE_S": "1", "PATH": "/"}


def test_a_rehearsed_runner_is_led_to_the_emulated_hub_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, "the user's")
    emulators = Emulators("lambda", tmp_path, tmp_path / "hub")
    emulators.endpoints = {"lambda": "http://127.0.0.1:1", "control": "http://127.0.0.1:1"}
    assert emulators.environment()["HF_ENDPOINT"] == "the user's"

    emulators.endpoints["hub"] = "http://10.77.0.1:2"
    environment = emulators.environment()

    assert environment["HF_ENDPOINT"] == "http://10.77.0.1:2"
    assert (environment["HF_HUB_OFFLINE"], environment["HF_HUB_CACHE"]) == ("0", str(tmp_path / "hub-cache"))


def test_the_settings_of_a_run_lead_to_the_store_that_is_served(tmp_path: Path) -> None:
    emulators = Emulators("lambda", tmp_path, store="strict")
    assert emulators.settings() == []

    emulators.endpoints["store"] = "https://10.77.0.1:2"

    assert emulators.settings() == [
        "store.url=s3://a-bucket/runs",
        "store.endpoint_url=https://10.77.0.1:2",
        f"store.ca_file={tmp_path}/store/ca.pem",
        "store.role_arn=arn:aws:iam::123456789012:role/rehearsal-runs",
    ]


def test_a_run_gives_its_machine_the_remote_that_boxes_reach(tmp_path: Path) -> None:
    emulators = Emulators("lambda", tmp_path, store="webdav-given")
    emulators.endpoints["store"] = "rclone://webdav/runs"

    assert emulators.settings() == ["store.url=rclone://webdav/runs", "store.rclone_on_machine=true"]


def test_a_remote_of_rclone_is_known_to_the_runner_and_none_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RCLONE_CONFIG", "/the/users")
    monkeypatch.setenv("RCLONE_CONFIG_MYDRIVE_TYPE", "drive")
    emulators = Emulators("lambda", tmp_path, store="webdav")
    emulators.endpoints = {
        "lambda": "http://127.0.0.1:1",
        "control": "http://127.0.0.1:1",
        "store": "rclone://webdav/runs",
    }

    environment = emulators.environment()

    assert emulators.settings() == ["store.url=rclone://webdav/runs"]
    assert {name: value for name, value in environment.items() if name.startswith("RCLONE_")} == {
        "RCLONE_CONFIG": f"{tmp_path}/store/rclone.conf"
    }


def test_a_run_with_a_remote_of_its_own_keeps_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_CONFIG", "/the/users")
    emulators = Emulators("lambda", tmp_path)
    emulators.endpoints = {"lambda": "http://127.0.0.1:1", "control": "http://127.0.0.1:1"}

    assert emulators.environment()["RCLONE_CONFIG"] == "/the/users"


@pytest.mark.parametrize("cloud", ["lambda", "runpod", "aws"])
def test_a_rehearsed_runner_knows_one_emulated_cloud(
    cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAMBDA_API_KEY", "RUNPOD_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.setenv(name, "real")
    emulators = Emulators(cloud, tmp_path)
    names = ("lambda", "runpod", "runpod_graphql", "aws", "control")
    emulators.endpoints = dict.fromkeys(names, "http://127.0.0.1:1")

    environment = emulators.environment()

    assert "real" not in environment.values()
    assert environment["AWS_CONFIG_FILE"] == "/dev/null"
    assert [name for name, value in environment.items() if value == "http://127.0.0.1:1"] == {
        "lambda": ["DOUSE_LAMBDA_ENDPOINT"],
        "runpod": ["DOUSE_RUNPOD_ENDPOINT", "DOUSE_RUNPOD_GRAPHQL_ENDPOINT"],
        "aws": ["AWS_ENDPOINT_URL"],
    }[cloud]


def test_a_cloud_beside_it_is_known_too(tmp_path: Path) -> None:
    emulators = Emulators("runpod", tmp_path, beside=["lambda"])
    emulators.endpoints = {
        name: f"http://127.0.0.1/{name}" for name in ("lambda", "runpod", "runpod_graphql", "control")
    }

    environment = emulators.environment()

    assert environment["DOUSE_LAMBDA_ENDPOINT"].endswith("/lambda")
    assert environment["DOUSE_RUNPOD_ENDPOINT"].endswith("/runpod")
    assert "LAMBDA_API_KEY" in environment


@pytest.mark.parametrize(("number", "cleaned"), [(signal.SIGTERM, 0), (signal.SIGKILL, 1)])
def test_emulators_that_had_to_be_killed_are_cleaned_up_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, cleaned: int
) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(module, "clean", folders.append)
    emulators = Emulators("lambda", tmp_path)
    emulators._child = start(["sleep", "60"], log=tmp_path / "log")
    emulators._child.signal(number)
    assert emulators._child.wait(60) is not None

    emulators.__exit__(None, None, None)

    assert folders == [tmp_path / "boxes"] * cleaned
