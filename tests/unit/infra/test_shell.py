"""What a shell is told so that plain Terraform finds our provider."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from infra import shell
from runner.adapters.terraform_install import find_terraform
from runner.world import RealWorld


def test_the_lines_are_ones_that_a_shell_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "my cache's"
    monkeypatch.setenv("DOUSE_CACHE", str(cache))
    monkeypatch.delenv("DOUSE_PROVIDER_MIRROR", raising=False)

    assert shell.main() == 0

    words = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in words] == ["export"] * 4
    told = dict(line[1].split("=", 1) for line in words)
    assert sorted(told) == ["CHECKPOINT_DISABLE", "DOUSE_PYTHON", "PYTHONPATH", "TF_CLI_CONFIG_FILE"]
    assert told["TF_CLI_CONFIG_FILE"] == str(cache / "terraform" / "by-hand" / "terraform.rc")
    assert "direct" in Path(told["TF_CLI_CONFIG_FILE"]).read_text()


@pytest.mark.parametrize("name", ["lambda", "runpod"])
def test_plain_terraform_finds_our_provider_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DOUSE_PROVIDER_MIRROR", str(tmp_path))
    settings = shell.terraform_settings(tmp_path / "settings")
    module = tmp_path / "module"
    module.mkdir()
    for path in (Path(shell.__file__).parent / "environments" / name).glob("*.tf"):
        (module / path.name).write_bytes(path.read_bytes())
    env = {**settings, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    for words in (["init", "-input=false"], ["validate"]):
        done = subprocess.run(
            [str(find_terraform(RealWorld())), *words], cwd=module, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_mirror_that_is_not_there_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path))
    monkeypatch.setenv("DOUSE_PROVIDER_MIRROR", str(tmp_path / "gone"))

    assert shell.main() == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert f"DOUSE_PROVIDER_MIRROR is {tmp_path / 'gone'}" in said.err
