"""The machines that a plan chose, for people: hours and dollars, then a line for each machine."""

from __future__ import annotations

from collections.abc import Sequence

from runner.planning.choose import Choice, machine_name
from runner.planning.estimate.forecast import Forecast
from runner.planning.estimate.ranges import Range
from runner.planning.estimate.settling import LEAST_S, time_words
from runner.report.columns import MARGIN, wrapped


def choice_lines(choice: Choice) -> list[str]:
    """Return hours and dollars of the first machine, then all machines."""
    found = choice.forecast
    if found is None or found.durations is None or found.cost is None:
        return ["estimate     none: no speed of this GPU, or no shape of this base model, is known"]
    hours, usd = found.durations.total_s, found.cost.total_usd
    whole = f"{time_words(hours.expected)} ({time_words(hours.low)} to {time_words(hours.high)})"
    where = "its processors" if found.gpu is None else found.offer.gpu_name
    phases = [
        f"{phase} {time_words(span.expected)}"
        for phase, span in found.durations.seconds.items()
        if span.expected >= LEAST_S
    ]
    return [
        f"estimate     {whole}, {_dollars(usd)} on {where}",
        *wrapped(", ".join(phases), first=MARGIN),
        *wrapped("; ".join(found.durations.basis), first=MARGIN),
        *candidate_lines(choice.forecasts),
    ]


def candidate_lines(forecasts: Sequence[Forecast]) -> list[str]:
    """Return a line for each machine: rows at once and the most that fit, time, dollars; nothing for processors."""
    known = [found for found in forecasts if found.gpu is not None]
    if not known:
        return []
    head = "machines     rows  fit  time               dollars            $/h    machine"
    return [head, *(f"{MARGIN}{_candidate_line(found)}" for found in known)]


def _candidate_line(found: Forecast) -> str:
    time = dollars = "?"
    if found.durations is not None and found.cost is not None:
        hours, usd = found.durations.total_s, found.cost.total_usd
        time = f"{time_words(hours.low)} to {time_words(hours.high)}"
        dollars = f"{usd.low:.2f} to {usd.high:.2f}"
    price = f"{found.offer.price_usd_per_h:.2f}"
    name = machine_name(found.offer)
    return f"{found.micro_batch_rows:<4}  {found.rows:<3}  {time:<17}  {dollars:<17}  {price:<5}  {name}"


def _dollars(usd: Range) -> str:
    return f"{usd.expected:.2f} $ ({usd.low:.2f} to {usd.high:.2f})"
