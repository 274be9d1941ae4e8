"""Files of a host that lies: nothing is written outside of the target, and nothing half there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from runner.adapters.machine import Allowance
from runner.adapters.process import ToolCancelledError
from runner.errors import TransferError
from tests.unit.runner.adapters.hostile_host import DEVICE, FOLDER, LINK, Entry, Tree, hostile_host

pytestmark = pytest.mark.enable_socket
PLENTY = Allowance(1 << 20)


def everything_under(folder: Path) -> list[str]:
    keys = ("hostile_id", "hostile_known_hosts")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name not in keys)


@pytest.mark.parametrize(
    "name", ["../../.bashrc", "/etc/cron.d/x", "a/b", "a\\b", "a\nb", "a\x1b[2J", "..x/../y", "n" * 300]
)
def test_a_name_that_leads_elsewhere_brings_nothing_home(tmp_path: Path, name: str) -> None:
    """A rented host once wrote ``.bashrc`` and ``authorized_keys`` of the user, and collect reported success."""
    tree = Tree({"/out": [("good", Entry()), (name, Entry(content=b"evil"))]})

    with hostile_host(tmp_path, tree) as machine, pytest.raises(TransferError, match="is no name for one file") as err:
        machine.get("/out", tmp_path / "home" / "run" / "adapter", PLENTY)

    assert err.value.message.isprintable()
    assert everything_under(tmp_path) == ["home", "home/run"]


@pytest.mark.parametrize("mode", [LINK, DEVICE, 0])
def test_what_is_no_file_and_no_folder_brings_nothing_home(tmp_path: Path, mode: int) -> None:
    tree = Tree({"/out": [("a", Entry()), ("b", Entry(mode))]})

    with hostile_host(tmp_path, tree) as machine, pytest.raises(TransferError, match="/out/b is neither a file nor"):
        machine.get("/out", tmp_path / "adapter", PLENTY)

    assert everything_under(tmp_path) == []


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    tree = Tree({"/out": [("a", Entry()), ("a", Entry(content=b"y"))]})

    with hostile_host(tmp_path, tree) as machine, pytest.raises(TransferError, match="is no name for one file"):
        machine.get("/out", tmp_path / "adapter", PLENTY)


@pytest.mark.parametrize(
    "entry", [Entry(content=b"x" * 1001), Entry(shown_bytes=1 << 62), Entry(content=b"x" * 100_000, shown_bytes=1)]
)
def test_more_bytes_than_allowed_are_refused_whatever_size_is_shown(tmp_path: Path, entry: Entry) -> None:
    with (
        hostile_host(tmp_path, Tree({"/out": [("a", entry)]})) as machine,
        pytest.raises(TransferError, match="is more than the 1,000 bytes that may come home"),
    ):
        machine.get("/out/a", tmp_path / "a", Allowance(1000))

    assert everything_under(tmp_path) == []


def test_the_bytes_of_all_files_count_together(tmp_path: Path) -> None:
    tree = Tree({"/out": [(name, Entry(content=b"x" * 400)) for name in "abc"]})

    with hostile_host(tmp_path, tree) as machine:
        machine.get("/out", tmp_path / "fits", Allowance(1200))
        with pytest.raises(TransferError, match="is more than the 1,199 bytes"):
            machine.get("/out", tmp_path / "adapter", Allowance(1199))

    assert everything_under(tmp_path) == ["fits", "fits/a", "fits/b", "fits/c"]


def test_more_files_than_allowed_are_refused(tmp_path: Path) -> None:
    inner = [(str(number), Entry(content=b"")) for number in range(5)]
    tree = Tree({"/out": [("a", Entry()), ("in", Entry(FOLDER))], "/out/in": inner})

    with hostile_host(tmp_path, tree) as machine:
        machine.get("/out", tmp_path / "fits", Allowance(1000, files=7))
        with pytest.raises(TransferError, match="/out/in holds more than the 4 files that may come home"):
            machine.get("/out", tmp_path / "adapter", Allowance(1000, files=6))


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    class Endless(Tree):
        def find(self, path: str) -> Entry | None:
            return Entry(FOLDER)

    class Folders(dict[str, list[tuple[str, Entry]]]):
        def __missing__(self, path: str) -> list[tuple[str, Entry]]:
            return [("d", Entry(FOLDER))]

        def __contains__(self, path: object) -> bool:
            return True

    with (
        hostile_host(tmp_path, Endless(Folders())) as machine,
        pytest.raises(TransferError, match="lies deeper than 8 folders"),
    ):
        machine.get("/out", tmp_path / "adapter", PLENTY)

    assert everything_under(tmp_path) == []


def test_what_is_there_stays_as_it_was_until_all_is_here_and_what_did_not_come_stays(tmp_path: Path) -> None:
    target = tmp_path / "tensorboard"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "of an earlier try").write_text("kept")
    good = [("a", Entry(content=b"new")), ("b", Entry(content=b"new"))]

    with hostile_host(tmp_path, Tree({"/bad": [*good, ("c", Entry(LINK))], "/good": good})) as machine:
        with pytest.raises(TransferError):
            machine.get("/bad", target, PLENTY)
        assert (target / "a").read_text() == "old"
        machine.get("/good", target, PLENTY)

    assert {path.name: path.read_text() for path in target.iterdir()} == {
        "a": "new", "b": "new", "of an earlier try": "kept",
    }  # fmt: skip


@pytest.mark.parametrize("is_folder_here", [True, False])
def test_a_folder_takes_no_files_place_nor_the_other_way_round(tmp_path: Path, is_folder_here: bool) -> None:
    there = tmp_path / "out" / "a"
    there.parent.mkdir()
    there.mkdir() if is_folder_here else there.write_text("kept")
    tree = Tree({"/out": [("a", Entry())]} if is_folder_here else {"/out": [("a", Entry(FOLDER))], "/out/a": []})

    with hostile_host(tmp_path, tree) as machine, pytest.raises(TransferError, match="the other way round"):
        machine.get("/out", tmp_path / "out", PLENTY)

    assert everything_under(tmp_path) == ["out", "out/a"]


class Stuck(Tree):
    """A host that answers nothing until its gate opens."""

    def __init__(self) -> None:
        super().__init__({"/out": [("a", Entry())]})
        self.gate = threading.Event()

    def find(self, path: str) -> Entry | None:
        self.gate.wait(240)
        return super().find(path)


def test_a_transfer_is_given_up_when_asked_and_the_machine_can_be_used_again(tmp_path: Path) -> None:
    stuck = Stuck()

    with hostile_host(tmp_path, stuck) as machine:
        with pytest.raises(ToolCancelledError, match="was asked no further"):
            machine.get("/out", tmp_path / "adapter", PLENTY, cancel=lambda: True)
        stuck.gate.set()
        machine.get("/out", tmp_path / "back", PLENTY, cancel=lambda: False)

    assert everything_under(tmp_path) == ["back", "back/a"]
