"""The shell of a verb: as it is, without its key, dirty, or of a checkout whose locks have changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.rehearsal import shells
from runner.rehearsal.changed_checkout import OFFLINE
from runner.rehearsal.shells import in_shell
from runner.run.run_dir import PROJECT


class Clouds:
    """Emulated clouds whose key is one variable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self) -> dict[str, str]:
        return {"KEY": "ours", "PATH": "/bin"}

    def other_account(self) -> dict[str, str]:
        return {"KEY": "another"}


@pytest.mark.parametrize(
    ("wrong", "key", "workspace"),
    [
        ([], "ours", None),
        (["no_key"], None, None),
        (["other_account"], "another", None),
        (["", "dirty_environment"], "ours", "elsewhere"),
        (["no_key", "dirty_environment"], None, "elsewhere"),
    ],
)
def test_a_shell_is_as_the_faults_have_it(
    wrong: list[str], key: str | None, workspace: str | None, tmp_path: Path
) -> None:
    argv, cwd, environ = in_shell("runner", ["down"], Clouds(tmp_path), wrong)  # type: ignore[arg-type]

    assert (argv, cwd) == ([sys.executable, "-m", "runner", "down"], PROJECT)
    assert (environ.get("KEY"), environ.get("TF_WORKSPACE")) == (key, workspace)


def test_offline_it_is_that_of_another_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "make_changed_checkout", lambda folder: folder / "copy")

    argv, cwd, environ = in_shell("runner", ["down"], Clouds(tmp_path), ["lock_changed_offline"])  # type: ignore[arg-type]

    assert (argv[-3:], cwd) == (["-m", "runner", "down"], tmp_path / "copy")
    assert "--standing" in argv
    assert environ == {"KEY": "ours", "PATH": "/bin", **OFFLINE}
