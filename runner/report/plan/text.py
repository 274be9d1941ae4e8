"""A plan for people: what is going to happen, in lines of at most 100 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import CLOUDS
from runner.planning.checks.ends import ENDS
from runner.report.columns import MARGIN, wrapped
from runner.report.comparison import elsewhere_words
from runner.report.plan.bound import idle_words, most_words, rights_words
from runner.report.plan.choice import choice_lines
from runner.run.planned import ANYWHERE, Plan, PlannedMachine

LEAST_SHOWN_GIB = 0.05


def plan_lines(plan: Plan, *, bills: bool) -> list[str]:
    """Return the lines of a plan: data, base model, memory, hours and dollars, machines, environment.

    Args:
        plan: The plan.
        bills: Whether its machine costs money.
    """
    size = f", {plan.model_bytes / 2**20:.0f} MiB" if plan.model_bytes else ""
    estimate = [*choice_lines(plan.machines), *_elsewhere(plan)] if bills else []
    price = _price(plan) if bills else "$0.00"
    return [
        *_data_table(plan.data),
        f"base model   {plan.base_model}{size}{_commit(plan)}",
        *_memory(plan.first),
        *(part for line in estimate for part in wrapped(line)),
        *_bound(plan),
        *_if_lost(plan),
        *_rights(plan),
        *wrapped(f"environment  {plan.environment}, {plan.disk_needed_gib:.1f} GiB of disk, {price}"),
    ]


def _rights(plan: Plan) -> list[str]:
    """Return what opens the store to the machine besides keys for the run's folder."""
    words = rights_words(plan)
    return wrapped(f"store        {words}") if words else []


def _commit(plan: Plan) -> str:
    return "" if plan.base_model_commit is None else f", commit {plan.base_model_commit[:12]}"


def _data_table(data: Mapping[str, Any]) -> list[str]:
    """Return the data check's summary."""
    if not data:
        return []
    from trainer.data.report import summary_text  # the trainer's side takes its time to import
    from trainer.data.summary import DataSummary

    return summary_text(DataSummary.from_mapping(data)).rstrip().splitlines()


def _bound(plan: Plan) -> list[str]:
    """Return the most that the run may cost, and when its machine ends if it is left alone; nothing in an old plan."""
    most, dearest = most_words(plan), plan.dearest
    if not most or dearest is None:
        return []
    lines = wrapped(f"at most      {most}")
    if dearest.training_limit_h is not None:
        stop = f"training stops with a checkpoint after {dearest.training_limit_h:.1f} h at the latest"
        lines += wrapped(stop, first=MARGIN)
    if plan.keep_idle_minutes is not None:
        lines += wrapped(idle_words(plan.keep_idle_minutes, plan.environment), first=MARGIN)
    return lines


def _elsewhere(plan: Plan) -> list[str]:
    return [] if plan.elsewhere is None else [f"elsewhere    {elsewhere_words(plan.elsewhere)}"]


def _if_lost(plan: Plan) -> list[str]:
    """Return what a lost machine costs, where nothing but a sweep terminates it and none is seen."""
    is_swept = all(check["status"] == "pass" for check in plan.checks if check["name"] == ENDS)
    record = CLOUDS.get(plan.environment)
    if is_swept or record is None or not isinstance(record.hard_end, NotThere):
        return []
    a_day_usd = 24 * max(machine.max_price_usd_per_h for machine in plan.machines)
    why = f"{record.title} does not, and from here no sweep is seen"
    return wrapped(f"if lost      up to ${a_day_usd:.2f} a day until somebody terminates it: {why}")


def _memory(machine: PlannedMachine) -> list[str]:
    """Return the GPU memory that the run needs on the first machine, and what for."""
    parts_gib, batch = machine.needed_gib_by_part, machine.micro_batch
    if parts_gib is None or batch is None:
        return []
    parts = "; ".join(f"{gib:.1f} {name}" for name, gib in parts_gib.items() if gib >= LEAST_SHOWN_GIB)
    size = f"{batch.rows} x {batch.row_tokens} tokens in a micro-batch"
    return [f"GPU memory   {sum(parts_gib.values()):.1f} GiB for {size}", *wrapped(parts, first=MARGIN)]


def _price(plan: Plan) -> str:
    """Return the hourly price of the run, and its machine."""
    first, *others = plan.machines
    kind = ("community " if first.trust == "community" else "") + ("spot" if first.spot else "on demand")
    where = "" if first.region == ANYWHERE else f" in {first.region}"
    rest = f", or {len(others)} other(s)" if others else ""
    return f"{first.instance_type}{where} {kind} at ${first.price_usd_per_h:.2f}/h{rest}"
