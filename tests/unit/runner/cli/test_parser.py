"""The command line's last words: what a program or a machine said stands in them, and steers no terminal."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runner.cli.parser import main, print_error
from runner.errors import TrainingFailedError
from trainer.errors import ConfigError


def test_an_error_in_a_machines_words_is_three_lines_on_the_screen_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "train.log"
    error = TrainingFailedError("no\x1b[2J\nerror: all is well", resolution="do\x07 it", details="a\r\x1b]0;t\x07b")

    print_error(error, log)

    assert capsys.readouterr().err == f"error: no error: all is well\nhint:  do it\nlog:   {log}\n"
    assert log.read_text().endswith("a\nb\n")
    assert "\x1b" not in log.read_text()


@pytest.mark.parametrize(("name", "errors"), [("last-error.log", ["new"]), ("train.log", ["old", "new"])])
def test_the_last_error_is_one_and_the_log_of_a_run_has_them_all(tmp_path: Path, name: str, errors: list[str]) -> None:
    for words in ("old", "new"):
        print_error(ConfigError(words, resolution="do it"), tmp_path / name)

    text = (tmp_path / name).read_text()
    assert [words for words in ("old", "new") if f"ConfigError: {words}" in text] == errors


def test_all_problems_of_a_kind_are_shown_below_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ConfigError("two", resolution="do it", lines=["a \x1b[2J", "b"]), tmp_path / "log")

    assert capsys.readouterr().err.splitlines()[:4] == ["error: two", "       a", "       b", "hint:  do it"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), ZeroDivisionError("oh")])
@pytest.mark.parametrize(
    ("verb", "is_about_money"), [("down", True), ("sweep", True), ("status", True), ("runs", False)]
)
def test_what_was_cut_short_has_proved_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, verb: str, is_about_money: bool
) -> None:
    def fail(session: object) -> int:
        raise raised

    monkeypatch.setattr("runner.cli.parser.actions", lambda: {verb: fail})

    status = main([verb, "--runs-dir", str(tmp_path)])

    assert (status == 3) is is_about_money


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), ZeroDivisionError("oh"), OSError(errno.EIO, "the disk")])
def test_a_look_that_is_cut_short_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(session: object) -> int:
        raise raised

    monkeypatch.setattr("runner.cli.parser.actions", lambda: {"sweep": fail})

    main(["sweep", "--runs-dir", str(tmp_path)])

    assert [line[:6] for line in capsys.readouterr().err.splitlines()[:2]] == ["error:", "hint: "]


@pytest.mark.parametrize(
    ("raised", "is_defect"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/runs/a/state.json"), False),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/runs"), False),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/runs"), False),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/tmp/x"), False),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
        (PermissionError(errno.EPERM, os.strerror(errno.EPERM)), True),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/runs/x"), True),
        (ZeroDivisionError("oh"), True),
    ],
    ids=str,
)
def test_what_the_disk_refuses_is_no_defect_of_douse(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    is_defect: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(session: object) -> int:
        raise raised

    monkeypatch.setattr("runner.cli.parser.actions", lambda: {"train": fail})

    status = main(["train", "--runs-dir", str(tmp_path)])

    said = capsys.readouterr().err
    assert (status, "a defect of Douse" in said) == (1, is_defect)
    assert (getattr(raised, "filename", None) or "") in said
