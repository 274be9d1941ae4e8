"""The environments a run may live in: machines of one's own, and one for each cloud."""

from __future__ import annotations

from runner.cloud_api.environment import Environment
from runner.clouds.registry import CLOUDS

OWN = (Environment("local", module="local"), Environment("existing", module="local"))
ENVIRONMENTS = {
    environment.name: environment for environment in (*OWN, *(record.environment for record in CLOUDS.values()))
}


def may_be_community(name: str, trust: str) -> bool:
    """Return whether a run may get a community machine: its cloud rents them out, and ``compute.trust`` is any."""
    from runner.prices.platforms import platforms

    rents = any(one.environment == name and one.trust == "community" for one in platforms().values())
    return trust == "any" and rents


def find_environment(name: str) -> Environment:
    """Return the environment of this name.

    Raises:
        UnknownEnvironmentError: If there is none.
    """
    if name not in ENVIRONMENTS:
        import difflib

        from runner.errors import UnknownEnvironmentError

        close = difflib.get_close_matches(name, ENVIRONMENTS, n=1, cutoff=0.4)
        hint = f"did you mean ENV={close[0]}? " if close else ""
        raise UnknownEnvironmentError(
            f"plan: there is no environment {name}", resolution=f"{hint}known: {', '.join(sorted(ENVIRONMENTS))}"
        )
    return ENVIRONMENTS[name]
