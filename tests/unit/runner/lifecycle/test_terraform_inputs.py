"""What Terraform is given for a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.adapters.keys import make_key
from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle.terraform_inputs import rented_until, seconds_to_hard_end, terraform_of, variables
from runner.lifecycle.time_limit import hours_to_follow
from runner.run.journal import Journal
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan


@pytest.mark.parametrize(("trust", "is_enabled"), [("secure", False), ("any", True)])
def test_runpod_takes_strangers_machines_only_where_any_will_do(tmp_path: Path, trust: str, is_enabled: bool) -> None:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 21, 1, 55, tzinfo=UTC), RealWorld())
    make_key(run.login_key)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "runpod", "trust": trust}})
    machine = PlannedMachine("X", "any", False, 0.5, 1.0, trust="community")
    ctx = Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())
    ctx.keep_plan(made_plan(environment="runpod", machines=(machine,)))

    found = variables(ctx, ctx.plan.machines)

    assert found["runpod_community_enabled"] is is_enabled
    (candidate,) = found["candidates"]
    assert candidate == {
        "instance_type": "X",
        "region": "any",
        "spot": False,
        "max_price_usd_per_h": 1.0,
        "trust": "community",
        "expires_at": found["expires_at"],
    }


def planned(tmp_path: Path, environ: dict[str, str]) -> Context:
    """Return a run on Lambda that has its plan."""
    world = RealWorld(environ | {"DOUSE_CACHE": str(tmp_path / "cache")})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 21, 1, 55, tzinfo=UTC), world)
    make_key(run.host_key)
    run.terraform.mkdir()
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    ctx = Context(run, run_file, SilentView(), Stop(world), world)
    ctx.keep_plan(made_plan(environment="lambda", machines=(PlannedMachine("X", "any", False, 0.5, 1.0),)))
    return ctx


def test_a_second_ctrl_c_is_heard_while_terraform_stops_in_order(tmp_path: Path) -> None:
    ctx = planned(tmp_path, {})
    is_hurried = terraform_of(ctx, "provision")._hurry
    assert is_hurried is not None

    ctx.stop.count = 1
    assert not is_hurried()
    ctx.stop.count = 2
    assert is_hurried()


def test_an_open_input_reaches_terraform_and_no_other_setting_does(tmp_path: Path) -> None:
    environ = {"TF_VAR_lambda_user": "ada", "TF_VAR_run_id": "theirs", "TF_WORKSPACE": "other", "PATH": "/bin"}
    ctx = planned(tmp_path, environ)

    found = terraform_of(ctx, "provision")._environment()

    inputs = {name for name in found if name.startswith("TF_VAR_")}
    assert inputs == {"TF_VAR_lambda_user", "TF_VAR_lambda_user_data"}  # the second is the host key, a secret of ours
    assert found["TF_VAR_lambda_user"] == "ada"
    assert (found["TF_WORKSPACE"], found["PATH"]) == ("default", "/bin")


@pytest.fixture
def rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float, str], Context]:
    """Return a way to have a run whose machine was asked for half an hour ago, to be over three hours after that.

    It takes the seconds by which this computer's clock was set forward since, and which start of it has counted then.
    """

    def make(off_s: float, boot: str) -> Context:
        ctx, asked_at = planned(tmp_path, {}), datetime(2026, 11, 28, 12, tzinfo=UTC)
        now = asked_at + timedelta(seconds=1800 + off_s)
        for name, value in {"now": now, "boottime_s": 2000.0}.items():
            monkeypatch.setattr(RealWorld, name, lambda self, value=value: value)
        monkeypatch.setattr(RealWorld, "boot_id", "b-1")
        asked = {"time": asked_at.isoformat(), "kind": "intent", "action": "provision", "environment": "lambda"}
        lines = [
            asked | {"clock": {"boot": boot, "up_s": 200.0}},
            {"time": now.isoformat(), "kind": "answer", "action": "lease", "clock": {"boot": "b-1", "up_s": 2000.0}},
        ]
        ctx.run.file("journal.jsonl").write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode())
        write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": (asked_at + timedelta(hours=3)).isoformat()})
        return ctx

    return make


@pytest.mark.parametrize("off_s", [365 * 86400.0, 3600.0, -3600.0, -365 * 86400.0])
def test_a_clock_that_was_set_moves_no_end_of_a_machine(
    off_s: float, rented: Callable[[float, str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two and a half of its three hours are left, by what this computer has counted."""
    ctx = rented(off_s, "b-1")

    assert seconds_to_hard_end(ctx) == pytest.approx(2.5 * 3600, abs=1)
    assert hours_to_follow(ctx) == pytest.approx(2.5, abs=0.01)

    again = ctx.world.now() + timedelta(hours=2)  # and once more
    monkeypatch.setattr(RealWorld, "now", lambda self: again)
    assert seconds_to_hard_end(ctx) == pytest.approx(2.5 * 3600, abs=1)


def test_a_clock_that_was_set_back_while_nobody_counted_gives_a_machine_no_more_than_its_whole_time(
    rented: Callable[[float, str], Context],
) -> None:
    ctx = rented(-365 * 86400.0, "b-0")

    assert rented_until(ctx) is None
    assert seconds_to_hard_end(ctx) == pytest.approx(25 * 3600, abs=1)


def test_the_end_of_a_machine_that_is_asked_for_next_does_not_move_with_the_one_before(
    rented: Callable[[float, str], Context],
) -> None:
    """Its inputs are written by the clock of now."""
    ctx = rented(3600.0, "b-1")
    Journal(ctx.run).answer("destroy", left=[])
    ends = ctx.world.now() + timedelta(hours=3)
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": ends.isoformat()})

    assert rented_until(ctx) == ends
