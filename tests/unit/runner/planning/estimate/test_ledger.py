from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from runner.planning.estimate.cost import Billing, compare_with_actual, cost_of
from runner.planning.estimate.duration import Correction, Hardware, Work, estimate_durations
from runner.planning.estimate.finished_run import Row, is_emulated, planned_usd, read_row
from runner.planning.estimate.gpu_specs import find_gpu
from runner.planning.estimate.ledger import MOST_RUNS, correction, read_ledger
from runner.run.run_dir import RunDir
from runner.world import RealWorld

WORK = Work(
    train_tokens=500_000,
    eval_tokens=20_000,
    generated_tokens=512,
    model_bytes=16_000_000_000,
    package_bytes=0,
    data_bytes=1_000_000,
    adapter_bytes=168_000_000,
    parameters=8_030_000_000,
    trainable_parameters=42_000_000,
    checkpointing=True,
    is_packed=True,
)
A10 = Hardware("lambda", find_gpu("A10"))
STEPS_S = {
    "plan": 4.0, "provision": 200.0, "configure": 60.0, "stage": 5.0, "train": 1000.0, "collect": 20.0, "destroy": 40.0,
}  # fmt: skip
TRAINER_S = {"data": 5.0, "load_model": 90.0, "evaluate_base": 50.0, "train": 700.0, "export": 5.0, "acceptance": 130.0}
PLANNED = Row("", "lambda", "gpu_1x_a10", "A10", "org/model-8b", None, None, None, {})


