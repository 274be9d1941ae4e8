"""A plan with markup in it: it stays text, in the page and in a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.report.plan.page import write_plan_page
from tests.tools.screenshot import CHROMIUM, DRIVER, browser, open_report
from tests.unit.runner.report.plan.plan_folder import (
    PLOTS,
    RUN_ID,
    figures_of,
    forecast_of,
    page_of,
    plan,
    span,
    written,
)
from tests.unit.runner.report.run.test_page import PLANTED, sample_in_parts
from tests.unit.runner.run_at import run_at

LINK = "<a href='https://example.org'>planted</a>"


def _in_base_model(told: dict[str, Any]) -> None:
    told["base_model"] = PLANTED


def _in_check(told: dict[str, Any]) -> None:
    told["checks"] = [dict.fromkeys(("name", "status", "value", "remedy"), PLANTED)]


def _in_sample(told: dict[str, Any]) -> None:
    told["data"] |= {"shown": [sample_in_parts(PLANTED, PLANTED)], "notes": [PLANTED]}


def _in_part(told: dict[str, Any]) -> None:
    told["machines"][0]["needed_gib_by_part"][PLANTED] = 1.0


def _in_gpu(told: dict[str, Any]) -> None:
    forecast_of(told)["gpu"] = PLANTED


def _in_phase(told: dict[str, Any]) -> None:
    forecast_of(told)["durations"]["seconds_by_phase"][PLANTED] = span(1.0, 2.0, 3.0)


def _in_basis(told: dict[str, Any]) -> None:
    forecast_of(told)["durations"] |= {"basis": [PLANTED], "sources": [PLANTED]}


def _in_machine(told: dict[str, Any]) -> None:
    told["machines"][0] |= {"instance_type": PLANTED, "region": PLANTED}


def _in_data(told: dict[str, Any]) -> None:
    told["data"] |= {PLANTED: PLANTED, "warnings": [PLANTED]}


@pytest.mark.parametrize(
    "plant", [_in_base_model, _in_check, _in_part, _in_gpu, _in_phase, _in_basis, _in_machine, _in_data, _in_sample]
)
def test_planted_markup_stays_text(tmp_path: Path, plant: Callable[[dict[str, Any]], None]) -> None:
    plain = page_of(written(tmp_path / "plain", plan()))
    told = plan()
    plant(told)

    page = page_of(written(tmp_path / RUN_ID, told))

    assert page.count("script") == plain.count("script")
    assert page.count("img") == 0
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    assert PLANTED in page.words


def test_figures_take_no_markup_out_of_a_plan(tmp_path: Path) -> None:
    told = plan()
    told["machines"][0]["needed_gib_by_part"][LINK] = 1.0
    forecast_of(told)["gpu"] = LINK
    forecast_of(told)["durations"]["seconds_by_phase"][LINK] = span(1.0, 2.0, 3.0)

    figures = json.dumps(figures_of(page_of(written(tmp_path / RUN_ID, told))))

    assert "<a" not in figures
    assert figures.count("&lt;a href") >= 3


@pytest.fixture(params=[(1240, False), (390, False), (1240, True)], ids=["desktop", "phone", "dark"])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        reason = "chromium and chromedriver are not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    width, dark = request.param
    told = plan() | {"base_model": PLANTED}
    told["machines"][0]["needed_gib_by_part"][LINK] = 1.0
    forecast_of(told)["gpu"] = LINK
    forecast_of(told)["durations"]["seconds_by_phase"][LINK] = span(1.0, 2.0, 3.0)
    with browser(width=width, dark=dark) as driver:
        open_report(driver, write_plan_page(run_at(written(tmp_path / RUN_ID, told))))
        yield driver


@pytest.mark.browser
def test_browser_draws_every_figure_quietly_and_runs_nothing_planted(shown: Any) -> None:
    drawn = shown.execute_script("return [...document.querySelectorAll('.js-plotly-plot')].map((plot) => plot.id)")
    labels = shown.execute_script("return [...document.querySelectorAll('.plot text')].map((one) => one.textContent)")
    width = shown.execute_script("return [document.documentElement.scrollWidth, innerWidth]")

    assert drawn == PLOTS
    assert f"{LINK}: 24 GiB" in labels
    assert shown.execute_script("return document.querySelectorAll('.plot a').length") == 0
    assert shown.execute_script("return window.planted") is None
    assert width[0] <= width[1]
    assert shown.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert shown.get_log("browser") == []
