"""What the benchmarks count and compute, on made-up data, and one tiny measured run of each side."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from benchmarks import (
    cpu_threads,
    data_check_speed,
    estimate_beside_meter,
    machine_to_first_step,
    packing,
    plan_offline,
    runner_overhead,
    trainer_speed,
)
from benchmarks.measuring import Meter, measure
from benchmarks.results import PROJECT, Job, Measurement, measure_in_turns, ratios, table
from runner.run.run_dir import create_run, write_json
from runner.world import RealWorld


def made_up(step_tokens: int, *step_seconds: float, **changes: Any) -> Measurement:
    tokens = [step_tokens] * len(step_seconds)
    values = {"positions": sum(tokens), "cpu_seconds": 2.0, "loss": 1.5, "peak_memory_gib": 2.0, **changes}
    return Measurement(step_tokens=tokens, step_seconds=list(step_seconds), **values)


# counting and computing


def test_speed_counts_tokens_of_the_data_and_not_padding() -> None:
    meter = Meter()
    ids, mask = torch.zeros(2, 8), torch.tensor([[1] * 8, [1] * 2 + [0] * 6])
    for _ in range(2):
        meter.begin()
        meter.count(None, (), {"input_ids": ids, "attention_mask": mask})
        meter.count(None, (), {"input_ids": ids})
        meter.end()

    found = meter.result(loss=1.0, peak_memory_gib=1.0)

    assert (found.tokens, found.positions, len(found.step_seconds)) == (10 + 16, 32, 1)
    assert found.positions_per_token == pytest.approx(32 / 26)


def test_the_first_step_does_not_count() -> None:
    meter = Meter(marks=[(90.0, 80.0, 1, 2), (2.0, 1.0, 100, 110), (3.0, 2.5, 200, 240)])

    found = meter.result(loss=1.0, peak_memory_gib=1.0)

    assert (found.tokens, found.positions, found.step_seconds, found.cpu_seconds) == (300, 350, [2.0, 3.0], 3.5)
    assert (found.tokens_per_s, found.best_tokens_per_s) == (60.0, 200 / 3)


def test_waiting_for_a_turn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, told = [1000.0], list[str]()
    clock = SimpleNamespace(monotonic=lambda: now_s[0], process_time=lambda: 0.0)
    monkeypatch.setattr("benchmarks.measuring.time", clock)

    def wait() -> None:
        told.append("wait")
        now_s[0] += 200.0

    meter = Meter(wait=wait, done=lambda: told.append("done"))
    meter.begin()
    now_s[0] += 3.0
    meter.end()

    assert told == ["wait", "done"]
    assert meter.marks[0][0] == 3.0


def test_a_run_of_one_step_measures_nothing() -> None:
    with pytest.raises(SystemExit, match="1 steps were done"):
        Meter(marks=[(1.0, 1.0, 1, 1)]).result(loss=1.0, peak_memory_gib=1.0)


def test_ratios_are_between_neighbours() -> None:
    assert ratios([2.0, 30.0, 8.0], [1.0, 10.0, 4.0]) == {"median": 2.0, "lowest": 2.0, "highest": 3.0}
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_a_table_is_markdown_with_its_numbers_on_the_right() -> None:
    assert table(["what", "s"], [["a", "10.5"], ["longer", "1.0"]]).splitlines() == [
        "| what   |    s |",
        "| ------ | ---: |",
        "| a      | 10.5 |",
        "| longer |  1.0 |",
    ]


def test_the_speed_report_names_ratio_and_step_ratios() -> None:
    ours = made_up(1000, 4.0, 4.0)
    plain = made_up(1000, 5.0, 11.0, peak_memory_gib=4.0, loss=1.25)

    text = trainer_speed.show(trainer_speed.summarise(ours, plain))

    assert "speed   1.25x the plain script's by the fastest step, 2.00x by all" in text
    assert "step by step 1.25 to 2.75, median 2.00" in text
    assert "memory  0.50x" in text
    assert [cell.strip() for cell in text.splitlines()[3].split("|")[2:7]] == ["200", "125", "1.0", "4.00", "1.2500"]


def test_runs_on_other_tokens_are_not_compared() -> None:
    with pytest.raises(SystemExit, match="not comparable"):
        trainer_speed.summarise(made_up(1000, 1.0), made_up(999, 1.0))


def test_the_packing_report_names_ratio_and_positions() -> None:
    text = packing.show(packing.summarise(made_up(1000, 10.0), made_up(1000, 25.0, positions=1850)))

    assert "packed is 2.50x padded, 2.50x by the median step" in text
    assert [row.split("|")[3].strip() for row in text.splitlines()[2:4]] == ["1.00", "1.85"]


def test_made_up_samples_are_the_same_each_time_and_of_many_lengths(tmp_path: Path) -> None:
    first, second = (packing.write_samples(tmp_path / name) / "train.jsonl" for name in ("a", "b"))
    lengths = sorted(len(line) for line in first.read_text(encoding="utf-8").splitlines())

    assert first.read_bytes() == second.read_bytes()
    assert len(lengths) == packing.SAMPLES
    assert lengths[-1] > 4 * lengths[0]


# the runner's own time

STEPS = {
    "plan": {"status": "done", "ended_at": "2026-11-21T05:00:03+00:00", "duration_s": 3.5},
    "provision": {"status": "done", "ended_at": "2026-11-21T05:00:04+00:00", "duration_s": 1.0},
    "configure": {"status": "done", "ended_at": "2026-11-21T05:00:34+00:00", "duration_s": 30.0},
    "train": {"status": "done", "ended_at": "2026-11-21T05:02:14+00:00", "duration_s": 100.0},
    "report": {"status": "done", "ended_at": "2026-11-21T05:02:16+00:00", "duration_s": 1.0},
}
EVENTS = [
    {"time": "2026-11-21T05:00:40.000+00:00", "event": "phase_started"},
    {"time": "2026-11-21T05:02:12.500+00:00", "event": "run_ended"},
]


def run_folder(folder: Path, **changes: dict[str, Any]) -> Path:
    (folder / "state.json").write_text(json.dumps({"format": 1, "steps": STEPS | changes}), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS), encoding="utf-8")
    return folder


def test_what_neither_a_set_up_tool_nor_the_trainer_used_is_the_runners(tmp_path: Path) -> None:
    found = runner_overhead.read_run(run_folder(tmp_path))

    assert (found["total_s"], found["setup_s"], found["trainer_s"]) == (136.5, 31.0, 92.5)
    assert found["parts_s"] == {"plan": 3.5, "train": 7.5, "report": 1.0, "between steps": 1.0}
    assert sum(found["parts_s"].values()) == found["total_s"] - found["setup_s"] - found["trainer_s"]
    assert "| the rest: the runner, at most" in runner_overhead.show_run(found)
    assert "|    13.0 |   9.5% |" in runner_overhead.show_run(found)


def test_a_run_that_is_not_finished_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not finished"):
        runner_overhead.read_run(run_folder(tmp_path, report={"status": "running"}))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no run folder"):
        runner_overhead.read_run(tmp_path)


def test_starts_are_timed() -> None:
    found = runner_overhead.time_starts(["-c", "pass"], repeat=1)

    assert found["cpu_s"] > 0
    assert found["fastest_s"] == found["wall_s"] > 0
    assert "python -c pass" in runner_overhead.show_starts({"python -c pass": found}, 1)


def test_an_estimate_stands_beside_what_the_meter_billed(tmp_path: Path) -> None:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())
    host = {"instance_type": "gpu_1x_a10", "region": "us-west-1", "spot": False, "price_usd_per_h": 0.75}
    forecast = {
        "durations": {"total_s": {"low": 90.0, "expected": 110.0, "high": 130.0}},
        "cost": {"usd_by_phase": {"boot": {"expected": 0.01}, "train": {"expected": 0.02}}},
    }
    write_json(run.host, host)
    write_json(run.file("plan.json"), {"format": 2, "machines": [host | {"forecast": forecast}]})

    found = estimate_beside_meter.beside(run, {"started_at": 10.0, "ended_at": 110.0, "billed_usd": 0.025}, 1)

    assert found == estimate_beside_meter.Beside(1, 110.0, 100.0, 0.03, 0.025)
    assert estimate_beside_meter.show([found]).splitlines()[-1] == (
        "| 1 | 110.0 s | 100.0 s | +10.0% | $0.0300 | $0.0250 |"
    )


# the scripts


@pytest.mark.parametrize(
    "name",
    [
        "trainer_speed",
        "packing",
        "runner_overhead",
        "measuring",
        "cpu_threads",
        "data_check_speed",
        "estimate_beside_meter",
    ],
)
def test_each_script_explains_itself(name: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0
    assert f"python -m benchmarks.{name}" in done.stdout


def stand_in(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let the children run ``script``, which finds its folder in ``folder``, instead of a measurement."""
    real, begin = subprocess.Popen, "import json, os, sys; folder = sys.argv[1]\n"
    monkeypatch.setattr(
        subprocess, "Popen", lambda argv, **options: real([sys.executable, "-c", begin + script, argv[-1]], **options)
    )


