"""Pictures of a report, taken by a headless Chromium.

For the documents: ``python -m tests.tools.screenshot runs/<run_id>/report.html docs/report.png --height 1500``
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
DRAWN_TIMEOUT_S = 30.0


@contextmanager
def browser(*, width: int = 1240, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """Give a Chromium with a page of exactly this size, its console and its network recorded."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or "chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    with tempfile.TemporaryDirectory(prefix="douse-chromium-", ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        # What is no part of its profile it keeps in a home, which rehearsals beside it compare.
        homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), profile)
        service = webdriver.ChromeService(executable_path=DRIVER, env={**os.environ, **homes})
        driver = webdriver.Chrome(options=options, service=service)
        try:
            set_size(driver, width, height)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield driver
        finally:
            driver.quit()


def set_size(driver: Any, width: int, height: int) -> None:
    """Give the page this size, narrower than any window can be as well."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def open_report(driver: Any, page: Path) -> None:
    """Open a report from disk and wait until its charts are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get(page.resolve().as_uri())
    WebDriverWait(driver, DRAWN_TIMEOUT_S, poll_frequency=0.1).until(
        lambda d: d.execute_script("return document.documentElement.dataset.drawn === 'yes'"),
        "the page did not draw its charts",
    )


def save_page(driver: Any, picture: Path, *, width: int, height: int | None = None) -> None:
    """Save a picture of the page, whole or its first ``height`` pixels."""
    import base64

    whole = int(driver.execute_script("return document.documentElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
    answer = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    picture.write_bytes(base64.b64decode(answer["data"]))


def main() -> None:
    """Take the picture that the command line asks for."""
    parser = argparse.ArgumentParser(description="Take a picture of a report.")
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1240)
    parser.add_argument("--height", type=int, help="pixels from the top; the whole page when left out")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    with browser(width=arguments.width, dark=arguments.dark) as driver:
        open_report(driver, arguments.page)
        save_page(driver, arguments.picture, width=arguments.width, height=arguments.height)


if __name__ == "__main__":
    main()
