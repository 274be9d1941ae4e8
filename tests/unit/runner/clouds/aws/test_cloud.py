"""Whether the environment names an account on AWS, without asking anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.clouds.aws import cloud as aws
from runner.clouds.registry import configured
from runner.world import RealWorld


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(aws, "MACHINE_VENDOR", tmp_path / "no-such-file")


@pytest.mark.parametrize(
    "given",
    [
        {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/"},
        {"DOUSE_AWS_REGIONS": "us-east-1"},
    ],
)
def test_aws_is_configured_by_its_own_variables(given: dict[str, str], tmp_path: Path) -> None:
    assert [cloud.name for cloud in configured(RealWorld(given | {"HOME": str(tmp_path)}))] == ["aws"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("credentials", "[default]\naws_access_key_id = AKIAEXAMPLE\n", ["aws"]),
        ("config", "[default]\nsso_session = me\n", ["aws"]),
        ("config", "[default]\nregion = us-east-1\n", []),
    ],
)
def test_aws_is_configured_by_its_own_files(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / name).write_text(content)

    assert [cloud.name for cloud in configured(RealWorld({"HOME": str(tmp_path)}))] == expected


def test_a_machine_at_aws_may_have_a_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    vendor = tmp_path / "sys_vendor"
    vendor.write_text("Amazon EC2\n")
    monkeypatch.setattr(aws, "MACHINE_VENDOR", vendor)

    assert [cloud.name for cloud in configured(RealWorld({"HOME": str(tmp_path)}))] == ["aws"]
