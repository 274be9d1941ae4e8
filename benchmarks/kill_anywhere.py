"""Kills a whole run at random moments, then does what a user would, and looks whether anything bills unsaid.

Run it with ``python -m benchmarks.kill_anywhere --seed S --tries N ENV=lambda`` (or ``runpod``, ``aws``). Each try has
emulated clouds with real machines of its own, which outlive the runner. The same seed makes the same choices; how long
a run lives, and so when a blow falls, is learnt from a clean run first. It needs what a rehearsal with real boxes does.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.killing import LEASE_S, Blow, Found, Job, Life, Try
from benchmarks.rehearsed import NO_GPU, STAND_IN, need_boxes, write_stand_in_run_file
from benchmarks.results import PROJECT, table
from runner.clouds.registry import CLOUDS
from runner.emulation.cache import warm_cache
from trainer.files import write_json

STRIKES = (
    *(("everything", signal.SIGKILL),) * 4,
    *(("runner", signal.SIGKILL),) * 2,
    *(("terraform", signal.SIGKILL),) * 2,
    ("ansible", signal.SIGKILL),
    ("runner", signal.SIGTERM),
    ("runner", signal.SIGHUP),
)
AFTERWARDS = ("down", "down", "resume", "resume", "sweep", "terminate", "terminate", "nothing")
SMALLEST = (
    "training.max_steps=2",
    "evaluation.eval_steps=2",
    "evaluation.max_eval_samples=2",
    "evaluation.generation_samples=1",
    "evaluation.max_new_tokens=4",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Try, print a line for each try and a table; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill_anywhere", description=main.__doc__)
    parser.add_argument("cloud", type=_cloud, metavar="ENV=cloud", help=f"one of {', '.join(CLOUDS)}")
    parser.add_argument("--seed", type=int, default=1, help="of all choices (1)")
    parser.add_argument("--tries", type=int, default=30, help="how many (30)")
    parser.add_argument("--stand-in", action="store_true", help="a trainer that only counts; roles up to the lease")
    parser.add_argument("--folder", type=Path, help="keep everything of every try there")
    parser.add_argument("--json", type=Path, help="file to write the tries to")
    arguments = parser.parse_args(argv)
    need_boxes()
    warm_cache()
    with tempfile.TemporaryDirectory(prefix="douse-kill-") as scratch:
        folder = (arguments.folder or Path(scratch)).resolve()
        job = make_job(arguments.cloud, folder, is_stand_in=arguments.stand_in)
        found = kill_all(job, choose(arguments.seed, arguments.tries), folder, is_kept=arguments.folder is not None)
    print(show(found), flush=True)
    if arguments.json:
        rows = [{**asdict(one), "outcome": one.outcome} for one in found]
        write_json(arguments.json, rows)
    return int(any(one.broken for one in found))


def choose(seed: int, tries: int) -> list[Blow]:
    """Return the blows of a seed: moments spread evenly over the life, each kind of blow and of user in turn."""
    chance = random.Random(seed)
    moments = [(number + chance.random()) / tries for number in range(tries)]
    strikes = [STRIKES[number % len(STRIKES)] for number in range(tries)]
    users = [AFTERWARDS[number % len(AFTERWARDS)] for number in range(tries)]
    chance.shuffle(moments)
    chance.shuffle(strikes)
    chance.shuffle(users)
    return [Blow(*strike, at, user) for strike, at, user in zip(strikes, moments, users, strict=True)]


def make_job(cloud: str, folder: Path, *, is_stand_in: bool) -> Job:
    """Return the smallest whole run, with the real trainer or with one that only counts."""
    settings = [*NO_GPU, f"budget.lease_minutes={LEASE_S / 60}"]
    config, program, variables = PROJECT / "examples" / "quickstart.yml", "runner", {}
    if is_stand_in:
        config, program = write_stand_in_run_file(folder), STAND_IN
        variables = {"DOUSE_LAB_ROLES": "base_system,lease"}
        settings.append("publishing.tags=[steps=2, step_s=1]")
    else:
        settings += SMALLEST
    words = ["--config", str(config), "--env", cloud, "--yes"]
    return Job(cloud, program, [*words, *(word for one in settings for word in ("--set", one))], variables)


def kill_all(job: Job, blows: Sequence[Blow], folder: Path, *, is_kept: bool) -> list[Found]:
    """Learn the life of the run from a clean one, then kill it once for each blow."""
    begun = time.monotonic()
    life: Life = Try(job, folder / "clean").clean()
    print(f"a clean run on {job.cloud} lives for {life.length_s:.1f} s", flush=True)
    found = []
    for number, blow in enumerate(blows, 1):
        place = folder / f"try-{number}"
        found.append(Try(job, place).strike(blow, life.moment(blow)))
        if found[-1].struck_s is None:
            life = life.within(min(life.length_s, found[-1].lived_s))
        print(f"{number}/{len(blows)} after {time.monotonic() - begun:.0f} s: {line(found[-1])}", flush=True)
        if not (is_kept or found[-1].broken):
            shutil.rmtree(place, ignore_errors=True)
    return found


def line(one: Found) -> str:
    """Return a try in a line."""
    struck = "ended before" if one.struck_s is None else f"{one.struck_s:.1f} s, {one.step or 'no run yet'}"
    statuses = ", ".join(f"{verb} {status}" for verb, status in one.statuses)
    went = f"{one.outcome} ({'; '.join(one.broken)})" if one.broken else one.outcome
    return f"{one.blow.signal.name} to {one.blow.target} ({struck}), {one.blow.afterwards}: {statuses}: {went}"


def show(found: Sequence[Found]) -> str:
    """Return the table: what was hit, what the user did, how it went."""
    outcomes = ("held", "held, by the user", "status 3", "BROKEN")
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        for name in (f"{one.blow.signal.name} to {one.blow.target}", f"then {one.blow.afterwards}", "whole"):
            groups[name][one.outcome] += 1
    rows = [[name, went.total(), *(went[word] for word in outcomes)] for name, went in sorted(groups.items())]
    return table(["", "tries", *outcomes], rows)


def _cloud(text: str) -> str:
    name = text.removeprefix("ENV=")
    if name not in CLOUDS:
        raise argparse.ArgumentTypeError(f"{text}: write ENV= and one of {', '.join(CLOUDS)}")
    return name


if __name__ == "__main__":
    raise SystemExit(main())
