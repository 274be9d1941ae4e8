"""The small protocol, explored to the end over the product's own functions: 2 machines, 2 processes that are killed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from runner.run.run_dir import PROJECT
from tests.protocol.acts import stand_ins
from tests.protocol.explore import explore
from tests.protocol.faults import FAULTS
from tests.protocol.rules import Step

CRASHES = 2
PAGE = PROJECT / "docs" / "simulation-protocol.md"


def test_in_every_state_every_rule_holds_and_the_page_has_their_number() -> None:
    with stand_ins():
        found = explore(CRASHES)

    assert found.broken is None, "\n".join([str(found.broken.__doc__), *found.way])
    numbers = re.search(r"([\d,]+) states, ([\d,]+) transitions and ([\d,]+) calls", PAGE.read_text())
    assert numbers is not None
    assert numbers.groups() == tuple(f"{number:,}" for number in (len(found.states), found.transitions, found.calls))
    machines = {sum(1 for one in state.machines) for state in found.states}
    assert machines == {0, 1, 2}
    assert {state.crashes for state in found.states} == {0, 1, 2}


@pytest.mark.parametrize(("plant", "rule"), FAULTS.items(), ids=[plant.__name__ for plant in FAULTS])
def test_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], rule: Callable[[Step], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with stand_ins():
        plant(monkeypatch)
        explored = (explore(crashes) for crashes in range(CRASHES + 1))
        found = next((one for one in explored if one.broken is not None), None)

    assert found is not None
    assert found.broken is rule
