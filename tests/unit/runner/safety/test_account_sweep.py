"""The sweep of whole accounts: each resource and each cloud is judged by itself; what was not looked at is named."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.cloud_api.models import Kind
from runner.errors import CloudError, TeardownError, UnreadableAnswerError
from runner.run.journal import Journal
from runner.run.run_dir import RunDir, write_json
from runner.run.state import RunState, locked
from runner.safety import account_sweep as sweeping
from runner.safety.asked import close, without_receipt
from runner.safety.lease_word import Word, note
from runner.safety.patience import Patience
from runner.safety.proof import account_facts
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing
from tests.unit.runner.fake_run import run_named
from tests.unit.runner.safety.test_terminate import Clock

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
UNREADABLE = UnreadableAnswerError("lambda: no list", resolution="look")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    created = run_named(tmp_path / "runs")
    write_json(created.config, {"budget": {"lease_minutes": 15.0}})
    return created


def said(run: RunDir, word: str, minutes_ago: float) -> None:
    write_json(run.file("lease.json"), {"word": word, "said_at": (NOW - timedelta(minutes=minutes_ago)).isoformat()})


def judged(run: RunDir, **facts: object) -> sweeping.Finding:
    return sweeping.judge(thing(**facts), {run.run_id: run}, NOW)  # type: ignore[arg-type]


def test_what_is_past_its_end_is_abandoned_whoever_drives_it(run: RunDir) -> None:
    with locked(run):
        assert judged(run, expires_at=NOW - timedelta(seconds=1)).abandoned
        assert not judged(run, expires_at=NOW + timedelta(seconds=1)).abandoned


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b'{"word": "renew"}',
    b'{"word": "pause", "said_at": "2026-11-21T02:00:00+00:00"}',
    b"\x00",
]


@pytest.mark.parametrize("content", [b'{"word": "renew", "said_at": "9999-12-31T23:59:59+00:00"}', b"[" * 100_000])
@pytest.mark.parametrize("name", ["lease.json", "state.json", "config.json"])
def test_a_file_that_no_calendar_or_stack_holds_keeps_no_other_run_from_being_judged(
    run: RunDir, name: str, content: bytes
) -> None:
    said(run, "renew", 1.0)
    run.file(name).write_bytes(content)

    found = sweeping.survey([FakeCloud([thing(), thing(resource_id="i-2", run_id=None)])], [run], NOW).findings

    assert [(one.resource.id, one.abandoned) for one in found] == [("i-1", False), ("i-2", False)]


def spoiled(run: RunDir, content: bytes, minutes_ago: float) -> None:
    """Damage the file of the last word, so many minutes ago."""
    run.file("lease.json").write_bytes(content)
    os.utime(run.path / "lease.json", ((NOW - timedelta(minutes=minutes_ago)).timestamp(),) * 2)


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize(
    ("words", "minutes_ago", "abandoned"),
    [
        (["renew", "hold"], 600.0, False),
        (["renew", "hold", "renew"], 16.0, True),
        (["renew"], 14.0, False),
        ([], 59.0, False),
        ([], 61.0, True),
    ],
)
def test_a_word_that_cannot_be_read_is_the_one_that_the_journal_notes(
    words: list[Word], minutes_ago: float, abandoned: bool, content: bytes, run: RunDir
) -> None:
    for word in words:
        note(run, word)
    spoiled(run, content, minutes_ago)

    assert judged(run).abandoned is abandoned


def test_a_runner_that_works_writes_its_word_anew(run: RunDir) -> None:
    spoiled(run, b"", 61.0)
    with locked(run):
        assert judged(run).abandoned
        spoiled(run, b"", 1.0)
        assert not judged(run).abandoned


def test_what_a_guard_watches_over_stays_though_nobody_can_read_its_last_word(run: RunDir) -> None:
    spoiled(run, b"", 61.0)
    cloud = FakeCloud([thing()])

    (unwatched,) = sweeping.survey([cloud], [run], NOW).findings
    (watched,) = sweeping.survey([cloud], [run], NOW, guarded=lambda one: one.run_id == RUN_ID).findings

    assert (unwatched.abandoned, watched.abandoned) == (True, False)
    assert watched.reason.endswith("cannot be read, and a guard watches over it")


def test_a_lease_at_the_cloud_outranks_a_word_that_cannot_be_read(run: RunDir) -> None:
    spoiled(run, b"", 61.0)

    assert not leased(run, 1).abandoned
    note(run, "hold")
    assert leased(run, -1).abandoned


def test_a_run_of_another_machine_stays(run: RunDir) -> None:
    finding = judged(run, run_id="20261121-015501-other")

    assert (finding.abandoned, finding.reason) == (False, "run 20261121-015501-other is not in this runs folder")


@pytest.mark.parametrize(
    ("word", "minutes_ago", "abandoned"),
    [("renew", 16.0, True), ("renew", 14.0, False), ("hold", 16.0, False)],
)
def test_without_a_runner_the_lease_decides(run: RunDir, word: str, minutes_ago: float, abandoned: bool) -> None:
    said(run, word, minutes_ago)

    assert judged(run).abandoned is abandoned


def test_what_a_finished_run_left_is_abandoned(run: RunDir) -> None:
    state = RunState(run)
    state.begin("destroy")
    state.end("destroy", "done", 1.0)

    assert judged(run).reason == f"run {RUN_ID} is down, and this is left"
    assert judged(run).abandoned


def test_a_cloud_that_does_not_say_is_named_and_the_others_are_looked_at(tmp_path: Path) -> None:
    silent = FakeCloud(name="runpod", listing_troubles=[UNREADABLE])

    found = sweeping.survey([silent, FakeCloud([thing()])], [], NOW)

    assert (dict(found.unread), len(found.findings)) == ({"runpod": "lambda: no list"}, 1)


def test_an_entry_that_cannot_be_read_hides_nothing_else() -> None:
    found = sweeping.survey([FakeCloud([thing()], unread=[UNREADABLE])], [], NOW)

    assert ([finding.resource.id for finding in found.findings], found.is_complete) == (["i-1"], False)


@pytest.mark.parametrize("name", ["state.json", "lease.json", "config.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"steps": 1}', '{"word": "renew"}', "\x00", "7"])
def test_a_damaged_folder_is_shown_and_does_not_stop_the_sweep(run: RunDir, name: str, content: str) -> None:
    said(run, "renew", 1.0)
    run.file(name).write_bytes(content.encode())
    other = thing(resource_id="i-2", run_id="20261121-015501-other", expires_at=NOW - timedelta(hours=1))

    found = sweeping.survey([FakeCloud([thing(), other])], [run], NOW)

    assert [finding.resource.id for finding in found.findings] == ["i-1", "i-2"]
    assert found.findings[1].abandoned


def test_a_lock_does_not_outrank_a_lease_that_ran_out(run: RunDir) -> None:
    said(run, "renew", 16.0)

    with locked(run):
        finding = judged(run)

    assert (finding.abandoned, "a runner that does nothing" in finding.reason) == (True, True)


@pytest.mark.parametrize(("word", "minutes_ago"), [("renew", 14.0), ("hold", 600.0), (None, 0.0)])
def test_a_runner_that_works_is_left_alone(run: RunDir, word: str | None, minutes_ago: float) -> None:
    if word is not None:
        said(run, word, minutes_ago)

    with locked(run):
        assert judged(run).reason == f"run {RUN_ID} is being driven"


def leased(run: RunDir, minutes: float, **facts: object) -> sweeping.Finding:
    """Return the verdict on a machine whose lease, as the cloud shows it, runs out in so many minutes."""
    machine = replace(thing(**facts), lease_until=NOW + timedelta(minutes=minutes))  # type: ignore[arg-type]
    return sweeping.judge(machine, {run.run_id: run}, NOW)


@pytest.mark.parametrize("run_id", [RUN_ID, "20261121-015501-other", None])
@pytest.mark.parametrize(("minutes", "abandoned"), [(-1, True), (1, False)])
def test_a_sweep_anywhere_knows_the_lease_at_the_cloud(
    run: RunDir, run_id: str | None, minutes: float, abandoned: bool
) -> None:
    finding = leased(run, minutes, run_id=run_id)

    assert (finding.abandoned, "as the cloud shows" in finding.reason) == (abandoned, True)


@pytest.mark.parametrize("word", ["renew", "hold", None])
def test_a_lease_that_ran_out_at_the_cloud_is_over_whatever_the_folder_says(run: RunDir, word: str | None) -> None:
    if word is not None:
        said(run, word, 1.0)

    assert leased(run, -1).abandoned
    run.file("state.json").write_bytes(b"{")
    assert leased(run, -1).abandoned


def test_a_runner_here_that_renews_the_lease_outranks_the_cloud(run: RunDir) -> None:
    """Its requests to the cloud may have failed; the machine itself has its word."""
    with locked(run):
        assert leased(run, -1).abandoned
        said(run, "renew", 1.0)
        assert not leased(run, -1).abandoned
        said(run, "renew", 16.0)
        assert leased(run, -1).abandoned


def test_a_lease_that_another_computer_moves_keeps_a_machine_that_is_lost_here(run: RunDir) -> None:
    said(run, "renew", 16.0)

    assert judged(run).abandoned
    assert not leased(run, 1).abandoned


def test_what_a_run_that_is_down_left_goes_whatever_its_lease(run: RunDir) -> None:
    RunState(run).end("destroy", "done", 1.0)

    assert leased(run, 1).abandoned


def test_an_end_that_cannot_be_read_does_not_mean_never(run: RunDir) -> None:
    odd = replace(thing(run_id="20261121-015501-other"), odd_expiry="soon")
    found = sweeping.survey([FakeCloud([odd])], [run], NOW)

    assert (found.is_complete, found.findings[0].abandoned) == (False, False)
    assert found.findings[0].reason.endswith("; when it has to be over cannot be read from 'soon'")


def test_other_means_judge_what_has_an_end_that_cannot_be_read(run: RunDir) -> None:
    said(run, "renew", 16.0)

    assert sweeping.judge(replace(thing(), odd_expiry="soon"), {run.run_id: run}, NOW).abandoned
    alive = replace(thing(), odd_expiry="soon", lease_until=NOW + timedelta(minutes=1))
    assert sweeping.judge(alive, {run.run_id: run}, NOW).is_judged


@pytest.mark.parametrize("hours", [-2, 2])
def test_what_stands_at_the_cloud_is_judged_by_its_clock(run: RunDir, hours: int) -> None:
    off = timedelta(hours=hours)
    over = replace(thing(run_id="20261121-015501-other"), expires_at=NOW + off - timedelta(minutes=1))
    alive = replace(over, id="i-2", expires_at=NOW + off + timedelta(minutes=1))
    out = replace(over, id="i-3", expires_at=None, lease_until=NOW + off - timedelta(minutes=1))
    cloud = FakeCloud([over, alive, out], clock_off=off)

    found = sweeping.survey([cloud], [run], NOW)

    assert [finding.abandoned for finding in found.findings] == [True, False, True]
    assert found.clocks == {"lambda": off}


def test_a_word_from_here_is_judged_by_the_clock_that_it_was_written_by(run: RunDir) -> None:
    said(run, "renew", 14.0)

    found = sweeping.survey([FakeCloud([thing()], clock_off=timedelta(hours=2))], [run], NOW)

    assert not found.findings[0].abandoned


def asked(run: RunDir, cloud: str) -> None:
    Journal(run).intent("provision", environment=cloud, name=f"douse-{run.run_id}")


def test_a_cloud_without_a_key_here_on_which_a_run_has_rented_is_named(run: RunDir) -> None:
    asked(run, "runpod")

    found = sweeping.survey([FakeCloud()], [run], NOW, closed={"runpod": "no key", "aws": "no credentials"})

    assert (found.not_looked_at, found.is_complete) == ({"runpod": [RUN_ID]}, False)


def test_another_account_than_a_run_was_rented_with_shows_nothing(run: RunDir) -> None:
    cloud = FakeCloud(name="runpod")
    Journal(run).intent("provision", environment="runpod", **account_facts(cloud, RealWorld()))
    Journal(run).answer("provision")

    assert sweeping.survey([cloud], [run], NOW).is_complete
    cloud.key = "another"
    assert sweeping.survey([cloud], [run], NOW).not_looked_at == {"runpod": [RUN_ID]}
    cloud.there = [thing(cloud="runpod")]
    assert sweeping.survey([cloud], [run], NOW).is_complete, "what it shows proves it, whatever the key"
    cloud.there = []
    close(run)
    assert sweeping.survey([cloud], [run], NOW).is_complete


def test_a_request_that_nobody_answered_leaves_a_sweep_open_for_two_hours(run: RunDir) -> None:
    cloud = FakeCloud()
    Journal(run).intent("provision", environment="lambda", **account_facts(cloud, RealWorld()))
    asked_at = datetime.fromisoformat(Journal(run).entries()[-1]["time"])

    found = sweeping.survey([cloud], [run], asked_at + timedelta(seconds=7199))
    assert (found.is_complete, found.late) == (False, {"lambda": [RUN_ID]})
    assert sweeping.survey([cloud], [run], asked_at - timedelta(hours=1)).late == found.late, "a clock that was set"
    assert sweeping.survey([cloud], [run], asked_at + timedelta(seconds=7200)).is_complete

    key = replace(thing(), kind="key")
    assert sweeping.survey([FakeCloud([key])], [run], asked_at).late == found.late, "a key is no machine"
    assert sweeping.survey([FakeCloud([thing()])], [run], asked_at).is_complete
    assert sweeping.survey([FakeCloud(name="runpod")], [run], asked_at).is_complete, "another cloud has nothing of it"
    close(run)
    assert sweeping.survey([cloud], [run], asked_at).is_complete


def test_a_request_to_no_cloud_bears_no_machine(run: RunDir) -> None:
    Journal(run).intent("provision", environment="local")
    asked_at = datetime.fromisoformat(Journal(run).entries()[-1]["time"])

    assert sweeping.survey([FakeCloud()], [run], asked_at).is_complete


def test_a_run_with_a_receipt_needs_no_key(run: RunDir) -> None:
    asked(run, "runpod")
    write_json(run.receipt, {})

    assert sweeping.survey([FakeCloud()], [run], NOW, closed={"runpod": "no key"}).is_complete


def test_a_journal_that_cannot_be_read_counts_for_the_configured_cloud(run: RunDir) -> None:
    write_json(run.config, {"compute": {"env": "runpod"}})
    run.file("journal.jsonl").write_bytes(b'{"action": "provision", "kind": "intent"}\n')

    assert without_receipt([run]) == {"runpod": [RUN_ID]}


def test_the_sweep_ends_what_has_to_go_and_nothing_else() -> None:
    doomed, other = thing(), thing(resource_id="i-2")
    cloud = FakeCloud([doomed, other])

    ended = sweeping.end([cloud], [sweeping.Finding(doomed, "", True)], Clock(), Patience())

    assert ([found.id for found in ended], cloud.there) == (["i-1"], [other])


def test_a_sweep_that_cannot_look_is_exit_three() -> None:
    with pytest.raises(TeardownError, match="cannot check what is left on lambda") as caught:
        sweeping.end(
            [FakeCloud([thing()], listing_troubles=[UNREADABLE])],
            [sweeping.Finding(thing(), "", True)],
            Clock(),
            Patience(),
        )

    assert caught.value.exit_code == 3


def test_a_sweep_that_cannot_read_all_again_has_proved_nothing() -> None:
    doomed = thing()
    cloud = FakeCloud([doomed], unread=[UNREADABLE])

    with pytest.raises(sweeping.SweepError, match="lambda could not be read to the end") as caught:
        sweeping.end([cloud], [sweeping.Finding(doomed, "", True)], Clock(), Patience())

    assert (cloud.asked_to_end, caught.value.exit_code) == (["i-1"], 3)


@pytest.mark.parametrize("stuck", [{"listing_troubles": [UNREADABLE]}, {"ends_slowly": 1000}])
def test_a_cloud_that_cannot_be_swept_does_not_keep_the_next_from_it(stuck: dict[str, Any]) -> None:
    doomed, other = thing(), thing(resource_id="i-2", cloud="runpod")
    clouds = [FakeCloud([doomed], **stuck), FakeCloud([other], name="runpod")]
    findings = [sweeping.Finding(doomed, "", True), sweeping.Finding(other, "", True)]

    with pytest.raises(sweeping.SweepError, match="lambda") as caught:
        sweeping.end(clouds, findings, Clock(), Patience())

    assert ([found.id for found in caught.value.ended], caught.value.exit_code) == (["i-2"], 3)
    assert clouds[1].there == []


def test_what_stays_on_one_cloud_lets_nothing_bill_on_the_next_meanwhile() -> None:
    doomed, other = thing(), thing(resource_id="i-2", cloud="runpod")
    clouds, clock = [FakeCloud([doomed], ends_slowly=1000), FakeCloud([other], name="runpod")], Clock()
    asked_after_s: list[float] = []
    end_there = clouds[1].end
    clouds[1].end = lambda found: asked_after_s.append(clock.waited_s) or end_there(found)  # type: ignore[method-assign]

    with pytest.raises(sweeping.SweepError) as caught:
        sweeping.end(clouds, [sweeping.Finding(found, "", True) for found in (doomed, other)], clock, Patience())

    assert (asked_after_s, [found.id for found in caught.value.ended]) == ([0.0], ["i-2"])


@pytest.mark.parametrize("troubles", [[UNREADABLE] * 1000, []])
def test_what_was_asked_for_and_cannot_be_seen_is_not_said_to_have_ended(troubles: list[CloudError]) -> None:
    findings = [sweeping.Finding(thing(resource_id=name, cloud=cloud), "", True) for name, cloud in
                (("i-1", "lambda"), ("i-2", "runpod"))]  # fmt: skip
    hidden = FakeCloud([findings[1].resource], name="runpod", listing_troubles=troubles)

    try:
        ended = sweeping.end([FakeCloud([findings[0].resource]), hidden], findings, Clock(), Patience())
    except sweeping.SweepError as err:
        ended = list(err.ended)

    assert [found.id for found in ended] == (["i-1"] if troubles else ["i-1", "i-2"])


@pytest.mark.parametrize(
    ("kind", "run_id", "is_ours"),
    [("volume", None, False), ("volume", RUN_ID, True), ("instance", None, True), ("key", None, True)],
)
def test_a_volume_goes_only_with_a_whole_run_id(kind: Kind, run_id: str | None, is_ours: bool) -> None:
    assert sweeping.is_surely_ours(thing(kind, run_id=run_id)) is is_ours
