"""One notice to everybody it is for, all at once, each within a time limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from runner.adapters import process
from runner.adapters.notices.chats import send
from runner.adapters.notices.order import Delivery, Notice, Order
from runner.errors import ToolError
from runner.run.notices_section import ADDRESSES_VARIABLE, addresses_of_all_runs, filled_in, scheme_of
from runner.world import Task, World

LIMIT_S = 12.0
"""A receiver that has not answered by then has not got the notice."""
COMMAND_S = 10.0
Problem = str | None


def deliver(order: Order, world: World, say: Callable[[Delivery], None]) -> None:
    """Send a notice to everybody it is for, and say for each what became of it; never raises for one of them.

    Args:
        order: The notice, and whom it is for.
        world: Environment variables, time, and work beside.
        say: Called once for each receiver.
    """
    problems: dict[str, Problem] = {}
    tasks = {name: _begin(world, name, work, problems) for name, work in _receivers(order, world)}
    deadline_s = world.monotonic_s() + LIMIT_S
    for name, task in tasks.items():
        if task.join(max(0.0, deadline_s - world.monotonic_s())):
            say(Delivery(name, problems.get(name, "it failed in a way that nobody foresaw")))
        else:
            say(Delivery(name, f"no answer within {LIMIT_S:.0f} s"))


def _begin(world: World, name: str, work: Callable[[], Problem], problems: dict[str, Problem]) -> Task:
    def attempt() -> None:
        problems[name] = work()

    return world.start(attempt, name=name)


def _receivers(order: Order, world: World) -> Iterator[tuple[str, Callable[[], Problem]]]:
    """Yield each receiver by a name without secrets, with what sends the notice there."""
    for index, address in enumerate(order.urls):
        yield f"notices.urls[{index}] ({address})", _sender(order.notice, address, world)
    for index, address in enumerate(addresses_of_all_runs(world.environ)):
        name = f"{ADDRESSES_VARIABLE}, number {index + 1} ({scheme_of(address)})"
        yield name, _sender(order.notice, address, world)
    if order.command:
        yield f"notices.command ({order.command[0]})", lambda: _start_command(order, world)


def _sender(notice: Notice, address: str, world: World) -> Callable[[], Problem]:
    def work() -> Problem:
        url, missing = filled_in(address, world.environ)
        if missing:
            return f"the environment variable {missing[0]} is not set"
        return send(url, notice)

    return work


def _start_command(order: Order, world: World) -> Problem:
    notice = order.notice
    words = {"EVENT": notice.event, "RUN": notice.run_id, "TITLE": notice.title, "BODY": notice.body}
    variables = {f"DOUSE_NOTICE_{name}": value for name, value in words.items()}
    try:
        done = process.run(
            order.command,
            timeout_s=COMMAND_S,
            cwd=Path(order.folder),
            environ=world.environ,
            env=variables,
            grace_s=1.0,
        )
    except (ToolError, OSError) as err:
        return str(err)
    return None if done.exit_code == 0 else f"exit status {done.exit_code}: {done.last_words[-200:]}".rstrip(": ")
