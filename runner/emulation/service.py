"""What an emulated cloud is to those who serve it and rehearse with it: its apps, its variables, its faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from runner.emulation.cloud_state import CloudState, Settings
from runner.emulation.fault_table import CloudFaults
from runner.emulation.machines import EmulatedMachine, Leftover
from runner.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from runner.emulation.calls import Handler
    from runner.world import World

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True)
class Statuses:
    """What the control API asks of a cloud.

    Attributes:
        status: The cloud's own word for how a machine stands.
        leftovers: What exists besides machines and is not in the books.
    """

    status: Callable[[EmulatedMachine], str]
    leftovers: Callable[[], Sequence[Leftover]] = tuple


def _ignore(endpoints: Mapping[str, str]) -> None:
    """Pass nothing to boxes."""


@dataclass(frozen=True)
class Service:
    """One cloud to serve.

    Attributes:
        paths: Names of its endpoints, and the path of each.
        statuses: What the control API asks.
        is_for_boxes: Whether boxes have to reach it.
        show_boxes: Called with the endpoints as boxes reach them.
        asgi: The app, or ``None`` for a WSGI one.
        wsgi: The app, or ``None`` for an ASGI one.
        serve: Answers a call without a server, or ``None`` where only an app does.
    """

    paths: Mapping[str, str]
    statuses: Statuses
    is_for_boxes: bool
    show_boxes: Callable[[Mapping[str, str]], None] = _ignore
    asgi: ASGIApp | None = None
    wsgi: Wsgi | None = None
    serve: Handler | None = None


@dataclass(frozen=True)
class Setting:
    """A duration or a quota of an emulated cloud.

    Attributes:
        default: What it is unless somebody says otherwise.
        variable: The variable that the cloud's client goes by as well, or ``None``.
    """

    default: float
    variable: str | None = None


@dataclass(frozen=True)
class Logins:
    """Where boxes are logins of this machine: the user of all and, for a cloud that gives no ports, the port."""

    user: str
    port: int

    @classmethod
    def read(cls, endpoints: Mapping[str, str]) -> Self | None:
        """Return the endpoints' address, ``None`` where boxes are machines of their own."""
        url = urlsplit(endpoints.get("logins", ""))
        return cls(str(url.username), url.port) if url.port else None


@dataclass(frozen=True)
class PlannedResource:
    """A resource of a root module.

    Attributes:
        kind: Its type, in Terraform's words.
        values: Its configuration.
    """

    kind: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Module:
    """What a cloud's root module makes of its inputs, where Terraform itself is simulated.

    Attributes:
        planned: Returns the resources for these inputs, in the order in which they are created.
        host: Returns the output ``host`` for these inputs and the state of each resource, by its kind.
        machine: The resource that is the machine.
        provider: Makes what stands in for a vendor's own provider; ``None`` where ours rents the machine.
        look_up: Reads the module's data sources for these inputs by such a provider.
    """

    planned: Callable[[Mapping[str, Any]], Sequence[PlannedResource]]
    host: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], dict[str, Any]]
    machine: str
    provider: Callable[[World], Any] | None = None
    look_up: Callable[[Any, Mapping[str, Any]], None] | None = None


@dataclass(frozen=True)
class OnPaper:
    """A cloud without libraries, for simulated lives: its emulator is one, and so is what its client asks by.

    Attributes:
        build: Makes its service, which answers without a server.
        library: Makes what stands in for the library that the client asks by.
        own_settings: Settings of a run file that its lives have and those of other clouds have not.
    """

    build: Callable[[CloudState], Service]
    library: Callable[[World], Any]
    own_settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class EmulatedCloud:
    """What the kit asks of a cloud's emulator; one in each ``runner/clouds/<cloud>/emulator/service.py``.

    Attributes:
        name: The cloud's name.
        build: Makes its service; imports what is only installed for rehearsals.
        environment: The variables that lead a runner to these endpoints.
        faults: What it says of every fault of the catalogue.
        settings: Its durations and quotas, by name.
        no_account: Variables that keep a rehearsal, of any cloud, from an account here that this machine leads to.
        other_account: The variables of ``environment`` that are the key, as they lead to another account.
        why_no_logins: Why a box cannot be a login of this machine, ``None`` where it can.
        module: Its root module, for simulated lives; ``None`` where there are none yet.
        keeps_stores: Whether emulated stores are in its account, which gives out their keys.
        on_paper: It without its vendor's library; ``None`` where it answers requests without one in any case.
    """

    name: str
    build: Callable[[CloudState], Service]
    environment: Callable[[Mapping[str, str]], Mapping[str, str]]
    faults: CloudFaults
    settings: Mapping[str, Setting]
    no_account: Mapping[str, str]
    other_account: Mapping[str, str]
    why_no_logins: str | None
    module: Module | None = None
    keeps_stores: bool = False
    on_paper: OnPaper | None = None


def chosen_settings(
    clouds: Sequence[EmulatedCloud], given: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Settings]:
    """Return the settings of each cloud: as given (``cloud.name``), else as its variable has them, else the default.

    Raises:
        UsageError: If there is no such setting, or its value is not a number.
    """
    known = {f"{cloud.name}.{name}": setting for cloud in clouds for name, setting in cloud.settings.items()}
    for name in given:
        if name not in known:
            raise UsageError(f"rehearse: there is no setting {name}", resolution=f"known: {', '.join(sorted(known))}")
    return {
        cloud.name: {
            name: _number(f"{cloud.name}.{name}", setting, given, environ) for name, setting in cloud.settings.items()
        }
        for cloud in clouds
    }


def _number(name: str, setting: Setting, given: Mapping[str, str], environ: Mapping[str, str]) -> float:
    usual = environ.get(setting.variable, "").strip() if setting.variable is not None else ""
    text = given[name] if name in given else usual or str(setting.default)
    try:
        return float(text)
    except ValueError as err:
        raise UsageError(f"rehearse: {name} is {text!r}", resolution="give it as a number") from err
