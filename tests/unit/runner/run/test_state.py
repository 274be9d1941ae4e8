"""State, lock, receipt, run folder: what survives a crash."""

from __future__ import annotations

import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.cloud_api.labels import RUN_ID, leased_name
from runner.errors import RunLockedError, RunNotFoundError, TeardownError
from runner.run.journal import Journal
from runner.run.run_dir import (
    LONGEST_RUN_ID,
    RunDir,
    begin_run,
    create_run,
    find_run,
    list_runs,
    mark_plan,
    new_run_id,
    read_json,
    write_json,
)
from runner.run.state import RunState, holder, locked
from runner.safety.receipt import Findings, write_receipt
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import thing

NOW = datetime(2026, 11, 21, 1, 55, 0, tzinfo=UTC)


class Dealt(RealWorld):
    """The real world, where chance gives what a test says."""

    def __init__(self, tokens: list[str]) -> None:
        super().__init__()
        self._tokens = tokens

    def token(self, size_bytes: int = 8) -> str:
        return self._tokens.pop(0)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    created = create_run(tmp_path, "tiny", NOW, RealWorld())
    write_json(created.config, {})
    return created


def test_runs_of_one_second_get_ids_of_their_own_on_two_computers_too(tmp_path: Path) -> None:
    made = {create_run(tmp_path / str(number), "tiny", NOW, RealWorld()).run_id for number in range(9)}

    assert len(made) == 9
    assert all(re.fullmatch(r"20261121-015500-tiny-[a-z0-9]{4}", run_id) for run_id in made)


def test_an_id_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    dealt = Dealt(["00000000", "00000000", "01010101"])

    made = [create_run(tmp_path, "tiny", NOW, dealt).run_id for _ in range(2)]

    assert made == ["20261121-015500-tiny-aaaa", "20261121-015500-tiny-bbbb"]


def test_when_chance_gives_taken_ids_alone_nothing_is_made(tmp_path: Path) -> None:
    dealt = Dealt(["00000000"] * 101)
    create_run(tmp_path, "tiny", NOW, dealt)

    with pytest.raises(RunNotFoundError, match="tiny-aaaa and 99 other names are taken"):
        create_run(tmp_path, "tiny", NOW, dealt)


@pytest.mark.parametrize("name", ["a", "a-", "a" * 40, f"{'a' * 26}-{'b' * 13}"])
def test_an_id_fits_every_name_and_ends_in_its_own_characters(name: str) -> None:
    run_id = new_run_id(name, NOW, Dealt(["00000000"]))

    assert len(run_id) <= LONGEST_RUN_ID
    assert leased_name(run_id, NOW) is not None  # with a deadline behind it, it is a name that every cloud takes
    assert RUN_ID.match(run_id)
    assert run_id.startswith("20261121-015500-a")
    assert re.search("[a-z0-9]-aaaa$", run_id)


def test_a_run_is_found_by_the_end_of_its_id(tmp_path: Path) -> None:
    for name in ("20261121-015500-tiny-k3v9", "20261121-015500-tiny", "20261121-015501-tiny-tiny"):
        write_json(tmp_path / name / "config.json", {})

    assert find_run(tmp_path, "k3v9", RealWorld()).run_id == "20261121-015500-tiny-k3v9"
    assert find_run(tmp_path, "20261121-015500-tiny", RealWorld()).run_id == "20261121-015500-tiny"
    with pytest.raises(RunNotFoundError, match="is the end of 20261121-015500-tiny and 20261121-015501-tiny-tiny"):
        find_run(tmp_path, "tiny", RealWorld())


def test_the_beginning_of_an_id_is_never_taken_for_it(tmp_path: Path) -> None:
    """It may be the whole id of a run of an older version, whose folder is gone and whose machine is to be ended."""
    write_json(tmp_path / "20261121-015500-tiny-k3v9" / "config.json", {})

    with pytest.raises(RunNotFoundError):
        find_run(tmp_path, "20261121-015500-tiny", RealWorld())


def test_the_folder_of_a_run_is_its_users_alone(run: RunDir) -> None:
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def test_the_latest_run_is_the_default(tmp_path: Path, run: RunDir) -> None:
    later = create_run(tmp_path, "a", datetime(2026, 11, 22, tzinfo=UTC), RealWorld())
    write_json(later.config, {})

    assert find_run(tmp_path, None, RealWorld()) == later
    assert find_run(tmp_path, run.run_id, RealWorld()) == run
    assert list_runs(tmp_path, RealWorld()) == [run, later]


def test_a_plan_is_no_run_and_is_found_by_its_id_alone(tmp_path: Path, run: RunDir) -> None:
    plan = create_run(tmp_path, "b", datetime(2026, 11, 22, tzinfo=UTC), RealWorld())
    write_json(plan.config, {})
    mark_plan(plan, NOW)

    assert plan.is_plan
    assert list_runs(tmp_path, RealWorld()) == [run]
    assert find_run(tmp_path, None, RealWorld()) == run
    assert find_run(tmp_path, plan.run_id, RealWorld()) == plan

    begin_run(plan)

    assert not plan.is_plan
    assert find_run(tmp_path, None, RealWorld()) == plan
    begin_run(plan)


def test_a_folder_without_the_mark_is_a_run_also_without_a_journal(run: RunDir) -> None:
    assert not run.file("journal.jsonl").exists()
    assert not run.is_plan


def test_a_journal_outranks_a_mark_that_a_power_cut_brought_back(tmp_path: Path, run: RunDir) -> None:
    mark_plan(run, NOW)
    Journal(run).intent("provision")

    assert not run.is_plan
    assert list_runs(tmp_path, RealWorld()) == [run]


