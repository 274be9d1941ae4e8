"""The provider block, and the clouds' clients: one for each account and process, so that one pace holds for all."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from runner.provider.clock import Clock
from runner.provider.resource import Provider
from runner.provider.schema import STRING, Attr, Attrs, Values
from runner.provider.ssh_wait import sshd_answers

VARIABLES = {
    "lambda_api_key": "LAMBDA_API_KEY",
    "lambda_endpoint": "DOUSE_LAMBDA_ENDPOINT",
    "runpod_api_key": "RUNPOD_API_KEY",
    "runpod_endpoint": "DOUSE_RUNPOD_ENDPOINT",
    "runpod_graphql_endpoint": "DOUSE_RUNPOD_GRAPHQL_ENDPOINT",
}
"""The environment variable behind each attribute."""


class RentalProvider(Provider):
    """What resources that rent machines share."""

    attrs: ClassVar[Attrs] = {
        name: Attr(STRING, f"Overrides {variable}.", optional=True, sensitive=name.endswith("_key"))
        for name, variable in VARIABLES.items()
    }

    def __init__(self, environ: Mapping[str, str] | None = None, clock: Clock | None = None) -> None:
        """Read credentials and endpoints from ``environ``, this process's by default."""
        self.environ = dict(os.environ if environ is None else environ)
        self.clock = clock or Clock()
        self.sshd_answers = sshd_answers
        self._lock = threading.Lock()
        self._clouds: dict[str, Any] = {}

    def configure(self, config: Values) -> None:
        """Let the provider block stand above the environment; a key that is missing is told when it is needed."""
        for name, variable in VARIABLES.items():
            if config.get(name):
                self.environ[variable] = config[name]
