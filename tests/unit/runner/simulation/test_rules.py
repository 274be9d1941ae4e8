"""The rules: a fault is planted in the product for each of them, and a life finds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.cloud_api import labels
from runner.errors import UsageError
from runner.guard.guard import Guard
from runner.lifecycle import finish, guarding
from runner.lifecycle.steps import collect, destroy
from runner.safety import terminate
from runner.safety.receipt import Findings
from runner.simulation.rules import RULES, judge
from runner.simulation.script import Act
from tests.unit.runner.simulation.lived import DOWN, lived

KILLS = (Act("kill", 320.0), Act("kill guard", 320.0))
Plant = Callable[[pytest.MonkeyPatch], None]


def sleeping_guard(patch: pytest.MonkeyPatch) -> None:
    """Let a guard believe that its run is over as soon as its machine would have to go."""
    patch.setattr(Guard, "_terminate", lambda self: "nobody is there")


def slow_guard(patch: pytest.MonkeyPatch) -> None:
    """Let a guard wait for ten hours more."""
    due_s = Guard._due_s
    patch.setattr(Guard, "_due_s", lambda self: due_s(self) + 36000.0)


def early_receipt(patch: pytest.MonkeyPatch) -> None:
    """Let destroy write a receipt without looking."""
    patch.setattr(destroy, "_give_back", lambda ctx, outcome_unknown: Findings())
    patch.setattr(destroy, "_look_at_clouds", lambda ctx, rented_on: {"cloud_resources": {ctx.environment.name: []}})


def cheap_receipt(patch: pytest.MonkeyPatch) -> None:
    """Let a receipt show a hundredth of what was billed."""
    write = destroy.write_receipt

    def written(run: Any, *words: Any, **facts: Any) -> Any:
        receipt = write(run, *words, **facts)
        low, high = receipt["cost_range_usd"]
        receipt |= {"cost_range_usd": [low / 100, high / 100]}
        for line in receipt["machines"]:
            line["cost_range_usd"] = [one / 100 for one in line["cost_range_usd"]]
        from runner.run.run_dir import write_json

        write_json(run.receipt, receipt)
        return receipt

    patch.setattr(destroy, "write_receipt", written)


def lost_adapter(patch: pytest.MonkeyPatch) -> None:
    """Let collect forget the adapter."""
    patch.setattr(collect, "_finished", lambda machine, box: [])


def said_too_early(patch: pytest.MonkeyPatch) -> None:
    """Let an end that proved nothing be one."""
    patch.setattr(terminate.Terminated, "is_proved", True)
    patch.setattr(terminate, "_end_each", lambda cloud, there: None)
    patch.setattr(destroy, "_destroy_resources", lambda ctx: [])
    patch.setattr(destroy, "_look_at_clouds", lambda ctx, rented_on: {})


def printed_key(patch: pytest.MonkeyPatch) -> None:
    """Let the end of a run print the account's key."""

    def shown(ctx: Any, *words: Any) -> None:
        ctx.view.line(" ".join(ctx.world.environ.values()))

    patch.setattr(finish, "_report", shown)


def written_key(patch: pytest.MonkeyPatch) -> None:
    """Let the end of a run write the account's key into its folder."""
    patch.setattr(finish, "_report", lambda ctx: ctx.run.file("env.json").write_bytes(repr(ctx.world.environ).encode()))


def defect(patch: pytest.MonkeyPatch) -> None:
    """Let the report die of something that nobody expected."""

    def die(ctx: Any) -> None:
        raise ZeroDivisionError(str(ctx.run.run_id))

    patch.setattr(finish, "_report", die)


def wrong_status(patch: pytest.MonkeyPatch) -> None:
    """Let an error have a status of its own."""
    patch.setattr(UsageError, "exit_code", 17)


def takes_all(patch: pytest.MonkeyPatch) -> None:
    """Let everything in the account carry the run's mark."""
    patch.setattr(terminate, "belongs_to", lambda run_id, found, name: labels.is_ours_if_read(name, {}))


def never_ending(patch: pytest.MonkeyPatch) -> None:
    """Let the runner wait for ever before it begins."""

    def wait(ctx: Any, *, rents: bool) -> None:
        while True:
            ctx.world.sleep(3600.0)

    patch.setattr(guarding, "begin", wait)


@pytest.mark.parametrize(
    ("rule", "plant", "acts"),
    [
        ("no untold leak", sleeping_guard, (Act("kill", 320.0),)),
        ("time to end", slow_guard, (Act("kill", 320.0),)),
        ("the receipt is true", early_receipt, ()),
        ("the receipt is true", cheap_receipt, ()),
        ("work is whole", lost_adapter, ()),
        ("words are kept", said_too_early, (*KILLS, DOWN)),
        ("words are kept", printed_key, ()),
        ("words are kept", written_key, ()),
        ("words are kept", defect, ()),
        ("words are kept", wrong_status, (Act("type", 1.0, words=("watch", "--run", "nowhere")),)),
        ("nothing foreign", takes_all, ()),
        ("it ends", never_ending, ()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_fault_breaks_its_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, plant: Plant, acts: tuple[Act, ...]
) -> None:
    plant(monkeypatch)

    broken = judge(lived(tmp_path, *acts))

    assert rule in {one.rule for one in broken}


def test_every_rule_has_a_planted_fault() -> None:
    (mark,) = test_a_planted_fault_breaks_its_rule.pytestmark  # type: ignore[attr-defined]

    assert {rule for rule, _, _ in mark.args[1]} == set(RULES)


def test_a_life_that_could_not_go_on_is_no_good_life(tmp_path: Path) -> None:
    life = dataclasses.replace(lived(tmp_path), troubles=["waiting for ever: train"])

    assert [one.why for one in judge(life)] == ["waiting for ever: train"]
