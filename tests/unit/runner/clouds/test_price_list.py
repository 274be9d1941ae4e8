from pathlib import Path

import pytest

from runner.clouds.price_list import COLUMNS, price_list
from runner.errors import UsageError

GOOD = "small,any,A10,1,24,,1.29,2026-09-20,https://example.test"


def write(folder: Path, *lines: str, header: str = ",".join(COLUMNS)) -> Path:
    (folder / "cloud.csv").write_text("\n".join((header, *lines)) + "\n")
    return folder


def test_a_row_is_read_with_what_the_source_does_not_tell(tmp_path: Path) -> None:
    (row,) = price_list("cloud", write(tmp_path, GOOD))
    assert (row.instance_type, row.memory_gib, row.price_usd_per_h) == ("small", None, 1.29)


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace("1.29", "cheap"),
        GOOD.replace("2026-09-20", "last week"),
        GOOD.replace(",1,", ",one,"),
        GOOD.replace("https://example.test", ""),
        GOOD.replace("1.29", "0"),
        GOOD.replace("1.29", "nan"),
        "small,any",
    ],
)
def test_a_row_that_is_wrong_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=r"line 3 of cloud\.csv"):
        price_list("cloud", write(tmp_path, GOOD, line))


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the columns"):
        price_list("cloud", write(tmp_path, GOOD, header="instance_type,price"))
