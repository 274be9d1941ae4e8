"""The provider block, and the clouds' clients: one for each account and process, so that one pace holds for all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from pydantic import ValidationError

from runner.cloud_api.pacing import Timer
from runner.clouds.lambda_cloud.api import LambdaCloud
from runner.clouds.registry import open_lambda, open_runpod
from runner.clouds.runpod.api import RunPodCloud
from runner.errors import BadRequestError, RunInterruptedError
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
        self._timer = Timer(clock=self.clock.now_s, sleep=self._sleep)
        self._lock = threading.Lock()
        self._lambda: LambdaCloud | None = None
        self._runpod: RunPodCloud | None = None
        self._call, self._never = threading.local(), threading.Event()

    def configure(self, config: Values) -> None:
        """Let the provider block stand above the environment; a key that is missing is told when it is needed."""
        with self._lock:
            self.environ |= {variable: config[name] for name, variable in VARIABLES.items() if config.get(name)}

    def secrets(self) -> set[str]:
        """Return the keys."""
        return {self.environ[name] for name in ("LAMBDA_API_KEY", "RUNPOD_API_KEY") if self.environ.get(name)}

    def lambda_cloud(self) -> LambdaCloud:
        """Return the account on Lambda Cloud.

        Raises:
            AccountError: If there is no key.
        """
        with self._lock:
            self._lambda = self._lambda or open_lambda(self.environ, timer=self._timer)
            return self._lambda

    def runpod_cloud(self) -> RunPodCloud:
        """Return the account on RunPod.

        Raises:
            AccountError: If there is no key.
        """
        with self._lock:
            self._runpod = self._runpod or open_runpod(self.environ, timer=self._timer)
            return self._runpod

    @property
    def lambda_ssh_port(self) -> int:
        """Port of sshd on Lambda's machines: 22, unless an emulator cannot give each machine an address."""
        return int(self.environ.get("DOUSE_LAMBDA_SSH_PORT") or 22)

    @property
    def runpod_user(self) -> str:
        """User of RunPod's pods: root, unless an emulator has no root to give."""
        return self.environ.get("DOUSE_RUNPOD_USER") or "root"

    @contextmanager
    def interruptible(self, stop: threading.Event) -> Iterator[None]:
        """Let ``stop`` end the clients' own pauses in this thread; none lies between a launch and its answer."""
        self._call.stop = stop
        try:
            yield
        finally:
            self._call.stop = None

    def _sleep(self, pause_s: float) -> None:
        stop: threading.Event | None = getattr(self._call, "stop", None)
        if self.clock.wait(stop or self._never, pause_s):
            raise RunInterruptedError("interrupted while waiting for the cloud", resolution="apply again")


def refused_by_us(cloud: str, err: ValidationError) -> BadRequestError:
    """Return the error for a request that we know the cloud will not take; it names fields, never their values."""
    problem = err.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return BadRequestError(f"{cloud}: {where}: {problem['msg']}", resolution=f"change {where}")
