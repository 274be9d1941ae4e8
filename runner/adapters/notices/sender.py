"""Notices from a runner: each is handed to a process of its own, and nobody waits for it but, for a little, the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from runner.adapters.notices.order import Delivery, Notice, Order, read_line
from runner.adapters.tools import tools_of
from runner.errors import RunnerError, counted
from runner.run.notices_section import ADDRESSES_VARIABLE, NAMED, NoticesSection, addresses_of_all_runs
from runner.run.run_dir import PROJECT
from runner.world import Event, Task, World

IN_TURN_S = 2.5
"""The next notice waits so long for one that is being sent, so that they arrive in order; then it overtakes it."""
PROCESS_S = 30.0
"""Its own limits end the process long before."""
AT_THE_END_S = 10.0
"""How long a run's end waits for all its notices together; the processes go on for some seconds if they must."""
MOST_AT_ONCE = 4
"""More evaluations than this are not announced at the same time."""
POLL_S = 0.2
DESKTOP = {"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"}
"""Where a program such as ``notify-send`` shows something."""


def post(order: Order, world: World, environ: Mapping[str, str] | None = None) -> list[Delivery]:
    """Send a notice in a process of its own, and return what became of it at each receiver.

    Args:
        order: The notice, and whom it is for.
        world: Programs.
        environ: The variables of that process; the world's own by default.
    """
    found: list[Delivery | None] = []
    argv = [sys.executable, "-m", "runner.adapters.notices"]
    try:
        done = tools_of(world).run(
            argv,
            timeout_s=PROCESS_S,
            cwd=PROJECT,
            environ=world.environ if environ is None else environ,
            env=order.variables(),
            on_line=lambda line: found.append(read_line(line)),
        )
    except (RunnerError, OSError) as err:
        return [*filter(None, found), Delivery("everybody", str(err))]
    ended = [] if done.exit_code == 0 else [Delivery("everybody", f"the sender ended with status {done.exit_code}")]
    return [*filter(None, found), *ended]


def order_of(notice: Notice, section: NoticesSection, folder: str) -> Order:
    """Return the order that sends a notice to all receivers of a run file."""
    return Order(notice, tuple(section.urls), tuple(section.command), folder)


def folder_of(world: World) -> str:
    """Return the folder in which the user is; home, where that was deleted."""
    try:
        return str(world.folder)
    except OSError:
        return str(world.home)


def own_variables(section: NoticesSection, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that only a run's notices need: those of its addresses, and of a desktop."""
    names = {ADDRESSES_VARIABLE, *(name for address in section.urls for name in NAMED.findall(address))}
    names |= DESKTOP if section.command else set()
    return {name: value for name, value in environ.items() if name in names}


def has_receivers(section: NoticesSection, world: World) -> bool:
    """Return whether anybody wants notices: the run file says so, or the environment does for all runs."""
    return bool(section.urls or section.command or addresses_of_all_runs(world.environ))


class _OnItsWay(NamedTuple):
    """A notice that was handed over: the task that sends it, and whether that has begun to send."""

    task: Task
    begun: Event


class Sender:
    """Sends the notices of one run, one after the other as far as they are prompt."""

    def __init__(
        self,
        section: NoticesSection,
        world: World,
        note: Callable[[str], None],
        environ: Mapping[str, str] | None = None,
        folder: str = "",
    ) -> None:
        """Begin with nothing sent.

        Args:
            section: Who gets notices, and about what.
            world: Environment variables, time, and work beside.
            note: Takes a line for the log, from any thread.
            environ: The variables of who sends; the world's own by default.
            folder: Where the user's program starts; where this process is by default.
        """
        self._environ, self._folder = environ, folder
        self._section, self._world, self._note = section, world, note
        self._on_their_way: list[_OnItsWay] = []
        self._undelivered = 0

    def send(self, notice: Notice) -> None:
        """Send a notice; return at once."""
        if notice.event not in self._section.events:
            return
        self._on_their_way = [one for one in self._on_their_way if not one.task.join(0.0)]
        if notice.event == "eval" and len(self._on_their_way) >= MOST_AT_ONCE:
            waiting = counted(len(self._on_their_way), "notice")
            self._note(f"{notice.event}: skipped, for {waiting} before it are on their way")
            return
        before, begun = self._on_their_way[-1] if self._on_their_way else None, self._world.event()
        task = self._world.start(lambda: self._post(notice, before, begun), name=f"notice {notice.event}")
        self._on_their_way.append(_OnItsWay(task, begun))

    def wait(self, is_urgent: Callable[[], bool], longest_s: float | None = None) -> int:
        """Wait a little for what is on its way; return how many notices were not delivered somewhere so far."""
        deadline_s = self._world.monotonic_s() + (AT_THE_END_S if longest_s is None else longest_s)
        for one in self._on_their_way:
            while not one.task.join(max(0.0, min(POLL_S, deadline_s - self._world.monotonic_s()))):
                if is_urgent() or self._world.monotonic_s() >= deadline_s:
                    break
        late = [one for one in self._on_their_way if not one.task.join(0.0)]
        return self._undelivered + len(late)

    def _post(self, notice: Notice, before: _OnItsWay | None, begun: Event) -> None:
        if before is not None:
            before.begun.wait()  # it waits for the one before it no longer than this one does
            before.task.join(IN_TURN_S)
        begun.set()
        order = order_of(notice, self._section, self._folder or folder_of(self._world))
        found = post(order, self._world, self._environ)
        problems = [one for one in found if one.problem is not None]
        for one in found:
            self._note(f"{notice.event}: {one.receiver}: {one.problem or 'sent'}")
        self._undelivered += bool(problems)
