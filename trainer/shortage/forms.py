"""The forms in which a lack of memory shows: exceptions, a program's last words, a kill by the kernel."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

WORDS = re.compile(
    r"out of memory"  # PyTorch, CUDA, HIP, MPS, Triton, and bitsandbytes before it ends the process
    r"|cudaErrorMemoryAllocation"
    r"|CU(BLAS|DNN|SPARSE|SOLVER)_STATUS_ALLOC_FAILED"
    r"|CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate"  # the handle's own memory could not be had
    r"|(can't|cannot|unable to|failed to) allocate"  # PyTorch's CPU allocator, NumPy, the C library's ENOMEM
    r"|not enough memory"
    r"|std::bad_alloc",
    re.IGNORECASE,
)
"""What the libraries say of it. "Out of resource" is none: a kernel that asks for more of a GPU's registers or shared
memory than it has fails with any number of rows."""
CONTROL_GROUPS = Path("sys/fs/cgroup")
COUNTER = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


Work = Literal["training", "evaluation", "other"]
"""What memory was short for; of loading, export and the data nothing can be made smaller."""


class Shortage(Exception):  # noqa: N818 (what follows from it is decided where the run is known)
    """Memory was short.

    Attributes:
        work: For what.
        message: What was said of it, in one line.
        details: All that was said, or ``None``.
    """

    def __init__(self, work: Work, message: str, details: str | None = None) -> None:
        """Keep the three parts; ``str()`` gives the message alone."""
        super().__init__(message)
        self.work = work
        self.message = message
        self.details = details


@contextmanager
def shortages_of(work: Work) -> Iterator[None]:
    """Turn whatever says in this block that memory is short into a ``Shortage``; the innermost block names the work."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as err:
        if not is_shortage(err):
            raise
        raise Shortage(work, words_of(err), str(err)) from err


def is_shortage(err: BaseException) -> bool:
    """Return whether an exception, or one that it was raised from, says that memory was short."""
    return any(
        isinstance(one, MemoryError)
        or (isinstance(one, OSError) and one.errno == errno.ENOMEM)
        or (isinstance(one, RuntimeError) and WORDS.search(str(one)) is not None)
        for one in _chain(err)
    )


def _chain(err: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = err
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def words_of(err: BaseException) -> str:
    """Return the first line that an exception says of the shortage; Python's own ``MemoryError`` often says nothing."""
    said = [str(one).strip() for one in _chain(err) if WORDS.search(str(one))] or [str(err).strip()]
    return said[0].splitlines()[0] if said[0] else "the machine's memory is full"


def shortage_at_end(code: int, log: str, kills: int) -> str | None:
    """Return how a trainer that left no word of its own was ended by a lack of memory, or ``None`` if it was not.

    Args:
        code: Its exit status; negative for a signal.
        log: What it printed, from its start on.
        kills: How many processes of its control group the kernel has killed for lack of memory since it started.
    """
    if code == -signal.SIGKILL:
        return "the machine's memory is full: the kernel killed the trainer" if kills > 0 else None
    found = [line.strip() for line in log.splitlines() if WORDS.search(line)]
    return found[-1] if code != 0 and found else None


def kernel_kills(root: Path = Path("/")) -> int:
    """Return how many processes of this one's control group the kernel has killed for lack of memory.

    Where no control group counts them, the kernel's count for the whole machine.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    for path in (*_counters(root), root / "proc/vmstat"):
        try:
            found = COUNTER.search(path.read_text(encoding="utf-8"))
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return 0


def _counters(root: Path) -> Iterator[Path]:
    """Yield the files that may count them: version 2 of control groups, then 1; a container sees its own as the top."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    top = root / CONTROL_GROUPS
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from (folder / "memory.events" for folder in (top / group.lstrip("/"), top))
        elif "memory" in controllers.split(","):
            own = top / "memory"
            yield from (folder / "memory.oom_control" for folder in (own / group.lstrip("/"), own))
