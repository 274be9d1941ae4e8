"""Many lives: counted, shown, and a broken rule told by the shortest life that breaks it."""

from __future__ import annotations

import gc
import io
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pytest

from runner.cli.simulate import command
from runner.run.run_dir import PROJECT
from runner.simulation import many
from runner.simulation.living import drawn
from runner.simulation.many import Tally, live_many, live_some, tell, told
from runner.simulation.rules import RULES, Broken
from tests.unit.runner.simulation.lived import lived


def test_lives_are_counted_and_have_one_digest() -> None:
    both, one, other = (live_some(seeds, "lambda", command) for seeds in ((3, 4), (3,), (4,)))

    one.add(other)

    assert (both.lives, both.faults > 0, both.broken) == (2, True, {})
    assert (one.lives, one.faults, one.digest) == (both.lives, both.faults, both.digest)
    assert Tally(digests=dict(reversed(both.digests.items()))).digest == both.digest


def test_a_tally_is_a_line() -> None:
    line = Tally(lives=20, faults=7, worst=1).words("lambda", 2.0)

    assert line == (
        f"20 lives on lambda, 10.0 a second: 7 faults, {20 * len(RULES)} rules checked: all held, "
        "1 worst case that the plan had named"
    )
    assert "1 life breaks a rule" in Tally(lives=1, broken={3: [Broken("it ends", "stuck")]}).words("lambda", 1.0)


def test_a_broken_rule_is_told_with_the_acts_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "no kill", lambda life: (str(one) for one in life.script if one.kind == "kill"))
    scripts = {seed: drawn(seed, "lambda") for seed in range(100)}
    seed = next(seed for seed, acts in scripts.items() if "kill" in {act.kind for act in acts} and len(acts) > 2)

    lines = tell(seed, Broken("no kill", "a kill"), "lambda", command)

    acts = lines[lines.index("what happened to it:") + 1 : lines.index("its commands:")]
    assert lines[0].startswith(f"seed {seed} on lambda, history ")
    assert lines[1].startswith("BROKEN: no kill: kill at ")
    assert [act.split()[0] for act in acts] == ["kill"]


def test_a_good_life_is_told_whole(tmp_path: Path) -> None:
    life = lived(tmp_path)

    lines = told(life, None)

    assert "  nothing but the network's weather" in lines
    assert lines[-len(life.history) :] == life.history


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal() -> None:
    shown = io.StringIO()
    progress = many._Progress(100, "lambda", shown)

    for passed_s in range(70):
        progress.show(Tally(lives=passed_s), float(passed_s))
    progress.end(Tally(lives=100), 70.0)

    assert [line[:5] for line in shown.getvalue().splitlines()] == [" 30 %", " 60 %", "100 l"]


class ImpatientTerminal(io.StringIO):
    """A terminal at which somebody presses Ctrl-C as soon as there is something to see."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not self.getvalue():
            super().write("^C")
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_shows_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "EVERY_S", 0.0)
    monkeypatch.setattr(many, "CHUNK", 1)
    terminal = ImpatientTerminal()

    tally = live_many(range(4), "lambda", command, 1, terminal)

    assert 1 <= tally.lives <= 4
    assert f"{tally.lives} li" in terminal.getvalue()


def test_a_process_that_lives_hears_no_ctrl_c_and_seldom_looks_for_rubbish(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: dict[int, object] = {}
    asked: list[str] = []
    monkeypatch.setattr("signal.signal", heard.__setitem__)
    for name in ("collect", "freeze"):
        monkeypatch.setattr(gc, name, lambda name=name: asked.append(name))
    thresholds = [gc.get_threshold()]
    monkeypatch.setattr(gc, "set_threshold", lambda *numbers: thresholds.append(numbers))
    monkeypatch.setattr(gc, "get_threshold", lambda: thresholds[-1])

    many.live_some([], "lambda", command)
    assert asked == []
    many.settle_in()
    many.live_some([], "lambda", command)

    assert heard == {signal.SIGINT: signal.SIG_IGN}
    assert (thresholds[1:], asked) == ([(many.COLLECT_EVERY,)], ["collect", "freeze"])


def test_a_life_that_hangs_ends_its_process_and_says_where() -> None:
    hangs = (
        "from runner.simulation import many\n"
        "many.LONGEST_LIFE_S = 0.5\n"
        "def hang(argv, world):\n"
        "    while True: pass\n"
        "many.live_some([6], 'lambda', hang)\n"
    )

    ended = subprocess.run([sys.executable, "-c", hangs], cwd=PROJECT, capture_output=True, text=True, timeout=300)

    assert ended.returncode == 1
    assert "Timeout (0:00:00.500000)!" in ended.stderr
    assert " in hang\n" in ended.stderr


def test_a_second_ctrl_c_waits_for_no_life(monkeypatch: pytest.MonkeyPatch) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        endless = pool.submit(time.sleep, 600.0)
        while not endless.running():
            time.sleep(0.01)

        def shutdown(**options: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(pool, "shutdown", shutdown)
            many._let_go(pool)

    assert isinstance(endless.exception(timeout=60.0), BrokenProcessPool)
