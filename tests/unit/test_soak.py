"""The soak: what a seed draws is possible and the same each time, and what its judge calls wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import soak
from benchmarks.soak import CLOUD_FAULTS, CLOUDS, RUNNER_FAULTS, Draw, Lived, draw, judge, line, show
from runner.emulation.fault_table import INSIDE
from runner.emulation.faults import FaultQueue
from runner.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_LEFTOVERS, ToolError
from runner.rehearsal.drive import AFTERWARDS
from runner.rehearsal.faults import parse_faults
from runner.rehearsal.services import known_faults
from runner.rehearsal.verdict import Verdict
from runner.run.run_dir import write_json

DRAWN = Draw("lambda", ("terminate_500",), "down", 61)


def shown(status: int = EXIT_DONE, *, bills: bool = False, broken: tuple[str, ...] = ()) -> Verdict:
    machine = {"id": "i-1", "is_billing": bills, "billed_usd": 0.02}
    return Verdict(status, [machine], [], {"cost_range_usd": [0.019, 0.021]}, [], list(broken), "")


def lived(folder: Path, verdict: Verdict, adapter: str | None = "trained 61 steps", outcome: str = "done") -> Lived:
    run = folder / "20261130-000000-tiny-k3v9"
    (run / "adapter").mkdir(parents=True)
    write_json(run / "config.json", {})
    write_json(run / "state.json", {"outcome": outcome, "steps": {"collect": {"status": "done"}}})
    if adapter is not None:
        (run / "adapter" / "adapter_model.safetensors").write_text(adapter)
    one = Lived(DRAWN)
    judge(one, verdict, folder)
    return one


def test_a_seed_draws_the_same_each_time_and_another_one_something_else() -> None:
    assert draw(3, 50) == draw(3, 50)
    assert draw(3, 50) != draw(4, 50)


def test_everything_has_its_turn_and_can_happen_where_it_is_drawn() -> None:
    drawn = draw(1, 2000)

    assert {name for one in drawn for name in one.faults} == {*CLOUD_FAULTS, *RUNNER_FAULTS}
    assert {one.cloud for one in drawn} == set(CLOUDS)
    assert {word for one in drawn for word in one.afterwards.split(",")} <= set(AFTERWARDS)
    for one in drawn:
        queue = FaultQueue(known_faults(), served=[one.cloud], has_real_boxes=True)
        clouds, runner, _ = parse_faults(",".join(one.faults))
        for fault in clouds:
            queue.add(fault.name, fault.count, {"cloud": one.cloud, **fault.args})
        for inside in [fault for fault in runner if fault.action in INSIDE]:
            queue.add(inside.action)


def test_a_run_with_its_own_adapter_and_nothing_that_bills_has_held(tmp_path: Path) -> None:
    one = lived(tmp_path, shown(broken=("terminate_500 never happened",)))

    assert (one.held, one.unmet) == (True, ["terminate_500"])
    assert line(one).endswith("held (terminate_500 had no occasion)")


def test_a_run_that_was_taken_down_before_it_trained_needs_no_adapter(tmp_path: Path) -> None:
    assert lived(tmp_path, shown(), None, outcome="interrupted").held


@pytest.mark.parametrize(
    ("verdict", "adapter", "words"),
    [
        (shown(EXIT_LEFTOVERS, bills=True), None, "i-1 bills"),
        (shown(), "trained 60 steps", "wrong adapter"),
        (shown(), None, "wrong adapter"),
        (shown(EXIT_INTERRUPTED, broken=("there is no receipt",)), None, "there is no receipt"),
    ],
)
def test_what_is_left_wrong_or_broken_is_named(
    verdict: Verdict, adapter: str | None, words: str, tmp_path: Path
) -> None:
    one = lived(tmp_path, verdict, adapter)

    assert not one.held
    assert words in line(one)


def test_the_meters_are_held_against_the_receipts() -> None:
    inside = Lived(DRAWN, EXIT_DONE, billed_usd=0.02, receipt_usd=(0.019, 0.021))
    outside = Lived(DRAWN, EXIT_DONE, billed_usd=0.04, receipt_usd=(0.019, 0.021))

    assert "$0.0190 to $0.0210" in show([inside])
    assert f"{'0.0%':>5}" in show([inside])
    assert "47.5%" in show([outside])


def test_parts_together_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def live(drawn: Draw, folder: Path) -> Lived:
        return Lived(drawn, EXIT_DONE, 60.0, 0.02, (0.019, float("inf")), is_wrong=drawn.steps == wrong)

    def run(*words: str) -> tuple[int, str]:
        status = soak.main(words)
        return status, capsys.readouterr().out.partition("|")[2]

    monkeypatch.setattr(soak, "need_boxes", lambda: None)
    monkeypatch.setattr(soak, "live", live)
    wrong, (part, other) = draw(5, 7)[-1].steps, (str(tmp_path / name) for name in ("part.json", "other.json"))
    whole = run("--seed", "5", "--runs", "7")
    run("--seed", "5", "--runs", "4", "--json", part)
    run("--seed", "5", "--runs", "3", "--first", "5", "--json", other)

    assert run("--join", part, other) == whole
    assert whole[0] == 1


def test_a_rehearsal_that_fails_itself_is_broken_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Verdict:
        raise ToolError("the emulated cloud did not come up", resolution="see its log")

    monkeypatch.setattr(soak, "rehearse", fail)
    monkeypatch.setattr(soak, "clean", list)

    one = soak.live(DRAWN, tmp_path / "run-1")

    assert one.broken == ["the emulated cloud did not come up"]
    assert (tmp_path / "run-1" / "run.yml").is_file()
