"""Provision: which machine is tried next, and that none bills more than the planned machine that it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import AlreadyThereError, CloudError, NoPlaceError, TerraformError
from runner.lifecycle.steps import provision
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.rentals import rentals_in
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.safety.proof import is_the_account
from runner.simulation.rules import judge
from runner.simulation.script import Act
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud
from tests.unit.runner.made_plan import made_plan
from tests.unit.runner.simulation.lived import FAIR, lived

HERE = PlannedMachine("g5.xlarge", "us-east-1", False, 1.0, 1.0)
THERE = replace(HERE, region="eu-west-1", max_price_usd_per_h=2.0)
HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "g5.xlarge", "us-east-1", False, 1.0, None, "aws")


def planned(folder: Path, *machines: PlannedMachine) -> Context:
    run = create_run(folder, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "aws"}})
    ctx = Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())
    ctx.keep_plan(made_plan(environment="aws", machines=machines))
    return ctx


@pytest.mark.parametrize(
    ("machines", "host"),
    [
        ([HERE], HOST),
        ([HERE, THERE], replace(HOST, region="eu-west-1", price_usd_per_h=2.0)),
        ([replace(HERE, region="any", max_price_usd_per_h=1.5)], replace(HOST, price_usd_per_h=1.5)),
        ([HERE, replace(HERE, trust="community", max_price_usd_per_h=0.5)], HOST),
    ],
    ids=["its price", "the price of its region", "the price anywhere", "the dearer of two that it may be"],
)  # fmt: skip
def test_a_machine_at_the_price_of_its_plan_is_taken(
    tmp_path: Path, machines: list[PlannedMachine], host: Host
) -> None:
    provision._check_price(planned(tmp_path, *machines), host)


@pytest.mark.parametrize(
    ("machines", "host", "most"),
    [
        ([HERE], replace(HOST, price_usd_per_h=1.01), "1.00"),
        ([HERE, THERE], replace(HOST, price_usd_per_h=2.0), "1.00"),
        ([HERE, replace(HERE, spot=True, max_price_usd_per_h=0.5)], replace(HOST, spot=True), "0.50"),
        ([HERE], replace(HOST, region="eu-west-1"), "0.00"),
        ([HERE], replace(HOST, instance_type="p5.48xlarge"), "0.00"),
    ],
    ids=["dearer", "at the price of another region", "spot at the full price", "another region", "another kind"],
)  # fmt: skip
def test_a_machine_that_bills_more_than_was_planned_for_it_is_refused(
    tmp_path: Path, machines: list[PlannedMachine], host: Host, most: str
) -> None:
    with pytest.raises(CloudError, match=rf"more than the limit of \${most}/h"):
        provision._check_price(planned(tmp_path, *machines), host)


def said_by_aws(code: str) -> TerraformError:
    words = f"Error: creating: operation error EC2: https response error StatusCode: 400, api error {code}: no"
    return TerraformError("terraform: apply failed", details=words, resolution="see the log")


@dataclass
class Steps:
    """Stands for Terraform and the cloud; keeps what was done."""

    ends: list[TerraformError | None]
    plan_ends: list[TerraformError | None] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def create(self, ctx: Context, machines: Sequence[PlannedMachine]) -> Host:
        self.done.append(f"create in {machines[0].region}")
        end = self.ends.pop(0)
        if end is not None:
            raise end
        return HOST

    def clear(self, ctx: Context, *, outcome_unknown: bool) -> None:
        self.done.append("clear")

    def plan(self, ctx: Context, machines: Sequence[PlannedMachine]) -> None:
        self.done.append(f"plan in {machines[0].region}")
        end = self.plan_ends.pop(0) if self.plan_ends else None
        if end is not None:
            raise end


def go_down(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *ends: TerraformError | None,
    plan_ends: Sequence[TerraformError | None] = (),
    machines: Sequence[PlannedMachine] = (HERE, THERE),
) -> Steps:
    steps = Steps(list(ends), list(plan_ends))
    monkeypatch.setattr(provision, "_create", steps.create)
    monkeypatch.setattr(provision, "end_by_mark", steps.clear)
    monkeypatch.setattr(provision, "_plan_anew", steps.plan)
    provision._go_down_the_list(planned(folder, *machines), machines)
    return steps


@pytest.mark.parametrize(
    ("waited_s", "plans"),
    [(10.0, []), (3600.0, ["plan in us-east-1"]), (-3600.0, ["plan in us-east-1"])],
    ids=["soon", "late", "the-clock-was-set-back"],
)
def test_a_question_that_was_answered_late_takes_nothing_from_the_life_of_the_machine(
    waited_s: float, plans: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, steps = planned(tmp_path, replace(HERE, hard_end_h=3.0)), Steps([None])
    ends = datetime.now(UTC) + timedelta(hours=3, seconds=-waited_s)
    ctx.run.terraform.mkdir()
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": ends.isoformat(), "candidates": []})
    monkeypatch.setattr(provision, "_create", steps.create)
    monkeypatch.setattr(provision, "_plan", steps.plan)
    monkeypatch.setattr(provision, "_log_in", lambda ctx, host, patience_s: None)

    provision.provision(ctx)

    assert steps.done == [*plans, "create in us-east-1"]


def test_a_machine_that_is_there_already_keeps_the_end_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, steps = planned(tmp_path, replace(HERE, hard_end_h=3.0)), Steps([None])
    ctx.run.terraform.mkdir()
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": "2026-11-28T00:00:00Z", "candidates": []})
    write_json(ctx.run.host, HOST.to_mapping())
    monkeypatch.setattr(provision, "_create", steps.create)
    monkeypatch.setattr(provision, "_plan", steps.plan)
    monkeypatch.setattr(provision, "_log_in", lambda ctx, host, patience_s: None)

    provision.provision(ctx)

    assert steps.done == ["create in us-east-1"]


@pytest.mark.parametrize(
    "code", ["InvalidGroup.Duplicate", "InvalidPermission.Duplicate", "InvalidPermission.NotFound"]
)
def test_what_a_lost_answer_has_left_is_cleared_by_the_runs_mark_and_the_same_machine_tried_again(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = go_down(tmp_path, monkeypatch, said_by_aws(code), None)

    assert steps.done == ["create in us-east-1", "clear", "plan in us-east-1", "create in us-east-1"]


def test_the_next_machine_may_find_a_name_taken_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, full = said_by_aws("InvalidKeyPair.Duplicate"), said_by_aws("InsufficientInstanceCapacity")

    steps = go_down(tmp_path, monkeypatch, taken, full, taken, None)

    assert steps.done.count("clear") == 2
    assert steps.done[-1] == "create in eu-west-1"


def test_a_name_that_stays_taken_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = said_by_aws("InvalidGroup.Duplicate")

    with pytest.raises(AlreadyThereError, match=r"InvalidGroup\.Duplicate"):
        go_down(tmp_path, monkeypatch, taken, taken)


NO_VPC = TerraformError("terraform: plan failed", details="no matching EC2 VPC found", resolution="see the log")
GONE_AT_BIRTH = "waiting for EC2 Instance (i-0a) create: unexpected state 'terminated', wanted target 'running'."


def test_a_spot_machine_that_is_reclaimed_at_birth_is_followed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = TerraformError("terraform: apply failed", details=GONE_AT_BIRTH, resolution="see the log")

    steps = go_down(tmp_path, monkeypatch, gone, None)

    assert steps.done == ["create in us-east-1", "plan in eu-west-1", "create in eu-west-1"]


def test_a_region_without_a_network_is_passed_over_also_where_only_the_plan_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, third = said_by_aws("InsufficientInstanceCapacity"), replace(HERE, region="eu-north-1")

    steps = go_down(tmp_path, monkeypatch, full, None, plan_ends=[NO_VPC, None], machines=[HERE, THERE, third])

    assert steps.done == ["create in us-east-1", "plan in eu-west-1", "plan in eu-north-1", "create in eu-north-1"]


def test_the_last_region_without_a_network_ends_the_run_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoPlaceError, match="has no VPC") as refused:
        go_down(tmp_path, monkeypatch, said_by_aws("InsufficientInstanceCapacity"), plan_ends=[NO_VPC])

    assert "compute.aws.vpc_id" in refused.value.resolution


class Refusing:
    """Stands for Terraform, whose apply fails."""

    def __init__(self, details: str) -> None:
        self._details = details

    def apply_plan(self) -> None:
        raise TerraformError("terraform: apply failed", details=self._details, resolution="see the log")


@pytest.mark.parametrize(
    ("details", "is_known"),
    [
        ("lambda: none of 3 candidates is available: lambda: full\nnothing was rented", True),
        ("creating EC2 Instance: api error InsufficientInstanceCapacity: no", True),
        ("creating EC2 Instance: api error UnauthorizedOperation: no", True),
        ("lambda: nobody knows whether gpu_1x_a10 was rented: a machine may exist and bill", False),
        ("creating EC2 Instance: api error InternalError: try again", False),
        ("creating EC2 Instance: request send failed, dial tcp 203.0.113.7:443: i/o timeout", False),
        ("Plugin did not respond", False),
        ("waiting for EC2 Instance (i-1) create: timeout", False),
        (GONE_AT_BIRTH, False),
        ("operation error Scheduler: CreateSchedule, api error AccessDeniedException: no", False),
        ("no matching EC2 VPC found", True),
        ("", False),
    ],
)
def test_only_a_definite_no_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, details: str, is_known: bool
) -> None:
    ctx, cloud = planned(tmp_path, HERE), FakeCloud(name="aws")
    monkeypatch.setattr(provision, "open_cloud", lambda name, world: cloud)
    monkeypatch.setattr(provision, "terraform_of", lambda *given, **named: Refusing(details))

    with pytest.raises(TerraformError):
        provision._create(ctx, [HERE])

    assert Journal(ctx.run).unanswered("provision") is not is_known
    assert is_the_account(ctx.run, cloud)
    cloud.key = "another"
    assert not is_the_account(ctx.run, cloud)


def test_a_machine_that_is_gone_at_birth_is_a_line_of_the_receipt_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, cloud = planned(tmp_path, HERE), FakeCloud(name="aws")
    monkeypatch.setattr(provision, "open_cloud", lambda name, world: cloud)
    monkeypatch.setattr(provision, "terraform_of", lambda *given, **named: Refusing(GONE_AT_BIRTH))

    for _ in range(2):
        with pytest.raises(TerraformError):
            provision._create(ctx, [HERE])

    assert [one.gone_at is None for one in rentals_in(Journal(ctx.run).entries())] == [False, False]


def test_a_request_says_what_the_disk_of_each_machine_may_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, cloud = planned(tmp_path, HERE), FakeCloud(name="aws")
    monkeypatch.setattr(provision, "open_cloud", lambda name, world: cloud)
    monkeypatch.setattr(provision, "terraform_of", lambda *given, **named: Refusing(""))

    with pytest.raises(TerraformError):
        provision._create(ctx, [replace(HERE, disk_usd_per_h=0.02), THERE])

    (intent,) = Journal(ctx.run).entries()
    assert [one["disk_usd_per_h"] for one in intent["candidates"]] == [0.02, None]


def test_the_moment_at_which_terraform_begins_is_kept_where_the_disk_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(planned(tmp_path, HERE).run)
    provision._note_start(journal, "2026-11-28T02:00:05Z")

    def full(*args: object, **facts: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_append", full)
    provision._note_start(journal, "2026-11-28T02:00:09Z")

    (line,) = journal.entries()
    assert (line["action"], line["began"]) == ("create", "2026-11-28T02:00:05Z")


def test_a_machine_that_is_gone_while_it_boots_is_not_waited_for_until_its_time_to_boot_is_over(tmp_path: Path) -> None:
    """On AWS Terraform hands a machine over before its sshd answers."""
    gone, slow = Act("fault", 0.0, 40.0, ("box_deleted_in_console",)), replace(FAIR, boot_s=(200.0, 240.0))

    life = lived(tmp_path, gone, cloud="aws", rates=slow)

    (one,) = life.ended
    assert (one.status, judge(life)) == (1, [])
    assert one.ended_s < 420.0
    assert "provision: machine i-" in one.printed
    assert "no longer exists on aws" in one.printed
