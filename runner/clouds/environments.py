"""The environments a run may live in, and what sets one apart from another."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from runner.errors import UnknownEnvironmentError

LeaseMethod = Literal["none", "shutdown", "runpod"]
DriverMode = Literal["none", "install", "verify", "container"]


@dataclass(frozen=True)
class Environment:
    """One value of ``compute.env``.

    Attributes:
        name: Its name; for a rented machine that of the cloud as well.
        module: Folder of its root module under ``infra/environments``.
        rented: Whether the machine is rented for the run and given back after it.
        takes_user_data: Whether the machine is handed a host key and first commands before it boots.
        waits_for_sshd: Whether Terraform is done only when sshd answers.
        tries_candidates: Whether one apply goes down the whole list of candidates; else the runner does.
        lease: How the machine ends itself when nobody renews its lease.
        driver: What the playbook does about the NVIDIA driver.
    """

    name: str
    module: str
    rented: bool = False
    takes_user_data: bool = False
    waits_for_sshd: bool = True
    tries_candidates: bool = True
    lease: LeaseMethod = "none"
    driver: DriverMode = "none"


ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment("local", module="local"),
        Environment("existing", module="local"),
        Environment("lambda", module="lambda", rented=True, takes_user_data=True, driver="verify"),
        Environment("runpod", module="runpod", rented=True, lease="runpod", driver="container"),
        Environment(
            "aws",
            module="aws",
            rented=True,
            takes_user_data=True,
            waits_for_sshd=False,
            tries_candidates=False,
            lease="shutdown",
            driver="install",
        ),
    )
}


def find_environment(name: str) -> Environment:
    """Return the environment of this name.

    Raises:
        UnknownEnvironmentError: If there is none.
    """
    if name not in ENVIRONMENTS:
        close = difflib.get_close_matches(name, ENVIRONMENTS, n=1, cutoff=0.4)
        hint = f"did you mean ENV={close[0]}? " if close else ""
        raise UnknownEnvironmentError(
            f"plan: there is no environment {name}", resolution=f"{hint}known: {', '.join(sorted(ENVIRONMENTS))}"
        )
    return ENVIRONMENTS[name]
