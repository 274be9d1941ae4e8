"""What every step is handed: the run, what it asks for, who looks on, who may stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from runner.adapters.machine import LocalMachine, Machine
from runner.adapters.ssh_config import NOTHING
from runner.adapters.stop import Stop
from runner.cloud_api.environment import Environment
from runner.clouds.environments import find_environment
from runner.clouds.own_sections import run_file_class
from runner.errors import RunNotFoundError
from runner.run.host_contract import parse_host
from runner.run.models import Box, Host, View
from runner.run.planned import PLAN_NAME, Plan, read_plan, write_plan
from runner.run.run_dir import RunDir, read_json
from runner.run.run_file import RunFile, parse_run_file
from runner.run.state import STATE_NAME, RunState
from runner.world import Entry, World

T = TypeVar("T")


class _Kept(Generic[T]):
    """What a file holds: made at its first use, and anew only when the file holds something else.

    Another process may have written it since, as the runner that ``watch`` looks on at, or that ``down`` has stopped.
    """

    def __init__(self) -> None:
        self._value: T | None = None
        self._content: bytes | None = None

    def get(self, path: Entry, make: Callable[[], T]) -> T:
        """Return the current contents of the file."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = None
        if self._value is None or content != self._content:
            self._value, self._content = make(), content
        return self._value


@dataclass(frozen=True)
class Context:
    """One run, being driven.

    Attributes:
        run: Its folder.
        run_file: What it was asked to do.
        view: Who looks on.
        stop: Who may stop it.
        world: Time, chance and surroundings.
    """

    run: RunDir
    run_file: RunFile
    view: View
    stop: Stop
    world: World
    _plan: _Kept[Plan] = field(default_factory=_Kept, init=False, repr=False, compare=False)
    _state: _Kept[RunState] = field(default_factory=_Kept, init=False, repr=False, compare=False)

    @property
    def plan(self) -> Plan:
        """What the run's plan found; raises as ``read_plan`` where there is none."""
        return self._plan.get(self.run.file(PLAN_NAME), lambda: read_plan(self.run))

    def keep_plan(self, plan: Plan) -> None:
        """Write the run's plan down."""
        write_plan(self.run, plan)

    @property
    def state(self) -> RunState:
        """What of the run is done, as it stands now, whoever has written it."""
        return self._state.get(self.run.file(STATE_NAME), lambda: RunState(self.run))

    def host(self) -> Host | None:
        """Return the machine that was handed out, or ``None``."""
        value = read_json(self.run.host)
        return None if value is None else parse_host(value)

    def host_up(self) -> Host | None:
        """Return the machine that was handed out, unless it has been given back."""
        return None if self.state.is_done("destroy") else self.host()

    def machine(self, host: Host) -> Machine:
        """Return a way onto the machine; it connects with its first use."""
        if host.is_this_machine:
            return LocalMachine()
        from runner.adapters.ssh_login import Way
        from runner.adapters.tools import tools_of

        config = self.ssh_config
        way = Way(self.identity_file, None if config == NOTHING else config)
        known_hosts, is_urgent = self.run.known_hosts, lambda: self.stop.urgent
        return tools_of(self.world).log_in(self.world, host, known_hosts, way, is_urgent=is_urgent)

    @property
    def environment(self) -> Environment:
        """The environment the run lives in."""
        return find_environment(self.run_file.compute.env)

    @property
    def identity_file(self) -> str | None:
        """Private key for SSH: the run's own for a rented machine, else the one the run file names, if it does."""
        if self.environment.rents_machine:
            return str(self.run.login_key)
        return self.run_file.compute.identity_file

    @property
    def ssh_config(self) -> Path:
        """What ``ssh`` is given with ``-F``: the run's own file for a machine of the user's own, else nothing."""
        file = self.run.ssh_config
        return NOTHING if self.environment.rents_machine or not file.exists() else file

    def box(self, host: Host, machine: Machine) -> Box:
        """Return where the run lives on its machine."""
        given = self.run_file.compute.prefix
        if given is not None:
            folder = given.replace("~", machine.home, 1) if given.startswith("~") else given
            return Box(f"{folder}/{self.run.run_id}")
        if host.is_this_machine:
            return Box(str(self.run.path / "box"))
        return Box(f"{machine.home}/.douse/runs/{self.run.run_id}")


def open_context(run: RunDir, view: View, stop: Stop, world: World) -> Context:
    """Return the context of a run that is there already.

    Raises:
        RunNotFoundError: If its ``config.json`` is gone.
    """
    values = read_json(run.config)
    if values is None:
        raise RunNotFoundError(
            f"run: {run.config} is missing",
            resolution="restore it from a copy, or start a new run (`make train`); `make sweep` finds what is rented",
        )
    return Context(run, parse_run_file(values, str(run.config), run_file_class()), view, stop, world)
