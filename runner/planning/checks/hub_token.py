"""Who gets the Hub token: a machine that needs it, and a community machine only where the run file says so."""

from __future__ import annotations

import re
from collections.abc import Callable

from runner.adapters.secrets import HUB_ENDPOINT, hub_address, hub_secrets
from runner.clouds.environments import may_be_community
from runner.planning.checks.hub import TOKEN, is_on_hub
from runner.planning.checks.line import Check, failed, warned
from runner.run.run_file import RunFile
from runner.world import World
from trainer.base_model.hub_files import is_public

ADDRESS = "hub address"
LOOPBACK = re.compile(r"https?://(localhost|127(\.\d+){3}|\[::1\])([:/]|$)")


def hub_variables(run_file: RunFile, world: World) -> dict[str, str]:
    """Return what the machine of a run is given for the Hub: its address, where it has one of its own, and the token.

    Args:
        run_file: The run.
        world: Where they are.
    """
    return (hub_address(world) if is_on_hub(run_file) else {}) | token_for_machine(run_file, world)


def token_for_machine(run_file: RunFile, world: World) -> dict[str, str]:
    """Return the Hub token as the machine of a run gets it: where the base model is not public, and a stranger never.

    Where the Hub does not say whether it is public, a machine that is no stranger's gets the token.

    Args:
        run_file: The run.
        world: Where the token is.
    """
    found, model, compute = hub_secrets(world), run_file.model, run_file.compute
    if not found or not is_on_hub(run_file) or (is_strangers(run_file) and not compute.community_hub_token_enabled):
        return {}
    return {} if is_public(model.base_model, model.revision) else found


def check_address(run_file: RunFile, world: World) -> list[Check]:
    """Return the line for a Hub that this machine alone can reach, where another one is to train; else nothing.

    Args:
        run_file: The run.
        world: Where the Hub's address is.
    """
    address = hub_address(world).get(HUB_ENDPOINT, "")
    if run_file.compute.env == "local" or not is_on_hub(run_file) or not LOOPBACK.match(address):
        return []
    value = f"{HUB_ENDPOINT} is {address}, an address of this machine, and the one that trains reads from there too"
    return [warned(ADDRESS, value, f"set {HUB_ENDPOINT} to an address that it reaches as well, or unset it")]


def is_strangers(run_file: RunFile) -> bool:
    """Return whether the run may get a community machine."""
    return may_be_community(run_file.compute.env, run_file.compute.trust)


def check_strangers(run_file: RunFile, *, reach: Callable[[str], bool] = lambda _: True) -> Check | None:
    """Return the line for a base model that a community machine could not read, as it gets no token; else nothing.

    Args:
        run_file: The run.
        reach: Returns whether an address can be reached.
    """
    from huggingface_hub import constants

    model, compute = run_file.model, run_file.compute
    if not is_on_hub(run_file) or not is_strangers(run_file) or compute.community_hub_token_enabled:
        return None
    if not reach(constants.ENDPOINT) or is_public(model.base_model, model.revision) is not False:
        return None
    return failed(
        TOKEN,
        f"{model.base_model} is gated or private, compute.trust is any, and a community machine gets no Hub token",
        "set compute.trust to secure, or compute.community_hub_token_enabled to true: its owner could read the token",
    )
