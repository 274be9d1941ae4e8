"""What a rehearsal may not touch: the user's home and the checkout, but for caches and other runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.rehearsal.footprint import changes, footprint


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("home/.ssh/config", "home/.bashrc", "checkout/Makefile", "checkout/runner/errors.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was\n")
    return tmp_path / "home"


def seen(home: Path) -> dict[str, str]:
    return footprint(home, home.parent / "checkout")


def test_nothing_has_changed_where_nothing_was_done(home: Path) -> None:
    assert changes(seen(home), seen(home)) == []
    assert len(seen(home)) == 4


@pytest.mark.parametrize("name", ["home/.ssh/authorized_keys", "home/.profile", "home/bin/ls", "checkout/infra/build"])
def test_a_new_file_is_seen(name: str, home: Path) -> None:
    before = seen(home)
    file = home.parent / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("new\n")

    assert changes(before, seen(home)) == [f"outside the run's folder, {file} was made"]


def test_the_same_size_with_other_words_is_a_change(home: Path) -> None:
    before = seen(home)
    (home / ".bashrc").write_text("AS it was\n")

    assert changes(before, seen(home)) == [f"outside the run's folder, {home / '.bashrc'} was changed"]


def test_a_file_that_became_a_link_and_one_that_is_gone_are_seen(home: Path) -> None:
    before = seen(home)
    (home / ".ssh" / "config").unlink()
    (home / ".ssh" / "config").symlink_to("/etc/passwd")
    (home / ".bashrc").unlink()

    assert changes(before, seen(home)) == [
        f"outside the run's folder, {home / '.ssh' / 'config'} was changed",
        f"outside the run's folder, {home / '.bashrc'} was removed",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "home/.cache/douse/x",
        "home/.bash_history",
        "home/.ansible/tmp/x",
        "checkout/runs/r/state.json",
        "checkout/rehearsals/r/x",
        "checkout/runner/__pycache__/errors.pyc",
        "checkout/.venv/bin/python",
        "checkout/build/terraform/main.tf",
        "checkout/.venv-scan.lock",
    ],
)
def test_what_changes_by_design_is_let_by(name: str, home: Path) -> None:
    before = seen(home)
    (home.parent / name).parent.mkdir(parents=True, exist_ok=True)
    (home.parent / name).write_text("new\n")

    assert changes(before, seen(home)) == []
