"""``make simulate-mutants``: whether the simulation bites.

Each file of ``tests/simulation/mutants/`` plants one fault into the code that keeps money safe: a patch with what is
planted and which rule is to find it above. It is applied to a copy of the checkout, and lives are lived there until a
rule breaks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).parent / "mutants"
COPIED = ("runner", "trainer", "playbooks", "inventories", "infra", "examples", "requirements", "ansible.cfg")
TOOL = "tests/simulation/hunt.py"
HEADER = ("Planted", "Breaks", "Lives")
SEEDS = 10000
"""So many are drawn for each mutant; those whose acts cannot find it are not lived."""
PROCESSES = 2


@dataclass(frozen=True)
class Mutant:
    """A planted fault.

    Attributes:
        path: Its patch.
        planted: What is planted, a sentence.
        breaks: The rule that is to find it.
        lives: A regular expression for the lives that may find it, by their cloud and their acts: no others are lived.
    """

    path: Path
    planted: str
    breaks: str
    lives: str = "."

    @property
    def name(self) -> str:
        """Its name: that of its file."""
        return self.path.stem


@dataclass(frozen=True)
class Hunt:
    """What became of a mutant.

    Attributes:
        mutant: The mutant.
        lives: Lives until it was found, or in all.
        rule: The rule that found it; empty where none did.
        why: What was seen.
        cloud: The cloud of the life that found it.
        seed: Its seed; where none found it, how many seeds were drawn.
    """

    mutant: Mutant
    lives: int
    rule: str
    why: str
    cloud: str
    seed: int

    def line(self) -> str:
        """Return it as a line of the table."""
        found = f"{self.rule} ({self.cloud}): {self.why}" if self.rule else "not found"
        return f"{self.mutant.name:32} {self.seed:6} {self.lives:5}  {found}"[:200]


def mutants(folder: Path = PATCHES) -> list[Mutant]:
    """Return all mutants, by name.

    Raises:
        ValueError: If a patch does not begin with what is planted and which rule is to find it.
    """
    return [_mutant(path) for path in sorted(folder.glob("*.patch"))]


def _mutant(path: Path) -> Mutant:
    lines = path.read_text(encoding="utf-8").splitlines()
    said = dict(line.split(": ", 1) for line in lines[: len(HEADER)] if ": " in line)
    if tuple(said) != HEADER:
        raise ValueError(f"{path.name} does not say what is planted, which rule it breaks, and in which lives")
    return Mutant(path, *said.values())


def copy_of_checkout(folder: Path) -> Path:
    """Copy what a life needs of this checkout into a folder and return it."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc", ".terraform"))
        else:
            shutil.copy2(source, target)
    (folder / TOOL).parent.mkdir(parents=True)
    shutil.copy2(ROOT / TOOL, folder / TOOL)
    return folder


@contextlib.contextmanager
def planted(mutant: Mutant, checkout: Path) -> Iterator[None]:
    """Plant a fault in a copy of the checkout as long as the block goes on.

    Raises:
        subprocess.CalledProcessError: If the patch does not apply any more.
    """
    apply = ["git", "apply", "--whitespace=nowarn"]
    subprocess.run([*apply, str(mutant.path)], cwd=checkout, check=True, timeout=60)
    try:
        yield
    finally:
        subprocess.run([*apply, "--reverse", str(mutant.path)], cwd=checkout, check=True, timeout=60)


def hunt(mutant: Mutant, checkout: Path, seeds: int, most: int = 0) -> Hunt:
    """Plant a fault, and live lives until a rule breaks, the seeds are over, or ``most`` lives were lived.

    Raises:
        RuntimeError: If the lives could not be lived.
    """
    words = ["-B", "-m", "tests.simulation.hunt", "--seeds", str(seeds), "--most", str(most), "--like", mutant.lives]
    with planted(mutant, checkout):
        done = subprocess.run([sys.executable, *words], cwd=checkout, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()[-1:]
    if not said:
        raise RuntimeError(f"{mutant.name}: {done.stderr.strip()[-2000:]}")
    return Hunt(mutant, **json.loads(said[0]))


def main() -> int:
    """Hunt every mutant; return 1 where one was not found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="these alone, in this order")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds on each cloud, at most ({SEEDS})")
    parser.add_argument("--most", type=int, default=0, help="lives of each mutant, at most (no limit)")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    arguments = parser.parse_args()
    known = {one.name: one for one in mutants()}
    wanted = [known[name] for name in arguments.names or known]
    checkouts: SimpleQueue[Path] = SimpleQueue()

    def hunted(mutant: Mutant) -> Hunt:
        checkout = checkouts.get()
        try:
            found = hunt(mutant, checkout, arguments.seeds, arguments.most)
        finally:
            checkouts.put(checkout)
        print(found.line(), flush=True)
        return found

    with tempfile.TemporaryDirectory(prefix="douse-mutants-") as folder:
        for number in range(arguments.processes):
            checkouts.put(copy_of_checkout(Path(folder, str(number))))
        with ThreadPoolExecutor(arguments.processes) as pool:
            hunts = list(pool.map(hunted, wanted))
    lost = [one.mutant.name for one in hunts if not one.rule]
    print(f"{len(hunts) - len(lost)} of {len(hunts)} mutants found; not found: {', '.join(lost) or 'none'}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
