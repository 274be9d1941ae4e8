"""What the benchmarks share: training runs in processes of their own that take turns, ratios and tables.

Turns change with every optimizer step, so that whatever else the machine does meets all sides alike. Nothing here
imports torch: on Linux the peak memory of a child starts at what its parent held.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
TURN_TIMEOUT_S = 1200


@dataclass(frozen=True)
class Job:
    """One run to measure.

    Attributes:
        side: ``ours`` or ``plain``.
        recipe: Our recipe as plain data.
        folder: Where it may write.
    """

    side: str
    recipe: dict[str, Any]
    folder: str


@dataclass(frozen=True)
class Measurement:
    """What a run showed, without its first optimizer step.

    Attributes:
        step_tokens: Tokens of the data in each step.
        step_seconds: Wall time of each step.
        positions: Positions computed: tokens and padding.
        cpu_seconds: CPU time of the process in these steps.
        loss: Loss of the last step.
        peak_memory_gib: Most memory held: of the process, on CUDA of the GPU.
    """

    step_tokens: list[int]
    step_seconds: list[float]
    positions: int
    cpu_seconds: float
    loss: float
    peak_memory_gib: float

    @property
    def tokens(self) -> int:
        """Tokens of the data in all steps."""
        return sum(self.step_tokens)

    @property
    def tokens_per_s(self) -> float:
        """Tokens of the data per second; padding does not count."""
        return self.tokens / sum(self.step_seconds)

    @property
    def best_tokens_per_s(self) -> float:
        """Tokens per second of the fastest step: what others do on the machine can only slow a step down."""
        return max(tokens / seconds for tokens, seconds in zip(self.step_tokens, self.step_seconds, strict=True))

    @property
    def positions_per_token(self) -> float:
        """Positions computed for one token of the data."""
        return self.positions / self.tokens


def measure_in_turns(jobs: Sequence[Job]) -> list[Measurement]:
    """Measure each job in a fresh process; they take turns, one optimizer step each.

    Raises:
        SystemExit: If one of them fails, or takes longer than ``TURN_TIMEOUT_S`` for its turn.
    """
    with ExitStack() as stack:
        waiting = [(job, stack.enter_context(_child(job))) for job in jobs]
        while waiting:
            waiting = [(job, process) for job, process in waiting if _take_turn(process)]
    return [_result(Path(job.folder)) for job in jobs]


@contextmanager
def _child(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    folder = Path(job.folder)
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
    argv = [sys.executable, "-m", "benchmarks.measuring", str(folder)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            argv, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _take_turn(process: subprocess.Popen[bytes]) -> bool:
    """Let a child do one step; tells whether it wants another turn."""
    if process.stdin is None or process.stdout is None:
        return False
    with suppress(BrokenPipeError):  # it has ended; what it said before is still to be read
        process.stdin.write(b".")
    ready, _, _ = select.select([process.stdout], [], [], TURN_TIMEOUT_S)
    return bool(ready) and process.stdout.read(1) == b"."


def _result(folder: Path) -> Measurement:
    try:
        return Measurement(**json.loads((folder / "measurement.json").read_bytes()))
    except FileNotFoundError:
        log = (folder / "log").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"error: the run of {folder.name} failed:\n{log[-3000:]}") from None


def ratios(ones: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return the median, lowest and highest ratio of what was measured one after the other."""
    values = [one / other for one, other in zip(ones, others, strict=True)]
    return {"median": median(values), "lowest": min(values), "highest": max(values)}


def to_mapping(found: Measurement) -> dict[str, Any]:
    """Return a measurement as plain data, with what is computed from it."""
    names = ("tokens", "tokens_per_s", "best_tokens_per_s", "positions_per_token")
    return asdict(found) | {name: getattr(found, name) for name in names}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; its numbers stand right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
