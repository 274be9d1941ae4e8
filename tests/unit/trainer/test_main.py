"""What the trainer's command line prints of an expected failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.__main__ import main
from trainer.errors import EXIT_USAGE


def test_a_problem_that_stands_alone_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.yml"
    config.write_text("training: {learning_rate: 0}\n")

    assert main(["data-check", "--config", str(config)]) == EXIT_USAGE

    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["error", "hint"]
    assert "training.learning_rate is 0" in lines[0]
