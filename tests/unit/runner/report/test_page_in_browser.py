"""The page as Chromium shows it: drawn, quiet, alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from runner.report.run.page import write_report
from tests.tools.screenshot import CHROMIUM, DRIVER, browser, open_report, save_page
from tests.unit.runner.report.run.run_folder import RUN_ID, rent, write_run
from tests.unit.runner.run_at import run_at

PLANTED = "<script>window.planted = 1</script><img src=x onerror='window.planted = 2'>"
PLOTS = [
    "plot-loss",
    "plot-learning-rate",
    "plot-grad-norm",
    "plot-speed",
    "plot-memory",
    "plot-lengths",
    "plot-phases",
    "plot-settled",
]
WHITE, LIGHT_BLUE = "rgb(255, 255, 255)", "rgb(42, 111, 201)"
DESKTOP, PHONE = (1240, 900), (390, 844)
TRACES = """
const plot = document.getElementById(arguments[0]);
plot.scrollIntoView({block: "center"});
return [...plot.querySelectorAll(".scatterlayer path.js-line")].map((path) => {
  const box = path.getBoundingClientRect(), style = getComputedStyle(path);
  return {length: path.getTotalLength(), stroke: style.stroke, left: box.left, right: box.right, top: box.top,
          bottom: box.bottom, width: innerWidth, height: innerHeight};
});
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / RUN_ID
    name = f"quick {PLANTED}"
    return write_report(run_at(rent(write_run(folder, name=name, answer=PLANTED), name=name)))


@pytest.fixture(
    scope="module", params=[(DESKTOP, False), (PHONE, False), (DESKTOP, True)], ids=["desktop", "phone", "dark"]
)
def shown(request: pytest.FixtureRequest, page: Path) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        _leave_out()
    (width, height), dark = request.param
    with browser(width=width, height=height, dark=dark) as driver:
        open_report(driver, page)
        yield driver


def test_every_figure_is_drawn(shown: Any) -> None:
    drawn = shown.execute_script("return [...document.querySelectorAll('.js-plotly-plot')].map((plot) => plot.id)")

    assert drawn == PLOTS


def test_loss_curves_are_seen(shown: Any) -> None:
    traces = shown.execute_script(TRACES, "plot-loss")

    assert len(traces) == 3  # base, training, eval
    for trace in traces:
        assert trace["length"] > 100
        assert 0 <= trace["left"] < trace["right"] <= trace["width"]
        assert 0 <= trace["top"] <= trace["bottom"] <= trace["height"]
    assert len({trace["stroke"] for trace in traces}) == 3


def test_bars_are_seen(shown: Any) -> None:
    bars = "return [...document.querySelectorAll(`#${arguments[0]} .bars .point path`)].map((p) => p.getTotalLength())"

    assert len(shown.execute_script(bars, "plot-phases")) == 6
    assert len(shown.execute_script(bars, "plot-settled")) == 2 * 8  # estimated and taken, idle time among the phases
    assert min(shown.execute_script(bars, "plot-lengths")) > 20


def test_console_is_quiet(shown: Any) -> None:
    assert shown.get_log("browser") == []


def test_nothing_is_asked_of_the_network(shown: Any, page: Path) -> None:
    entries = shown.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    messages = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    requests = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    of_page = {request["request"]["url"] for request in requests if request["documentURL"] == page.resolve().as_uri()}

    assert entries == []
    assert {url for url in of_page if not url.startswith("data:")} == {page.resolve().as_uri()}


def test_planted_script_did_not_run_and_is_shown(shown: Any) -> None:
    assert shown.execute_script("return window.planted") is None
    assert PLANTED in shown.execute_script("return document.querySelector('.of-adapter pre').textContent")
    assert PLANTED in shown.execute_script("return document.querySelector('h1').textContent")


def test_page_is_no_wider_than_the_screen(shown: Any) -> None:
    width = shown.execute_script("return [document.documentElement.scrollWidth, innerWidth]")

    assert width[0] <= width[1]


def test_picture_of_the_page_can_be_taken(shown: Any, tmp_path: Path) -> None:
    picture = tmp_path / "report.png"

    save_page(shown, picture, width=390)

    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_colours_follow_the_scheme(shown: Any, request: pytest.FixtureRequest) -> None:
    ground = shown.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    ink = shown.execute_script("return getComputedStyle(document.querySelector('#plot-loss .xtick text')).fill")
    light = sum(int(part) for part in ground[4:-1].split(",")), sum(int(part) for part in ink[4:-1].split(","))

    is_dark = "dark" in request.node.callspec.id
    assert (light[0] < light[1]) == is_dark
    assert abs(light[0] - light[1]) > 250


def test_print_is_light_and_every_fold_is_open(page: Path) -> None:
    if CHROMIUM is None or DRIVER is None:
        _leave_out()
    with browser(dark=True) as driver:
        open_report(driver, page)
        assert driver.execute_script("return document.querySelector('details.recipe').open") is False

        driver.execute_cdp_cmd("Page.printToPDF", {})

        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert driver.execute_script("return document.querySelector('details.recipe').open") is True
        assert driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor") == WHITE
        WebDriverWait(driver, 10).until(lambda d: d.execute_script(TRACES, "plot-loss")[1]["stroke"] == LIGHT_BLUE)


def _leave_out() -> None:
    """Skip, or fail where all tools have to be there."""
    reason = "chromium and chromedriver are not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
