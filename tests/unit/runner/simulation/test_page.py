"""The page of a life: what is on it, and what a browser makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.simulation.life import Life
from runner.simulation.page import to_html, write_life_page
from runner.simulation.rules import RULES
from runner.simulation.script import Act
from tests.tools.screenshot import CHROMIUM, DRIVER, browser, open_report, set_size
from tests.unit.runner.simulation.lived import DOWN, SEEDS, lived
from tests.unit.runner.simulation.test_moments import KILL

PLANTED = "<img src=x onerror='window.planted = 1'>"
SAID = "return ['time', 'usd', 'there', 'words'].map((name) => document.getElementById(`moment-${name}`).textContent)"
MOVE = """
const slider = document.getElementById("moment");
slider.value = arguments[0];
slider.dispatchEvent(new Event("input"));
return document.querySelectorAll("tr.later").length;
"""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    found = lived(tmp_path_factory.mktemp("life"), Act("fault", 0.0, words=("terminate_slow",)), KILL, DOWN)
    found.history.append(f"{found.ended[-1].ended_s + 0.01:10.2f} {PLANTED}")
    return found


def test_a_page_shows_the_verdict_the_story_and_how_to_live_it_again(life: Life) -> None:
    page = to_html(life)

    assert "all rules held" in page
    assert all(f"</span>{name}</th>" in page for name in RULES)
    assert f"make simulate SEED={SEEDS['lambda']} ENV=lambda REPORT=1" in page
    assert "What was in its way" in page
    assert "kill -9: the command is gone" in page
    assert PLANTED not in page


def test_a_broken_rule_is_seen(life: Life) -> None:
    page = to_html(replace(life, troubles=["train waits for ever"]))

    assert "a rule was broken" in page
    assert page.count('class="refused"') == 1
    assert "<td>train waits for ever</td>" in page


def test_a_life_without_a_receipt_has_a_page(life: Life) -> None:
    assert "no receipt" in to_html(replace(life, receipts=[]))


@pytest.fixture(scope="module")
def shown(life: Life, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        reason = "chromium and chromedriver are not installed"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    page: Path = write_life_page(life, tmp_path_factory.mktemp("runs") / "new")
    with browser() as driver:
        open_report(driver, page)
        yield driver


@pytest.mark.browser
def test_a_browser_shows_it_quietly_and_alone(shown: Any) -> None:
    assert shown.execute_script("return document.querySelectorAll('.js-plotly-plot .barlayer path').length") > 3
    assert shown.execute_script("return window.planted") is None
    assert shown.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert shown.get_log("browser") == []


@pytest.mark.browser
def test_the_slider_goes_through_its_time(shown: Any) -> None:
    rows = shown.execute_script("return document.querySelectorAll('tr[data-x]').length")

    assert shown.execute_script(MOVE, 0) == rows - 1
    assert shown.execute_script(SAID) == ["0.0 s", "$0.00 on the meter.", "There: train.", "you: make train"]
    assert shown.execute_script(MOVE, rows - 1) == 0
    assert shown.execute_script(SAID)[2] == "There: nobody."
    assert shown.execute_script("return document.getElementById('plot-life').layout.shapes.length") >= 1


@pytest.mark.browser
def test_it_fits_on_a_phone(shown: Any) -> None:
    set_size(shown, 390, 844)

    assert shown.execute_script("return document.documentElement.scrollWidth <= innerWidth")
