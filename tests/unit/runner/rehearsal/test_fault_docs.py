"""The tables of faults in the guide to rehearsals: as committed, complete, and true of what the faults say."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.emulation.fault_table import FAULTS, INSIDE
from runner.emulation.faults import FaultQueue, FaultRefusedError
from runner.errors import UsageError
from runner.rehearsal import fault_docs
from runner.rehearsal.faults import DETACHED, DIRTY, HOSTILE, LOST, ONE_VERB_FAULTS, OTHER_RUNS, parse_faults
from runner.rehearsal.services import known_faults


def rows() -> dict[str, list[str]]:
    """Return the cells of every row by the name in its first cell."""
    lines = [line for line in fault_docs.fault_tables().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {line[0].split("`")[1]: line for line in cells}


def is_asked_of_a_cloud(name: str) -> bool:
    of_this_computer = {*DIRTY, *DETACHED, *LOST, *OTHER_RUNS, *ONE_VERB_FAULTS, *INSIDE}
    return not ("<" in name or name in of_this_computer or name.startswith(HOSTILE))


def test_the_committed_page_is_current() -> None:
    committed = fault_docs.PAGE.read_text(encoding="utf-8")

    assert committed == fault_docs.renewed(committed), f"the faults have changed: run `{fault_docs.RENEW}`"


def test_the_command_writes_the_page_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{fault_docs.BEGIN}\nthe older tables\n{fault_docs.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(fault_docs, "PAGE", page)

    fault_docs.main()

    said = page.read_text(encoding="utf-8")
    assert fault_docs.fault_tables() in said
    assert "the older tables" not in said
    assert (said.startswith("before\n"), said.endswith("after\n")) == (True, True)


@pytest.mark.parametrize(
    "page",
    [
        "no marks",
        fault_docs.BEGIN,
        f"{fault_docs.END}{fault_docs.BEGIN}",
        f"{fault_docs.BEGIN}{fault_docs.END}{fault_docs.BEGIN}",
        f"{fault_docs.BEGIN}{fault_docs.END}{fault_docs.END}",
    ],
)
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(UsageError, match="two markers"):
        fault_docs.renewed(page)


def test_every_name_in_the_tables_is_one_that_faults_takes() -> None:
    for name in rows():
        written = name.replace("<step>", "train").replace("<verb>", "down").replace("<file>", "host.json")
        written = written.replace("<n>", "7")
        assert sum(map(len, parse_faults(written))) == 1
    assert {name.split("@")[0] for name in FAULTS} <= {name.split("@")[0] for name in rows()}


def test_the_emulated_clouds_refuse_exactly_what_the_table_rules_out() -> None:
    for name, cells in rows().items():
        if not is_asked_of_a_cloud(name):
            continue
        for cloud, cell in zip(known_faults(), cells[2:-1], strict=True):
            queue = FaultQueue(known_faults(), served=[cloud])
            if cell == "yes":
                queue.add(name)
            else:
                with pytest.raises(FaultRefusedError):
                    queue.add(name)


def test_the_mark_of_a_network_is_where_the_emulated_clouds_want_one() -> None:
    for name, cells in rows().items():
        if not (is_asked_of_a_cloud(name) or name in INSIDE):
            continue
        queue = FaultQueue(known_faults(), has_real_boxes=False)
        if "†" in cells[0]:
            with pytest.raises(FaultRefusedError, match="a network and a disk of their own"):
                queue.add(name)
        else:
            queue.add(name)
