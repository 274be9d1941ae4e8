"""When the tree of all boxes is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.emulation.boxes import namespace_yard
from runner.emulation.boxes.host import BoxError
from runner.emulation.boxes.namespace_yard import NamespaceYard


def test_a_yard_has_no_name_before_the_tree_of_its_boxes_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the end of a box waits for a build of minutes, and whoever waits for that end gives up and kills."""

    def no_tree() -> Path:
        raise BoxError("boxes: no tree", resolution="none")

    made: list[object] = []
    monkeypatch.setattr(namespace_yard, "build_tree", no_tree)
    monkeypatch.setattr(namespace_yard, "Network", lambda *words: made.append(words))

    with pytest.raises(BoxError, match="no tree"):
        NamespaceYard(tmp_path, "01234567")

    assert made == []
