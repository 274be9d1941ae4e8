"""``make simulate``: simulated lives, thousands of runs in virtual time, judged by the clouds' own books.

What lives is the command line itself, so this stands above ``runner/simulation``, which is handed it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.clouds.registry import CLOUDS
from runner.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, RunnerError, UsageError
from runner.rehearsal.services import simulated_clouds

if TYPE_CHECKING:
    from runner.world import World

DEFAULT_LIVES = 200
PROCESSES = 2


def command(argv: Sequence[str], world: World) -> int:
    """Run one command line in a world, as ``python -m runner`` does in its own; ``terminate`` is a program apart."""
    from runner.cli import terminate
    from runner.cli.parser import main as run_verb

    return terminate.main(argv[1:], world) if argv[0] == "terminate" else run_verb(argv, world)


def main(argv: Sequence[str] | None = None) -> int:
    """Live the lives that are asked for and return the exit status: 1 where a rule did not hold."""
    parser = argparse.ArgumentParser(prog="python -m runner.cli.simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=DEFAULT_LIVES, help=f"how many lives ({DEFAULT_LIVES})")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (0)")
    parser.add_argument("--seed", type=int, help="this life alone, with its history")
    parser.add_argument("--report", action="store_true", help="write the page of this life into runs/")
    parser.add_argument("--env", choices=sorted(CLOUDS), default=next(iter(simulated_clouds())), help="cloud")
    arguments = parser.parse_args(argv)
    try:
        _refuse_others(arguments.env)
        if arguments.seed is not None:
            return _one(arguments.seed, arguments.env, is_reported=arguments.report)
        if arguments.report:
            raise UsageError("simulate: a page shows one life, and no seed is given", resolution="add SEED=<number>")
        return _many(arguments)
    except RunnerError as err:
        print(f"error: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        return err.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _refuse_others(env: str) -> None:
    """Refuse a cloud whose root module no simulated Terraform can carry out."""
    known = simulated_clouds()
    if env not in known:
        raise UsageError(
            f"simulate: lives on {env} are not simulated", resolution=" or ".join(f"ENV={name}" for name in known)
        )


def _one(seed: int, env: str, *, is_reported: bool) -> int:
    from runner.run.run_dir import PROJECT
    from runner.simulation.living import live
    from runner.simulation.many import room, told
    from runner.simulation.rules import judge

    with room() as folder:
        life = live(seed, env, folder, command)
    broken = judge(life)
    print("\n".join(told(life, None)))
    for one in broken:
        print(f"BROKEN: {one.rule}: {one.why}")
    if is_reported:
        from runner.simulation.page import write_life_page

        print(f"page         {write_life_page(life, PROJECT / 'runs')}")
    return EXIT_FAILED if broken else EXIT_DONE


def _many(arguments: argparse.Namespace) -> int:
    from runner.simulation.many import live_many, tell

    seeds = range(arguments.first, arguments.first + arguments.seeds)
    tally = live_many(seeds, arguments.env, command, PROCESSES, sys.stderr)
    print(f"history      {tally.digest}")
    for seed, broken in sorted(tally.broken.items()):
        print(f"broken       seed {seed}: {'; '.join(f'{one.rule}: {one.why}' for one in broken)}")
    if not tally.broken:
        return EXIT_DONE
    seed = min(tally.broken)
    print("\n".join(tell(seed, tally.broken[seed][0], arguments.env, command)))
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
