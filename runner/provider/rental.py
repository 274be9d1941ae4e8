"""The provider block, and the clouds' clients: one for each account and process, so that one pace holds for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar, cast

from runner.cloud_api.pacing import Timer
from runner.errors import BadRequestError, RunInterruptedError
from runner.provider.resource import Provider
from runner.provider.schema import STRING, Attr, Attrs, Values
from runner.provider.ssh_wait import sshd_answers
from runner.world import Event, World

STOP: ContextVar[Event | None] = ContextVar("STOP", default=None)
"""What ends the pauses of the call that goes on in this thread."""
SshdAnswers = Callable[[str, int], bool]
Client = TypeVar("Client")
ClientT_co = TypeVar("ClientT_co", covariant=True)
SECRET_END = "_key"  # noqa: S105 - a name, not a secret
"""How the name of an attribute ends that is never shown."""


class OpenClient(Protocol[ClientT_co]):
    """How a cloud's client is made."""

    def __call__(self, environ: Mapping[str, str], *, timer: Timer) -> ClientT_co:
        """Return the client of the account that the environment names."""


class RentalProvider(Provider):
    """What resources that rent machines share.

    Attributes:
        variables: The environment variable behind each attribute of the provider block.
    """

    variables: ClassVar[Mapping[str, str]] = {}

    def __init__(self, world: World) -> None:
        """Read credentials and endpoints from the world's environment."""
        super().__init__(world)
        self.environ = dict(world.environ)
        self.sshd_answers: SshdAnswers = partial(sshd_answers, world)
        self._timer = Timer(world, pause=self._sleep)
        self._lock = world.lock()
        self._clients: dict[Callable[..., Any], object] = {}
        self._never = world.event()

    def configure(self, config: Values) -> None:
        """Let the provider block stand above the environment; a missing key is reported when it is needed."""
        with self._lock:
            self.environ |= {variable: config[name] for name, variable in self.variables.items() if config.get(name)}

    def secrets(self) -> set[str]:
        """Return the keys."""
        names = {variable for name, variable in self.variables.items() if name.endswith(SECRET_END)}
        return {self.environ[name] for name in names if self.environ.get(name)}

    def client(self, open_client: OpenClient[Client]) -> Client:
        """Return the client that ``open_client`` makes, the same one for all who ask.

        Raises:
            AccountError: If there is no key.
        """
        with self._lock:
            if open_client not in self._clients:
                self._clients[open_client] = open_client(self.environ, timer=self._timer)
            return cast("Client", self._clients[open_client])

    @contextmanager
    def interruptible(self, stop: Event) -> Iterator[None]:
        """Let ``stop`` end the clients' own pauses in this call; none lies between a launch and its answer."""
        before = STOP.set(stop)
        try:
            yield
        finally:
            STOP.reset(before)

    def _sleep(self, pause_s: float) -> None:
        if (STOP.get() or self._never).wait(pause_s):
            raise RunInterruptedError(
                "interrupted while waiting for the cloud", resolution="run `terraform apply` (or `make up`) again"
            )


def block_attrs(variables: Mapping[str, str]) -> Attrs:
    """Return the attributes of the provider block, each standing above an environment variable."""
    return {
        name: Attr(STRING, f"Overrides {variable}.", optional=True, sensitive=name.endswith(SECRET_END))
        for name, variable in variables.items()
    }


@contextmanager
def refused_by_us(cloud: str) -> Iterator[None]:
    """Report a request that we know the cloud will not take; the error names fields, never their values.

    Raises:
        BadRequestError: If the request that is made in this block holds what its class refuses.
    """
    from pydantic import ValidationError  # takes its time to import, and a schema needs none

    try:
        yield
    except ValidationError as err:
        problem = err.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        # From None: its own words show the values.
        raise BadRequestError(f"{cloud}: {where}: {problem['msg']}", resolution=f"change {where}") from None
