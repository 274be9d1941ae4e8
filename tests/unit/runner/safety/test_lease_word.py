"""The last word to a machine, and what the journal knows of it."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.run.journal import Journal
from runner.run.run_dir import RunDir, write_json
from runner.safety.lease_word import Word, last_word, note, noted, word_or_noted
from tests.unit.runner.fake_run import run_named

AT = datetime(2026, 11, 29, 2, 0, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return run_named(tmp_path / "runs")


def test_of_a_run_without_a_lease_there_is_no_word(run: RunDir) -> None:
    assert (last_word(run), word_or_noted(run), noted(run)) == (None, None, None)


@pytest.mark.parametrize("word", ["renew", "hold"])
def test_a_word_that_is_whole_counts_whatever_the_journal_says(word: Word, run: RunDir) -> None:
    note(run, "renew" if word == "hold" else "hold")
    write_json(run.file("lease.json"), {"word": word, "said_at": AT.isoformat()})

    assert word_or_noted(run) == (word, AT)


@pytest.mark.parametrize(
    "said", [{"word": "pause", "said_at": AT.isoformat()}, {"word": "renew", "said_at": "2026-11-29T02:00:00"}]
)
def test_a_word_of_a_later_version_and_a_time_without_an_offset_are_none(said: dict[str, str], run: RunDir) -> None:
    write_json(run.file("lease.json"), said)

    with pytest.raises(ValueError, match=r"lease\.json says"):
        last_word(run)
    found = word_or_noted(run)
    assert found is not None
    assert found[0] is None


def test_the_journal_notes_changes_alone(run: RunDir) -> None:
    words: list[Word] = ["renew", "renew", "hold", "hold", "renew"]
    for word in words:
        note(run, word)

    lines = [entry["word"] for entry in Journal(run).entries()]
    assert (lines, noted(run)) == (["renew", "hold", "renew"], "renew")


def test_a_line_of_a_later_version_notes_nothing(run: RunDir) -> None:
    note(run, "hold")
    Journal(run).answer("lease", word="pause")

    assert noted(run) is None


def test_a_full_disk_here_ends_no_run(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Journal, action: str, **facts: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Journal, "answer", full)

    note(run, "hold")

    assert noted(run) is None
