"""The rules: a fault is planted in the product for each of them, and a life finds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.cloud_api import labels
from runner.cloud_api.models import Listing
from runner.clouds.lambda_cloud.api import LambdaCloud
from runner.errors import TeardownError, UsageError
from runner.guard.guard import Guard
from runner.lifecycle import finish, guarding, notices
from runner.lifecycle.steps import collect, destroy, train
from runner.safety import account_sweep, terminate
from runner.safety.account_sweep import Finding
from runner.safety.receipt import Findings
from runner.simulation import stage
from runner.simulation.life import Life
from runner.simulation.promises import kept_waiting_s
from runner.simulation.rules import RULES, judge
from runner.simulation.script import Act
from runner.simulation.store import URL
from runner.simulation.telling import NOTICES, setting
from runner.simulation.trainer import Course
from tests.unit.runner.simulation.lived import DOWN, lived

KILLS = (Act("kill", 320.0), Act("kill guard", 320.0))
RESUME = Act("type", 30.0, words=("resume", "--yes"))
SWEEP = Act("type", 7200.0, words=("sweep", "--apply"))
Plant = Callable[[pytest.MonkeyPatch], None]


def sleeping_guard(patch: pytest.MonkeyPatch) -> None:
    """Let a guard believe that its run is over as soon as its machine would have to go."""
    patch.setattr(Guard, "_terminate", lambda self: "nobody is there")


def slow_guard(patch: pytest.MonkeyPatch) -> None:
    """Let a guard wait for ten hours more."""
    due_s = Guard._due_s
    patch.setattr(Guard, "_due_s", lambda self: due_s(self) + 36000.0)


def patient_guard(patch: pytest.MonkeyPatch) -> None:
    """Let a guard wait for a runner that is stopped."""
    due_s = Guard._due_s
    patch.setattr(Guard, "_due_s", lambda self: due_s(self) if self._words.has_ended else self._hard_end_s)


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


def second_machine(patch: pytest.MonkeyPatch) -> None:
    """Let every launch be sent twice."""
    launch = LambdaCloud.launch
    patch.setattr(LambdaCloud, "launch", lambda self, request: [launch(self, request), launch(self, request)][1])


def weak_down(patch: pytest.MonkeyPatch) -> None:
    """Let nothing be terminated when a run is taken down."""

    def give_up(ctx: Any, outcome_unknown: bool) -> Findings:
        raise TeardownError("destroy: something is left", resolution="try again")

    patch.setattr(destroy, "_give_back", give_up)


def lenient_sweep(patch: pytest.MonkeyPatch) -> None:
    """Let a sweep take everything for in use."""
    patch.setattr(account_sweep, "_judge", lambda found, *words: Finding(found, "in use", abandoned=False))


def silent_sweep(patch: pytest.MonkeyPatch) -> None:
    """Let a sweep see nothing."""
    patch.setattr(account_sweep, "list_all", lambda clouds: ([], {}, {}))
    patch.setattr(account_sweep, "without_receipt", lambda runs: {})


def unsaid_hold(patch: pytest.MonkeyPatch) -> None:
    """Let a guard not hear that its run is left on purpose, which trains for longer than a lease."""
    patch.setattr(stage, "Course", lambda *words: Course(20, 150.0, 4))
    patch.setattr(guarding, "hold", lambda ctx, host, prefix: None)


def unasked_trainer(patch: pytest.MonkeyPatch) -> None:
    """Let a guard believe that training goes on for ever."""
    patch.setattr(Guard, "_look_after", lambda self, held: None)


def torn_adapter(patch: pytest.MonkeyPatch) -> None:
    """Let an adapter come home without its weights."""
    collected = collect.collect

    def torn(ctx: Any, *words: Any, **more: Any) -> list[str]:
        came = collected(ctx, *words, **more)
        (ctx.run.adapter / "adapter_model.safetensors").unlink()
        return came

    patch.setattr(collect, "collect", torn)


def forgotten_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """Let a resumed run begin at its first step."""
    launched = train.launch
    patch.setattr(train, "launch", lambda ctx, host, resume: launched(ctx, host, resume=False))


def kept_key(patch: pytest.MonkeyPatch) -> None:
    """Let keys be no resources of a run."""
    patch.setattr(LambdaCloud, "_our_keys", lambda self: Listing([], []))
    patch.setattr(LambdaCloud, "delete_key", lambda self, key_id: None)


def unstored_adapter(patch: pytest.MonkeyPatch) -> None:
    """Let an adapter stay at home; ``test_store_rules`` plants the other faults of stores."""
    patch.setattr(finish.storing, "copy_home", lambda ctx, names: None)


def told_with_the_first_look(patch: pytest.MonkeyPatch) -> None:
    """Let a run say that it is over when it begins to be taken down."""
    given_up = finish._give_up_machine

    def say_and_give_up(ctx: Any, *words: Any, **more: Any) -> Any:
        notices.say(ctx, "terminated", "nothing of it is left")
        ctx.stop.wait(5.0)
        return given_up(ctx, *words, **more)

    patch.setattr(finish, "_give_up_machine", say_and_give_up)


def silent_end(patch: pytest.MonkeyPatch) -> None:
    """Let nobody hear how a run ended."""
    patch.setattr(notices, "ended", lambda ctx, error: None)


@pytest.mark.parametrize(
    ("rule", "plant", "acts"),
    [
        ("no untold leak", sleeping_guard, (Act("kill", 320.0),)),
        ("time to end", slow_guard, (Act("kill", 320.0),)),
        ("time to end", patient_guard, (Act("stop", 320.0, 36000.0),)),
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
        ("one at a time", second_machine, ()),
        ("down takes down", weak_down, (*KILLS, DOWN)),
        ("a sweep is thorough", lenient_sweep, (*KILLS, SWEEP)),
        ("a sweep is thorough", silent_sweep, (*KILLS, SWEEP)),
        ("left is kept", unsaid_hold, (Act("hang up", 300.0),)),
        ("left is kept", unasked_trainer, (Act("first", words=("train", "--detach")),)),
        ("work is whole", torn_adapter, ()),
        ("work is whole", forgotten_checkpoint, (Act("interrupt", 400.0), RESUME)),
        ("the receipt is true", kept_key, ()),
        ("the store is whole", unstored_adapter, (setting(f"store.url={URL}"),)),
        ("people are told", told_with_the_first_look, (setting(NOTICES),)),
        ("people are told", silent_end, (setting(NOTICES),)),
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


def test_a_cloud_that_is_down_keeps_everybody_waiting_and_no_longer() -> None:
    down, again = Act("fault", 3.0, 600.0, ("api_down",)), Act("fault", 0.0, 5.0, ("terminate_500", "12"))
    life = lambda *acts: Life(1, "lambda", acts)  # noqa: E731

    assert kept_waiting_s(life()) == 0.0
    assert kept_waiting_s(life(Act("fault", 3.0, 600.0, ("listing_lags",)))) == 0.0
    assert kept_waiting_s(life(down, again)) == 600.0 + 12 * 60.0
