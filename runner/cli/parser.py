"""The command line: verbs, and the only place that prints errors and picks the exit status."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.errors import RunnerError
    from runner.world import World
    from trainer.errors import TrainerError

PROJECT = Path(__file__).resolve().parent.parent.parent
DEFAULT_CONFIG = PROJECT / "examples" / "quickstart.yml"
EXIT_DEFECT = 1
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one verb in a world, this process's own unless one is given, and return the exit status."""
    arguments = make_parser().parse_args(argv)
    from runner.cli import account_verbs, verbs
    from runner.cli.session import Session
    from runner.errors import RunnerError
    from runner.world import RealWorld
    from trainer.errors import TrainerError

    session = Session(arguments, world or RealWorld())
    try:
        name = arguments.verb.replace("-", "_")
        return int(getattr(verbs if hasattr(verbs, name) else account_verbs, name)(session))
    except (RunnerError, TrainerError) as err:
        print_error(err, session.log)
        return exit_status(err)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_DEFECT
    except Exception as err:  # noqa: BLE001 - the last place that can tell a person anything
        print_defect(err, session.log)
        return EXIT_DEFECT


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; it imports nothing heavy, so that help comes at once."""
    parser = argparse.ArgumentParser(
        prog="python -m runner", description="Train a QLoRA adapter on a machine, bring it home, clean up."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name, text in (
        ("train", "the whole life of a run: plan to report, always ending in destroy"),
        ("plan", "check everything that can be known before; installs and rents nothing"),
        ("up", "plan and provision a new run, and leave the machine up"),
        ("rebuild", "build the environment twice on two fresh machines and show that both are the same"),
        ("data-check", "check the data against the base model and show what it holds"),
    ):
        _add_config(_add_verb(verbs, name, text))
    for name, text in (
        ("configure", "prepare the machine of a run; a second time changes nothing"),
        ("launch", "stage and start training, then leave"),
        ("collect", "bring home what there is by now"),
        ("down", "stop training with a checkpoint, bring it home, destroy"),
        ("resume", "continue a run from where it is"),
        ("status", "how a run stands"),
        ("watch", "look on; drives the run to its end if its runner is gone"),
        ("ssh", "log in to the machine of a run"),
        ("tensorboard", "show the TensorBoard of a run's machine here"),
        ("logs", "the trainer's and the steps' own words"),
        ("report", "write the report again and say where it is"),
        ("sync", "bring a run's checkpoints to its store or from it: its machine's, or those here if it has none"),
    ):
        _add_run(_add_verb(verbs, name, text))
    verbs.choices["sync"].add_argument("direction", choices=["push", "pull"])
    _add_verb(verbs, "runs", "all runs in a table")
    _add_verb(verbs, "costs", "what was estimated of each finished run beside what it took and cost")
    sweep = _add_verb(verbs, "sweep", "everything of Douse's that exists on any configured cloud")
    sweep.add_argument("--apply", action="store_true", help="end what nobody needs any more")
    sweep.add_argument("--all", action="store_true", help="count as not needed whatever there is, living runs as well")
    beside = _add_config(_add_verb(verbs, "compare", "every platform side by side for this run, cheapest first"))
    beside.add_argument("--budget", type=float, help="US dollars: how many runs they pay for")
    beside.add_argument("--json", action="store_true", help="print JSON")
    listing = _add_verb(verbs, "prices", "write the price lists anew from what the clouds tell")
    listing.add_argument("--env", help="this cloud alone")
    listing.add_argument("--gpuhunt", action="store_true", help="from gpuhunt's catalogue, where it is installed")
    _add_rehearse(_add_config(_add_verb(verbs, "rehearse", "the same run against an emulated cloud, for nothing")))
    _add_verb(verbs, "rehearse-clean", "end what a killed rehearsal left on this machine")
    _add_verb(verbs, "schema", "the JSON Schema of the run file")
    _add_options(verbs.choices)
    return parser


def _add_verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
    verb.add_argument("--runs-dir", type=Path, default=Path("runs"), help="folder of the run folders (runs)")
    return verb


def _add_config(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="run file (examples/quickstart.yml)")
    verb.add_argument("--data", type=Path, help="folder with train.jsonl and eval.jsonl, in place of the run file's")
    _add_machine(verb)
    return verb


def _add_rehearse(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--faults", default="", help="what is to go wrong: name[:count], action@step, separated by commas"
    )
    verb.add_argument(
        "--afterwards",
        default="down",
        help="what the user does after a kill of the runner: down, sweep, resume, watch, nothing (down)",
    )
    verb.add_argument(
        "--verb", dest="rehearsed", choices=("train", "rebuild"), default="train", help="what is rehearsed (train)"
    )
    verb.add_argument("--folder", type=Path, default=Path("rehearsals"), help="folder for all rehearsals (rehearsals)")
    verb.add_argument("--json", action="store_true", help="print the verdict as JSON")


def _add_machine(verb: argparse.ArgumentParser) -> None:
    from runner.clouds.environments import ENVIRONMENTS

    *others, last = ENVIRONMENTS
    verb.add_argument("--env", help=f"environment: {', '.join(others)} or {last}")
    verb.add_argument("--host", help="machine of --env existing, as user@address[:port]")
    verb.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change the run file; may be repeated"
    )


def _add_run(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--run", help="run id (the latest)")


def _add_options(verbs: dict[str, argparse.ArgumentParser]) -> None:
    _add_machine(verbs["resume"])
    for name in ("train", "resume"):
        verbs[name].add_argument("--detach", action="store_true", help="leave once training runs")
    for name in ("train", "up", "rebuild"):
        verbs[name].add_argument("--yes", action="store_true", help="rent without asking first")
    verbs["schema"].add_argument("--markdown", action="store_true", help="print it as a page for people")
    for name in ("status", "runs", "costs", "plan"):
        verbs[name].add_argument("--json", action="store_true", help="print JSON")


def print_error(err: RunnerError | TrainerError, log: Path) -> None:
    """Print the three lines, and keep the rest in the log."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"\n{''.join(traceback.format_exception(err))}{err.details or ''}\n")
    except OSError as problem:
        print(f"(the log cannot be written: {problem})", file=sys.stderr)
    sys.stdout.flush()
    print(f"error: {_one_line(err.message)}\nhint:  {_one_line(err.resolution)}\nlog:   {log}", file=sys.stderr)


def print_defect(err: BaseException, log: Path) -> None:
    """Print the three lines for an exception that nobody expected."""
    from runner.errors import RunnerError

    defect = RunnerError(
        f"runner: {type(err).__name__}: {err}", resolution="this is a defect of Douse: report it with the log"
    )
    defect.__cause__ = err
    print_error(defect, log)


def exit_status(err: RunnerError | TrainerError) -> int:
    """Return the exit status for an error; the trainer's own numbers become the runner's."""
    from trainer.errors import EXIT_INTERRUPTED as TRAINER_INTERRUPTED

    return EXIT_INTERRUPTED if err.exit_code == TRAINER_INTERRUPTED else err.exit_code


def _one_line(text: str) -> str:
    return " ".join(text.split())