def test_runs_take_turns_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(
        monkeypatch,
        "for step in range(int(json.load(open(folder + '/job.json'))['recipe']['steps'])):\n"
        "    os.read(0, 1); open(folder + '/../order', 'a').write(os.path.basename(folder)); os.write(1, b'.')\n"
        "values = dict(step_tokens=[1], step_seconds=[1.0], positions=1, cpu_seconds=1, loss=1, peak_memory_gib=1)\n"
        "json.dump(values, open(folder + '/measurement.json', 'w'))\n",
    )

    jobs = [Job("ours", {"steps": steps}, str(tmp_path / name)) for name, steps in (("a", 2), ("b", 4))]
    found = measure_in_turns(jobs)

    assert (tmp_path / "order").read_text() == "ababbb"
    assert [measured.tokens_per_s for measured in found] == [1.0, 1.0]


def test_a_run_that_fails_is_reported_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "sys.exit('the child went wrong')")

    with pytest.raises(SystemExit, match=r"run of broken failed:\s+the child went wrong"):
        measure_in_turns([Job("ours", {}, str(tmp_path / "broken"))])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # the plain script's own
def test_both_sides_learn_the_same_tokens(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    recipe = trainer_speed.make_recipe(str(tiny_model), tiny_dataset, steps=1)

    ours, plain = (measure(Job(side, recipe, str(tmp_path / side)), Meter()) for side in trainer_speed.SIDES)

    assert len(ours.step_seconds) == len(plain.step_seconds) == 1
    assert ours.tokens == plain.tokens == ours.positions
    assert ours.loss == pytest.approx(plain.loss, rel=1e-2)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_padding_computes_more_positions_than_packing(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    def positions_per_token(name: str) -> float:
        recipe = packing.make_recipe(str(tiny_model), tiny_dataset, **packing.BATCHINGS[name])
        recipe["data"]["max_length"] = 256
        return measure(Job("ours", recipe, str(tmp_path / name)), Meter()).positions_per_token

    assert positions_per_token("packed") == 1.0
    assert positions_per_token("padded") > 1.0


# from a machine to the first step


def test_sides_are_compared_by_the_medians_of_their_tries() -> None:
    def tries(side: str, *totals: float) -> list[machine_to_first_step.Try]:
        parts = [{"configure": total - 4, "trainer": 4.0} for total in totals]
        return [machine_to_first_step.Try(side, "warm", seconds) for seconds in parts]

    shown = machine_to_first_step.show([*tries("Douse", 44, 22, 33), *tries("by hand", 20, 30, 90)], "warm")

    lines = shown.splitlines()
    assert "warm cache, seconds, medians of 3" in lines[0]
    assert [cell.strip() for cell in lines[2].split("|")[2:5]] == ["33.0", "30.0", "1.10"]
    assert [cell.strip() for cell in lines[3].split("|")[2:5]] == ["29.0", "26.0", "1.12"]
    assert lines[-1] == "all tries  Douse 44.0 22.0 33.0; by hand 20.0 30.0 90.0"


def test_a_cold_cache_needs_the_wheels() -> None:
    with pytest.raises(SystemExit, match="a cold cache needs --wheels"):
        machine_to_first_step.main(["--caches", "cold"])


def test_a_plan_without_a_network_is_reported_beside_its_imports() -> None:
    told = plan_offline.show({"imports": [0.1, 0.3, 0.2], "plan lambda": [1.0, 2.0, 0.8]}).splitlines()

    assert [cell.strip() for cell in told[-1].strip("|").split("|")] == ["plan lambda", "1.00", "2.00", "5.0"]


def test_a_plan_that_fails_is_not_measured() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        plan_offline.seconds_of(["-c", "raise SystemExit(2)"])


# the data check on large data


def test_made_up_chats_are_the_same_each_time_and_of_the_size(tmp_path: Path) -> None:
    for name in ("a", "b"):
        data_check_speed.write_chats(tmp_path / name, 20_000, 3, random.Random(1))
    lines = (tmp_path / "a").read_text().splitlines()

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert 20_000 <= (tmp_path / "a").stat().st_size < 30_000
    assert {len(json.loads(line)["messages"]) for line in lines} == {6}
    assert len(set(lines)) == len(lines)


def test_a_tiny_data_check_is_measured_beside_the_tokenizer(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    size = ["--megabytes", "0.02", "--long-turns", "8", "--template", "qwen3"]

    data_check_speed.main(["--model", str(tiny_model), *size, "--scratch", str(tmp_path), "--json", str(target)])

    report = json.loads(target.read_text())
    assert report["ratio"] == report["first"]["seconds"] / report["alone"]["seconds"]
    assert report["cpu_ratio"] == report["first"]["cpu_s"] / report["alone"]["cpu_s"] > 0
    assert all(report[name]["seconds"] > 0 < report[name]["peak_gib"] for name in ("first", "again", "long"))
    assert report["first"]["first_sign_s"] is None  # too small for a bar
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_figures_of_the_data_check_stand_beside_their_bounds() -> None:
    call = {"seconds": 30.0, "cpu_s": 50.0, "first_sign_s": 1.0, "peak_gib": 0.5}
    report = {"megabytes": 10.0, "template": "qwen3", "rare_words": 0.15, "long_turns": 2000}
    report |= {"alone": {"seconds": 20.0, "cpu_s": 40.0}, "ratio": 1.5, "cpu_ratio": 1.25}

    lines = data_check_speed.show(
        report | {"first": call, "again": call, "long": call | {"peak_gib": 0.75}}
    ).splitlines()

    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["10 MB, 15 % rare words, template qwen3", "wall", "CPU", "bound"]
    assert ["data-check, first call", "30.0 s", "50.0 s", ""] in rows
    assert ["times encode_batch", "1.50", "1.25", "2.5"] in rows
    assert ["first sign of a bar", "1.0 s", "", "2 s"] in rows
    assert ["peak memory, all processes", "0.75 GiB", "", "1.5 GiB"] in rows


def test_a_data_check_that_fails_is_not_measured(tiny_model: Path, tmp_path: Path) -> None:
    run_file = data_check_speed.write_run_file(tmp_path / "run.yml", tiny_model, tmp_path / "none.jsonl", None)

    with pytest.raises(SystemExit, match="data-check failed"):
        data_check_speed.check(run_file, tmp_path)


# threads on a CPU


@dataclass
class MadeUpSide:
    """Takes the next number for the seconds of a step."""

    seconds: Iterator[float]
    process: Any = field(default_factory=lambda: SimpleNamespace(pid=os.getpid()))

    def turn(self) -> float:
        """Return it."""
        return next(self.seconds)


class MadeUpWatch:
    """Saw others take this much of the machine, watch by watch."""

    foreign: Iterator[float]

    def __init__(self, ours: Sequence[int]) -> None:
        """Watch nothing."""

    def foreign_cores(self) -> float:
        """Return the next number."""
        return next(self.foreign)


def test_a_setting_is_compared_with_the_turn_beside_it() -> None:
    found = cpu_threads.summarise({"spin": [(2.0, 1.0), (4.0, 1.0), (9.0, 3.0)], "passive": [(1.0, 4.0)]})

    assert found["spin"] == {"steps_per_s": 1.0, "ratio": {"median": 3.0, "lowest": 2.0, "highest": 4.0}}
    assert found["passive"] == {"steps_per_s": 0.25, "ratio": {"median": 0.25, "lowest": 0.25, "highest": 0.25}}
    assert found["before"]["steps_per_s"] == 1 / 3.0
    row = cpu_threads.show(1, found).splitlines()[3]
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["spin", "1.00", "3.00", "2.00", "4.00"]


def test_a_pair_that_met_other_work_is_measured_again_and_the_order_alternates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits, pair, disturbed = 0.0, 0.0, 0.5
    MadeUpWatch.foreign = iter([disturbed, waits, pair, waits, disturbed, waits, pair])
    monkeypatch.setattr(cpu_threads, "Watch", MadeUpWatch)
    monkeypatch.setattr(cpu_threads, "QUIET_S", 0.0)
    turns = iter([1.0, 10.0, 11.0, 2.0, 12.0, 3.0])
    sides: Any = {"before": MadeUpSide(turns), "spin": MadeUpSide(turns)}

    found = cpu_threads.measure_pairs(sides, 0, 2, 0.1, time.monotonic() + 60)

    assert found == {"spin": [(10.0, 1.0), (12.0, 3.0)]}


def test_a_machine_that_is_never_quiet_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_threads, "QUIET_S", 0.0)

    with pytest.raises(SystemExit, match="too busy"):
        cpu_threads.wait_for_quiet([], 0.1, time.monotonic() - 1)


def test_what_others_take_is_estimated_from_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, machine, ours = (
        [0.0, 2.0],
        [(5.0, 0.0, 1.0, 90.0, 3.0, 0.0, 0.0, 0.0), (8.0, 0.0, 2.0, 99.0, 9.0, 0.0, 0.0, 0.0)],
        [(1.0, 0.0), (3.0, 0.5)],
    )
    monkeypatch.setattr(time, "monotonic", lambda: clock.pop(0))
    monkeypatch.setattr(psutil, "cpu_times", lambda: machine.pop(0))
    monkeypatch.setattr(psutil, "Process", lambda pid: SimpleNamespace(cpu_times=lambda: ours.pop(0)))

    watch = cpu_threads.Watch([1])

    assert watch.foreign_cores() == (4.0 - 2.5) / 2.0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads the environment of a process in /proc")
def test_a_side_has_its_setting_and_nothing_else_that_openmp_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "9")

    with cpu_threads.side("passive", 1) as one:
        environ, deadline_s = Path(f"/proc/{one.process.pid}/environ"), time.monotonic() + 60
        while not (said := environ.read_text(encoding="utf-8")) and time.monotonic() < deadline_s:
            continue  # the kernel shows nothing for a moment after a program has begun

    assert [line for line in said.split("\0") if line.startswith(("OMP_", "GOMP_"))] == ["OMP_WAIT_POLICY=PASSIVE"]


def test_neighbours_are_busy_and_go() -> None:
    with cpu_threads.neighbours(2) as pids:
        running = [psutil.Process(pid) for pid in pids]
        deadline_s = time.monotonic() + 30
        while any(one.cpu_times().user < 0.02 for one in running) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert all(one.cpu_times().user >= 0.02 for one in running)

    assert not any(one.is_running() for one in running)
