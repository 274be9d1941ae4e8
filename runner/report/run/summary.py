"""The numbers that fit on a card, each from the best source there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from runner.report.run.models import EvalPoint, LifeStep, RunReport, StepPoint, Summary
from runner.report.sources import Json, mapping, moment, number, seconds_between, text, whole
from runner.report.wording import words
from runner.run.spend import Spend

T = TypeVar("T")
PAIRS = (
    ("base_4bit", "adapter_4bit", "4-bit base"),
    ("base_quantised", "adapter_quantised", "quantised base"),
    ("base_unquantised", "adapter_unquantised", "unquantised base"),
)


def summarise(
    metrics: Json,
    steps: Sequence[StepPoint],
    evaluations: Sequence[EvalPoint],
    events: Sequence[Json],
    life_cycle: Sequence[LifeStep],
    manifest: Json,
    receipt: Json,
    host: Json,
    spend: Spend | None,
) -> Summary:
    """Return the run's key numbers; ``metrics.json`` goes before what the events add up to."""
    train = mapping(metrics.get("train"))
    base, adapter, compared_on = _losses(metrics, evaluations)
    duration_s = _duration(life_cycle, events)
    losses = [point.loss for point in steps if point.loss is not None]
    last = steps[-1] if steps else None
    return Summary(
        base_eval_loss=base,
        adapter_eval_loss=adapter,
        improvement_percent=None if not base or adapter is None else 100 * (base - adapter) / base,
        compared_on=compared_on,
        steps=_either(whole(train.get("steps")), last.step if last else None),
        best_step=whole(train.get("best_step")),
        max_steps=next((found for event in reversed(events) if (found := whole(event.get("max_steps")))), None),
        epochs=_either(number(train.get("epochs")), last.epoch if last else None),
        tokens=_either(whole(train.get("tokens")), sum(point.tokens or 0 for point in steps) or None),
        tokens_per_s=_either(number(train.get("tokens_per_s")), _speed(steps)),
        peak_memory_gib=_either(number(train.get("peak_memory_gib")), _largest(steps)),
        loss_first=_either(number(train.get("loss_first")), losses[0] if losses else None),
        loss_last=_either(number(train.get("loss_last")), losses[-1] if losses else None),
        train_duration_s=number(train.get("duration_s")),
        useful_share=_useful_share(steps, spend),
        duration_s=duration_s,
        cost_usd=_cost(receipt, host, duration_s, spend),
        device=_device(manifest, events),
    )


def _either(first: T | None, second: T | None) -> T | None:
    return second if first is None else first


def _losses(metrics: Json, evaluations: Sequence[EvalPoint]) -> tuple[float | None, float | None, str | None]:
    """Return base loss, adapter loss and the base they were measured on: 4-bit, else unquantised."""
    while_training = ""
    reported = {point.model: point.eval_loss for point in evaluations}  # in order of steps: the last one stays
    if "training" in reported and not any(name.startswith("adapter") for name in reported):
        kind = "adapter_4bit" if "base_4bit" in reported else "adapter_unquantised"
        reported[kind] = reported["training"]  # not proved yet: the last one while it trained
        while_training = ", while training"
    measured = mapping(metrics.get("eval"))
    best: tuple[float | None, float | None, str | None] = (None, None, None)
    for base_name, adapter_name, label in PAIRS:
        base = _either(number(mapping(measured.get(base_name)).get("loss")), reported.get(base_name))
        adapter = _either(number(mapping(measured.get(adapter_name)).get("loss")), reported.get(adapter_name))
        if base is not None and adapter is not None:
            return base, adapter, label + while_training
        if best == (None, None, None) and (base is not None or adapter is not None):
            best = (base, adapter, label + while_training)
    return best


def _speed(steps: Sequence[StepPoint]) -> float | None:
    """Return tokens by seconds over all steps that report both."""
    known = _timed(steps)
    spent_s = sum(seconds for _, seconds in known)
    return sum(tokens for tokens, _ in known) / spent_s if spent_s else None


def _useful_share(steps: Sequence[StepPoint], spend: Spend | None) -> float | None:
    """Return the share of the billed seconds inside steps; not known before the last machine is gone."""
    if spend is None or not spend.billed_s or any(one.gone_at is None for one in spend.machines):
        return None
    known = _timed(steps)
    return min(1.0, sum(seconds for _, seconds in known) / spend.billed_s) if known else None


def _timed(steps: Sequence[StepPoint]) -> list[tuple[float, float]]:
    """Return tokens and seconds of each step that reports tokens and speed."""
    return [(one.tokens, one.tokens / one.tokens_per_s) for one in steps if one.tokens and one.tokens_per_s]


def _largest(steps: Sequence[StepPoint]) -> float | None:
    return max((point.memory_gib for point in steps if point.memory_gib is not None), default=None)


def _duration(life_cycle: Sequence[LifeStep], events: Sequence[Json]) -> float | None:
    """Return the seconds from the first thing that happened to the last."""
    times = [step.started_at for step in life_cycle] + [step.ended_at for step in life_cycle]
    known = [found for time in times if (found := moment(time))]
    if known:
        return (max(known) - min(known)).total_seconds()
    return seconds_between(events[0].get("time"), events[-1].get("time")) if events else None


def _cost(receipt: Json, host: Json, duration_s: float | None, spend: Spend | None) -> float | None:
    """Return dollars over all tries: the receipt's, else the journal's, else price by time.

    Without a receipt a machine may bill on: its cost is not known until it is gone.
    """
    if "cost_usd" in receipt:
        return number(receipt["cost_usd"])
    if spend is not None and spend.machines:
        return None if any(one.gone_at is None for one in spend.machines) else spend.total_usd
    price = number(host.get("price_usd_per_h"))
    return None if price is None or duration_s is None else price * duration_s / 3600


def _device(manifest: Json, events: Sequence[Json]) -> str | None:
    """Return the accelerator's name where there is one, else the device."""
    environment = mapping(manifest.get("environment"))
    started = next((event for event in reversed(events) if event.get("event") == "run_started"), {})
    known = [
        environment.get("device_name"),
        started.get("device_name"),
        environment.get("device"),
        started.get("device"),
    ]
    return next((found for value in known if (found := text(value))), None)


def verdict_sentence(report: RunReport) -> str:
    """Return the verdict in one sentence."""
    failed = [check.name for check in report.acceptance if check.required and not check.passed]
    if report.verdict == "accepted":
        checks = sum(check.required for check in report.acceptance)
        return f"The adapter works: it passed all {checks} checks." if checks else "The adapter was accepted."
    if report.verdict == "interrupted":
        step = report.steps[-1].step if report.steps else None
        at = "" if step is None else f" after step {step}"
        return f"Stopped on request{at}; the run can be resumed."
    if report.verdict == "failed" and failed:
        return f"The adapter did not pass: {', '.join(words(name) for name in failed)}."
    if report.verdict == "failed":
        return "The run failed."
    return "The run has not ended, or its end was not recorded."
