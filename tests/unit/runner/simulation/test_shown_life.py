"""The life that README and documents show tells the story that they tell of it."""

from __future__ import annotations

import re
from pathlib import Path

from runner.cli.simulate import command
from runner.run.run_dir import PROJECT
from runner.simulation.living import live
from runner.simulation.process import KILLED
from runner.simulation.rules import judge
from tests.unit.runner.simulation.lived import statuses

SHOWN = re.compile(r"make simulate SEED=(\d+) REPORT=1")


def test_the_life_that_is_shown_is_of_a_kill_that_the_guard_ends_and_a_resume_that_goes_on(tmp_path: Path) -> None:
    texts = [(PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/simulation.md")]
    (seed,) = {int(seed) for text in texts for seed in SHOWN.findall(text)}

    life = live(seed, "lambda", tmp_path / "life", command)

    first, second = life.ours
    story = [line.split(maxsplit=1) for line in life.history]
    at_s = {words: float(when) for when, words in reversed(story)}
    ended_s = next(at for words, at in at_s.items() if re.match(r"guard POST \S+/terminate 200", words))
    assert statuses(life)[:2] == [("train", KILLED), ("resume", 0)]
    assert at_s[f"box {first.box}: training begins at step 0"] < at_s["train 1000 ends: killed"]
    assert at_s[f"box {first.box}: the lease is over (not_renewed)"] < ended_s
    assert at_s["user types resume with its key"] > ended_s + 3600.0
    assert any(words.startswith(f"box {second.box}: training begins at step ") for words in at_s)
    assert f"box {second.box}: training begins at step 0" not in at_s
    assert judge(life) == []
