"""How runs stand, from their folders; asks the machine only for the one run a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.cloud_api.models import Resource
from runner.clouds.registry import accounts
from runner.context import Context
from runner.errors import RunnerError
from runner.guard.notes import last_finding
from runner.guard.place import living_guard
from runner.lifecycle.standing import trainer_status
from runner.run.run_dir import RunDir, read_json
from runner.run.spend import spend_of
from runner.run.state import RunState, holder
from runner.safety.account_sweep import list_all, may_appear, not_shown, reason_of
from runner.safety.asked import DAMAGE, without_receipt
from runner.world import World
from trainer.events import parse_events
from trainer.files import object_or_none


def summarise(run: RunDir) -> dict[str, Any]:
    """Return how a run stands, from its folder alone."""
    state, events = RunState(run), parse_events(run.events.read_or_nothing())
    steps = [event for event in events if event.get("event") == "step"]
    last = steps[-1] if steps else {}
    acceptance = object_or_none((run.file("adapter") / "acceptance.json").read_or_nothing()) or {}  # a machine's word
    config = read_json(run.config) or {}
    pid = holder(run)
    return {
        "run": run.run_id,
        "path": str(run.path),
        "env": config.get("compute", {}).get("env"),
        "state": state.outcome or (f"running: {state.current_step or 'waiting'}" if pid is not None else "no runner"),
        "message": state.message,
        "runner_pid": pid,
        "steps": state.steps,
        "step": last.get("step"),
        "max_steps": last.get("max_steps"),
        "loss": last.get("loss"),
        "tokens_per_s": last.get("tokens_per_s"),
        "eval_loss": _eval_loss(events, "adapter_4bit"),
        "base_eval_loss": _eval_loss(events, "base_4bit"),
        "accepted": acceptance.get("accepted"),
        **_cost(run),
    }


def _cost(run: RunDir) -> dict[str, Any]:
    """Return what the machines of a run have cost, over all its tries: by its receipt, else until now."""
    receipt = read_json(run.receipt) or {}
    if "cost_range_usd" in receipt:
        return {name: receipt[name] for name in ("cost_usd", "cost_range_usd", "cost_unknown", "machines")}
    spend = spend_of(run)
    return {
        "cost_usd": spend.total_usd,
        "cost_range_usd": spend.range_usd,
        "cost_unknown": list(spend.unknown),
        "machines": spend.lines,
    }


def status_of(ctx: Context) -> dict[str, Any]:
    """Return how a run stands, and what its machine says of the trainer."""
    try:
        trainer = trainer_status(ctx)
        said: dict[str, Any] = {
            "trainer": trainer.state,
            "trainer_exit_code": trainer.exit_code,
            "checkpoint": trainer.checkpoint,
        }
        live_step = trainer.step
    except RunnerError as err:
        said, live_step = {"trainer": "unknown", "trainer_problem": err.message}, None
    summary = summarise(ctx.run)
    summary["price_usd_per_h"] = spend_of(ctx.run).price_usd_per_h
    summary["guard"] = guard_of(ctx.run)
    summary["step"] = live_step if live_step is not None else summary["step"]
    return summary | said


def guard_of(run: RunDir) -> str | None:
    """Return whether a run's guard lives, and what it or the one before it found last; ``None`` for no guard at all."""
    pid, finding = living_guard(run.run_id, run.world), last_finding(run)
    if pid is None:
        return None if finding is None else f"none; the last one: {finding}"
    return f"lives (pid {pid}){'' if finding is None else f'; {finding}'}"


def billing_now(world: World, runs: Sequence[RunDir] = ()) -> tuple[list[Resource], dict[str, str]]:
    """Return the Douse resources on every configured cloud, and the clouds where something else may be, with reasons.

    Args:
        world: Time, chance and surroundings.
        runs: The runs of this machine: a cloud that one of them has asked for a machine counts without a key as well,
            until that run has a receipt, and so does one with the key of another account.
    """
    known = accounts(world)
    asked = without_receipt(runs)
    rented = {
        name: f"{reason}; {asked[name][-1]} has rented there" for name, reason in known.closed.items() if name in asked
    }
    found, unread, _ = list_all(known.opened)
    hidden = not_shown([cloud for cloud in known.opened if cloud.name not in unread], runs, found)
    others = {name: f"this is another account than that of {names[-1]}" for name, names in hidden.items()}
    late = {
        name: f"{run_id} has asked for a machine and was not answered: one may yet appear; `make down RUN={run_id}`"
        for name, (*_, run_id) in may_appear(known.opened, runs, found, world.now()).items()
    }
    return found, late | known.unreadable | rented | others | unread


def resource_line(found: Resource) -> str:
    """Return a resource in a line for people."""
    price = "" if not found.price_usd_per_h else f", ${found.price_usd_per_h:.2f}/h"
    until = "" if found.expires_at is None else f", until {found.expires_at:%Y-%m-%d %H:%M} UTC"
    where = "" if found.region is None else f" in {found.region}"
    return f"{found.cloud} {found.kind} {found.id} ({found.status or found.name}){where}{price}{until}"


def table(runs: Sequence[RunDir]) -> list[dict[str, Any]]:
    """Return all runs, oldest first; one whose folder is damaged hides no other."""
    return [_row(run) for run in runs]


def _row(run: RunDir) -> dict[str, Any]:
    try:
        return summarise(run)
    except DAMAGE as err:
        reason = f"its folder cannot be read ({reason_of(err)})"
        return {"run": run.run_id, "path": str(run.path), "state": "unknown", "message": reason}


def _eval_loss(events: list[dict[str, Any]], model: str) -> float | None:
    losses = [
        event.get("eval_loss") for event in events if event.get("event") == "evaluation" and event.get("model") == model
    ]
    return losses[-1] if losses else None
