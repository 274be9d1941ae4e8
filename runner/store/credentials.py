"""Who may open the store of a run: short-lived credentials of a role for one folder, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from runner.adapters.rclone import rclone_program
from runner.clouds.aws.api import LONGEST_S, PrefixCredentials, open_aws, open_session
from runner.clouds.aws.refusals import aws_errors
from runner.clouds.environments import find_environment, may_be_community
from runner.errors import AccountError, BadRequestError
from runner.run.run_file import RunFile
from runner.world import World
from trainer.checkpoints.keys import ENDS_AT
from trainer.checkpoints.places import open_place

HOME_S = 3600
"""How long credentials for this machine's own use last: every role grants as much."""
RENEW_AFTER = 0.25
"""Part of their life after which a machine's credentials are renewed: what is left has to do for lease and upload."""
SESSION_RENEW_S = 900.0
"""How often credentials of a session of the user's own, whose end is unknown, are brought again."""


@dataclass(frozen=True)
class Keys:
    """Credentials for a run's folder in S3.

    Attributes:
        values: By the names of their variables; never shown. Empty lets boto3 look for itself.
        ends_at: When they end (UTC), or ``None`` where that is not known.
        renew_at: When to bring new ones, or ``None`` where they never end.
    """

    values: dict[str, str] = field(repr=False)
    ends_at: datetime | None = None
    renew_at: datetime | None = None


def machine_keys(run_file: RunFile, name: str, world: World) -> Keys:
    """Return credentials for the run's machine: of the role, for as long as the run may last; else the user's own.

    Raises:
        CloudError: If there are none to be had.
        AccountError: If they would be the user's own, on a community machine.
    """
    refuse_own_keys(run_file)
    if run_file.store.role_arn is None:
        return _user_keys(world)
    hours = run_file.budget.max_hours
    wanted_s = LONGEST_S if hours is None else min(LONGEST_S, HOME_S + round(hours * 3600))
    try:
        return _role_keys(run_file, name, wanted_s, world)
    except BadRequestError:
        return _role_keys(run_file, name, HOME_S, world)  # a role may grant less, and a role's role always does


def refuse_own_keys(run_file: RunFile) -> None:
    """Refuse to hand the user's own credentials to a machine whose owner nobody answers for.

    Raises:
        AccountError: If the store needs them, and the run may get a community machine.
    """
    compute, section = run_file.compute, run_file.store
    if is_s3(run_file) and section.role_arn is None and may_be_community(compute.env, compute.trust):
        raise AccountError(
            f"store: compute.trust is any, and {section.url} has no role: a community machine would be handed your own "
            "AWS credentials, and its owner could read them",
            resolution="set store.role_arn to a role for the run's folder alone (`infra/store` makes one), "
            "or compute.trust to secure, or store.url to null",
        )


def own_rights(run_file: RunFile, environ: Mapping[str, str]) -> str | None:
    """Return what gives the run's machine rights of its own, by which it opens the store when its keys have ended.

    A store with an address of its own, from the run file or a variable, is none of the cloud's account.
    """
    section = run_file.compute.own_sections().get(run_file.compute.env)
    is_in_account = is_s3(run_file) and endpoint_url(run_file, environ) is None
    return section.own_rights if section is not None and is_in_account else None


def own_keys(run_file: RunFile, name: str, world: World) -> Keys:
    """Return credentials for this machine's own use: the role's for the folder, else boto3 looks for itself."""
    if run_file.store.role_arn is None:
        return Keys({})
    return _role_keys(run_file, name, HOME_S, world)


def endpoint_url(run_file: RunFile, environ: Mapping[str, str]) -> str | None:
    """Return the address of the S3 to use: the run file's, else boto3's variables, else ``None`` for Amazon's."""
    if not is_s3(run_file):
        return None
    given = run_file.store.endpoint_url
    return given or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None


def is_s3(run_file: RunFile) -> bool:
    """Return whether the store speaks S3."""
    return (run_file.store.url or "").startswith("s3://")


def is_remote(run_file: RunFile) -> bool:
    """Return whether the store is a remote of rclone's."""
    return (run_file.store.url or "").startswith("rclone://")


def is_given_remote(run_file: RunFile) -> bool:
    """Return whether a rented machine gets the remote of rclone's, and opens the store itself."""
    is_rented = find_environment(run_file.compute.env).rents_machine
    return is_remote(run_file) and run_file.store.is_within_reach and is_rented


def address_of(run_file: RunFile, name: str) -> str:
    """Return the address of a folder in the store."""
    return f"{(run_file.store.url or '').rstrip('/')}/{name}"


def access(run_file: RunFile, keys: Keys, world: World) -> dict[str, Any]:
    """Return how the trainer's ``push`` and ``pull`` get at the store."""
    ca_file = None if run_file.store.ca_file is None else Path(run_file.store.ca_file)
    return {
        "endpoint_url": endpoint_url(run_file, world.environ),
        "keys": keys.values or None,
        "ca_file": ca_file,
        "rclone": rclone_program(world) if is_remote(run_file) else None,
        "opened": world.shared(open_place, lambda: open_place),
    }


def _role_keys(run_file: RunFile, name: str, duration_s: int, world: World) -> Keys:
    parts = urlparse(run_file.store.url or "")
    prefix = f"{parts.path.strip('/')}/{name}".strip("/")
    role_arn = run_file.store.role_arn or ""
    account = world.shared(open_aws, lambda: open_aws)(world.environ, now=world.now)
    found = account.sts_credentials_for_prefix(parts.netloc, prefix, role_arn, duration_s)
    return _limited(found, world)


def _limited(found: PrefixCredentials, world: World) -> Keys:
    values = {
        "AWS_ACCESS_KEY_ID": found.access_key_id,
        "AWS_SECRET_ACCESS_KEY": found.secret_access_key,
        "AWS_SESSION_TOKEN": found.session_token,
        ENDS_AT: found.expires_at.isoformat(timespec="seconds"),
    }
    now = world.now()
    return Keys(values | _region(world.environ), found.expires_at, now + (found.expires_at - now) * RENEW_AFTER)


def _user_keys(world: World) -> Keys:
    """Return the credentials that the user works with.

    Raises:
        AccountError: If there are none.
        CloudUnavailableError: If boto3 is not installed.
    """
    with aws_errors("read your credentials"):
        found = world.shared(open_session, lambda: open_session)(world.environ).get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
    if frozen is None:
        raise AccountError(
            "store: there are no AWS credentials here to give to the machine",
            resolution="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    values = {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
    if not frozen.token:
        return Keys(values | _region(world.environ))
    renew_at = world.now() + timedelta(seconds=SESSION_RENEW_S)
    return Keys(values | {"AWS_SESSION_TOKEN": frozen.token} | _region(world.environ), renew_at=renew_at)


def _region(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the region to ask first; S3 itself names another one."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return {"AWS_DEFAULT_REGION": region} if region else {}
