"""What of a run may go on billing when a command ends: its machine, its price and its end, for the last words.

An exit status other than 3 promises that nothing does. So whatever ended the command, the status is 3 where the run has
asked for a machine and no listing has shown that nothing is left of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runner.adapters.terraform import VARIABLES_FILE
from runner.clouds.registry import CLOUDS
from runner.report.wording import dollars
from runner.run.rentals import Rental
from runner.run.run_dir import RunDir, read_json
from runner.run.spend import spend_of
from runner.run.state import RunState
from runner.safety.asked import DAMAGE, environment_of, is_closed, requests_of


def billing_words(run: RunDir) -> list[str]:
    """Return a line for each machine of a run that may go on billing; nothing where none was rented, or all are gone.

    A journal that is damaged, or missing where a machine was asked for, counts as a machine; so does a folder that may
    not be looked into.
    """
    try:
        if run.is_plan or run.receipt.exists() or is_closed(run):
            return []
        machines = [one for one in spend_of(run).machines if one.gone_at is None and not one.is_refused]
        asked = requests_of(run)
        is_known = asked is not None and (asked != [] or not _has_begun(run))
    except DAMAGE:
        machines, is_known = [], False
    on_clouds = [one for one in machines if one.cloud in CLOUDS]
    if on_clouds or is_known:
        return [f"{_machine(one)}, {_end(run)}" for one in on_clouds]
    name = environment_of(run)
    return [f"a machine of run {run.run_id}, {_end(run)}"] if name is None or name in CLOUDS else []


def _has_begun(run: RunDir) -> bool:
    """Return whether a machine was asked for, whatever the journal says."""
    return run.host.exists() or "provision" in RunState(run).steps


def _machine(rental: Rental) -> str:
    known = rental.machine_id or "a machine that was asked for"
    price = rental.price_usd_per_h or rental.most_usd_per_h
    return f"{known} on {rental.cloud} at {'an unknown price' if price is None else f'{dollars(price)}/h'}"


def _end(run: RunDir) -> str:
    """Return the latest end that the run's machine was rented with, in words."""
    try:
        values: dict[str, Any] = read_json(run.terraform / VARIABLES_FILE) or {}
        given = [values, *values.get("candidates", ())]
        ends = [datetime.fromisoformat(one["expires_at"]) for one in given if one.get("expires_at")]
        return f"until {max(ends):%Y-%m-%d %H:%M} UTC at the latest"
    except DAMAGE:
        return "until it is terminated"
