"""What a run needs installed on the control side besides what every run needs, before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runner.adapters.notices.sender import has_receivers
from runner.adapters.packages import ExtraError, has, provide
from runner.adapters.rclone import PROGRAM, provide_rclone
from runner.cloud_api.environment import NotThere
from runner.clouds.environments import find_environment
from runner.clouds.registry import CLOUDS, names_account
from runner.run.run_file import RunFile
from runner.store.credentials import is_remote, is_s3
from runner.world import World

S3_EXTRA = "aws"
"""boto3 speaks S3 as well as AWS's other services."""


def provide_for(run_file: RunFile, world: World, say: Callable[[str], None], *, is_dry: bool) -> None:
    """Install what a run needs besides what every run needs, before anything is paid for.

    Verbs that end machines never come here: whatever they need was installed when the run began.

    Args:
        run_file: The run.
        world: Where accounts are named.
        say: Takes a line for each thing that is installed, and for what cannot be and can be done without.
        is_dry: Whether nothing is going to be rented, so that the run can do without all of it.

    Raises:
        ExtraError: If the run cannot do without what cannot be installed.
    """
    needed = set(_needed(run_file))
    for name in sorted(needed | set(_wished(run_file, world))):
        try:
            if name == PROGRAM:
                provide_rclone(world)
            else:
                provide(name, say)
        except ExtraError as err:
            if name in needed and not is_dry:
                raise
            say(f"{err.message}; going on without")


def _needed(run_file: RunFile) -> Iterator[str]:
    """Yield what a run cannot do without: extras, and rclone, which has an environment of its own."""
    record = CLOUDS.get(run_file.compute.env)
    if record is not None and not isinstance(record.extra, NotThere):
        yield record.extra
    if is_s3(run_file):
        yield S3_EXTRA
    if is_remote(run_file):
        yield PROGRAM


def _wished(run_file: RunFile, world: World) -> Iterator[str]:
    """Yield the extras that make a run better: pages, notices, the clients of all accounts that its end looks at."""
    yield "pages"
    if has_receivers(run_file.notices, world):
        yield "notices"
    if find_environment(run_file.compute.env).bills:
        for record in CLOUDS.values():
            if not isinstance(record.extra, NotThere) and not has(record.extra) and names_account(record, world):
                yield record.extra
