"""The picture of the rooms is what the imports say today, and a circle is refused by name."""

from __future__ import annotations

import pytest

from docs.draw_rooms import PAGE, drawing, floors_of, reduced, room_of


def test_the_picture_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == drawing(), "the imports have changed: run `make docs`"


def test_an_arrow_that_another_way_makes_needless_is_left_out() -> None:
    uses = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}

    assert reduced(uses) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert floors_of(reduced(uses)) == [["a"], ["b"], ["c"]]


def test_a_circle_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="a circle: a -> b -> a"):
        reduced({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("runner.clouds.registry", "runner.clouds"),
        ("runner.clouds.aws.api", "runner.clouds.aws"),
        ("runner.clouds.aws.emulator.app", "runner.clouds.aws.emulator"),
        ("runner.report.run.page", "runner.report.run"),
        ("runner.report.wording", "runner.report"),
        ("trainer.data.samples", "trainer.data"),
    ],
)
def test_a_module_is_in_its_room(module: str, room: str) -> None:
    assert room_of(module) == room
