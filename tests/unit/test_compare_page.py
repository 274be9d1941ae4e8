"""The committed example of ``make compare`` is what it says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.compare_page import DATA, DATA_BYTES, PAGES, renewed, task_of
from benchmarks.results import PROJECT
from runner.adapters.stop import Stop
from runner.planning.checks import reading
from runner.run.run_file import load_run_file
from runner.world import RealWorld

SAMPLES = PROJECT.parent / "shared" / "data" / "kwanzaa"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_shows_what_compare_says_now(path: Path) -> None:
    page = path.read_text(encoding="utf-8")

    assert renewed(page, PAGES[path]) == page, "run `python -m benchmarks.compare_page --write`"


def test_the_three_base_models_have_their_makers_sizes() -> None:
    sizes = [task_of(name).work.parameters / 1e9 for name in ("Qwen2.5 7B", "Llama 3.1 8B", "Llama 3.2 1B")]

    assert sizes == pytest.approx([7.62, 8.03, 1.24], rel=0.005)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the Kwanzaa samples are not beside this checkout")
def test_the_counted_tokens_are_those_of_the_samples() -> None:
    paths = {f"data.{name}_path": str(Path(SAMPLES / f"{name}.jsonl").resolve()) for name in ("train", "eval")}
    run_file = load_run_file(
        PROJECT / "examples" / "kwanzaa.yml",
        overrides=["data.max_length=4096", "training.max_steps=null"],
        settings=paths,
    )

    task = reading.task_of(run_file, Stop(RealWorld()), RealWorld())

    assert {name: task.data[name] for name in DATA} == DATA
    assert task.work.data_bytes == DATA_BYTES
