"""Termination by the mark of a run, and a user who does not want to wait for its proof any longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.cloud_api.credentials import NotConfiguredError
from runner.context import Context
from runner.errors import EXIT_LEFTOVERS, CloudError, CloudUnavailableError, TeardownError
from runner.lifecycle import by_mark
from runner.lifecycle.by_mark import HURRY_S, end_by_mark, may_be_the_account
from runner.run.journal import Journal
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.safety.proof import account_facts
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing


@pytest.fixture
def ctx() -> Iterator[Context]:
    with VirtualWorld() as world:
        run = create_run(Path("/runs"), "tiny", datetime(2026, 11, 29, tzinfo=UTC), world)
        values = {"data": {"train_path": "x"}, "compute": {"env": "lambda"}}
        write_json(run.config, values)
        yield Context(run, RunFile.model_validate(values), SilentView(), Stop(world), world)


def stuck(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    cloud = FakeCloud([thing(run_id=ctx.run.run_id)], ends_slowly=10**6)
    monkeypatch.setattr(by_mark, "open_cloud", lambda name, world: cloud)
    return cloud


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_second_ctrl_c_ends_the_wait_for_a_machine_that_stays_with_status_3(
    before: int, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, began_s = stuck(ctx, monkeypatch), ctx.world.monotonic_s()
    ctx.stop.count = before

    def press() -> None:
        ctx.world.sleep(30.0)
        ctx.stop.count = max(2, before + 1)

    ctx.world.start(press, name="user")
    with pytest.raises(
        TeardownError, match="stopped on request, before the cloud showed that nothing is left"
    ) as caught:
        end_by_mark(ctx, outcome_unknown=False)

    assert caught.value.exit_code == EXIT_LEFTOVERS
    assert 30.0 + HURRY_S <= ctx.world.monotonic_s() - began_s <= 30.0 + HURRY_S + 5.0
    assert cloud.asked_to_end


@pytest.mark.parametrize("is_unknown", [True, False])
def test_what_a_request_without_an_answer_has_made_is_looked_for_longer(
    is_unknown: bool, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, began_s = FakeCloud(appears_at_look={3: thing(run_id=ctx.run.run_id)}), ctx.world.monotonic_s()
    monkeypatch.setattr(by_mark, "open_cloud", lambda name, world: cloud)

    end_by_mark(ctx, outcome_unknown=is_unknown)

    assert (cloud.asked_to_end, cloud.there) == (["i-1"] if is_unknown else [], [])
    assert (ctx.world.monotonic_s() - began_s >= 120.0) is is_unknown


def test_a_long_wait_is_said_once_also_where_nothing_that_passes_is_shown(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    stuck(ctx, monkeypatch)
    monkeypatch.setattr(ctx.view, "line", lines.append, raising=False)

    with pytest.raises(TeardownError, match="still"):
        end_by_mark(ctx, outcome_unknown=False)

    assert lines == ["still waiting until lambda shows nothing of the run, 10 min at most"]


def test_one_ctrl_c_does_not(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck(ctx, monkeypatch)
    began_s, ctx.stop.count = ctx.world.monotonic_s(), 1

    with pytest.raises(TeardownError, match="still"):
        end_by_mark(ctx, outcome_unknown=False)

    assert ctx.world.monotonic_s() - began_s >= ctx.run_file.compute.teardown_timeout_minutes * 60


@pytest.mark.parametrize(
    ("key", "there", "trouble", "may_be"),
    [
        ("its own", False, None, True),
        ("another", False, None, False),
        ("another", True, None, True),
        ("another", False, CloudUnavailableError("down", resolution="-"), False),
        ("its own", False, CloudUnavailableError("down", resolution="-"), True),
    ],
    ids=["its key", "another key", "a new key that shows it", "another that does not answer", "its key, no answer"],
)
def test_only_an_account_that_is_not_the_runs_is_ruled_out(
    key: str, there: bool, trouble: CloudError | None, may_be: bool, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = FakeCloud([thing(run_id=ctx.run.run_id)] if there else [])
    cloud.key = "its own"
    monkeypatch.setattr(by_mark, "open_cloud", lambda name, world: cloud)
    Journal(ctx.run).intent("provision", environment=cloud.name, **account_facts(cloud, ctx.world))
    cloud.key = key
    if trouble is not None:
        monkeypatch.setattr(cloud, "listing", lambda: (_ for _ in ()).throw(trouble))

    assert may_be_the_account(ctx) is may_be


@pytest.mark.parametrize(
    ("trouble", "may_be"),
    [(NotConfiguredError("no key", resolution="-"), False), (CloudUnavailableError("down", resolution="-"), True)],
)
def test_without_a_key_it_is_no_account_and_one_that_does_not_answer_may_be_the_right_one(
    trouble: CloudError, may_be: bool, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, world: object) -> FakeCloud:
        raise trouble

    monkeypatch.setattr(by_mark, "open_cloud", refuse)

    assert may_be_the_account(ctx) is may_be


def test_a_key_that_is_missing_is_the_first_thing_to_set(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, world: object) -> FakeCloud:
        raise NotConfiguredError("lambda: there is no API key", resolution="set LAMBDA_API_KEY")

    monkeypatch.setattr(by_mark, "open_cloud", refuse)

    with pytest.raises(TeardownError) as caught:
        end_by_mark(ctx, outcome_unknown=False)

    assert caught.value.resolution.startswith(f"set LAMBDA_API_KEY; then run `make down RUN={ctx.run.run_id}` again")
