"""The C library is asked to give memory back, where there is one that can be asked."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from runner.cli import own_memory
from runner.cli.own_memory import ARENAS, LARGE_BYTES, keep_small

HOLE_MIB = 12
HOLDS = f"""
import sys
from runner.cli.own_memory import keep_small
sys.argv[1] == "small" and keep_small()
bytearray({HOLE_MIB + 2} << 20)  # when it is freed, glibc takes no piece up to its size for a large one any more
hole, above = bytearray({HOLE_MIB} << 20), bytearray(1 << 20)
del hole
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_is_freed_below_something_that_stays_goes_back_to_the_system() -> None:
    held = {
        word: int(
            subprocess.run([sys.executable, "-c", HOLDS, word], capture_output=True, check=True, timeout=240).stdout
        )
        for word in ("small", "as it is")
    }

    assert held["as it is"] - held["small"] > 1024 * HOLE_MIB / 2


@pytest.mark.parametrize(("platform", "asked"), [("linux", [(-3, LARGE_BYTES), (-8, ARENAS)]), ("darwin", [])])
def test_only_linux_is_asked(platform: str, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None:
            self.mallopt = lambda *words: found.append(words)

    monkeypatch.setattr(own_memory.sys, "platform", platform)
    monkeypatch.setattr(own_memory.ctypes, "CDLL", Library)

    keep_small()

    assert found == asked


def test_a_library_without_such_a_switch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: Any) -> object:
        return object()

    monkeypatch.setattr(own_memory.ctypes, "CDLL", nothing)

    keep_small()
