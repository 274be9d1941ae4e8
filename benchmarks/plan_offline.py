"""How long a plan takes without a network: ``python -m benchmarks.plan_offline --repeat 5``.

Each try is a process of its own, without a key of any cloud and, where the machine allows it, in a network namespace in
which nothing can be reached, not even this machine. The ratio is to a Python that imports all that a plan does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.results import PROJECT, table
from runner.clouds.registry import CLOUDS, real_variables

ENVIRONMENTS = tuple(CLOUDS)
KEYS = (*real_variables(), "HF_TOKEN")
"""Beginnings of the variables that would have somebody asked."""
TIMEOUT_S = 120


def without_network() -> list[str]:
    """Return what to put before a command so that it reaches nothing; nothing where that needs more rights."""
    command = ["unshare", "--net"]
    if shutil.which(command[0]) is None:
        return []
    tried = subprocess.run([*command, "true"], capture_output=True, timeout=TIMEOUT_S, check=False)
    return command if tried.returncode == 0 else []


def seconds_of(arguments: Sequence[str]) -> float:
    """Return the seconds that a Python takes with these arguments.

    Raises:
        CalledProcessError: If it fails.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(KEYS)}
    started = time.perf_counter()
    subprocess.run(
        [*without_network(), sys.executable, *arguments],
        cwd=PROJECT,
        env=environ,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return time.perf_counter() - started


def measure(repeat: int) -> dict[str, list[float]]:
    """Return the seconds of each try: of the imports alone, of a plan for each environment, and of a comparison."""
    example = str(PROJECT / "examples" / "quickstart.yml")
    with tempfile.TemporaryDirectory(prefix="douse-plan-") as runs:
        where = ["--config", example, "--runs-dir", runs]
        jobs = {"imports": ["-c", "import runner.lifecycle.drive, runner.report.page"]}
        jobs |= {f"plan {name}": ["-m", "runner", "plan", "--env", name, *where] for name in ENVIRONMENTS}
        jobs["compare"] = ["-m", "runner", "compare", *where]
        for arguments in jobs.values():
            seconds_of(arguments)  # warm
        found: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(repeat):
            for name, arguments in jobs.items():
                found[name].append(seconds_of(arguments))
    return found


def show(found: dict[str, list[float]]) -> str:
    """Return medians, slowest tries, and ratios to the imports alone as a table."""
    start = median(found["imports"])
    rows = [
        [name, f"{median(tries):.2f}", f"{max(tries):.2f}", f"{median(tries) / start:.1f}"]
        for name, tries in found.items()
    ]
    return table(["offline, seconds", "median", "slowest", "ratio"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_offline", description=main.__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="tries of each (default: %(default)s)")
    print(show(measure(parser.parse_args(argv).repeat)))


if __name__ == "__main__":
    main()
