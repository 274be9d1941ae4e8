"""Files of a run that are damaged: each is an expected error that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import RunNotFoundError
from runner.run.run_dir import read_json
from tests.unit.runner.fake_run import run_named


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1}{', b"[1]", b"[]", b"null", b"7", b'"a"']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    run = run_named(tmp_path)
    run.config.write_bytes(content)

    with pytest.raises(RunNotFoundError, match=r"config\.json is damaged"):
        read_json(run.config)
