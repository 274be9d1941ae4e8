"""Tables that lie in files of Douse's own, as comma-separated values: their lines, if their columns are as expected."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

from runner.errors import UsageError


def table_lines(
    file: TextIO, name: str, columns: Sequence[str], *, doing: str = "plan"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each line with its number in the file; the first one is that of the columns.

    Args:
        file: What to read.
        name: Its name, for the error.
        columns: The columns that it has to have, in this order.
        doing: What is being done, for the error.

    Raises:
        UsageError: If it has others.
    """
    lines = csv.DictReader(file)
    if list(lines.fieldnames or ()) != list(columns):
        raise UsageError(
            f"{doing}: {name} has the columns {lines.fieldnames}", resolution=f"make them {', '.join(columns)}"
        )
    yield from enumerate(lines, start=2)
