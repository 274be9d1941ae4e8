"""What the author of a resource sees: problems, the context of one call, and the base classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from runner.errors import RunnerError
from runner.provider.schema import Attrs, Values
from runner.provider.wire import ERROR, MESSAGES, WARNING
from runner.world import Event, World

SHORTEST_SECRET = 12
"""A line of a secret with fewer characters is not looked for: it may be a word of any sentence."""
CONCEALED = "(secret)"

ProviderT = TypeVar("ProviderT", bound="Provider")


class ProblemError(RunnerError):
    """A failure that becomes an error of Terraform's; ``attribute`` is the one to blame."""

    def __init__(self, message: str, *, resolution: str, details: str | None = None, attribute: str = "") -> None:
        """Keep the parts."""
        super().__init__(message, resolution=resolution, details=details)
        self.attribute = attribute


class Ctx:
    """One call of Terraform's.

    Attributes:
        stop: Set when Terraform was asked to stop.
        diagnostics: What is reported to Terraform.
        saved: State that holds even if the call fails, or ``None``.
        config: The configuration as written, with the write-only attributes; empty outside create and update.
    """

    def __init__(self, stop: Event, secrets: set[str] | None = None) -> None:
        """Begin a call; ``secrets`` never appear in what is reported."""
        self.stop = stop
        self.diagnostics: list[Any] = []
        self.saved: Values | None = None
        self.config: Values = {}
        self._secrets: set[str] = set(secrets or ())

    @property
    def failed(self) -> bool:
        """Whether an error was reported."""
        return any(diagnostic.severity == ERROR for diagnostic in self.diagnostics)

    def save(self, state: Values) -> None:
        """Keep what the cloud has said yes to: from here on a failure leaves a tainted resource, never an orphan."""
        self.saved = dict(state)

    def error(self, summary: str, detail: str = "", attribute: str = "") -> None:
        """Report an error."""
        self._tell(ERROR, summary, detail, attribute)

    def warn(self, summary: str, detail: str = "", attribute: str = "") -> None:
        """Report a warning."""
        self._tell(WARNING, summary, detail, attribute)

    def conceal(self, secret: object) -> None:
        """Never report this, nor any long line of it: a cloud's answer may hold what was sent."""
        if isinstance(secret, Mapping):
            for item in secret.values():
                self.conceal(item)
        elif isinstance(secret, str) and secret:
            lines = (line.strip() for line in secret.splitlines())
            self._secrets |= {secret, *(line for line in lines if len(line) >= SHORTEST_SECRET)}

    def redact(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, CONCEALED)
        return text

    def _tell(self, severity: int, summary: str, detail: str, attribute: str) -> None:
        diagnostic = MESSAGES["Diagnostic"](severity=severity, summary=self.redact(summary), detail=self.redact(detail))
        if attribute:
            diagnostic.attribute.steps.add(attribute_name=attribute)
        self.diagnostics.append(diagnostic)


class Provider:
    """What all resources of one provider process share."""

    attrs: ClassVar[Attrs] = {}
    resources: ClassVar[Mapping[str, type[TerraformResource[Any]]]] = {}
    data_sources: ClassVar[Mapping[str, type[DataSource[Any]]]] = {}

    def __init__(self, world: World) -> None:
        """Take the world that its calls go on in."""
        self.world = world

    def configure(self, config: Values) -> None:
        """Take the provider block."""

    def secrets(self) -> set[str]:
        """Return the secrets, which must never be shown."""
        return set()


class TerraformResource(Generic[ProviderT]):
    """One kind of thing that Terraform keeps. The provider's documentation is the class's docstring."""

    attrs: ClassVar[Attrs] = {}

    def __init__(self, provider: ProviderT) -> None:
        """Serve one call."""
        self.provider = provider

    def validate(self, ctx: Ctx, config: Values) -> None:
        """Report the faults of a configuration; its values may be unknown yet."""

    def plan(self, prior: Values | None, planned: Values) -> Values:
        """Return the planned values; ``prior`` is ``None`` for what will be created."""
        return planned

    def replaced_by(self, prior: Values, planned: Values) -> list[str]:
        """Return the attributes whose change needs a new one."""
        return [name for name, attr in sorted(self.attrs.items()) if attr.replace and planned[name] != prior[name]]

    def create(self, ctx: Ctx, planned: Values) -> Values:
        """Create it and return its state; ``ctx.save`` as soon as it exists."""
        raise NotImplementedError

    def read(self, ctx: Ctx, state: Values) -> Values | None:
        """Return how it stands, ``None`` if it is gone."""
        raise NotImplementedError

    def update(self, ctx: Ctx, prior: Values, planned: Values) -> Values:
        """Change it where it is."""
        raise NotImplementedError

    def delete(self, ctx: Ctx, state: Values) -> None:
        """End it; return when it is gone."""
        raise NotImplementedError

    def import_by_id(self, ctx: Ctx, resource_id: str) -> Values:
        """Return the state of one that exists."""
        raise NotImplementedError


class DataSource(Generic[ProviderT]):
    """Something that Terraform reads."""

    attrs: ClassVar[Attrs] = {}

    def __init__(self, provider: ProviderT) -> None:
        """Serve one call."""
        self.provider = provider

    def read(self, ctx: Ctx, config: Values) -> Values:
        """Return the data to read."""
        raise NotImplementedError
