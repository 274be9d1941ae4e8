"""The verbs of the command line: name, help, arguments, and the function that each one calls.

Imports nothing heavy, so that help comes at once; ``actions`` imports the functions when one of them is called for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.cli.session import Session

PROJECT = Path(__file__).resolve().parent.parent.parent
DEFAULT_CONFIG = PROJECT / "examples" / "quickstart.yml"
Action = Callable[["Session"], int]
Arguments = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        name: The word of the command line.
        text: What it does, for the help.
        arguments: What adds its arguments, in the order of its help.
    """

    name: str
    text: str
    arguments: tuple[Arguments, ...] = ()

    def add_to(self, verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the verb's parser."""
        parser = verbs.add_parser(self.name, help=self.text, description=self.text[:1].upper() + self.text[1:] + ".")
        parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="folder of the run folders (runs)")
        for add in self.arguments:
            add(parser)


def _machine(verb: argparse.ArgumentParser) -> None:
    from runner.clouds.environments import ENVIRONMENTS

    *others, last = ENVIRONMENTS
    verb.add_argument("--env", help=f"environment: {', '.join(others)} or {last}")
    verb.add_argument("--host", help="machine of --env existing, as user@address[:port] or a name of ~/.ssh/config")
    verb.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change the run file; may be repeated"
    )


def _config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="run file (examples/quickstart.yml)")
    verb.add_argument("--data", type=Path, help="folder with train.jsonl and eval.jsonl, in place of the run file's")
    _machine(verb)


def _run(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--run", help="run id (the latest)")


def _close(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--close", action="store_true", help="take it upon yourself that nothing is left, where no account can show it"
    )


def _detach(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--detach", action="store_true", help="leave once training runs")


def _yes(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--yes", action="store_true", help="rent without asking first")


def _json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="print JSON")


def _bill(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--bill", action="store_true", help="ask the clouds what they bill; some take a cent for it")


def _direction(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("direction", choices=["push", "pull"])


def _sweep(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--apply", action="store_true", help="terminate what no run is using")
    verb.add_argument("--all", action="store_true", help="count as not needed whatever there is, living runs as well")


def _budget(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--budget", type=float, help="US dollars: how many runs they pay for")


def _prices(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--env", help="this cloud alone")
    verb.add_argument("--gpuhunt", action="store_true", help="from gpuhunt's catalogue, where it is installed")


def _markdown(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--markdown", action="store_true", help="print it as a page for people")


def _rehearse(verb: argparse.ArgumentParser) -> None:
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
    verb.add_argument("--hub", type=Path, default=None, help="folder of models and data sets for an emulated Hub")
    verb.add_argument("--store", default=None, help="an emulated store: amazon, strict, gateway, local or webdav")
    verb.add_argument("--folder", type=Path, default=Path("rehearsals"), help="folder for all rehearsals (rehearsals)")
    verb.add_argument("--json", action="store_true", help="print the verdict as JSON")


VERBS = (
    Verb("train", "run everything from plan to report, always ending with destroy", (_config, _detach, _yes)),
    Verb("plan", "check everything that can be known before; installs and rents nothing", (_config, _json)),
    Verb("up", "plan and provision a new run, and leave the machine up", (_config, _yes)),
    Verb(
        "rebuild",
        "build the environment twice on two fresh machines and show that both are the same",
        (_config, _yes),
    ),
    Verb("data-check", "check the data against the base model and show what it holds", (_config,)),
    Verb("configure", "prepare the machine of a run; a second time changes nothing", (_run,)),
    Verb("launch", "stage and start training, then leave", (_run,)),
    Verb("collect", "bring home what there is by now", (_run,)),
    Verb("down", "stop training with a checkpoint, bring it home, destroy", (_run, _close)),
    Verb("resume", "continue a run from where it is", (_run, _machine, _detach, _yes)),
    Verb("status", "show the state of a run and what is billing", (_run, _json)),
    Verb("watch", "follow the run; take it over if its runner is gone", (_run,)),
    Verb("ssh", "log in to the machine of a run", (_run,)),
    Verb("tensorboard", "show the TensorBoard of a run's machine here", (_run,)),
    Verb("logs", "the trainer's and the steps' own words", (_run,)),
    Verb("report", "write the report again and say where it is", (_run,)),
    Verb(
        "sync",
        "bring a run's checkpoints to its store or from it: its machine's, or those here if it has none",
        (_run, _direction),
    ),
    Verb("notify-test", "send a notice to everybody who gets them, and say where it arrived", (_config, _run)),
    Verb("runs", "all runs in a table", (_json,)),
    Verb("costs", "what was estimated of each finished run beside what it took and cost", (_bill, _json)),
    Verb("sweep", "all Douse resources on all configured clouds", (_sweep,)),
    Verb("compare", "every platform side by side for this run, cheapest first", (_config, _budget, _json)),
    Verb("prices", "rewrite the price lists from what the clouds report", (_prices,)),
    Verb("rehearse", "the same run against an emulated cloud, for nothing", (_config, _rehearse)),
    Verb("rehearse-clean", "remove what a killed rehearsal left on this machine"),
    Verb("schema", "the JSON Schema of the run file", (_markdown,)),
)


def actions() -> Mapping[str, Action]:
    """Return the function of each verb; a test checks that none is missing."""
    from runner.cli import account_verbs, verbs

    return {
        "train": verbs.train,
        "plan": verbs.plan,
        "up": verbs.up,
        "rebuild": account_verbs.rebuild,
        "data-check": verbs.data_check,
        "configure": verbs.configure,
        "launch": verbs.launch,
        "collect": verbs.collect,
        "down": verbs.down,
        "resume": verbs.resume,
        "status": verbs.status,
        "watch": verbs.watch,
        "ssh": account_verbs.ssh,
        "tensorboard": account_verbs.tensorboard,
        "logs": verbs.logs,
        "report": verbs.report,
        "sync": verbs.sync,
        "notify-test": verbs.notify_test,
        "runs": verbs.runs,
        "costs": verbs.costs,
        "sweep": account_verbs.sweep,
        "compare": account_verbs.compare,
        "prices": account_verbs.prices,
        "rehearse": account_verbs.rehearse,
        "rehearse-clean": account_verbs.rehearse_clean,
        "schema": verbs.schema,
    }
