"""What the environment says of an account on Lambda Cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cloud_api.pacing import Timer
from runner.clouds.lambda_cloud.api import open_lambda
from runner.errors import UsageError
from runner.world import RealWorld

KEYS = {"LAMBDA_API_KEY": "lambda-secret-1"}


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("  lambda-secret-2\n")

    cloud = open_lambda({"LAMBDA_API_KEY_FILE": str(path)}, timer=Timer(RealWorld()))

    assert cloud._label == "key …et-2"


@pytest.mark.parametrize(("value", "expected_s"), [("", 1.0), ("0", 0.0), ("0.05", 0.05)])
def test_lambdas_pace_comes_from_the_environment(value: str, expected_s: float) -> None:
    cloud = open_lambda(
        {"LAMBDA_API_KEY": f"key-with-pace-{value}", "DOUSE_LAMBDA_PACE_S": value}, timer=Timer(RealWorld())
    )

    assert cloud._api._pace._interval_s == expected_s
    assert cloud._launches._interval_s == 12 * expected_s


@pytest.mark.parametrize("value", ["fast", "-1", "61", "nan"])
def test_a_pace_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="DOUSE_LAMBDA_PACE_S"):
        open_lambda(KEYS | {"DOUSE_LAMBDA_PACE_S": value}, timer=Timer(RealWorld()))
