"""Emulated clouds as a program: ``python -m runner.rehearsal.serve --clouds NAME[,NAME] --folder F``.

It serves on 127.0.0.1, each cloud on a port of its own, and writes ``F/endpoints.json`` once all of them answer: the
URL of each API of the clouds that are served, by the name in its cloud's ``Service.paths``, and that of ``control``,
which ``runner/emulation/control_app.py`` describes. For a cloud that boxes have to reach there is also
``<name>_from_boxes``: the same API at an address that a box can reach. Where boxes are logins of this machine,
``logins`` is ``ssh://user@127.0.0.1:port``: the user of all and, for a cloud that gives none, the port. With ``--hub``
an emulated Hugging Face Hub answers at ``hub``, for boxes and this machine alike, and ``F/hub-log.jsonl`` is its log;
with ``--store`` S3 over TLS at ``store``, with the log ``F/store-log.jsonl`` and its certificates in ``F/store``, or
a remote of rclone's, which knows it by ``F/store/rclone.conf``.
SIGTERM, SIGINT or SIGHUP ends everything, all boxes with it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import psutil

from runner.emulation import machines
from runner.emulation.boxes import Yard, why_no_logins
from runner.emulation.cloud_state import CloudState, Settings
from runner.emulation.control_app import Control
from runner.emulation.hub import hub_of
from runner.emulation.paper_yard import PaperYard
from runner.emulation.s3.manners import MANNERS
from runner.emulation.service import EmulatedCloud, Service, chosen_settings
from runner.errors import EXIT_DONE, EXIT_FAILED, RunnerError, UsageError
from runner.rehearsal.listening import listen_asgi, listen_wsgi
from runner.rehearsal.services import BOXES, emulated_clouds, known_faults
from runner.rehearsal.store import STORES, serve_store
from runner.run.run_dir import write_json

HUB_LOG = "hub-log.jsonl"
TICK_S = 0.2


class ClosableYard(machines.Yard, Protocol):
    """A yard that can be closed."""

    def close(self) -> None:
        """End every box."""


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        clouds: What to serve.
        folder: Where everything of it goes.
        boxes: ``real`` machines, or ``none``.
        until_pid: End when this process is gone, or ``None``.
        settings: The clouds' settings, by name.
        hub: Folder of what an emulated Hub has, or ``None`` for no Hub.
        store: One of ``STORES`` that is served, or ``None`` for none.
    """

    clouds: tuple[EmulatedCloud, ...]
    folder: Path
    boxes: str
    until_pid: int | None
    settings: Mapping[str, Settings]
    hub: Path | None = None
    store: str | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; return the exit status."""
    with _asked() as asked:
        try:
            options = _options(argv)
            options.folder.mkdir(parents=True, exist_ok=True)
            yard, bridge, known = _open_yard(options)
        except RunnerError as err:
            return _complain(err.message, err.resolution, err.exit_code)
        settings, has_real_boxes = options.settings, not known
        try:
            state = CloudState(yard, time.time, faults=known_faults(), settings=settings, has_real_boxes=has_real_boxes)
            asyncio.run(_serve(state, options, bridge, known, asked))
        except UsageError as err:
            return _complain(err.message, err.resolution, err.exit_code)
        except OSError as err:
            return _complain(f"rehearse: cannot serve: {err}", "see whether the ports can be bound", EXIT_FAILED)
        finally:
            yard.close()
        return EXIT_DONE


class Asked:
    """Whether a signal has asked for the end."""

    is_over = False

    def to_end(self, number: int, frame: FrameType | None) -> None:
        """Note that the end was asked for."""
        self.is_over = True


@contextlib.contextmanager
def _asked() -> Iterator[Asked]:
    """Take signals for a request to end, from before there is a yard until it is closed.

    What is cut short there leaves bridges and boxes.
    """
    asked = Asked()
    before = {number: signal.signal(number, asked.to_end) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complain(message: str, hint: str, exit_code: int) -> int:
    print(f"error: {message}\nhint:  {hint}", file=sys.stderr, flush=True)
    return exit_code


def _options(argv: Sequence[str] | None) -> Options:
    every = emulated_clouds()
    parser = argparse.ArgumentParser(prog="python -m runner.rehearsal.serve", description="Serve emulated clouds.")
    parser.add_argument("--clouds", required=True, help=f"comma separated: {', '.join(every)}")
    parser.add_argument("--folder", required=True, type=Path, help="where endpoints.json and the boxes go")
    parser.add_argument("--boxes", choices=("real", "none"), default="real", help="none: machines on the books alone")
    parser.add_argument("--until-pid", type=int, default=None, help="end when this process is gone")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="CLOUD.NAME=NUMBER", help="a duration or quota of a cloud"
    )
    parser.add_argument("--hub", type=Path, default=None, help="serve a Hub with the models and data sets of a folder")
    parser.add_argument("--store", choices=STORES, default=None, help="serve a store: S3 in a manner, or a remote")
    given = parser.parse_args(argv)
    wanted = [word.strip() for word in given.clouds.split(",") if word.strip()]
    clouds = tuple(cloud for name, cloud in every.items() if name in wanted)
    if len(clouds) != len(set(wanted)) or not clouds:
        parser.error(f"--clouds: use {', '.join(every)}")
    settings = chosen_settings(clouds, dict(word.partition("=")[::2] for word in given.setting), os.environ)
    return Options(clouds, given.folder.resolve(), given.boxes, given.until_pid, settings, given.hub, given.store)


def _open_yard(options: Options) -> tuple[ClosableYard, str | None, dict[str, str]]:
    """Return the yard, the address at which boxes reach this machine, and an endpoint for boxes that are logins.

    The address is ``None`` where they share this machine's network.
    """
    if options.boxes == "none":
        return PaperYard(), None, {}
    yard = Yard(options.folder / BOXES, options.folder.name)
    if yard.login is None:
        return yard, yard.gateway, {}
    for cloud in options.clouds:
        if options.store in MANNERS and cloud.keeps_stores:
            continue  # it may be there for the store's keys alone; who rents there was refused before
        if (why_not := cloud.why_no_logins or why_no_logins()) is not None:
            yard.close()
            raise UsageError(
                f"rehearse: {cloud.name} needs real boxes here: {why_not}",
                resolution="see docs/rehearsal.md, what it needs",
            )
    user, port = yard.login
    return yard, yard.gateway, {"logins": f"ssh://{user}@127.0.0.1:{port}"}


async def _serve(
    state: CloudState, options: Options, bridge: str | None, known: Mapping[str, str], asked: Asked
) -> None:
    owner = _owner(options.until_pid)
    services = {cloud.name: cloud.build(state) for cloud in options.clouds}
    control = Control(state, {name: service.statuses for name, service in services.items()})
    async with contextlib.AsyncExitStack() as stack:
        endpoints = {**known, "control": await listen_asgi(stack, control.app(), "127.0.0.1")}
        for service in services.values():
            endpoints |= await _start(stack, service, bridge)
        if options.hub is not None:
            hub = hub_of(options.hub, options.folder / HUB_LOG)
            endpoints["hub"] = await listen_asgi(stack, hub.app(), bridge or "127.0.0.1")
        if options.store is not None:
            endpoints["store"] = serve_store(stack, options.store, options.folder, bridge or "127.0.0.1")
        await asyncio.to_thread(write_json, options.folder / "endpoints.json", endpoints)
        while not asked.is_over and _is_wanted(owner):
            await asyncio.to_thread(_tick, state)
            await asyncio.sleep(TICK_S)
        if not _is_wanted(owner):  # who rehearses was killed: what it started would try for minutes to end its machine
            await asyncio.to_thread(state.runner.kill)


async def _start(stack: contextlib.AsyncExitStack, service: Service, bridge: str | None) -> Mapping[str, str]:
    """Serve one cloud here and, where boxes need it, at the address that they reach; return its endpoints."""
    here = await _listen(stack, service, "127.0.0.1")
    endpoints = {name: here + path for name, path in service.paths.items()}
    from_boxes = endpoints
    if bridge is not None and service.is_for_boxes:
        there = await _listen(stack, service, bridge)
        from_boxes = {name: there + path for name, path in service.paths.items()}
    service.show_boxes(from_boxes)
    if service.is_for_boxes:
        endpoints = {**endpoints, **{f"{name}_from_boxes": url for name, url in from_boxes.items()}}
    return endpoints


async def _listen(stack: contextlib.AsyncExitStack, service: Service, host: str) -> str:
    if service.asgi is not None:
        return await listen_asgi(stack, service.asgi, host)
    if service.wsgi is None:
        raise OSError("nothing to serve")
    return listen_wsgi(stack, service.wsgi, host)


def _tick(state: CloudState) -> None:
    with state.turn():
        return


def _is_wanted(owner: psutil.Process | None) -> bool:
    """Return whether whom this serves still runs; a process id that was used again does not count."""
    try:
        return owner is None or (owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _owner(pid: int | None) -> psutil.Process | None:
    try:
        return None if pid is None else psutil.Process(pid)
    except psutil.NoSuchProcess as err:
        raise UsageError(f"rehearse: no process {pid}", resolution="name one that runs") from err


if __name__ == "__main__":
    sys.exit(main())
