"""``make terminate RUN=… ENV=…``: terminate a run by its mark, with nothing but the key of its cloud.

It needs no Terraform, no run folder and no run file, and imports no more of the runner than the cloud's client. Its
exit status is 0 only if something of the run was seen in this account and is gone by the account's own listing. 3 means
that something may be left: it is still there, a part of the account could not be read, or nothing of the run was seen
at all, which another account's key would show as well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from runner.cli.printed import Printed
from runner.cloud_api.labels import RUN_ID, resource_name
from runner.clouds.registry import CLOUDS, find_cloud, open_cloud
from runner.errors import EXIT_DONE, RunnerError, TeardownError, UsageError
from runner.safety.patience import patience_of
from runner.safety.terminate import Terminated, terminate_run
from runner.world import RealWorld, World


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Terminate one run on one cloud and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m runner.cli.terminate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", help="run id")
    parser.add_argument("--env", help=f"cloud: {', '.join(CLOUDS)}")
    arguments = parser.parse_args(argv)
    with Printed().guarded():  # a terminal that was closed keeps no machine
        return _said(arguments.run, arguments.env, world or RealWorld())


def _said(run_id: str | None, env: str | None, world: World) -> int:
    """Terminate, and turn whatever is raised into words and an exit status."""
    try:
        return terminate(run_id, env, world)
    except RunnerError as err:
        print(f"error: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        return err.exit_code
    except KeyboardInterrupt:
        print(f"error: terminate: interrupted; {run_id} may go on billing\nhint:  run it again", file=sys.stderr)
        return TeardownError.exit_code
    except Exception as err:  # noqa: BLE001 - whatever it is, a machine may be left
        print(
            f"error: terminate: {type(err).__name__}: {err}\n"
            f"hint:  look for {run_id} in the console of {env} and terminate it there",
            file=sys.stderr,
        )
        return TeardownError.exit_code


def terminate(run_id: str | None, env: str | None, world: World) -> int:
    """Terminate everything that carries a run's mark on one cloud.

    Args:
        run_id: The run.
        env: The cloud.
        world: Time, chance and surroundings, with the cloud's key among its variables.

    Raises:
        UsageError: If there is no such cloud, or this is no run id.
        TeardownError: If something may be left.
    """
    if run_id is None or not RUN_ID.match(run_id):
        raise UsageError(
            f"terminate: RUN is {run_id or 'not given'}, not a run id",
            resolution="`make runs` and `make sweep` show them",
        )
    if env is None:
        raise UsageError("terminate: ENV is not given", resolution=f"choose one: ENV={'|'.join(CLOUDS)}")
    record = find_cloud(env)
    try:
        cloud = open_cloud(env, world)
        label = cloud.account().label
        print(f"account      {label} on {env}")
        patience = patience_of(world.environ)
        seen = terminate_run(cloud, run_id, outcome_unknown=True, wait=world.sleep, patience=patience)
    except RunnerError as err:
        raise TeardownError(
            f"terminate: cannot check what is left of {run_id} on {env}: {err.message}",
            details=err.details,
            resolution=err.resolution,
        ) from err
    for found in seen.ended:
        print(f"{'terminated':12} {found.kind} {found.id}")
    _insist(seen, run_id, f"{env}'s account {label}", record.account_words)
    print(f"nothing of {run_id} is left on {env}, by its own listing")
    return EXIT_DONE


def _insist(seen: Terminated, run_id: str, account: str, key: str) -> None:
    """Refuse to say that nothing is left where that was not seen."""
    console = f"look for {resource_name(run_id)} in the cloud's console"
    problems = seen.problems(account)
    if problems:
        raise TeardownError(
            f"terminate: {problems[0]}", details="\n".join(problems), resolution=f"run it again, or {console}"
        )
    if not seen.ended:
        raise TeardownError(
            f"terminate: {account} shows nothing of {run_id}, for {seen.looked_for_s:.0f} s",
            resolution=f"if it was rented with another account, set {key} of that one; else nothing is left",
        )


if __name__ == "__main__":
    sys.exit(main())