def write_run(
    folder: Path,
    *,
    estimate: dict[str, Any] | None = None,
    device: tuple[str, str] = ("cuda", "NVIDIA A10"),
    starts: int = 1,
    changed: dict[str, Any] | None = None,
) -> RunDir:
    """Write what the ledger reads of a run that ended well; ``changed`` replaces files, ``None`` leaves one out."""
    events: list[dict[str, Any]] = [
        {"event": "run_started", "device": device[0], "device_name": device[1], "resumed_from_step": 0}
    ] * starts
    events += [{"event": "step", "tokens": 100, "tokens_per_s": 714.0}]
    events += [{"event": "phase_ended", "phase": phase, "duration_s": seconds} for phase, seconds in TRAINER_S.items()]
    steps = {name: {"status": "done", "duration_s": seconds} for name, seconds in STEPS_S.items()}
    files: dict[str, Any] = {
        "state.json": {"format": 1, "steps": steps, "outcome": "done"},
        "config.json": {"compute": {"env": "lambda"}, "model": {"base_model": "org/model-8b"}},
        "host.json": {"instance_type": "gpu_1x_a10", "price_usd_per_h": 1.29, "cloud": "lambda"},
        "plan.json": {"format": 2, "environment": "lambda", "machines": [{"forecast": estimate}]},
        "receipt.json": {"cost_usd": 0.5, "billed_s": 1395.0},
        "metrics.json": {"train": {"tokens": 500_000, "tokens_per_s": 714.0}},
    }
    folder.mkdir(parents=True)
    for name, value in {**files, **(changed or {})}.items():
        if value is not None:
            (folder / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return RunDir(folder, RealWorld())


def planning(forecast: Any) -> dict[str, Any]:
    """Return a plan that says nothing but what is foreseen for its machine."""
    return {"format": 2, "machines": [{"forecast": forecast}]}


def estimate_of(machine: Hardware = A10, own: Correction | None = None) -> dict[str, Any]:
    """Return what the plan keeps of an estimate."""
    durations = estimate_durations(WORK, machine, own)
    assert durations is not None
    cost = cost_of(durations, Billing(price_usd_per_h=1.29))
    return {"work": asdict(WORK), "durations": durations.to_mapping(), "cost": cost.to_mapping()}


def row_of(run: RunDir) -> Row:
    row = read_row(run)
    assert row is not None
    return row


def corrected(rows: list[Row], **planned: Any) -> Correction:
    wanted: dict[str, Any] = {
        "environment": "lambda", "instance_type": "gpu_1x_a10", "model": "org/model-8b", "gpu": "A10",
        "train_tokens": WORK.train_tokens,
    }  # fmt: skip
    return correction(rows, **{**wanted, **planned})


def test_a_finished_run_reports_its_seconds_by_phase(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1"))

    assert row.seconds == {
        "boot": 200.0, "environment": 80.0, "weights": 100.0, "train": 705.0, "evaluation": 180.0, "upload": 20.0,
        "teardown": 40.0,
    }  # fmt: skip
    assert (row.environment, row.instance_type, row.gpu, row.model) == ("lambda", "gpu_1x_a10", "A10", "org/model-8b")
    assert row.tokens_per_s == 714.0


def test_dollars_follow_the_seconds_and_the_rest_is_idle(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1"))

    assert row.actual_usd["train"] == pytest.approx(705 / 3600 * 1.29, abs=1e-4)
    assert sum(row.actual_usd.values()) == pytest.approx(0.5, abs=1e-3)
    assert row.actual_usd["idle"] > 0


def test_a_machine_that_costs_nothing_has_no_dollars(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", changed={"host.json": {"instance_type": "this-machine"}}))

    assert (row.actual_usd, row.cost_usd) == ({}, 0.5)


def test_a_resumed_run_reports_only_what_it_did_once(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", starts=2))

    assert row.seconds == {"boot": 200.0, "upload": 20.0, "teardown": 40.0}
    assert row.tokens_per_s == 714.0
    assert set(row.actual_usd) == set(row.seconds), "what is not known is not idle"
    assert compare_with_actual(row)[-1].actual_s is None


@pytest.mark.parametrize(
    "changed",
    [
        {"state.json": None},
        {"state.json": {"outcome": "failed", "steps": {}}},
        {"state.json": "{"},
        {"state.json": "[1]"},
        {"config.json": None},
        {"config.json": {"compute": "lambda", "model": 7}},
        {"config.json": {"compute": {"env": None}, "model": {}}},
    ],
)
def test_a_run_that_is_not_finished_or_not_ours_is_left_out(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert read_row(write_run(tmp_path / "r1", changed=changed)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"host.json": "not JSON"},
        {"receipt.json": "[" * 100_000},
        {"plan.json": planning({"work": {"train_tokens": "many"}, "durations": [1], "cost": None})},
        {"plan.json": planning({"work": {"train_tokens": 1}, "durations": {"seconds_by_phase": {"boot": 3}}})},
        {"receipt.json": {"cost_usd": "a lot"}},
        {"metrics.json": {"train": {"tokens_per_s": None}}},
        {"state.json": {"outcome": "done", "steps": {"provision": "quick", "train": {"duration_s": None}}}},
    ],
)
def test_a_damaged_file_costs_only_what_was_in_it(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert row_of(write_run(tmp_path / "r1", changed=changed)).model == "org/model-8b"


def test_the_ledger_begins_with_the_newest_run(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in ("20261101-a", "20261102-b")]

    assert [row.run_id for row in read_ledger(runs)] == ["20261102-b", "20261101-a"]


def test_a_thousand_runs_open_a_bounded_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "r1")
    failed = write_run(tmp_path / "r2", changed={"state.json": {"outcome": "failed"}})
    opened: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (opened.append(path), read_bytes(path))[1])

    rows = read_ledger([run, failed] * 500)

    assert len(rows) == MOST_RUNS / 2
    assert len(opened) == MOST_RUNS / 2 * (8 + 1)  # a run that failed costs one look


@pytest.mark.parametrize(
    ("endpoint", "emulated"),
    [
        ("http://127.0.0.1:41235/api/v1", True),
        ("http://localhost:5000", True),
        ("http://[::1]:5000", True),
        ("https://cloud.lambda.ai/api/v1", False),
        ("https://sts.us-east-1.amazonaws.com", False),
        ("http://10.0.0.7:5000", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_only_an_emulated_cloud_is_asked_on_this_machine(endpoint: str, emulated: bool) -> None:
    assert is_emulated(endpoint) is emulated


def asked_at(endpoint: str | None) -> str:
    """Return the journal of a run whose machine was asked for at an address."""
    facts = {} if endpoint is None else {"endpoint": endpoint}
    return json.dumps({"kind": "intent", "action": "provision", **facts}) + "\n"


def test_a_rehearsed_run_and_a_real_one_never_correct_one_another(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, estimate=estimate_of(), changed={"journal.jsonl": asked_at(endpoint)})
        for name, endpoint in (
            ("1-rehearsed", "http://127.0.0.1:41235/api/v1"),
            ("2-real", "https://cloud.lambda.ai/api/v1"),
            ("3-older", None),
        )
    ]

    assert [row.run_id for row in read_ledger(runs)] == ["3-older", "2-real"]
    assert [row.run_id for row in read_ledger(runs, is_emulated=True)] == ["1-rehearsed"]


def test_steps_of_the_trainer_are_not_even_parsed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r1")
    with run.events.path.open("a", encoding="utf-8") as file:
        file.write('{"event": "step", "tokens": this is no JSON}\n' * 3)

    assert row_of(run).seconds["train"] == 705.0


def test_the_speed_is_compared_with_the_tables_word_for_the_same_work(tmp_path: Path) -> None:
    planned_for_another_gpu = estimate_of(Hardware("lambda", find_gpu("H100")))
    row = row_of(write_run(tmp_path / "r1", estimate=planned_for_another_gpu))
    durations = estimate_durations(WORK, A10)

    assert durations is not None
    assert row.speed_ratio == pytest.approx(714.0 / durations.tokens_per_s.expected)
    assert row.parameters == WORK.parameters


def test_after_one_run_the_next_estimate_is_what_that_run_took(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", estimate=estimate_of()))
    durations = estimate_durations(WORK, A10, corrected([row]))

    assert durations is not None
    for phase, seconds in row.seconds.items():
        assert durations.seconds[phase].expected == pytest.approx(seconds, rel=0.001), phase
    assert durations.total_s.expected == pytest.approx(sum(row.seconds.values()), rel=0.001)


def test_what_training_takes_besides_its_tokens_grows_with_them(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", estimate=estimate_of(), changed={"metrics.json": half_as_slow()}))
    twice = replace(WORK, train_tokens=2 * WORK.train_tokens)
    durations = estimate_durations(twice, A10, corrected([row]))

    assert durations is not None
    assert row.train_factor == pytest.approx(705 * 1428 / 500_000)
    assert durations.seconds["train"].expected == pytest.approx(2 * 705, rel=0.001)
    assert durations.tokens_per_s.expected == pytest.approx(1428, rel=0.001)


def test_a_run_without_its_work_counts_the_tokens_that_were(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", changed={"metrics.json": half_as_slow()}))

    assert row.train_factor == pytest.approx(705 * 1428 / 480_000)


def half_as_slow() -> dict[str, Any]:
    """Return metrics of a training that spent half of its time on evaluations; fewer tokens than were planned."""
    return {"train": {"tokens": 480_000, "tokens_per_s": 1428.0}}


def test_a_corrected_estimate_does_not_correct_itself_away(tmp_path: Path) -> None:
    first = row_of(write_run(tmp_path / "r1", estimate=estimate_of()))
    second = row_of(write_run(tmp_path / "r2", estimate=estimate_of(A10, corrected([first]))))

    assert corrected([second]).speed_ratios == pytest.approx(corrected([first]).speed_ratios)
    assert corrected([second]).ratios["weights"] == pytest.approx(corrected([first]).ratios["weights"], rel=1e-4)


def test_a_machine_that_trained_without_its_gpu_corrects_itself_alone(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", estimate=estimate_of(), device=("cpu", "AMD EPYC")))

    assert row.gpu is None
    assert corrected([row]).speed_ratios == (row.speed_ratio,)
    assert corrected([row], instance_type="gpu_1x_h100_pcie", gpu="H100 PCIe").speed_ratios == ()


def test_the_nearest_kin_comes_first() -> None:
    same_gpu = replace(
        PLANNED, run_id="gpu", model="org/other", environment="runpod", speed_ratio=0.8, tokens_per_s=80.0
    )
    same_model = replace(same_gpu, run_id="model", model="org/model-8b", speed_ratio=0.9)
    same_place = replace(PLANNED, run_id="place", gpu="H100 SXM", model="org/other", instance_type="x",
                         speed_ratio=0.7, tokens_per_s=70.0)  # fmt: skip
    same_all = replace(PLANNED, run_id="all", speed_ratio=1.1, tokens_per_s=110.0)
    rows = [same_place, same_gpu, same_model, same_all]

    assert [corrected(rows[: count + 1]).speed_ratios for count in range(4)] == [(0.7,), (0.8,), (0.9,), (1.1,)]


def test_a_run_without_estimate_corrects_the_same_model_only() -> None:
    row = replace(PLANNED, tokens_per_s=714.0)

    assert corrected([row]).tokens_per_s == (714.0,)
    assert corrected([row], model="org/other") == Correction()


def test_boot_times_come_from_the_machine_then_from_its_cloud() -> None:
    here = replace(PLANNED, seconds={"boot": 100.0})
    around = replace(PLANNED, instance_type="gpu_1x_h100_pcie", gpu="H100 PCIe", seconds={"boot": 300.0})
    elsewhere = replace(PLANNED, environment="aws", seconds={"boot": 20.0})

    assert corrected([elsewhere, around, here]).seconds == {"boot": (100.0,)}
    assert corrected([elsewhere, around]).seconds == {"boot": (300.0,)}
    assert corrected([elsewhere]).seconds == {}


def test_an_empty_ledger_corrects_nothing() -> None:
    assert corrected([]) == Correction()


def test_estimate_and_actual_stand_side_by_side(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "r1", estimate=estimate_of()))
    compared = {one.phase: one for one in compare_with_actual(row)}

    assert list(compared) == [
        "boot", "environment", "weights", "train", "evaluation", "upload", "teardown", "idle", "total",
    ]  # fmt: skip
    assert (compared["boot"].estimated_s, compared["boot"].actual_s) == (240.0, 200.0)
    assert compared["boot"].error == pytest.approx(0.2)
    assert compared["total"].actual_usd == 0.5
    assert compared["total"].actual_s == pytest.approx(0.5 / 1.29 * 3600, abs=0.5), "idle time is paid for as well"
    assert (compared["idle"].estimated_s, compared["idle"].error) == (0.0, -1.0)
    assert compared["total"].estimated_usd == pytest.approx(sum(row.estimated_usd.values()))
    assert compared["total"].error_usd == pytest.approx(sum(row.estimated_usd.values()) / 0.5 - 1)


@pytest.mark.parametrize("plan", ["{", "[]", planning(None), planning({"cost": {"usd_by_phase": {"boot": 1}}})])
def test_a_plan_without_dollars_promised_none(tmp_path: Path, plan: Any) -> None:
    assert planned_usd(write_run(tmp_path / "r1", changed={"plan.json": plan})) == {}


def test_a_run_without_estimate_is_shown_as_it_was(tmp_path: Path) -> None:
    compared = {one.phase: one for one in compare_with_actual(row_of(write_run(tmp_path / "r1")))}

    assert (compared["train"].estimated_s, compared["train"].actual_s, compared["train"].error) == (None, 705.0, None)
    assert (compared["total"].estimated_s, compared["total"].estimated_usd) == (None, None)
