"""``make simulate-mutants``: whether the simulation bites.

Each file of ``tests/simulation/mutants/`` plants one fault into the code that keeps money safe: a patch with what is
planted and which rule is to find it above. It is applied to a copy of the checkout, and lives are lived there until a
rule breaks: first the one that is recorded, then those of all seeds that may find it.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.simulation.hunt import Record

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).parent / "mutants"
RECORDS = PATCHES / "found.jsonl"
"""The life that found each, a line each; written by ``--write``."""
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
        record: The life that found it; ``None`` where none did.
        why: What was seen; where none was, why a life that broke a rule does not count.
        is_recorded: Whether that life was on record before.
        seeds: How many seeds were drawn at most.
    """

    mutant: Mutant
    lives: int
    record: Record | None
    why: str
    is_recorded: bool
    seeds: int

    def line(self) -> str:
        """Return it as a line of the table."""
        if self.record is None:
            return f"{self.mutant.name:32} {self.seeds:6} {self.lives:5}  not found {self.why}".rstrip()
        found = f"{self.record.rule} ({self.record.cloud}): {self.why}"
        return f"{self.mutant.name:32} {self.record.seed:6} {self.lives:5}  {found}"[:200]


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


def records(path: Path = RECORDS) -> dict[str, Record]:
    """Return the lives that are recorded, by what they found."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    said = [json.loads(line) for line in lines]
    return {str(one["mutant"]): Record.of(one) for one in said}


def write_records(known: Mapping[str, Record], path: Path = RECORDS) -> None:
    """Write the lives that found something, a line each, by what they found."""
    lines = [json.dumps({"mutant": name, **asdict(one)}) + "\n" for name, one in sorted(known.items())]
    path.write_text("".join(lines), encoding="utf-8")


def copy_of_checkout(folder: Path) -> Path:
    """Copy what a life needs of this checkout into a folder, compiled, and return it."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc", ".terraform"))
        else:
            shutil.copy2(source, target)
    (folder / TOOL).parent.mkdir(parents=True)
    shutil.copy2(ROOT / TOOL, folder / TOOL)
    compileall.compile_dir(str(folder), quiet=1)  # else each hunt begins with that, for it writes nothing
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


def hunt(mutant: Mutant, checkout: Path, seeds: int, most: int = 0, recorded: Record | None = None) -> Hunt:
    """Plant a fault, and live lives until a rule breaks, the seeds are over, or ``most`` lives were lived.

    Raises:
        RuntimeError: If the lives could not be lived.
    """
    words = ["--seeds", str(seeds), "--most", str(most), "--like", mutant.lives]
    with planted(mutant, checkout):
        said = _lived(mutant, checkout, words, recorded)
    found = Hunt(
        mutant,
        said["lives"],
        Record.of(said) if said["rule"] else None,
        said["why"],
        said["is_recorded"],
        seeds,
    )
    if found.record is None or found.is_recorded:
        return found
    for record in (found.record, replace(found.record, is_fair=False)):  # without weather one may break a rule anyway
        without = _lived(mutant, checkout, ["--seeds", "0"], record)
        if not without["rule"]:
            return replace(found, record=record)
    why = f"seed {found.record.seed} breaks a rule without the fault: {without['why']}"
    return replace(found, record=None, why=why)


def _lived(mutant: Mutant, checkout: Path, words: Sequence[str], recorded: Record | None) -> dict[str, Any]:
    """Let lives be lived in a checkout and return what was said of them."""
    before = [] if recorded is None else ["--recorded", json.dumps(asdict(recorded))]
    argv = [sys.executable, "-B", "-m", "tests.simulation.hunt", *words, *before]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=False)
    said = done.stdout.strip().splitlines()[-1:]
    if not said:
        raise RuntimeError(f"{mutant.name}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(said[0]))


def main() -> int:
    """Hunt every mutant; return 1 where one was not found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="these alone, in this order")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds on each cloud, at most ({SEEDS})")
    parser.add_argument("--most", type=int, default=0, help="lives of each mutant, at most (no limit)")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--anew", action="store_true", help="leave the recorded lives aside")
    parser.add_argument("--write", action="store_true", help=f"record what finds them in {RECORDS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    ours = {one.name: one for one in mutants()}
    wanted = [ours[name] for name in arguments.names or ours]
    known = {name: record for name, record in records().items() if name in ours}
    hunts = []
    for one in hunted(wanted, {} if arguments.anew else known, arguments):
        print(one.line(), flush=True)
        hunts.append(one)
        if arguments.write and one.record is not None:
            known[one.mutant.name] = one.record
            write_records(known)
    lost = [one.mutant.name for one in hunts if one.record is None]
    print(f"{len(hunts) - len(lost)} of {len(hunts)} mutants found; not found: {', '.join(lost) or 'none'}")
    return 1 if lost else 0


def hunted(wanted: Sequence[Mutant], known: Mapping[str, Record], arguments: argparse.Namespace) -> Iterator[Hunt]:
    """Hunt some mutants, several at a time, and yield each as it is done."""
    checkouts: SimpleQueue[Path] = SimpleQueue()

    def one(mutant: Mutant) -> Hunt:
        checkout = checkouts.get()
        try:
            return hunt(mutant, checkout, arguments.seeds, arguments.most, known.get(mutant.name))
        finally:
            checkouts.put(checkout)

    with tempfile.TemporaryDirectory(prefix="douse-mutants-") as folder:
        for number in range(arguments.processes):
            checkouts.put(copy_of_checkout(Path(folder, str(number))))
        with ThreadPoolExecutor(arguments.processes) as pool:
            for done in as_completed([pool.submit(one, mutant) for mutant in wanted]):
                yield done.result()


if __name__ == "__main__":
    sys.exit(main())
