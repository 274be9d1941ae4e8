"""``make simulate-coverage``: which lines of the code that keeps money safe no simulated life has reached.

Of a cloud's client only what lists and terminates counts; the rest of it is not what a life is there for.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import coverage

from runner.cli.simulate import command
from runner.rehearsal.services import simulated_clouds
from runner.simulation.many import live_some
from runner.simulation.strands import ThreadStrand, quickest

ROOT = Path(__file__).resolve().parents[2]
WHOLE = (
    "runner/safety/*.py",
    "runner/guard/*.py",
    "runner/lifecycle/*.py",
    "runner/lifecycle/steps/*.py",
    "runner/store/*.py",
)
PROVIDER = ("machine.py", "candidates.py", "waiting.py", "rental.py", "ssh_wait.py")
"""What the provider's machine is made of."""
ENDING: Mapping[str, tuple[str, ...]] = {
    "runner/clouds/lambda_cloud/api.py": (
        "listing", "end", "terminate", "delete_key", "delete_file_system", "machines_named", "_our_machines",
        "_our_keys", "_our_volumes", "_is_ending", "_entries", "_delete", "move_lease",
    ),
    "runner/clouds/lambda_cloud/listing.py": (),
    "runner/clouds/runpod/api.py": (
        "listing", "end", "delete_pod", "delete_network_volume", "pods_named", "_our_pods", "_our_volumes", "_entries",
        "_delete",
    ),
    "runner/clouds/runpod/listing.py": (),
    "runner/clouds/aws/api.py": ("listing", "end", "_ec2_in", "_schedules", "_prices_in"),
    "runner/clouds/aws/listing.py": (),
    "runner/clouds/aws/disks.py": (),
}  # fmt: skip
"""Functions of the clouds' clients that list and terminate; all of a module where none is named."""
GIVEN = "a machine that is given, and not rented"
OTHER_STORES = "stores that no machine reaches by itself are not simulated"
PAGES = "pages take their time, and have tests of their own"
DEFECTS = "a defect of Douse: a life that had one would break a rule"
NOT_LIVED: Mapping[str, str] = {
    "runner/lifecycle/steps/plan.py": "planning has a stand-in",
    "runner/lifecycle/rebuild.py": "builds two environments, and compares them",
    "runner/store/given_remote.py": "remotes of rclone's are not simulated",
    "runner/store/one_checkpoint.py": OTHER_STORES,
    "runner/lifecycle/pinning.py": "belongs to planning",
    "runner/lifecycle/extras.py": "installs packages",
    "runner/guard/__main__.py": "the guard's process; a life starts what it calls",
    "runner/guard/link.py": "starts the guard's process",
}
"""Modules of these rooms that no life can reach, and why."""

NOT_CALLED: Mapping[str, Mapping[str, str]] = {
    "runner/lifecycle/steps/destroy.py": dict.fromkeys(
        ("_clear", "_clear_machine", "_end_processes", "processes_of"), GIVEN
    ),
    "runner/lifecycle/terraform_inputs.py": dict.fromkeys(("_given_machine", "check_providers"), GIVEN),
    "runner/lifecycle/drive.py": {
        "build": "a part of `make rebuild`",
        "build_only": "a part of `make rebuild`",
        "_defect": DEFECTS,
    },
    "runner/lifecycle/onward.py": dict.fromkeys(("__init__", "go_on", "_is_over", "look", "_send"), OTHER_STORES),
    "runner/guard/place.py": {"_lives_on": "a process that SIGKILL does not end"},
    "runner/safety/account_sweep.py": {"_ask_all": "several clouds: a life has one"},
    "runner/safety/sweeps_seen.py": {"last_sweep": "asked by planning"},
    "runner/guard/words.py": dict.fromkeys(("__init__", "has_ended", "next", "fileno"), "the real pipe of a guard"),
    "runner/guard/guard.py": {"_is_endpoint_gone": "an emulated cloud on this computer"},
    "runner/guard/notes.py": {"last_finding": "what `make status` shows"},
    "runner/safety/patience.py": {"patience_of": "a variable of rehearsals"},
    "runner/provider/machine.py": dict.fromkeys(
        (
            "validate",
            "takes_community",
            "_check_trust",
            "plan",
            "replaced_by",
            "import_by_id",
            "imported",
            "_is_like",
            "update",
        ),
        "Terraform's validate, plan and import, which has a stand-in",
    ),
    "runner/provider/rental.py": {
        "refused_by_us": "a request that we refuse ourselves",
        "configure": "Terraform's own words to the provider, which has a stand-in",
        "block_attrs": "what Terraform may say there",
    },
    "runner/clouds/lambda_cloud/listing.py": {"_is_as_promised": "machines that somebody renamed"},
}
"""Functions of these rooms that no life can reach, and why."""
BRANCHES: Mapping[str, str] = {
    "not ctx.environment.bills": GIVEN,
    "not ctx.environment.rents_machine": GIVEN,
    "not environment.rents_machine": GIVEN,
    "not ctx.environment.bills and (not isinstance(err, RunnerError))": GIVEN,
    "run_file.run.device == 'cpu' and (not environment.rents_machine)": GIVEN,
    "is_given_remote(ctx.run_file)": OTHER_STORES,
    "is_remote(ctx.run_file) and host.is_this_machine": OTHER_STORES,
    "not is_reached and (not host.is_this_machine)": OTHER_STORES,
    "ca_file is not None": "certificates of a store's own: a life has no TLS",
    "tools_of(ctx.world).has('pages')": PAGES,
    "ctx.run.file('plan.html').exists()": PAGES,
    "self._is_endpoint_gone()": "an emulated cloud on this computer",
    "is_full(size_bytes)": "a machine that sends 64 MiB of events: more than a life may cost",
    "except BaseException": DEFECTS,
}
"""What an ``if`` asks, or an ``except`` catches, behind which no life can come, and why."""


