"""What Terraform is given for a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.adapters.keys import make_key
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle.terraform_inputs import terraform_of, variables
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run
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
