"""``python -m infra.new_cloud acme``: write the skeleton of a cloud, and list what is to be written in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infra.new_cloud.pieces import Piece, unfinished
from infra.new_cloud.skeleton import write_skeleton
from runner.adapters import process
from runner.errors import RunnerError, ToolError

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0
GUIDE = "docs/add-a-cloud.md"


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Return 0 when the skeleton is written, or with ``--check`` when nothing is left to write."""
    parser = argparse.ArgumentParser(prog="make new-cloud")
    parser.add_argument("name", nargs="?", default="", help="name of the cloud, as in ENV=acme")
    parser.add_argument("--check", action="store_true", help="write nothing, list what is missing")
    given = parser.parse_args(words)
    try:
        if not given.check:
            files = write_skeleton(root, given.name)
            _tidy(root, files)
            print(f"wrote {len(files)} files for {given.name}")
    except RunnerError as err:
        print(f"error: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        return err.exit_code
    left = unfinished(root, given.name)
    print(listing(left))
    if given.check:
        return 1 if left else 0
    print(f"\nnext: {GUIDE} explains each; make new-cloud NAME={given.name} CHECK=1 lists what is left")
    return 0


def listing(pieces: Sequence[Piece]) -> str:
    """Return the pieces for people, file by file."""
    if not pieces:
        return "nothing is missing"
    lines = [f"{len(pieces)} pieces to write:"]
    for path in dict.fromkeys(piece.path for piece in pieces):
        lines.append(f"  {path}")
        lines += [f"    {piece.name}: {piece.how}" for piece in pieces if piece.path == path]
    return "\n".join(lines)


def _tidy(root: Path, files: Sequence[Path]) -> None:
    """Format the Python code: a name longer or shorter than acme moves line breaks and the order of imports.

    Raises:
        ToolError: If ruff does not take it.
    """
    names = [str(path) for path in files if path.suffix == ".py"]
    for words in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        done = process.run([sys.executable, "-m", "ruff", *words, *names], timeout_s=TIMEOUT_S, cwd=root)
        if done.exit_code != 0:
            raise ToolError(
                "new-cloud: ruff does not take what was written",
                details=done.stdout + done.stderr,
                resolution="run `make setup`, then `make format`",
            )


if __name__ == "__main__":
    sys.exit(main())
