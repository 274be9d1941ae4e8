from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainer.beat import BEAT, STACKS, Beat

HANGS = """
import sys, threading
from trainer.beat import show_stacks_on_signal
show_stacks_on_signal()
def standing_here():
    print("up", flush=True)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
standing_here()
"""


def test_the_word_is_taken_back_at_the_end_whatever_the_end_is(tmp_path: Path) -> None:
    seen: list[bool] = []

    def train() -> None:
        beat = Beat(tmp_path)
        with beat.ending():
            beat()
            beat()
            seen.append((tmp_path / BEAT).exists())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train()

    assert seen == [True]
    assert not (tmp_path / BEAT).exists()


def test_a_program_that_hangs_writes_where_and_lives_on() -> None:
    process = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == "up\n"
        process.send_signal(STACKS)
        lines = [process.stderr.readline() for _ in range(3)]
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert any("in standing_here" in line for line in lines), lines
