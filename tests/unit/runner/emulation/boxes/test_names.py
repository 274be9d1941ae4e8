from __future__ import annotations

from pathlib import Path

import pytest

from runner.emulation.boxes.names import BoxName, bridge_of, mac_of, tag_in, tag_of

LONGEST_INTERFACE = 15


def test_everything_of_a_yard_is_known_by_its_mark_again() -> None:
    tag = tag_of(Path("/tmp/yard"), "run-1")
    box = BoxName(tag, 250)

    assert [tag_in(name) for name in (bridge_of(tag), box.interface, box.namespace)] == [tag, tag, tag]
    assert len(box.interface) <= LONGEST_INTERFACE


@pytest.mark.parametrize("name", ["eth0", "docker0", "dz", "dzprobe", "douse", "douse-", "douse-1-2", "dz1234567x", ""])
def test_what_is_not_ours_has_no_mark(name: str) -> None:
    assert tag_in(name) is None


def test_two_yards_have_two_marks() -> None:
    marks = {tag_of(Path(folder), name) for folder in ("/a", "/b") for name in ("x", "y")}

    assert len(marks) == 4


def test_an_address_always_has_the_same_hardware_address() -> None:
    assert mac_of("10.77.3.12") == "02:00:0a:4d:03:0c"
