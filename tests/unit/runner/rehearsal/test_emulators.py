"""The surroundings of a rehearsed runner: one emulated cloud, and nothing that leads to a real account."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.rehearsal.emulators import Emulators, scrubbed


def test_nothing_that_leads_to_a_real_account_reaches_a_rehearsal() -> None:
    found = scrubbed(
        {
            "AWS_PROFILE": "me",
            "LAMBDA_API_KEY": "x",
            "RUNPOD_API_KEY_FILE": "f",
            "DOUSE_LAMBDA_PACE_S": "1",
            "PATH": "/",
        }
    )

    assert found == {"DOUSE_LAMBDA_PACE_S": "1", "PATH": "/"}


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
