"""The command line: verbs, and the only place that prints errors and picks the exit status."""

from __future__ import annotations

import argparse
import errno
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.verb_table import VERBS, actions

if TYPE_CHECKING:
    from runner.cli.printed import Printed
    from runner.cli.session import Session
    from runner.world import World
    from trainer.errors import ExpectedError

EXIT_DEFECT = 1
EXIT_UNPROVED = 3
EXIT_INTERRUPTED = 130
ABOUT_MONEY = ("down", "sweep", "status")
"""Verbs whose exit status says whether something bills: one that was cut short has proved nothing."""
DRIVING = ("train", "up", "configure", "launch", "collect", "sync", "resume", "watch", "down", "rebuild")
"""Verbs that go on with a run, or end one: what they leave behind is in their exit status."""

OF_A_PATH = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG)
"""What it says of a folder or a file, where it names one; a signal to somebody else's process is refused alike."""


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one verb in a world, this process's own unless one is given, and return the exit status."""
    from runner.cli.printed import Printed

    printed = Printed()
    with printed.guarded():
        return _run_verb(make_parser().parse_args(argv), world, printed)


def _run_verb(arguments: argparse.Namespace, world: World | None, printed: Printed) -> int:
    from runner.cli.session import Session
    from trainer.errors import ExpectedError

    session = Session(arguments, world or _this_process())
    printed.log = lambda: session.log
    try:
        return actions()[arguments.verb](session)
    except ExpectedError as err:
        print_error(err, session.log)
        return _proved(session, exit_status(err), err)
    except KeyboardInterrupt as err:
        if arguments.verb not in ABOUT_MONEY:
            return _proved(session, EXIT_INTERRUPTED, err)
        words = "interrupted before it was seen whether anything bills"
        print(f"error: {arguments.verb}: {words}\nhint:  give the command again", file=sys.stderr)
        return EXIT_UNPROVED
    except Exception as err:  # noqa: BLE001 - the last place that can report anything
        print_unexpected(err, session.log)
        return EXIT_UNPROVED if arguments.verb in ABOUT_MONEY else _proved(session, EXIT_DEFECT, err)


def _proved(session: Session, status: int, err: BaseException) -> int:
    """Return an exit status that promises no more than was shown: 3 where a machine of the run may go on billing."""
    from runner.errors import LeftUpError, NoReceiptError

    run = session.driven
    if run is None or status == EXIT_UNPROVED or session.arguments.verb not in DRIVING:
        return status
    if isinstance(err, (LeftUpError, NoReceiptError)):
        return status
    from runner.cli.unproved import billing_words

    words = billing_words(run)
    for line in words:
        print(f"bills: {line}; terminate it with `make down RUN={run.run_id}`", file=sys.stderr)
    return EXIT_UNPROVED if words else status


def _this_process() -> World:
    """Return this process's own world; what it starts shares its turns at a cloud with it."""
    from runner.cli.own_memory import keep_small
    from runner.cloud_api.pacing import with_shared_turns
    from runner.world import RealWorld
    from trainer.files import cache_folder

    keep_small()
    environ = RealWorld().environ
    return RealWorld(with_shared_turns(environ, cache_folder(environ) / "pace"))


@cache
def make_parser() -> argparse.ArgumentParser:
    """Return the parser; it imports nothing heavy, so that help comes at once."""
    parser = argparse.ArgumentParser(
        prog="python -m runner", description="Train a QLoRA adapter on a machine, bring it home, clean up."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for verb in VERBS:
        verb.add_to(verbs)
    return parser


def print_error(err: ExpectedError, log: Path) -> None:
    """Print error, hint and log, and keep the rest in the log; both hold words of programs and of machines."""
    from runner.cli.session import LAST_ERROR
    from runner.run.host_words import one_line, printable

    mode = "w" if log.name == LAST_ERROR else "a"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open(mode, encoding="utf-8") as file:
            file.write(printable(f"\n{''.join(traceback.format_exception(err))}{err.details or ''}\n"))
    except OSError as problem:
        print(f"(the log cannot be written: {problem})", file=sys.stderr)
    sys.stdout.flush()
    also = [f"       {one_line(line)}" for line in err.lines]
    shown = [f"error: {one_line(err.message)}", *also, f"hint:  {one_line(err.resolution)}", f"log:   {log}"]
    print("\n".join(shown), file=sys.stderr)


def print_unexpected(err: BaseException, log: Path) -> None:
    """Print the three lines for an exception that nobody expected: what the disk refuses is no defect of Douse."""
    from runner.errors import NO_ROOM, RunnerError

    if isinstance(err, OSError) and (err.errno in (*NO_ROOM, errno.EIO) or (err.filename and err.errno in OF_A_PATH)):
        message = f"{err.filename or 'the disk'}: {err.strerror}"
        hint = "make room on the disk, or put right what the path names, then repeat the command"
    else:
        message = f"{type(err).__name__}: {err}"
        hint = "a defect of Douse: see the log, repeat the command"
    shown = RunnerError(f"runner: {message}", resolution=f"{hint}; `make sweep` shows what is rented")
    shown.__cause__ = err
    print_error(shown, log)


def exit_status(err: ExpectedError) -> int:
    """Return the exit status for an error; the trainer's own numbers become the runner's."""
    from trainer.errors import EXIT_INTERRUPTED as TRAINER_INTERRUPTED

    return EXIT_INTERRUPTED if err.exit_code == TRAINER_INTERRUPTED else err.exit_code
