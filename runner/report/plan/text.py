"""A plan for people: what is going to happen, in lines of at most 100 columns."""

from __future__ import annotations

from collections.abc import Mapping

from runner.clouds.environments import find_environment
from runner.prices.price_list import ANYWHERE
from runner.report.columns import MARGIN, wrapped
from runner.run.models import MicroBatch, Plan

LEAST_SHOWN_GIB = 0.05


def plan_lines(plan: Plan) -> list[str]:
    """Return what is planned: data, base model, memory, hours and dollars, machines, and where the run goes."""
    size = f", {plan.model_bytes / 2**20:.0f} MiB" if plan.model_bytes else ""
    memory = [] if plan.gpu_memory_gib is None else _memory(plan.gpu_memory_gib, plan.micro_batch)
    return [
        plan.data_table.rstrip(),
        f"base model   {plan.base_model}{size}",
        *memory,
        *(part for line in plan.estimate_lines for part in wrapped(line)),
        *wrapped(f"environment  {plan.environment}, {plan.disk_needed_gib:.1f} GiB of disk, {_price(plan)}"),
    ]


def _memory(parts_gib: Mapping[str, float], batch: MicroBatch) -> list[str]:
    """Return what the run needs of a GPU, and what for."""
    parts = "; ".join(f"{gib:.1f} {name}" for name, gib in parts_gib.items() if gib >= LEAST_SHOWN_GIB)
    head = f"GPU memory   {sum(parts_gib.values()):.1f} GiB for {batch.rows} x {batch.row_tokens} tokens at once"
    return [head, *wrapped(parts, first=MARGIN)]


def _price(plan: Plan) -> str:
    """Return what the run will cost an hour, and on what."""
    if not find_environment(plan.environment).bills:
        return "0.00 $"
    first, *others = plan.candidates
    kind = ("community " if first.get("trust") == "community" else "") + ("spot" if first["spot"] else "on demand")
    where = "" if first["region"] == ANYWHERE else f" in {first['region']}"
    rest = f", or {len(others)} other(s)" if others else ""
    return f"{first['instance_type']}{where} {kind} at {plan.prices_usd_per_h[0]:.2f} $/h{rest}"
