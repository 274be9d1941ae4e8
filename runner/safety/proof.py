"""Whether an account is the one that a run was rented with: what another account does not show proves nothing."""

from __future__ import annotations

from runner.cloud_api.models import Cloud
from runner.errors import RunnerError
from runner.run.run_dir import RunDir
from runner.run.state import RunState
from runner.safety.asked import DAMAGE, requests_of
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
    requests = requests_of(run)
    if requests is None:
        return False
    try:
        asked = [entry for entry in requests if entry.get("environment") == cloud.name]
        known = [(str(entry["account"]), str(entry["salt"])) for entry in asked if "account" in entry]
        if not asked:
            return "provision" not in RunState(run).steps
    except DAMAGE:
        return False
    return all(cloud.fingerprint(salt) == account for account, salt in known)


def is_surely_the_account(run: RunDir, cloud: Cloud) -> bool:
    """Return ``is_the_account``; an account that does not say whose it is proves nothing."""
    try:
        return is_the_account(run, cloud)
    except RunnerError:
        return False
