"""``plan``, ``compare``, ``report``, ``runs`` and ``costs`` say what they said before: their words may differ alone."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.cli import parser as cli
from runner.run.run_dir import PROJECT
from runner.world import RealWorld
from tests.facts import facts, golden

NOW = datetime(2026, 11, 28, 16, 0, tzinfo=UTC)
"""When commit c59ff1e was asked: prices grow old."""
KEPT = PROJECT / "tests" / "data" / "runs-of-format-1"
NOBODY = "http://127.0.0.1:1"
ENVIRON = {
    **{name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
    "DOUSE_LAMBDA_ENDPOINT": NOBODY,
    "DOUSE_RUNPOD_ENDPOINT": NOBODY,
    "AWS_ENDPOINT_URL": NOBODY,
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}
CLOUDS = ("local", "lambda", "runpod", "aws")
TINY = """
run: {{name: tiny}}
model: {{base_model: {model}}}
data: {{train_path: {data}/train.jsonl, eval_path: {data}/eval.jsonl, max_length: 256}}
training: {{max_steps: 6, gradient_accumulation_steps: 2, learning_rate: 0.01}}
checkpointing: {{save_steps: 2}}
evaluation: {{generation_samples: 1, max_new_tokens: 8, max_eval_samples: 4}}
"""


class ThatDay(RealWorld):
    """The day on which commit c59ff1e was asked, with no account, and no cloud that answers."""

    def now(self) -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no table be cut: rich asks the process's own environment."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def tiny(tmp_path: Path, tiny_model: Path, tiny_dataset: Path) -> Path:
    """The run file of the tiny model."""
    path = tmp_path / "run.yml"
    path.write_text(TINY.format(model=tiny_model, data=tiny_dataset))
    return path


def said(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    """Return what a command prints."""
    capsys.readouterr()
    assert cli.main([*words, "--runs-dir", str(folder)], ThatDay(ENVIRON)) == 0
    return capsys.readouterr().out


def assert_same(printed: str, name: str) -> None:
    found, before = facts(printed), golden(name)
    assert len(before) > 5
    assert found == before, f"new: {found - before}; gone: {before - found}\n{printed}"


@pytest.mark.parametrize("env", CLOUDS)
def test_a_plan_says_what_it_said(env: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = said(capsys, tmp_path / "runs", "plan", "--env", env, "--config", str(tiny))

    assert_same(printed.replace(tiny_name(tiny), "model"), f"plan-tiny-{env}")


def tiny_name(tiny: Path) -> str:
    """Return the folder's name of the tiny model, which is another one each time."""
    line = next(line for line in tiny.read_text().splitlines() if "base_model" in line)
    return Path(line.split("base_model: ")[1].rstrip("}")).name


@pytest.mark.slow
@pytest.mark.parametrize("env", CLOUDS)
def test_the_quickstarts_plan_says_what_it_said(env: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(PROJECT / "examples" / "quickstart.yml")

    assert_same(said(capsys, tmp_path / "runs", "plan", "--env", env, "--config", config), f"plan-quickstart-{env}")


def test_a_comparison_says_what_it_said(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", "--env", "lambda", "--budget", "20", "--config", str(tiny))

    assert_same(said(capsys, tmp_path / "runs", *words), "compare-tiny")


@pytest.mark.slow
def test_the_quickstarts_comparison_says_what_it_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(PROJECT / "examples" / "quickstart.yml")
    words = ("compare", "--env", "lambda", "--budget", "20", "--config", config)

    assert_same(said(capsys, tmp_path / "runs", *words), "compare-quickstart")


@pytest.mark.parametrize("run_id", sorted(path.name for path in KEPT.iterdir()))
def test_the_report_of_an_older_run_says_what_it_said(
    run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Path(shutil.copytree(KEPT, tmp_path / "runs"))

    assert_same(said(capsys, runs, "report", "--run", run_id), f"report-{run_id}")


@pytest.mark.parametrize("verb", ["runs", "costs"])
def test_tables_of_older_runs_say_what_they_said(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = Path(shutil.copytree(KEPT, tmp_path / "runs"))

    assert_same(said(capsys, runs, verb), verb)


def test_facts_are_numbers_with_units_dates_and_names_and_not_words() -> None:
    before = "4 min (2 min to 15 min), 0.04 $ (0.02 to 0.13) on T4 in us-east-1, prices of 2026-01-21: 1,024 tokens"
    after = "4 min, between 2 min and 15 min; $0.04, of $0.02 to $0.13; T4, us-east-1 (2026-01-21), 1,024 tokens"

    assert facts(before) == facts(after)
    assert facts(before) == Counter(
        ["4 min", "2 min", "15 min", "0.04", "0.02", "0.13", "T4", "us-east-1", "2026-01-21", "1024 tokens"]
    )
    assert facts(before) != facts(after.replace("$0.04", "$0.05"))
    assert facts(before) != facts(after.replace("us-east-1", "us-east-2"))
    assert facts("adapter  /home/me/runs/a1/adapter_model.bin1") == facts("Your adapter: /tmp/x/adapter_model.bin1")
