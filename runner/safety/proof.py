"""Whether an account is the one that a run was rented with: what another account does not show proves nothing."""

from __future__ import annotations

from typing import Any

from runner.cloud_api.models import Cloud
from runner.run.journal import Journal
from runner.run.run_dir import RunDir
from runner.run.state import RunState
from runner.safety.asked import DAMAGE
from runner.world import World


def account_facts(cloud: Cloud, world: World) -> dict[str, str]:
    """Return what the journal's intent says of the account that is about to be asked for a machine.

    Raises:
        CloudError: If the cloud has to be asked whose account it is, and does not answer.
    """
    salt = world.token()
    return {"account": cloud.fingerprint(salt), "salt": salt}


def is_the_account(run: RunDir, cloud: Cloud) -> bool:
    """Return whether every machine that a run asked this cloud for was asked for with this account.

    A run that never asked is proved by its state, and one of a release whose journal said nothing of accounts is taken
    at its word. A journal that cannot be read, or is missing where the state says that a machine was asked for, proves
    nothing.

    Raises:
        CloudError: If the cloud has to be asked whose account it is, and does not answer.
    """
    try:
        journal = Journal(run)
        if journal.is_damaged:
            return False
        asked = [entry for entry in journal.entries() if _asks(entry, cloud.name)]
        known = [(str(entry["account"]), str(entry["salt"])) for entry in asked if "account" in entry]
        if not asked:
            return "provision" not in RunState(run).steps
    except DAMAGE:
        return False
    return all(cloud.fingerprint(salt) == account for account, salt in known)


def _asks(entry: dict[str, Any], cloud: str) -> bool:
    return (entry.get("action"), entry.get("kind"), entry.get("environment")) == ("provision", "intent", cloud)
