"""What the clouds themselves bill for a run: written into its receipt once they have said it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from runner.cloud_api.environment import BilledRun, NotThere
from runner.cloud_api.pacing import Timer
from runner.clouds.registry import CLOUDS, endpoint_of, open_cloud
from runner.errors import RunnerError
from runner.run.rentals import Rental
from runner.run.run_dir import RunDir, read_json, write_json
from runner.run.spend import spend_of
from runner.safety.asked import requests_of
from runner.safety.proof import is_surely_the_account
from runner.world import World

NOT_YET = "not billed yet; ask again with `make costs BILL=1`"
ANOTHER = "the account here shows no bill of it, and may be another than the run's"
NEVER = "it has no figure for this run; its console has the whole bill"


def not_yet(clouds: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what a new receipt says of the bills of some clouds: that there is none yet, or none at all."""
    apis = {name: CLOUDS[name].bill for name in sorted(clouds) if name in CLOUDS}
    return {
        name: {"usd": None, "why": api.because if isinstance(api, NotThere) else NOT_YET} for name, api in apis.items()
    }


def ask_for_bills(run: RunDir, world: World) -> dict[str, Any]:
    """Ask the clouds of a run for what they bill, write it into the receipt, and return the receipt.

    Who was asked late enough is not asked again: on some clouds the question costs money. A cloud that a rehearsal
    stood in for is not asked either. Where a cloud does not answer, the receipt keeps what it had, with the reason.

    Args:
        run: A run; one without a receipt is asked for nothing, as its machine may go on billing.
        world: Time, chance and surroundings, with the clouds' keys among its variables.
    """
    receipt: dict[str, Any] | None = read_json(run.receipt)
    if receipt is None:
        return {}
    machines = spend_of(run).machines
    bills: dict[str, dict[str, Any]] = dict(receipt.get("vendor_bill") or {})
    before = dict(bills)
    for name in sorted({one.cloud for one in machines} & set(CLOUDS)):
        of_cloud = [one for one in machines if one.cloud == name]
        if not _is_whole(name, bills.get(name, {}), _until(of_cloud, world.now())):
            bills[name] = _ask(run, name, of_cloud, bills.get(name, {}), world)
    if bills != before:
        receipt |= {"vendor_bill": bills}
        write_json(run.receipt, receipt)
    return receipt


def _ask(run: RunDir, name: str, machines: Sequence[Rental], known: Mapping[str, Any], world: World) -> dict[str, Any]:
    """Return a cloud's bill of a run, or why there is none.

    Another account has none either, and that says nothing: the right one is asked some other day.
    """
    api = CLOUDS[name].bill
    if isinstance(api, NotThere):
        return {"usd": None, "why": api.because}
    if not _is_its_address(run, name, world):
        return {"usd": None, "why": "it was rented at another address than that of the account here"}
    ids = tuple(one.machine_id for one in machines if one.machine_id is not None)
    billed = BilledRun(run.run_id, ids, min(one.asked_at for one in machines), _until(machines, world.now()))
    try:
        usd = api.read(world.environ, billed, timer=Timer(world))
        if usd is None and not is_surely_the_account(run, open_cloud(name, world)):
            return {"usd": None, **known, "why": ANOTHER}
    except RunnerError as err:
        return {"usd": None, **known, "why": f"{err.message}; {err.resolution}"}
    asked_at = world.now()
    asked = {"asked_at": asked_at.isoformat(timespec="seconds")}
    if usd is not None:
        return {"usd": round(usd, 6), **asked}
    is_late = asked_at >= billed.until + timedelta(hours=api.late_h)
    return {"usd": None, "why": NEVER if is_late else NOT_YET, **asked}


def _is_whole(name: str, bill: Mapping[str, Any], until: datetime) -> bool:
    """Return whether a cloud was asked late enough after the end of the run's last machine, whatever it said."""
    api = CLOUDS[name].bill
    if isinstance(api, NotThere) or "asked_at" not in bill:
        return False
    return datetime.fromisoformat(str(bill["asked_at"])) >= until + timedelta(hours=api.late_h)


def _is_its_address(run: RunDir, name: str, world: World) -> bool:
    """Return whether the run was rented at the address that would be asked now: a rehearsal's was not."""
    asked = [entry for entry in requests_of(run) or () if entry.get("environment") == name]
    return all(entry.get("endpoint") in (None, endpoint_of(name, world.environ)) for entry in asked)


def _until(machines: Sequence[Rental], now: datetime) -> datetime:
    return max(one.gone_at or now for one in machines)
