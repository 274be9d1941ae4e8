"""One command of the command line: its arguments, what they stand for, and what it says at the end."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.adapters.stop import Stop
from runner.cli.terminal import make_view
from runner.context import Context, open_context
from runner.errors import EXIT_DONE, RunNotFoundError, UsageError
from runner.lifecycle.extras import provide_for
from runner.lifecycle.finish import Outcome
from runner.run.models import Host, View
from runner.run.run_dir import RunDir, find_run, is_named, list_traces
from runner.run.state import RunState
from runner.safety.asked import DAMAGE
from runner.world import World

if TYPE_CHECKING:
    from runner.run.run_file import RunFile


LAST_ERROR = "last-error.log"
"""Where the error of a command goes that is about no run: the newest one alone."""
GO_ON = ("collect", "configure", "launch", "resume", "sync")
"""Verbs that go on with a run, and so may install what it needs; those that end or only show one never install."""


class Session:
    """The arguments of one command, and what they stand for."""

    def __init__(self, arguments: argparse.Namespace, world: World) -> None:
        """Keep the arguments; nothing is read yet."""
        self.arguments, self.world = arguments, world
        self.runs_dir: Path = arguments.runs_dir
        with contextlib.suppress(OSError):  # the folder in which the command is given may be deleted
            self.runs_dir = arguments.runs_dir.resolve()
        self.log = self.runs_dir / LAST_ERROR
        self.driven: RunDir | None = None
        """The run that the command is about, once that is known."""
        self.stop = Stop(world)
        self.view: View = make_view(world.monotonic_s, quiet=getattr(arguments, "json", False))

    def listen(self) -> None:
        """Take over the signals; only verbs that may be stopped in order do."""
        self.stop.listen()

    def run_file(self) -> RunFile:
        """Read the run file with the options of the command line on top."""
        from runner.clouds.own_sections import run_file_class
        from runner.run.run_file import load_run_file

        return load_run_file(
            self.arguments.config,
            overrides=self.arguments.set,
            settings=self.machine_settings() | self._data(),
            model=run_file_class(),
        )

    def machine_settings(self) -> dict[str, Any]:
        """Return the options about the machine, as run file keys."""
        settings: dict[str, Any] = {}
        if self.arguments.env:
            settings["compute.env"] = self.arguments.env
            if self.arguments.env != "existing":
                settings["compute.host"] = None
        if self.arguments.host:
            settings["compute.host"] = self.arguments.host
        return settings

    def _data(self) -> dict[str, Any]:
        folder: Path | None = self.arguments.data
        if folder is None:
            return {}
        if not folder.is_dir():
            raise UsageError(f"data: there is no folder {folder}", resolution="give a folder with train.jsonl: DATA=…")
        folder = folder.resolve()
        evaluation = folder / "eval.jsonl"
        return {
            "data.train_path": str(folder / "train.jsonl"),
            "data.eval_path": str(evaluation) if evaluation.exists() else None,
        }

    def run(self, run_id: str | None = None) -> RunDir:
        """Return the run the command is about, or that of an id; errors go to its own log from here on."""
        return self.take(find_run(self.runs_dir, run_id or self.arguments.run, self.world))

    def traces(self) -> tuple[list[RunDir], dict[str, str]]:
        """Return all runs of which something may be left, and, where their folder cannot be read, its name and why."""
        try:
            return list_traces(self.runs_dir, self.world), {}
        except OSError as err:
            return [], {str(self.runs_dir): str(err)}

    def take(self, run: RunDir, step: str | None = None) -> RunDir:
        """Let the command be about this run; a disk that takes no log keeps nobody from it."""
        self.driven = run
        with contextlib.suppress(OSError):
            self.log = run.log(step or self.arguments.verb)
        return run

    def context(self) -> Context:
        """Return the run the command is about, ready to be driven."""
        ctx = open_context(self._run_to_go_on(), self.view, self.stop, self.world)
        if self.arguments.verb in GO_ON:
            provide_for(ctx.run_file, self.world, self.view.line, is_dry=False)
        return ctx

    def _run_to_go_on(self) -> RunDir:
        """Return the run the command is about; one that has lost its ``config.json`` may have a machine all the same.

        Raises:
            RunNotFoundError: If there is none that a command can go on with.
        """
        try:
            return self.run()
        except RunNotFoundError as err:
            given = self.arguments.run
            left = [run for run in self.traces()[0] if given is None or is_named(given, run)]
            if not left:
                raise
            run = self.take(left[-1])
            raise RunNotFoundError(
                f"run: the folder of run {run.run_id} has lost its config.json: nothing can go on with it",
                resolution=f"end it with `make down RUN={run.run_id}`; what came home is in {run.path}",
            ) from err

    def finish(self, outcome: Outcome) -> int:
        """Say where things are, then let the error through."""
        with contextlib.suppress(*DAMAGE):
            self.log = outcome.run.log(_failed_step(outcome.run))
        say_where(outcome.run, self.view)
        if outcome.error is not None:
            raise outcome.error
        if outcome.running:
            self.view.line(f"training continues; follow it with `make watch RUN={outcome.run.run_id}`")
        return EXIT_DONE


def needed_host(ctx: Context) -> Host:
    """Return the machine of a run.

    Raises:
        UsageError: If it has none.
    """
    host = ctx.host_up()
    if host is None:
        raise UsageError(f"run: {ctx.run.run_id} has no machine", resolution="make a new one with `make up`")
    return host


def say_where(run: RunDir, view: View) -> None:
    """Say how an accepted run came out, and where everything is; the error of a failed one says how it ended."""
    places = {
        "adapter": run.file("adapter"),
        "checksums": run.file("adapter") / "SHA256SUMS",
        "merged": run.file("merged"),
        "report": run.file("report.html"),
        "checkpoints": run.file("checkpoints"),
        "receipt": run.receipt,
    }
    if RunState(run).outcome == "done":
        from runner.report.run.collect import read_run
        from runner.report.run.table import lines

        for line in lines(read_run(run), with_paths=False):
            view.line(line)
    for name, path in places.items():
        if path.exists():
            view.line(f"{name:12} {path}")


def _failed_step(run: RunDir) -> str:
    failed = [name for name, step in RunState(run).steps.items() if step.get("status") in ("failed", "interrupted")]
    return failed[0] if failed else "run"
