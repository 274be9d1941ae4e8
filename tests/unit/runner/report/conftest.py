from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.runner.report.run.run_folder import RUN_ID, write_run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a run that was accepted."""
    return write_run(tmp_path / RUN_ID)
