"""Every platform side by side: cheapest first, at most 100 columns, and why one is out."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from runner.cli import parser as cli
from runner.cloud_api.models import Offer
from runner.planning import compare as comparing
from runner.planning.compare import Line, cheapest_elsewhere, compare, runs_in
from runner.planning.estimate.forecast import Task, make_task
from runner.planning.estimate.model_shape import shape_of
from runner.planning.estimate.ranges import Range
from runner.prices.platforms import platforms
from runner.report.columns import WIDTH
from runner.report.comparison import elsewhere_words, prices_of, show, span_words
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_forecast import DATA
from tests.unit.runner.planning.estimate.test_model_shape import LLAMA_8B

TODAY = date(2026, 11, 21)


def task(layers: int = 32, **sections: Any) -> Task:
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}, **sections})
    shape = shape_of(LLAMA_8B | {"num_hidden_layers": layers})
    return make_task(run_file, shape, DATA, model_bytes=0, staged_bytes=0, data_bytes=0)


def elsewhere(task: Task, today: date) -> str | None:
    found = cheapest_elsewhere(task, today)
    return None if found is None else elsewhere_words(found)


def by_name(lines: list[Line]) -> dict[str, Line]:
    return {line.platform.name: line for line in lines}


def test_every_platform_has_a_line() -> None:
    assert set(by_name(compare(task(), TODAY))) == set(platforms())


def test_what_can_be_taken_comes_first_and_is_sorted_by_dollars() -> None:
    lines = compare(task(), TODAY)
    fitting = [line.best.usd for line in lines if not line.why_out and line.best is not None]

    assert fitting == sorted(fitting)
    assert [bool(line.why_out) for line in lines] == sorted(bool(line.why_out) for line in lines)


def test_each_line_that_is_out_reports_why() -> None:
    lines = by_name(compare(task(layers=3200), TODAY))

    assert all(line.best is not None or line.why_out for line in lines.values())
    assert all("the largest GPU has" in lines[name].why_out for name in ("lambda", "aws", "runpod", "colab"))
    assert "RTX 4090 has 24" in lines["own"].why_out
    assert lines["kubernetes"].why_out == platforms()["kubernetes"].why_no_price


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"budget": {"max_usd": 0.01}}, "is over budget.max_usd ($0.01)"),
        ({"compute": {"env": "lambda", "max_price_usd_per_h": 0.5}}, "is over compute.max_price_usd_per_h ($0.5)"),
    ],
)
def test_what_the_run_file_forbids_is_out(sections: dict[str, Any], words: str) -> None:
    assert words in by_name(compare(task(**sections), TODAY))["lambda"].why_out


def test_strangers_machines_are_out_with_the_reason_and_in_where_any_will_do() -> None:
    secure = by_name(compare(task(), TODAY))
    trusting = by_name(compare(task(compute={"env": "lambda", "trust": "any"}), TODAY))

    for name in ("runpod-community", "vastai"):
        assert secure[name].why_out == "community machines, and compute.trust is secure"
        assert (trusting[name].why_out, trusting[name].best is None) == ("", False)


def test_a_machine_within_the_price_goes_before_a_cheaper_run_on_a_dearer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, slow = (
        Offer("fast", "any", False, 0.80, "H100 SXM", 1, 80.0),
        Offer("slow", "any", False, 0.79, "RTX A4000", 1, 16.0),
    )
    monkeypatch.setattr(comparing, "listed_offers", lambda name: [fast, slow])
    free = by_name(compare(task(), TODAY))["lambda"].best
    limit = slow.price_usd_per_h

    bound = by_name(compare(task(compute={"env": "lambda", "max_price_usd_per_h": limit}), TODAY))["lambda"]

    assert free is not None
    assert free.offer == fast
    assert bound.why_out == ""
    assert bound.best is not None
    assert bound.best.offer == slow
    assert bound.best.usd > free.usd


@pytest.mark.parametrize("platform", ["aws", "lambda", "sagemaker"])
def test_a_gpu_without_bfloat16_is_shown_only_where_nothing_else_will_do(platform: str) -> None:
    best = by_name(compare(task(), TODAY))[platform].best
    last = by_name(compare(task(compute={"env": "aws", "instance_types": ["g4dn.xlarge"]}), TODAY))["aws"].best

    assert best is not None
    assert last is not None
    assert best.offer.gpu_name not in ("T4", "Quadro RTX 6000")
    assert last.offer.gpu_name == "T4"


def test_a_gpu_for_which_there_is_no_pytorch_is_no_line() -> None:
    compute = {"env": "aws", "instance_types": ["p3.2xlarge"]}

    assert by_name(compare(task(compute=compute), TODAY))["aws"].best is None


def test_kinds_and_regions_bind_the_run_files_own_environment_alone() -> None:
    compute = {"env": "aws", "regions": ["eu-west-1"], "instance_types": ["g5.xlarge"]}
    lines = by_name(compare(task(compute=compute), TODAY))

    assert lines["aws"].best is not None
    assert (lines["aws"].best.offer.instance_type, lines["aws"].best.offer.region) == ("g5.xlarge", "eu-west-1")
    assert lines["lambda"].best is not None


def test_a_price_that_is_the_same_everywhere_is_one_of_any_region() -> None:
    lines = by_name(compare(task(compute={"env": "lambda", "regions": ["us-west-1"]}), TODAY))

    assert lines["lambda"].best is not None


def test_a_region_that_has_nothing_is_out() -> None:
    lines = by_name(compare(task(compute={"env": "aws", "regions": ["moon-west-1"]}), TODAY))

    assert (
        lines["aws"].why_out == "no listed machine is what section compute asks for (kind, region, spot, memory, disk)"
    )


def test_spot_machines_are_laid_out_only_where_they_are_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    spot = Offer("cheap", "any", True, 0.01, "A10", 1, 24.0)
    listed = comparing.listed_offers
    monkeypatch.setattr(comparing, "listed_offers", lambda name: [*listed(name), spot])

    lines = (
        by_name(compare(task(), TODAY)),
        by_name(compare(task(compute={"env": "lambda", "spot_enabled": True}), TODAY)),
    )

    assert [one["runpod"].best is not None and one["runpod"].best.offer.spot for one in lines] == [False, True]


@pytest.mark.parametrize(
    ("low_s", "high_s", "words"), [(360, 3120, "6..52 min"), (360, 5399, "6..90 min"), (360, 5400, "0.1..1.5 h")]
)
def test_short_runs_are_reported_in_minutes(low_s: float, high_s: float, words: str) -> None:
    assert span_words(Range(low_s, low_s, high_s)) == words


def test_the_table_fits_the_terminal_and_reports_stale_prices() -> None:
    text = show(compare(task(), TODAY), 500)
    table = text.split("\n\n")[0].splitlines()

    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert table[0].split() == ["where", "GPU", "fits", "time", "$/run", "$/h", "runs", "trust", "spot"]
    assert "lambda" in text
    assert "old prices (`make prices`)" in text
    assert "survives on lambda:" in text
    assert "out: Kubernetes cluster:" in text


def test_a_budget_pays_for_whole_runs_at_the_dearest() -> None:
    best = by_name(compare(task(), TODAY))["lambda"].best

    assert best is not None
    assert best.cost is not None
    dearest = best.cost.total_usd.high
    assert runs_in(best, dearest * 2.5) == 2
    assert (runs_in(best, None), runs_in(None, 5.0)) == (None, None)


def test_one_s_own_gpu_costs_its_electricity() -> None:
    own = by_name(compare(task(), TODAY))["own"]

    assert own.best is not None
    assert own.best.offer.price_usd_per_h == pytest.approx(0.45 * 0.1872, rel=0.01)
    assert prices_of(own) == "electricity alone, 450 W"


def test_the_verb_prints_a_table_or_json(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = '{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]}\n'
    (tmp_path / "train.jsonl").write_text(sample)
    (tmp_path / "eval.jsonl").write_text(sample.replace("There", "Here"))
    (tmp_path / "run.yml").write_text(
        f"run: {{name: tiny}}\nmodel: {{base_model: {tiny_model}}}\n"
        "data: {train_path: train.jsonl, eval_path: eval.jsonl, max_length: 64}\n"
    )
    words = ["compare", "--config", str(tmp_path / "run.yml"), "--runs-dir", str(tmp_path / "runs"), "--budget", "9"]

    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith("where")

    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"platform", "trust", "persistence", "why_out", "runs_in_budget", "best"} <= set(told[0])
    assert not (tmp_path / "runs").exists()


def test_the_cheapest_other_environment_is_reported_in_a_sentence() -> None:
    told = elsewhere(task(), TODAY)

    lines = [line for line in compare(task(), TODAY) if line.platform.environment in ("runpod", "aws")]
    assert told is not None
    assert f"with ENV={lines[0].platform.environment} on {lines[0].best.offer.gpu_name}, prices of " in told  # type: ignore[union-attr]
    assert elsewhere(task(layers=3200), TODAY) is None
    assert elsewhere(task(compute={"env": "lambda", "gpu_required": False}), TODAY) is None


def test_what_is_reported_of_another_environment_has_its_trust_and_the_day_of_old_prices() -> None:
    wanted = {"env": "lambda", "trust": "any"}

    assert "on RTX A5000, community, prices of 2026-09-09 (stale, 73 days)" in str(
        elsewhere(task(compute=wanted), TODAY)
    )
    assert "stale" not in str(elsewhere(task(compute=wanted), date(2026, 9, 10)))


def test_memory_and_disk_that_are_asked_for_are_asked_of_every_platform() -> None:
    large = by_name(compare(task(compute={"env": "lambda", "min_gpu_memory_gib": 100}), TODAY))

    rented = [line.best for name, line in large.items() if line.best is not None and name != "own"]
    assert min(found.offer.gpu_memory_gib for found in rented) >= 100
    assert "memory, disk" in large["colab"].why_out
    roomy = by_name(compare(task(compute={"env": "lambda", "disk_size_gib": 16_000}), TODAY))
    assert "memory, disk" in roomy["hf-spaces"].why_out


def test_an_arm_machine_is_no_bargain() -> None:
    lines = by_name(compare(task(), TODAY))

    assert lines["lambda"].best is not None
    assert lines["lambda"].best.offer.gpu_name != "GH200"