def test_where_there_are_plans_alone_the_hint_names_the_latest(tmp_path: Path, run: RunDir) -> None:
    mark_plan(run, NOW)

    with pytest.raises(RunNotFoundError, match="there is no run in") as caught:
        find_run(tmp_path, None, RealWorld())

    assert f"`make resume RUN={run.run_id}`" in caught.value.resolution


def test_a_run_that_is_not_there_is_reported_with_those_that_are(tmp_path: Path, run: RunDir) -> None:
    with pytest.raises(RunNotFoundError, match=f"there is no run nope in .* \\(latest: {run.run_id}\\)"):
        find_run(tmp_path, "nope", RealWorld())
    with pytest.raises(RunNotFoundError, match="there is no run in"):
        find_run(tmp_path / "none", None, RealWorld())


def test_a_damaged_file_is_named(run: RunDir) -> None:
    run.config.path.write_text("{half")

    with pytest.raises(RunNotFoundError, match=r"config\.json is damaged"):
        read_json(run.config)


@pytest.mark.parametrize("content", ['{"steps": "done"}', '{"steps": {"train": "done"}}', '{"outcome": null}', "[]"])
def test_a_state_that_is_none_is_damaged(run: RunDir, content: str) -> None:
    run.file("state.json").path.write_text(content)

    with pytest.raises(RunNotFoundError, match=r"state\.json is damaged"):
        RunState(run)


def test_a_write_that_fails_leaves_the_old_file(run: RunDir) -> None:
    with pytest.raises(TypeError):
        write_json(run.config, {"x": object()})

    assert read_json(run.config) == {}


def test_state_is_read_back_as_it_was_written(run: RunDir) -> None:
    state = RunState(run)
    state.begin("plan")
    assert RunState(run).current_step == "plan"
    state.end("plan", "done", 1.5)
    state.finish("failed", "it broke")

    again = RunState(run)
    assert (again.is_done("plan"), again.is_done("train"), again.current_step) == (True, False, None)
    assert (again.outcome, again.message, again.steps["plan"]["duration_s"]) == ("failed", "it broke", 1.5)
    again.forget("plan")
    assert (RunState(run).outcome, RunState(run).steps) == (None, {})


def test_a_second_holder_is_refused_and_the_lock_is_free_afterwards(run: RunDir) -> None:
    with locked(run):
        assert holder(run) == os.getpid()
        with pytest.raises(RunLockedError, match=rf"driven by another runner \(pid {os.getpid()}\)"), locked(run):
            pass
    assert holder(run) is None


def test_a_lock_file_of_a_dead_runner_holds_nobody(run: RunDir) -> None:
    run.file("lock").path.write_text('{"pid": 1}')

    assert holder(run) is None
    with locked(run):
        assert holder(run) == os.getpid()


@pytest.mark.parametrize(
    ("left", "first"),
    [
        ({"processes": ["12 python -m trainer"]}, "process on the machine: 12 python -m trainer"),
        ({"prefix_left": ["venv"]}, "file on the machine: venv"),
        ({"terraform_resources": ["terraform_data.host"]}, "Terraform resource: terraform_data.host"),
        ({"cloud_resources": {"lambda": [thing()]}}, "instance i-1 on lambda"),
        ({"cloud_resources": {"lambda": [thing("key", "k")]}, "processes": ["12 python"]}, "key k on lambda"),
    ],
)
def test_there_is_no_receipt_while_anything_is_left(run: RunDir, left: dict[str, Any], first: str) -> None:
    with pytest.raises(TeardownError, match=f"left: {first}") as caught:
        write_receipt(run, None, Findings(**left), now=NOW, rented=False)

    assert caught.value.exit_code == 3
    assert not run.receipt.exists()


def test_what_was_kept_on_purpose_is_in_the_receipt(run: RunDir) -> None:
    receipt = write_receipt(run, None, Findings(prefix_left=["output"], kept=["output"]), now=NOW, rented=False)

    assert receipt["kept_on_purpose"] == ["output"]
    assert read_json(run.receipt) == receipt


def test_the_receipt_reports_what_each_cloud_showed_and_what_the_sweep_ended(run: RunDir) -> None:
    findings = Findings(
        cloud_resources={"lambda": []},
        clouds_not_read={"aws": "no"},
        cloud_ended=[thing()],
        looked_for_s=120.0,
        patience=0.5,
    )

    receipt = write_receipt(run, None, findings, now=NOW, rented=True)

    assert receipt["checks"]["clouds"] == {"lambda": 0}
    assert receipt["clouds_not_read"] == {"aws": "no"}
    assert receipt["ended_by_the_sweep"] == ["instance i-1 on lambda"]
    assert (receipt["looked_for_s"], receipt["patience"]) == (120.0, 0.5)


def test_the_receipt_has_what_was_estimated_beside_what_it_cost(run: RunDir) -> None:
    estimated_usd = {"boot": 0.0333, "train": 0.0031}

    receipt = write_receipt(run, None, Findings(), now=NOW, rented=True, estimated_usd=estimated_usd)

    assert (receipt["estimated_usd"], receipt["estimated_by_phase_usd"]) == (0.0364, estimated_usd)


def test_the_receipt_of_a_run_that_was_not_estimated_says_so(run: RunDir) -> None:
    receipt = write_receipt(run, None, Findings(), now=NOW, rented=True)

    assert (receipt["estimated_usd"], receipt["estimated_by_phase_usd"]) == (None, {})


def test_what_could_not_be_written_is_not_taken_for_done(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine must not count as given back because a full disk took that word halfway."""
    state = RunState(run)
    state.begin("destroy")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("runner.run.state.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        state.end("destroy", "done", 1.0)

    assert not state.is_done("destroy")
