"""Waiting for a machine: until when, what is asked, for how much, and that nothing bills meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cloud_api.models import Offer, TrustWanted
from runner.context import Context
from runner.errors import (
    NONE_NOW,
    AccountError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NoPlaceError,
    ReclaimedError,
    RunInterruptedError,
    TeardownError,
    TerraformError,
)
from runner.lifecycle import capacity, guarding, notices
from runner.lifecycle.capacity import FIRST_PAUSE_S, JITTER, LONGEST_PAUSE_S, pauses_s, rent_patiently
from runner.lifecycle.cloud_words import cause_of
from runner.lifecycle.steps import provision
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.kept_lines import Lines
from tests.unit.runner.made_plan import made_plan

A10 = PlannedMachine("gpu_1x_a10", "us-west-1", False, 1.0, 1.0)
H100 = PlannedMachine("gpu_1x_h100_pcie", "any", False, 2.0, 2.5)
HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")
FULL = NoCapacityError("lambda: none of 2 candidates is available", resolution="try later")


def offer(machine: PlannedMachine, *, region: str = "us-west-1", available: bool | None = True) -> Offer:
    price = machine.price_usd_per_h
    return Offer(machine.instance_type, region, False, price, "A10", 1, 24.0, available=available)


@dataclass
class Market(FakeCloud):
    """An account whose offers are told beforehand, look by look; the last ones stay."""

    told: list[list[Offer] | CloudError] = field(default_factory=lambda: [[offer(A10), offer(H100)]])

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        found = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        if isinstance(found, CloudError):
            raise found
        return found


@dataclass
class Counter:
    """Answers requests as it was told; keeps when each came, and for what."""

    ctx: Context
    ends: list[NoCapacityError | None]
    asked: list[tuple[float, list[str]]] = field(default_factory=list)

    def rent(self, machines: Sequence[PlannedMachine]) -> Host:
        self.asked.append((self.ctx.world.boottime_s(), [one.instance_type for one in machines]))
        end = self.ends.pop(0) if self.ends else FULL
        if end is not None:
            raise end
        return HOST

    @property
    def at_s(self) -> list[float]:
        return [at_s - self.asked[0][0] for at_s, _ in self.asked]


@dataclass
class Forgotten:
    """Stands for Terraform, which takes back what it has made."""

    error: TerraformError | None = None
    destroyed: int = 0

    def destroy(self) -> None:
        self.destroyed += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    found = Market()
    monkeypatch.setattr(capacity, "open_cloud", lambda name, world: found)
    monkeypatch.setattr("runner.lifecycle.by_mark.open_cloud", lambda name, world: found)
    monkeypatch.setattr("runner.lifecycle.lookout.open_cloud", lambda name, world: found)
    return found


@pytest.fixture
def terraform(monkeypatch: pytest.MonkeyPatch) -> Forgotten:
    found = Forgotten()
    monkeypatch.setattr(capacity, "terraform_of", lambda *given, **named: found)
    return found


@pytest.fixture
def noticed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(notices, "say", lambda ctx, event, words: found.append(f"{event}: {words}"))
    return found


def waiting(tmp_path: Path, minutes: float = 60.0) -> Context:
    world = VirtualWorld()
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 30, tzinfo=UTC), world)
    compute = {"env": "lambda", "wait_minutes": minutes}
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": compute})
    ctx = Context(run, run_file, Lines(), Stop(world), world)
    ctx.keep_plan(made_plan(machines=(A10, H100)))
    return ctx


def said(ctx: Context) -> list[str]:
    return ctx.view.said  # type: ignore[attr-defined, no-any-return]


def rent(ctx: Context, *ends: NoCapacityError | None) -> Counter:
    counter = Counter(ctx, list(ends))
    assert rent_patiently(ctx, counter.rent, counter.rent) == HOST
    return counter


def rent_in_vain(ctx: Context, kind: type[Exception], *ends: NoCapacityError | None) -> Counter:
    counter = Counter(ctx, list(ends))
    with pytest.raises(kind):
        rent_patiently(ctx, counter.rent, counter.rent)
    return counter


pytestmark = pytest.mark.usefixtures("terraform")


def test_without_a_wait_the_first_no_is_the_last(tmp_path: Path, market: Market, noticed: list[str]) -> None:
    ctx = waiting(tmp_path, 0.0)

    assert len(rent_in_vain(ctx, NoCapacityError).asked) == 1
    assert (said(ctx), noticed, market.looks) == ([], [], 0)
    assert RunFile().compute.wait_minutes == 0


def test_a_machine_that_can_be_had_later_is_rented_then(
    tmp_path: Path, market: Market, terraform: Forgotten, noticed: list[str]
) -> None:
    ctx = waiting(tmp_path)

    counter = rent(ctx, FULL, FULL, FULL, None)

    assert len(counter.asked) == 4
    assert terraform.destroyed == 3  # what each no had left, before the next request
    assert len(said(ctx)) == len(noticed) == 1
    assert "no machine of the plan can be had on lambda now; waiting for one until" in said(ctx)[0]
    assert noticed[0].startswith("waiting: ")


def test_the_pauses_grow_up_to_five_minutes_and_two_runs_do_not_ask_together() -> None:
    def first(seed: int) -> list[float]:
        pauses = pauses_s(VirtualWorld(seed=seed))
        return [next(pauses) for _ in range(14)]

    ones, others = first(1), first(2)
    assert ones != others
    for pause_s in (ones[0], others[0]):
        assert FIRST_PAUSE_S * (1 - JITTER) <= pause_s <= FIRST_PAUSE_S * (1 + JITTER)
    assert all(LONGEST_PAUSE_S * (1 - JITTER) <= pause_s <= LONGEST_PAUSE_S * (1 + JITTER) for pause_s in ones[-3:])


def test_the_wait_has_an_end_at_which_it_is_asked_for_the_last_time(tmp_path: Path, market: Market) -> None:
    ctx = waiting(tmp_path, 20.0)

    counter = Counter(ctx, [])
    with pytest.raises(NoCapacityError, match=r"none of 2 candidates is available; waited 20 min for one") as caught:
        rent_patiently(ctx, counter.rent, counter.rent)

    assert counter.at_s[-1] == pytest.approx(1200.0, abs=1.0)
    assert f"`make resume RUN={ctx.run.run_id}`" in caught.value.resolution


def test_the_guard_hears_before_each_pause_that_the_run_waits_and_that_nothing_is_asked_for(
    tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, words = waiting(tmp_path), list[dict[str, Any]]()
    ctx.keep_plan(made_plan(machines=(replace(A10, hard_end_h=1.5), H100)))
    market.told = [[], [], [offer(A10)]]  # so that nothing else moves the end that the guard knows

    def say(self: object, line: bytes) -> bool:
        words.append(json.loads(line))
        return True

    monkeypatch.setattr(guarding._Guarding, "say", say)
    rent(ctx, FULL, None)

    assert [one["word"] for one in words] == ["asks", "rented"] * 3
    assert {one["hard_end_s"] for one in words[::2]} == {25 * 3600}  # the longest of the plan


def test_nothing_is_there_while_the_run_waits_and_what_is_goes_first(tmp_path: Path, market: Market) -> None:
    ctx = waiting(tmp_path)
    market.there = [thing("key", "key-1", run_id=ctx.run.run_id), thing("instance", "i-9", run_id=ctx.run.run_id)]

    rent(ctx, FULL, None)

    assert sorted(market.asked_to_end) == ["i-9", "key-1"]
    assert market.there == []


def test_who_cannot_show_that_nothing_bills_does_not_wait(tmp_path: Path, market: Market) -> None:
    market.unread = [CloudUnavailableError("lambda: half a list", resolution="-")]

    assert len(rent_in_vain(waiting(tmp_path), TeardownError, FULL, None).asked) == 1


def test_what_terraform_does_not_take_back_is_ended_by_its_mark(
    tmp_path: Path, market: Market, terraform: Forgotten
) -> None:
    ctx = waiting(tmp_path)
    terraform.error = TerraformError("terraform: destroy failed", resolution="see the log")
    market.there = [thing("key", "key-1", run_id=ctx.run.run_id)]

    rent(ctx, FULL, None)

    assert market.there == []


def test_ctrl_c_ends_the_wait_with_nothing_rented(tmp_path: Path, market: Market) -> None:
    ctx = waiting(tmp_path)

    def refuse(machines: Sequence[PlannedMachine]) -> Host:
        ctx.stop.count = 1
        raise FULL

    def never(machines: Sequence[PlannedMachine]) -> Host:
        raise AssertionError("nothing is asked for any more")

    with pytest.raises(RunInterruptedError):
        rent_patiently(ctx, refuse, never)


@pytest.mark.parametrize(
    "kind", [NoPlaceError, ReclaimedError], ids=["no network there", "one that was reclaimed has cost money"]
)
@pytest.mark.parametrize("before", [[], [FULL]], ids=["at once", "later"])
def test_what_a_later_answer_does_not_change_is_not_waited_for(
    kind: type[NoCapacityError], before: list[NoCapacityError], tmp_path: Path, market: Market
) -> None:
    counter = rent_in_vain(waiting(tmp_path), kind, *before, kind("aws: no", resolution="-"))

    assert len(counter.asked) == len(before) + 1


def test_only_what_is_listed_for_no_more_than_was_agreed_to_is_asked_for(tmp_path: Path, market: Market) -> None:
    ctx, dear = waiting(tmp_path), offer(replace(A10, price_usd_per_h=1.01))
    none = offer(H100, available=False)
    market.told = [[dear, none], [dear, none], [dear, replace(offer(H100), price_usd_per_h=2.5, region="us-east-1")]]

    counter = rent(ctx, FULL, None)

    assert [asked for _, asked in counter.asked] == [["gpu_1x_a10", "gpu_1x_h100_pcie"], ["gpu_1x_h100_pcie"]]
    dearer = [line for line in said(ctx) if "agreed to" in line]
    assert dearer == ["gpu_1x_a10 in us-west-1 costs $1.01/h now, more than the $1/h that were agreed to"]


def test_a_machine_of_another_region_is_another_machine(tmp_path: Path, market: Market) -> None:
    market.told = [[offer(A10, region="us-east-1")], [offer(A10)]]

    counter = rent(waiting(tmp_path), FULL, None)

    assert [asked for _, asked in counter.asked[1:]] == [["gpu_1x_a10"]]
    assert counter.at_s[1] > FIRST_PAUSE_S * (2 - JITTER)  # after the second pause


def test_a_cloud_that_does_not_answer_is_asked_again_and_one_that_takes_the_key_no_more_is_not(
    tmp_path: Path, market: Market
) -> None:
    market.told = [CloudUnavailableError("lambda: 500", resolution="-"), [offer(A10)]]
    rent(waiting(tmp_path), FULL, None)

    market.told = [AccountError("lambda: the key is refused", resolution="-")]
    rent_in_vain(waiting(tmp_path), AccountError, FULL)


# ---- what counts as a no that time may change


@pytest.mark.parametrize("cloud", ["lambda", "runpod", "aws"])
def test_our_providers_word_for_a_lack_of_machines_is_read_from_terraforms(cloud: str) -> None:
    full = TerraformError("terraform: apply failed: none", details=f"a10: full\n{NONE_NOW}", resolution="-")

    found = cause_of(cloud, full)

    assert type(found) is NoCapacityError
    assert (found.message, found.details) == (full.message, full.details)
    assert "compute.wait_minutes" in found.resolution


AWS_FULL = "https response error StatusCode: 500, api error InsufficientInstanceCapacity: no"
AWS_DEAD = "waiting for EC2 Instance (i-0a) create: unexpected state 'terminated', wanted target 'running'."
AWS_NO_VPC = "no matching EC2 VPC found"


@pytest.mark.parametrize(
    ("minutes", "words", "counts"),
    [
        (60.0, [AWS_FULL, AWS_NO_VPC], NoCapacityError),
        (60.0, [AWS_DEAD, AWS_FULL], ReclaimedError),
        (60.0, [AWS_NO_VPC, AWS_NO_VPC], NoPlaceError),
        (0.0, [AWS_FULL, AWS_NO_VPC], NoPlaceError),
        (0.0, [AWS_DEAD, AWS_FULL], NoCapacityError),
    ],
)
def test_of_several_refusals_the_one_counts_by_which_the_run_waits(
    minutes: float, words: list[str], counts: type[NoCapacityError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, told = waiting(tmp_path, minutes), list(words)
    aws = RunFile.model_validate(
        {"data": {"train_path": "x"}, "compute": {"env": "aws", "wait_minutes": ctx.run_file.compute.wait_minutes}}
    )

    def refuse(ctx: Context, machines: Sequence[PlannedMachine]) -> Host:
        raise TerraformError("terraform: apply failed", details=told.pop(0), resolution="-")

    monkeypatch.setattr(provision, "_create", refuse)
    monkeypatch.setattr(provision, "_plan_anew", lambda ctx, machines: None)

    with pytest.raises(NoCapacityError) as caught:
        provision._go_down_the_list(replace(ctx, run_file=aws), [A10, H100])

    assert type(caught.value) is counts