@dataclass(frozen=True)
class Reached:
    """What of a module lives have reached.

    Attributes:
        module: Its path.
        lines: How many of its lines count.
        missing: Those that no life has reached.
    """

    module: str
    lines: int
    missing: tuple[int, ...]

    def line(self) -> str:
        """Return it as a line of the table."""
        share = 100.0 if not self.lines else 100 * (1 - len(self.missing) / self.lines)
        return f"{share:6.1f} %  {self.module:44} {' '.join(spans(self.missing))}"


def modules() -> list[str]:
    """Return the modules that count, by their paths from the checkout on."""
    whole = [path.relative_to(ROOT).as_posix() for pattern in WHOLE for path in ROOT.glob(pattern)]
    provider = [f"runner/provider/{name}" for name in PROVIDER]
    return sorted(name for name in (*whole, *provider, *ENDING) if name not in NOT_LIVED)


def spans(lines: Sequence[int]) -> Iterator[str]:
    """Yield lines as people write them: ``3-5 9``."""
    rest = list(lines)
    while rest:
        first = last = rest.pop(0)
        while rest and rest[0] == last + 1:
            last = rest.pop(0)
        yield str(first) if first == last else f"{first}-{last}"


def counted(module: str, statements: Iterable[int]) -> set[int]:
    """Return those of a module's statements that count: those in its functions, but for protocols."""
    names, others = ENDING.get(module, ()), NOT_CALLED.get(module, {})
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (not names or node.name in names):
            inside |= set(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1))
    for node in ast.walk(tree):
        is_protocol = isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
        if is_protocol or (isinstance(node, ast.FunctionDef) and node.name in others):
            inside -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif condition(node) in BRANCHES or _never_happens(node):
            first, last = (
                (node.body[0], node.body[-1]) if isinstance(node, ast.If | ast.ExceptHandler) else (node, node)
            )
            inside -= set(range(first.lineno, (last.end_lineno or last.lineno) + 1))
    return inside & set(statements)


def condition(node: ast.AST) -> str | None:
    """Return what has to hold for the body of an ``if`` or an ``except``; ``None`` for what is neither."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test)
    return f"except {ast.unparse(node.type)}" if isinstance(node, ast.ExceptHandler) and node.type is not None else None


def _never_happens(node: ast.AST) -> bool:
    """Return whether a line says itself that nothing comes there, as what follows a loop without an end."""
    return isinstance(node, ast.Raise) and node.exc is not None and "AssertionError" in ast.unparse(node.exc)


def live_watched(seeds: range, cloud: str, data: str) -> str:
    """Live some lives with every line noted, in a file; return what they came to, and which broke a rule."""
    tasks_are = "thread" if quickest() is ThreadStrand else "greenlet"
    include = [str(ROOT / module) for module in modules()]
    watched = coverage.Coverage(data_file=data, include=include, concurrency=tasks_are)
    watched.start()
    begun_s = time.monotonic()
    tally = live_some(seeds, cloud, command)
    watched.stop()
    watched.save()
    words = tally.words(cloud, time.monotonic() - begun_s)
    return f"{words}{''.join(f'; seed {seed}: {rules[0]}' for seed, rules in sorted(tally.broken.items()))}"


def reached(seeds: range, clouds: Sequence[str]) -> list[Reached]:
    """Live the seeds on each cloud, in a process for each, and return what of every module was reached."""
    with tempfile.TemporaryDirectory(prefix="douse-reached-") as folder:
        files = {cloud: str(Path(folder, cloud)) for cloud in clouds}
        with ProcessPoolExecutor(len(clouds), mp_context=get_context("spawn")) as pool:
            for done in [pool.submit(live_watched, seeds, cloud, data) for cloud, data in files.items()]:
                print(done.result(), flush=True)
        whole = coverage.Coverage(data_file=str(Path(folder, "all")))
        whole.combine(list(files.values()), keep=True)
        found = []
        for module in modules():
            _, statements, _, missing, _ = whole.analysis2(str(ROOT / module))
            wanted = counted(module, statements)
            found.append(Reached(module, len(wanted), tuple(sorted(wanted & set(missing)))))
        return found


def main() -> int:
    """Show what lives have reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=500, help="how many, each on every cloud (500)")
    arguments = parser.parse_args()
    found = reached(range(arguments.seeds), simulated_clouds())
    print("\n".join(one.line() for one in found))
    lines, missing = sum(one.lines for one in found), sum(len(one.missing) for one in found)
    print(f"{100 * (1 - missing / lines):6.1f} %  of {lines} lines reached by {arguments.seeds} seeds on each cloud")
    return 0


if __name__ == "__main__":
    sys.exit(main())
