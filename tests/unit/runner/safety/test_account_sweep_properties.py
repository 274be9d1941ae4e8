"""Whatever stands in the files of a run: every resource is judged, and those of other runs as if it were not there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.run.journal import Journal
from runner.run.run_dir import RunDir, write_json
from runner.run.state import RunState
from runner.safety.account_sweep import survey
from runner.safety.asked import clouds_asked, without_receipt
from runner.safety.lease_word import LEASE_NAME, noted, word_or_noted
from runner.safety.proof import is_surely_the_account
from runner.safety.sweeps_seen import last_sweep, note_sweep
from runner.simulation.world import VirtualWorld
from tests.tools.examples import examples
from tests.tools.odd_values import changed, moments, values
from tests.unit.runner.fake_cloud import FakeCloud, thing

ONE, OTHER = "20261121-015500-tiny-aaaa", "20261121-015500-tiny-bbbb"
RUNS = Path("/runs")
FILES: dict[str, Any] = {
    LEASE_NAME: {"word": "renew", "said_at": "2026-01-01T00:00:00+00:00", "listener": "runs"},
    "state.json": {"format": 1, "steps": {"provision": {"status": "done"}}, "outcome": None},
    "config.json": {"budget": {"lease_minutes": 15.0}, "compute": {"env": "lambda"}},
    "receipt.json": {"format": 2},
    "closed.json": {"closed_at": "2026-01-01T00:00:00+00:00"},
}
damaged = st.fixed_dictionaries(
    {},
    optional={
        name: st.binary(max_size=30)
        | (values | changed(content)).map(lambda value: json.dumps(value).encode())
        | st.just(b"[" * 100_000)
        for name, content in FILES.items()
    },
)


words = st.builds(
    lambda word, at: json.dumps({"word": word, "said_at": at}).encode(),
    st.sampled_from(["renew", "hold", "pause"]),
    moments | st.datetimes().map(lambda at: f"{at.isoformat()}+00:00"),
)


def run_of(run_id: str, world: VirtualWorld) -> RunDir:
    run = RunDir(RUNS / run_id, world)
    world.disk.make_folder(run.path)
    Journal(run).intent("provision", environment="lambda")
    for name in (LEASE_NAME, "state.json", "config.json"):
        write_json(run.file(name), FILES[name])
    return run


@examples(300)
@given(files=damaged | words.map(lambda word: {LEASE_NAME: word}), minutes=st.sampled_from([1, 20, 600]))
def test_a_damaged_folder_changes_nothing_for_another_run(files: dict[str, bytes], minutes: int) -> None:
    world = VirtualWorld()
    one, other = run_of(ONE, world), run_of(OTHER, world)
    now = world.now() + timedelta(minutes=minutes)
    cloud = FakeCloud([thing(run_id=ONE, resource_id="i-1"), thing(run_id=OTHER, resource_id="i-2")])
    before = survey([cloud], [one, other], now)
    for name, content in files.items():
        one.file(name).write_bytes(content)

    found = survey([cloud], [one, other], now)

    assert [finding.resource.id for finding in found.findings] == ["i-1", "i-2"]
    assert found.findings[1] == before.findings[1]
    assert OTHER in without_receipt([one, other])["lambda"]
    assert clouds_asked(one) == {"lambda"}


@examples(200)
@given(
    content=st.binary(max_size=60) | (values | changed(FILES[LEASE_NAME])).map(lambda value: json.dumps(value).encode())
)
def test_a_last_word_is_one_that_is_known_or_none_that_can_be_read(content: bytes) -> None:
    run = run_of(ONE, VirtualWorld())
    run.file(LEASE_NAME).write_bytes(content)

    found = word_or_noted(run)

    assert found is None or (found[0] in ("renew", "hold", None) and found[1].tzinfo is not None)
    assert noted(run) is None


@examples(150)
@given(data=st.data())
def test_one_flipped_bit_makes_no_renew_of_a_hold_nor_the_other_way_round(data: st.DataObject) -> None:
    run, word = run_of(ONE, VirtualWorld()), data.draw(st.sampled_from(["renew", "hold"]))
    write_json(run.file(LEASE_NAME), FILES[LEASE_NAME] | {"word": word})
    content = bytearray(run.file(LEASE_NAME).read_bytes())
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    run.file(LEASE_NAME).write_bytes(bytes(content))

    found = word_or_noted(run)

    assert found is not None
    assert found[0] in (word, None)


@examples(150)
@given(
    content=st.binary(max_size=40)
    | (values | changed({"lambda": "2026-01-01T00:00:00+00:00"})).map(lambda value: json.dumps(value).encode())
)
def test_when_a_sweep_was_seen_is_a_moment_or_unknown_and_is_written_anew(content: bytes) -> None:
    world = VirtualWorld()
    world.disk.write(RUNS / "swept.json", content)

    found = last_sweep(RUNS, "lambda", world)
    note_sweep(RUNS, ["lambda"], world)

    assert found is None or found.tzinfo is not None
    assert last_sweep(RUNS, "lambda", world) == world.now()


@examples(150)
@given(
    content=st.binary(max_size=40)
    | (values | changed(FILES["state.json"])).map(lambda value: json.dumps(value).encode())
)
def test_an_account_is_proved_by_what_can_be_read_alone(content: bytes) -> None:
    run = run_of(ONE, VirtualWorld())
    run.file("journal.jsonl").unlink()
    write_json(run.file("state.json"), FILES["state.json"])
    assert not is_surely_the_account(run, FakeCloud())
    run.file("state.json").write_bytes(content)

    if is_surely_the_account(run, FakeCloud()):
        assert "provision" not in RunState(run).steps
