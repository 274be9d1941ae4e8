"""``plan.json`` and its machines: one list, one rule which of them a real machine is, one place that reads."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.errors import RunNotFoundError
from runner.run.models import Host
from runner.run.planned import (
    Elsewhere,
    Foreseen,
    MachineIdentity,
    MicroBatch,
    PlannedMachine,
    find_planned,
    has_plan,
    read_plan,
    write_plan,
)
from runner.run.run_dir import PROJECT, RunDir, create_run, write_json
from runner.world import RealWorld
from tests.unit.runner.made_plan import MACHINE, made_plan

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.29, None, "lambda")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), RealWorld())


def planned(region: str = "us-west-1", spot: bool = False, price: float = 1.0, **changes: Any) -> PlannedMachine:
    return replace(MACHINE, region=region, spot=spot, price_usd_per_h=price, **changes)


@pytest.mark.parametrize(
    ("machines", "host", "places"),
    [
        ([planned("us-east-1"), planned("us-west-1")], HOST, [1]),
        ([planned(spot=True), planned(spot=False)], HOST, [1]),
        ([planned(spot=True), planned(spot=False)], replace(HOST, spot=True), [0]),
        ([planned("us-east-1"), planned("us-west-1")], replace(HOST, region="us-south-1"), []),
        ([planned("any")], replace(HOST, region="us-south-1"), [0]),
        ([planned("any"), planned("us-west-1")], HOST, [1, 0]),
        ([planned("any", spot=True), planned("us-west-1")], HOST, [1]),
        ([planned(instance_type="gpu_1x_h100")], HOST, []),
        ([planned(trust="community", price=0.5), planned(price=1.2)], HOST, [1, 0]),
        ([planned(trust="community", price=0.5), planned(price=1.2)], replace(HOST, price_usd_per_h=0.5), [0, 1]),
        ([planned(price=1.0), planned(price=1.0)], HOST, [0, 1]),
    ],
    ids=[
        "its region", "not spot", "spot", "a region that is not planned", "anywhere", "its region before anywhere",
        "anywhere, but spot", "another kind", "secure by its price", "community by its price", "in their order",
    ],
)  # fmt: skip
def test_a_machine_is_known_by_kind_region_spot_and_then_by_its_price(
    machines: list[PlannedMachine], host: Host, places: list[int]
) -> None:
    found = made_plan(machines=tuple(machines)).machines_of(host)

    assert [next(place for place, one in enumerate(machines) if one is each) for each in found] == places


@pytest.mark.parametrize(("trust", "counts"), [("secure", True), ("community", False), (None, True)])
def test_whose_machine_it_is_counts_where_that_is_said(trust: str | None, counts: bool) -> None:
    real = MachineIdentity("gpu_1x_a10", "us-west-1", False, trust)

    assert find_planned([planned()], real) == ([planned()] if counts else [])


def test_a_machine_is_called_by_what_sets_it_apart() -> None:
    assert planned("any").identity.name == "gpu_1x_a10"
    assert planned(spot=True, trust="community").identity.name == "gpu_1x_a10 in us-west-1, spot, community"


def test_a_plan_is_read_as_it_was_written(run: RunDir) -> None:
    foreseen = Foreseen("A10", "A10", 24.0, 10.2, True, 14, {"train_tokens": 5}, {"total_s": {"low": 1.0}}, None)
    machine = replace(
        MACHINE, micro_batch=MicroBatch(2, 512), needed_gib_by_part={"activations": 1.5}, forecast=foreseen
    )
    span = {"low": 1.0, "expected": 2.0, "high": 3.0}
    plan = made_plan(
        machines=(machine, planned("any", trust="community")),
        data={"train_tokens": 5},
        ssh_ingress_cidrs=("203.0.113.7/32",),
        elsewhere=Elsewhere("aws", "T4", "secure", span, span, "2026-01-21", 311),
        checks=({"name": "dataset", "status": "pass", "value": "x", "remedy": ""},),
    )

    assert not has_plan(run)
    write_plan(run, plan)

    assert has_plan(run)
    assert read_plan(run) == plan
    assert json.loads(run.file("plan.json").read_text())["format"] == 2


def _without(name: str) -> dict[str, Any]:
    values = json.loads(json.dumps(_written()))
    del values[name]
    return values  # type: ignore[no-any-return]


def _written(**changes: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(made_plan()) | changes


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        {"format": 3},
        _written(format=3),
        _written(machines=[{}]),
        _written(machines="x"),
        _written(train_samples="1"),
        _without("terraform"),
        {"environment": "lambda", "candidates": []},
    ],
)
def test_a_plan_that_is_not_as_expected_does_not_drive_a_run(run: RunDir, odd: Any) -> None:
    if odd is not None:
        write_json(run.file("plan.json"), odd)

    with pytest.raises(RunNotFoundError, match=r"plan\.json is missing or of another version of Douse") as caught:
        read_plan(run)

    assert caught.value.resolution == "plan again with `make resume`"


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_plan_that_is_damaged_is_reported_as_such(run: RunDir, content: str) -> None:
    run.file("plan.json").path.write_text(content)

    with pytest.raises(RunNotFoundError, match="is damaged"):
        read_plan(run)


OLD = {
    "environment": "aws",
    "base_model": "base",
    "model_files": None,
    "model_bytes": 8,
    "samples": [3, 2],
    "data": {},
    "data_table": "a table",
    "disk_needed_gib": 9.3,
    "terraform": "/usr/bin/terraform",
    "candidates": [
        {"instance_type": "g5.xlarge", "region": "us-east-1", "spot": True, "max_price_usd_per_h": 1.0},
        {"instance_type": "g5.xlarge", "region": "eu-west-1", "spot": True, "max_price_usd_per_h": 1.1},
        {"instance_type": "X", "region": "any", "spot": False, "max_price_usd_per_h": 2, "trust": "community"},
    ],
    "prices_usd_per_h": [0.4, 0.5, 2.0],
    "ssh_ingress_cidrs": ["203.0.113.7/32"],
    "gpu_memory_gib": None,
    "micro_batch": [0, 0],
    "estimate": None,
    "estimate_lines": ["words"],
    "forecasts": [],
    "checks": [],
}
"""A plan of format 1, of a base model whose layers are not known."""


def test_a_plan_of_format_1_drives_a_run(run: RunDir) -> None:
    write_json(run.file("plan.json"), OLD)

    plan = read_plan(run)

    assert plan == made_plan(
        environment="aws",
        base_model="base",
        model_bytes=8,
        train_samples=3,
        eval_samples=2,
        disk_needed_gib=9.3,
        terraform="/usr/bin/terraform",
        machines=(
            PlannedMachine("g5.xlarge", "us-east-1", True, 0.4, 1.0),
            PlannedMachine("g5.xlarge", "eu-west-1", True, 0.5, 1.1),
            PlannedMachine("X", "any", False, 2.0, 2.0, trust="community"),
        ),
        ssh_ingress_cidrs=("203.0.113.7/32",),
    )
    assert [one.to_variable() for one in plan.machines] == OLD["candidates"]


def test_no_other_module_names_the_file() -> None:
    """Its shape is known in one place, so that the next format is converted there as well."""
    named = [
        str(path.relative_to(PROJECT))
        for path in sorted((PROJECT / "runner").rglob("*.py"))
        if '"plan.json"' in path.read_text(encoding="utf-8")
    ]

    assert named == ["runner/run/planned.py"]
