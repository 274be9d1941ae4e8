"""The machines that a plan chose, for people: hours and dollars, then a line for each machine."""

from __future__ import annotations

from collections.abc import Sequence

from runner.report.columns import MARGIN, wrapped
from runner.report.spans import Span, span, spans
from runner.report.wording import time_words
from runner.run.planned import Foreseen, PlannedMachine

LEAST_S = 1.0
"""A phase that is expected to take less is not worth a word."""
UNKNOWN = "estimate     none: no speed of this GPU, or no shape of this base model, is known"


def choice_lines(machines: Sequence[PlannedMachine]) -> list[str]:
    """Return hours and dollars of the first machine, then all machines."""
    found = machines[0].forecast
    whole = None if found is None else _whole(found)
    if found is None or whole is None:
        return [UNKNOWN]
    seconds, usd = whole
    durations = found.durations or {}
    where = "its processors" if found.gpu_model is None else found.gpu
    time = f"{time_words(seconds.expected)} ({time_words(seconds.low)} to {time_words(seconds.high)})"
    phases = [
        f"{phase} {time_words(one.expected)}"
        for phase, one in spans(durations.get("seconds_by_phase")).items()
        if one.expected >= LEAST_S
    ]
    return [
        f"estimate     {time}, {_dollars(usd)} on {where}",
        *wrapped(", ".join(phases), first=MARGIN),
        *wrapped("; ".join(durations.get("basis", ())), first=MARGIN),
        *machine_lines(machines),
    ]


def machine_lines(machines: Sequence[PlannedMachine]) -> list[str]:
    """Return a line for each machine: micro-batch, the largest that fits, time, dollars; nothing for processors."""
    known = [(one, one.forecast) for one in machines if one.forecast is not None and one.forecast.gpu_model is not None]
    if not known:
        return []
    head = "machines     rows  fit  time               dollars            $/h    machine"
    return [head, *(f"{MARGIN}{_machine_line(one, found)}" for one, found in known)]


def _machine_line(one: PlannedMachine, found: Foreseen) -> str:
    time = dollars = "?"
    whole = _whole(found)
    if whole is not None:
        seconds, usd = whole
        time = f"{time_words(seconds.low)} to {time_words(seconds.high)}"
        dollars = f"{usd.low:.2f} to {usd.high:.2f}"
    rows = "?" if one.micro_batch is None else one.micro_batch.rows
    price = f"{one.price_usd_per_h:.2f}"
    return f"{rows:<4}  {found.rows_that_fit:<3}  {time:<17}  {dollars:<17}  {price:<5}  {one.identity.name}"


def _whole(found: Foreseen) -> tuple[Span, Span] | None:
    """Return the seconds and the US dollars of the whole run, where both are known."""
    seconds = span((found.durations or {}).get("total_s"))
    usd = span((found.cost or {}).get("total_usd"))
    return None if seconds is None or usd is None else (seconds, usd)


def _dollars(usd: Span) -> str:
    return f"${usd.expected:.2f} (${usd.low:.2f} to ${usd.high:.2f})"
