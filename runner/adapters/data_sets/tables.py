"""Parquet and Arrow files, turned into the lines that the trainer's reader takes, once for each file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from runner.adapters.data_sets.environment import run_program
from runner.world import World
from trainer.data.collected import Progress
from trainer.data.sources.columnar import has_rows, is_columnar, keep_rows
from trainer.errors import DataError

UNPACKING = "unpacking the tables"


def read_tables(paths: Sequence[Path], world: World, progress: Progress) -> None:
    """Turn those of some files that are Parquet or Arrow into JSON Lines, unless that was done before.

    Args:
        paths: The files; what is none is left to whoever reads them.
        world: Where to work.
        progress: Hears how far it is; raises where the user wants out.

    Raises:
        DataError: If a file is damaged, or a column has no form in JSON.
        ExtraError: If pyarrow cannot be installed.
    """
    tables = [path for path in paths if _is_table(path) and not has_rows(path)]
    total, done = sum(path.stat().st_size for path in tables), 0
    for path in tables:
        with world.scratch("douse-table-") as folder:
            _read(path, folder / "rows.jsonl", world, partial(progress, UNPACKING, done, total))
        done += path.stat().st_size
        progress(UNPACKING, done, total)


def _is_table(path: Path) -> bool:
    try:
        return path.is_file() and is_columnar(path)
    except OSError:
        return False


def _read(path: Path, lines: Path, world: World, look_up: Callable[[], None]) -> None:
    def wants_out() -> bool:
        look_up()
        return False

    answer = run_program("read_rows.py", str(path), str(lines), world=world, cancel=wants_out)
    if "problem" in answer:
        raise DataError(
            f"data: {path} cannot be read: {answer['problem']}",
            resolution="download or write the file anew; a column that JSON has no form for is written as text",
        )
    keep_rows(path, lines, answer["binary"])
