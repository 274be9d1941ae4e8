"""The second run begins in the first one's second, whatever this computer's clock shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.rehearsal import same_second
from runner.rehearsal.same_second import AtSecond
from runner.run.run_dir import create_run, write_json
from runner.world import RealWorld

SECOND = datetime(2026, 11, 29, 2, 30, 15, tzinfo=UTC)
PROGRAM = """
from pathlib import Path

def main(words, world):
    Path(words[0]).write_text(f"{world.now().isoformat()} {words[1:]}")
    return 5
"""


def test_the_clock_stands_until_there_is_a_run_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [datetime(2026, 11, 29, 9, 0, tzinfo=UTC)]
    monkeypatch.setattr(RealWorld, "now", lambda self: clock[0])
    world = AtSecond(SECOND, tmp_path)

    assert world.now() == SECOND
    clock[0] += timedelta(seconds=8)
    assert world.now() == SECOND

    run = create_run(tmp_path, "tiny", world.now(), world)
    write_json(run.config, {})

    assert run.run_id.startswith("20261129-023015-tiny-")
    assert world.now() == SECOND
    clock[0] += timedelta(seconds=8)
    assert world.now() == SECOND + timedelta(seconds=8)


@pytest.mark.parametrize("is_package", [False, True])
def test_the_program_is_given_that_world_and_its_words(
    is_package: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"twin_program_{is_package}"
    file = tmp_path / name / "__main__.py" if is_package else tmp_path / f"{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    if is_package:
        (tmp_path / name / "__init__.py").touch()

    status = same_second.main([SECOND.isoformat(), str(tmp_path / "runs"), name, str(tmp_path / "seen"), "train"])

    assert status == 5
    assert (tmp_path / "seen").read_text() == "2026-11-29T02:30:15+00:00 ['train']"
