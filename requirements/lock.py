"""Renew or check the locks: ``make lock``, and ``make lock-check`` within ``make check``.

dev.lock is resolved first, for every platform at once; the others are held to its versions, so that what is tested
is what is installed. Each lock begins with the fingerprint of what it was made from, so that a forgotten renewal
shows without a network.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.bootstrap import uv_environment

FOLDER = Path(__file__).resolve().parent
MARK = "# made from: sha256:"
CUDA_BUILD = re.compile(r"(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z-]+)==")
"""What comes with a build of torch for CUDA, in its own versions."""


@dataclass(frozen=True)
class Lock:
    """One lock and what it is made from.

    Attributes:
        inputs: Names of the input files, without their ending.
        constrained: Held to the versions in dev.lock.
        cpu_torch: Needs the folder or index with the CPU build of torch; the others must not see it.
        dependencies: Whether what the packages depend on is locked too.
        agrees: Whether its versions have to be those of the other locks; not so for one installed apart from them.
        one_for_all: Whether a package gets one version for all Pythons where one fits them all, so that what is tested
            with the oldest is what the others get; the locks that are held to this one follow.
        own_torch: Has another torch than the others, and with it what comes with a build for CUDA.
    """

    inputs: tuple[str, ...]
    constrained: bool = True
    cpu_torch: bool = False
    dependencies: bool = True
    agrees: bool = True
    one_for_all: bool = False
    own_torch: bool = False


LOCKS: Mapping[str, Lock] = {
    "dev": Lock(
        ("control", "aws", "pages", "notices", "rehearsal", "trainer", "torch-cpu", "dev"),
        constrained=False,
        cpu_torch=True,
        one_for_all=True,
    ),
    "control": Lock(("control",)),
    "aws": Lock(("aws",)),
    "pages": Lock(("pages",)),
    "notices": Lock(("notices",)),
    "rehearsal": Lock(("control", "aws", "pages", "notices", "rehearsal")),
    "trainer-cpu": Lock(("trainer", "torch-cpu"), cpu_torch=True),
    "trainer-cuda": Lock(("trainer", "torch-cuda")),
    "trainer-cuda12": Lock(("trainer", "torch-cuda12"), own_torch=True),
    "build": Lock(("build",)),
    "uv": Lock(("uv",)),
    "models": Lock(("models",), dependencies=False),
    "data": Lock(("data",)),
    "rclone": Lock(("rclone",)),
    "scan": Lock(("scan",), constrained=False, agrees=False),
}


def main() -> int:
    """Renew the locks, or with ``--check`` say what is wrong with them."""
    parser = argparse.ArgumentParser(prog="python -m requirements.lock", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a lock is stale or disagrees")
    if parser.parse_args().check:
        problems = find_problems(FOLDER)
        print("\n".join(problems) or f"{len(LOCKS)} locks are whole, current and agree")
        return 1 if problems else 0
    for name, lock in LOCKS.items():
        renew(name, lock)
        print(f"renewed requirements/{name}.lock")
    return 0


def renew(name: str, lock: Lock) -> None:
    """Resolve one lock anew, for every platform and every Python from 3.11 on."""
    target = FOLDER / f"{name}.lock"
    environment = {**os.environ, **uv_environment(Path(sys.executable))}
    torch = ["--torch-backend", "cpu"] if lock.cpu_torch and not environment.get("UV_FIND_LINKS") else []
    if not lock.cpu_torch:
        environment.pop("UV_FIND_LINKS", None)
    constraints = FOLDER.parent / "build" / "constraints.txt"
    constraints.parent.mkdir(exist_ok=True)
    pins = versions_only((FOLDER / "dev.lock").read_text(), own_torch=lock.own_torch)
    constraints.write_text(pins if lock.constrained else "")
    argv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    argv += ["--python-version", "3.11", "--no-header", "--annotation-style", "line", "--upgrade", *torch]
    argv += ["--fork-strategy", "fewest"] if lock.one_for_all else []
    argv += [] if lock.dependencies else ["--no-deps"]
    argv += ["--constraints", "build/constraints.txt", "--output-file", str(target.relative_to(FOLDER.parent))]
    argv += [f"requirements/{part}.in" for part in lock.inputs]
    subprocess.run(argv, cwd=FOLDER.parent, env=environment, check=True, timeout=600)
    body = target.read_text().replace(", -c build/constraints.txt", "").replace("-c build/constraints.txt, ", "")
    target.write_text(f"# Made by `make lock`; do not edit.\n{MARK}{fingerprint(FOLDER, lock)}\n{body}")


def versions_only(lock_text: str, *, own_torch: bool = False) -> str:
    """Return the pins of a lock without hashes, torch left out: its build differs from lock to lock.

    Args:
        lock_text: The lock.
        own_torch: Whether to leave out what comes with a build of torch for CUDA as well.
    """
    pins = [line.removesuffix(" \\") for line in lock_text.splitlines() if re.match(r"[a-z0-9]", line)]
    differs = CUDA_BUILD if own_torch else re.compile("torch==")
    return "\n".join(pin for pin in pins if not differs.match(pin)) + "\n"


def fingerprint(folder: Path, lock: Lock) -> str:
    """Return the sha256 over the inputs of a lock, comments and blank lines aside."""
    digest = hashlib.sha256()
    for part in lock.inputs:
        for line in (folder / f"{part}.in").read_text().splitlines():
            wanted = line.split("#")[0].strip()
            digest.update(f"{wanted}\n".encode() if wanted else b"")
    return digest.hexdigest()


def find_problems(folder: Path) -> list[str]:
    """Return what is wrong with the locks in ``folder``: stale, without hashes, versions that disagree."""
    problems: list[str] = []
    seen: dict[str, dict[frozenset[str], str]] = {}
    for name, lock in LOCKS.items():
        path = folder / f"{name}.lock"
        if not path.exists():
            problems.append(f"requirements/{name}.lock is missing: run `make lock`")
            continue
        text = path.read_text()
        if f"{MARK}{fingerprint(folder, lock)}\n" not in text:
            problems.append(f"requirements/{name}.lock is older than what it is made from: run `make lock`")
        pins = read_pins(text)
        problems += [f"requirements/{name}.lock: {package} has no hash" for package, _, hashes in pins if not hashes]
        own = {pin[0] for pin in pins if lock.own_torch and CUDA_BUILD.match(f"{pin[0]}==")}
        for package in {pin[0] for pin in pins} - own if lock.agrees else ():
            # One for each Python where a package has let go of the old one.
            versions = frozenset(version.split("+")[0] for named, version, _ in pins if named == package)
            seen.setdefault(package, {}).setdefault(versions, name)
    for package, found in sorted(seen.items()):
        if len(found) > 1:
            where = ", ".join(f"{' and '.join(sorted(versions))} in {name}.lock" for versions, name in found.items())
            problems.append(f"{package} has several versions: {where}")
    return problems


def read_pins(lock_text: str) -> list[tuple[str, str, list[str]]]:
    """Return each pin of a lock: package, version, hashes."""
    joined = lock_text.replace("\\\n", " ")
    pins = []
    for line in joined.splitlines():
        match = re.match(r"([a-z0-9][a-z0-9._-]*)==([^\s;]+)", line)
        if match is not None:
            pins.append((match[1], match[2], re.findall(r"--hash=sha256:[0-9a-f]{64}", line)))
    return pins


if __name__ == "__main__":
    sys.exit(main())
