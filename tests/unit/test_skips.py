"""The summary of skipped tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.results import PROJECT

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no browser here")
@pytest.mark.parametrize("number", range(11))
def test_a_page(number):
    pass

@pytest.mark.parametrize("number", range(2))
def test_a_cloud(number):
    pytest.skip("no cloud\\n  here")

def test_another_page():
    pytest.skip("no browser here")

def test_a_fault():
    assert False, "this is shown"
"""


def test_each_reason_for_skipping_is_one_line_with_its_count(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\naddopts = -p tests.tools.skips -p no:cacheprovider -rf\n")

    command = [sys.executable, "-m", "pytest", "-c", str(settings), str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240)

    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if "skipped, by reason" in line)
    assert lines[at + 1 : at + 3] == ["   12  no browser here", "    2  no cloud here"]
    assert "no browser here" not in "".join(lines[:at] + lines[at + 2 :])
    assert "FAILED" in done.stdout
    assert "this is shown" in done.stdout
