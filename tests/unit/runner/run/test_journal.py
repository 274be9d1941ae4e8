"""The journal: what it says of a create that may have happened, and what damage may make of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.run.journal import Journal
from runner.run.run_dir import RunDir, create_run
from runner.run.spend import spend_of
from runner.world import RealWorld

NOW = datetime(2026, 11, 21, 1, 55, 0, tzinfo=UTC)
OLD_INTENT = '{"time": "2026-11-21T01:55:00.000+00:00", "kind": "intent", "action": "provision", "run_id": "r"}'
OLD_ANSWER = OLD_INTENT.replace("intent", "answer")
FOREIGN = (
    "{}",
    "[]",
    "null",
    "not JSON",
    '{"kind": "intent"}',
    '{"kind": 1, "action": [], "time": {}}',
    OLD_INTENT.replace("2026-11-21T", "yesterday "),
    OLD_INTENT.replace("+00:00", ""),
)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path, "tiny", NOW, RealWorld())


def ask(journal: Journal) -> None:
    journal.intent("provision", run_id="r", environment="lambda", candidates=[{"price": 0.5, "where": "a-Ä"}])


def answer(journal: Journal) -> None:
    journal.answer("provision", instance_id="i-1", price_usd_per_h=0.5)


def test_a_line_is_on_the_disk_before_anything_is_asked_for(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must not take back what was written: the request goes out next."""
    on_disk: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: on_disk.append(os.fstat(descriptor).st_size))

    for write in (ask, answer):
        write(Journal(run))

        assert on_disk[-1] == run.file("journal.jsonl").size_bytes()

    assert len(on_disk) == 2


def flipped(content: bytes) -> Iterator[bytes]:
    """Yield the content with each of its bits flipped in turn."""
    for at in range(len(content) * 8):
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


def test_an_intent_without_an_answer_is_unanswered(run: RunDir) -> None:
    journal = Journal(run)
    assert not journal.unanswered("provision")
    ask(journal)
    assert journal.unanswered("provision")
    answer(journal)

    assert not journal.unanswered("provision")
    assert [entry["kind"] for entry in journal.entries()] == ["intent", "answer"]
    assert set(journal.entries()[1]) == {"time", "kind", "action", "instance_id", "price_usd_per_h", "clock"}


@pytest.mark.parametrize("lines", [[ask], [ask, answer, ask]], ids=["first", "second"])
def test_no_single_bit_hides_an_open_create(run: RunDir, lines: list[Callable[[Journal], None]]) -> None:
    journal, path = Journal(run), run.file("journal.jsonl").path
    for write in lines:
        write(journal)

    hidden = []
    for content in flipped(path.read_bytes()):
        path.write_bytes(content)
        journal.entries()
        if not journal.unanswered("provision"):
            hidden.append(content)

    assert hidden == []


def test_no_single_bit_changes_what_is_read(run: RunDir) -> None:
    journal, path = Journal(run), run.file("journal.jsonl").path
    ask(journal)
    answer(journal)
    written = journal.entries()

    for content in flipped(path.read_bytes()):
        path.write_bytes(content)
        for entry in journal.entries():
            facts = {name: value for name, value in entry.items() if name in written[0] | written[1]}
            assert facts in written


@pytest.mark.parametrize("line", FOREIGN)
def test_a_line_that_is_none_of_ours_may_have_been_an_intent(run: RunDir, line: str) -> None:
    journal = Journal(run)
    ask(journal)
    answer(journal)
    with run.file("journal.jsonl").path.open("a") as file:
        file.write(line + "\n")

    assert journal.unanswered("provision")
    assert [entry["kind"] for entry in journal.entries()] == ["intent", "answer"]
    assert spend_of(run).total_usd is None  # the line may have been a request for a machine
    answer(journal)
    assert not journal.unanswered("provision")


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_was_cut_short_may_have_been_an_intent(run: RunDir, cut: int) -> None:
    journal, path = Journal(run), run.file("journal.jsonl").path
    ask(journal)
    path.write_bytes(path.read_bytes()[: -cut - 1])

    assert journal.unanswered("provision")


def test_a_half_line_harms_no_other(run: RunDir) -> None:
    path = run.file("journal.jsonl").path
    path.write_text('{"kind": "int')

    Journal(run).intent("provision")

    assert json.loads(path.read_text().splitlines()[1])["action"] == "provision"
    assert [entry["action"] for entry in Journal(run).entries()] == ["provision"]


@pytest.mark.parametrize(("lines", "open_"), [([OLD_INTENT], True), ([OLD_INTENT, OLD_ANSWER], False)])
def test_lines_of_older_versions_are_read(run: RunDir, lines: list[str], open_: bool) -> None:
    run.file("journal.jsonl").path.write_text("".join(f"{line}\n" for line in lines))

    assert Journal(run).entries() == [json.loads(line) for line in lines]
    assert Journal(run).unanswered("provision") is open_


def test_a_line_knows_what_its_computer_has_counted(run: RunDir) -> None:
    Journal(run).intent("provision")

    (line,) = Journal(run).entries()
    assert line["clock"]["boot"] == run.world.boot_id
    assert 0 < line["clock"]["up_s"] <= run.world.boottime_s() + 0.1


def test_what_was_read_belongs_to_who_has_read_it(run: RunDir) -> None:
    journal = Journal(run)
    ask(journal)
    (first,) = journal.entries()
    first["action"] = "something else"

    assert [entry["action"] for entry in journal.entries()] == ["provision"]
    assert journal.unanswered("provision")
