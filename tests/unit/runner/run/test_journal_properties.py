"""Whatever becomes of a journal's bytes: no request for a machine is hidden, no line says what was not written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.run.journal import Journal
from runner.run.run_dir import RunDir
from runner.run.spend import spend_of
from runner.simulation.world import VirtualWorld
from tests.tools.examples import examples
from tests.tools.odd_values import changed, values
from tests.unit.runner.fake_cloud import RUN_ID

ACTIONS = ("provision", "destroy", "lease", "look", "create")
FACTS: dict[str, dict[str, Any]] = {
    "provision": {"environment": "lambda", "candidates": [{"max_price_usd_per_h": 1.5}], "instance_id": "i-1"},
    "destroy": {"left": []},
    "lease": {"word": "renew"},
    "look": {
        "cloud": "lambda",
        "began": "2026-01-01T00:00:00.000+00:00",
        "machines": [{"id": "i-1", "status": "running", "price_usd_per_h": 1.0, "disk_usd_per_h": 0.1}],
        "gone": [{"id": "i-2", "seen_at": "2026-01-01T00:00:00.000+00:00"}],
    },
    "create": {"began": "2026-01-01T00:00:00.000+00:00"},
}
lines = st.lists(st.tuples(st.sampled_from(["intent", "answer"]), st.sampled_from(ACTIONS)), min_size=1, max_size=6)


def journal_of(written: list[tuple[str, str]]) -> tuple[RunDir, bytes]:
    """Return a run in memory whose journal has these lines, and the journal's content."""
    run = RunDir(Path("/runs") / RUN_ID, VirtualWorld())
    run.world.disk.make_folder(run.path)
    for kind, action in written:
        getattr(Journal(run), kind)(action, **FACTS[action])
    return run, run.file("journal.jsonl").read_bytes()


def is_open(run: RunDir) -> bool:
    return Journal(run).unanswered("provision")


@examples(150)
@given(written=lines, data=st.data())
def test_of_a_journal_that_was_cut_off_every_line_before_the_cut_counts(
    written: list[tuple[str, str]], data: st.DataObject
) -> None:
    run, content = journal_of(written)
    whole = Journal(run).entries()
    cut = data.draw(st.integers(0, len(content)))
    run.file("journal.jsonl").write_bytes(content[:cut])

    left = Journal(run).entries()

    assert left == whole[: len(left)]
    assert len(left) >= content[:cut].count(b"\n")
    named = [line["kind"] for line in left if line["action"] == "provision"]
    assert is_open(run) == (Journal(run).is_damaged or named[-1:] == ["intent"])


@examples(250)
@given(written=lines, data=st.data())
def test_no_damage_in_one_place_hides_a_request(written: list[tuple[str, str]], data: st.DataObject) -> None:
    written = [*written, ("intent", "provision"), ("intent", "lease")]
    run, content = journal_of(written)
    begin = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, min(4096, len(content) - begin)))
    filler = data.draw(st.sampled_from([b"\0", b"\xff", b" ", b"a", b'"', b"9"]) | st.binary(min_size=1, max_size=3))
    region = (filler.replace(b"\n", b"\0") * length)[:length]
    run.file("journal.jsonl").write_bytes(content[:begin] + region + content[begin + length :])

    assert is_open(run)


@examples(250)
@given(written=lines, at=st.integers(0), byte=st.integers(0, 255))
def test_a_changed_byte_is_damage_or_changes_nothing(written: list[tuple[str, str]], at: int, byte: int) -> None:
    run, content = journal_of(written)
    before = Journal(run).entries()
    at %= len(content)
    run.file("journal.jsonl").write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])

    journal = Journal(run)

    for line in journal.entries():
        assert any(line.items() >= known.items() for known in before)
    assert journal.is_damaged or len(journal.entries()) == len(before)


@examples(250)
@given(
    written=lines,
    foreign=st.lists(
        values.map(lambda value: json.dumps(value).encode())
        | st.binary(max_size=40)
        | changed({"time": "2026-01-01T00:00:00+00:00", "kind": "answer", "action": "look", **FACTS["look"]}).map(
            lambda value: json.dumps(value).encode()
        )
        | changed(
            {"time": "2026-01-01T00:00:09+00:00", "kind": "intent", "action": "provision", **FACTS["provision"]}
            | {"clock": {"boot": "1767225600", "up_s": 1.0}}
        ).map(lambda value: json.dumps(value).encode()),
        min_size=1,
        max_size=3,
    ),
    at=st.integers(0),
)
def test_lines_of_others_never_break_the_count_of_what_was_spent(
    written: list[tuple[str, str]], foreign: list[bytes], at: int
) -> None:
    run, content = journal_of(written)
    own = content.splitlines(keepends=True)
    at %= len(own) + 1
    strange = [line.replace(b"\n", b" ") + b"\n" for line in foreign]
    run.file("journal.jsonl").write_bytes(b"".join([*own[:at], *strange, *own[at:]]))

    spend = spend_of(run)

    low, high = spend.range_usd
    assert low is not None
    assert low >= 0
    assert high is None or high >= low
    assert json.dumps(spend.lines, allow_nan=False)
