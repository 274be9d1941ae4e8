"""What counts of the code that lives are to reach, and how what is missing is shown."""

from __future__ import annotations

import ast

from tests.simulation.reached import (
    BRANCHES,
    ENDING,
    NOT_CALLED,
    NOT_LIVED,
    ROOT,
    Reached,
    condition,
    counted,
    modules,
    spans,
)  # fmt: skip


def test_lines_are_shown_as_spans() -> None:
    assert list(spans([3, 4, 5, 9, 11, 12])) == ["3-5", "9", "11-12"]
    assert Reached("a.py", 4, (1, 2, 3)).line().split() == ["25.0", "%", "a.py", "1-3"]
    assert Reached("a.py", 0, ()).line().split() == ["100.0", "%", "a.py"]


def test_each_module_exists_and_those_that_no_life_reaches_are_left_out() -> None:
    assert [name for name in (*modules(), *NOT_LIVED) if not (ROOT / name).is_file()] == []
    assert not set(modules()) & set(NOT_LIVED)
    assert {"runner/safety/terminate.py", "runner/provider/machine.py", *ENDING} <= set(modules())


def test_each_function_that_no_life_calls_exists() -> None:
    there = {module: (ROOT / module).read_text() for module in NOT_CALLED}
    named = [(module, name) for module, names in NOT_CALLED.items() for name in names]

    assert [(module, name) for module, name in named if f"def {name}(" not in there[module]] == []


def test_each_branch_that_no_life_takes_exists() -> None:
    trees = [ast.parse((ROOT / module).read_text()) for module in modules()]
    there = {condition(node) for tree in trees for node in ast.walk(tree)}

    assert sorted(set(BRANCHES) - there) == []


def test_what_only_a_given_machine_meets_does_not_count() -> None:
    module = "runner/lifecycle/left_alone.py"
    lines = (ROOT / module).read_text().splitlines()
    asked = next(number for number, line in enumerate(lines, start=1) if "if not ctx.environment.bills" in line)
    found = counted(module, range(1, len(lines) + 1))

    assert asked in found
    assert asked + 1 not in found


def test_of_a_client_what_lists_and_terminates_counts() -> None:
    module = "runner/clouds/lambda_cloud/api.py"
    lines = (ROOT / module).read_text().splitlines()
    found = {lines[number - 1].strip() for number in counted(module, range(1, len(lines) + 1))}

    assert "self.terminate(resource.id)" in found
    assert "request.body()" not in " ".join(found)


def test_a_protocol_has_nothing_to_reach() -> None:
    module = "runner/provider/waiting.py"
    lines = (ROOT / module).read_text().splitlines()
    begun = next(number for number, line in enumerate(lines, start=1) if line.startswith("class Site"))
    ended = next(number for number, line in enumerate(lines, start=1) if line.startswith("def wait_until_up"))

    assert not counted(module, range(1, len(lines) + 1)) & set(range(begun, ended))
