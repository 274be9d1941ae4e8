"""Work shared out among processes of this machine, its results in the order of the work.

Each process is a Python of its own (``spawn``): a fork of a process with threads may hang. It has the one end of a
pipe; when this process is gone, however it ended, the pipe is closed and the others end as well.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from trainer.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")
MOST_PROCESSES = 8
"""Each holds a tokenizer and a block of samples, some 120 MB; together they stay under 1 GiB."""
ENDING_S = 10.0


def processes_here() -> int:
    """Return how many processes may compute at the same time on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, processes: int) -> Iterator[Result]:
    """Yield ``work(item)`` for each item, in the order of the items, which are read only as they are needed.

    Args:
        work: What to do; it goes to each process once, so it can be pickled.
        items: What to do it with; they can be pickled as well, and so can the results.
        processes: How many processes to start; with one the work is done in this process.

    Raises:
        WorkerError: If a process was killed.
    """
    if processes == 1:
        yield from map(work, items)
        return
    with _started(work, processes) as pipes:
        yield from _shared_out(items, pipes)


def _shared_out(items: Iterable[Any], pipes: list[Connection]) -> Iterator[Any]:
    numbered = enumerate(items)
    idle, busy = list(pipes), dict[Any, int]()
    done: dict[int, Any] = {}
    turn = 0
    while True:
        while idle and len(busy) + len(done) < 3 * len(pipes):  # what is done and not yet wanted takes memory
            item = next(numbered, None)
            if item is None:
                break
            busy[idle[-1]] = item[0]
            _send(idle.pop(), item[1])
        if not busy and turn not in done:
            return
        for pipe in wait(list(busy), timeout=0 if turn in done else None):
            done[busy.pop(pipe)] = _received(pipe)  # type: ignore[arg-type]
            idle.append(pipe)  # type: ignore[arg-type]
        if turn in done:
            yield done.pop(turn)
            turn += 1


@contextmanager
def _started(work: Callable[[Any], Any], processes: int) -> Iterator[list[Connection]]:
    """Start the processes and end them, whatever happens."""
    spawn = multiprocessing.get_context("spawn")
    started: list[tuple[BaseProcess, Connection]] = []
    packed = pickle.dumps(work)
    try:
        for _ in range(processes):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            started.append((process, ours))
        for _, pipe in started:  # all start at the same time, and only then take what may not fit into a pipe
            with suppress(OSError):
                pipe.send_bytes(packed)
        yield [pipe for _, pipe in started]
    finally:
        for ended, pipe in started:
            pipe.close()
            ended.terminate()
        for ended, _ in started:
            ended.join(ENDING_S)


def _send(pipe: Connection, item: object) -> None:
    with suppress(OSError):  # a process that is gone shows when its answer is read
        pipe.send(item)


def _received(pipe: Connection) -> Any:
    try:
        result, trouble = pipe.recv()
    except (EOFError, OSError) as err:
        raise WorkerError(
            "data: a process that reads samples was killed",
            resolution="see whether this machine has enough memory (`free -m`), then run the command again",
        ) from err
    if trouble is not None:
        raise RuntimeError(f"in a process that reads samples:\n{trouble}")
    return result


def serve(pipe: Connection) -> None:
    """Do the work that comes through the pipe, until it is closed: the life of each process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes; the first one decides
    try:
        work = pickle.loads(pipe.recv_bytes())  # noqa: S301 - from the process that started this one
        while True:
            pipe.send(_outcome(work, pipe.recv()))
    except (EOFError, OSError):
        return


def _outcome(work: Callable[[Any], Any], item: object) -> tuple[Any, str | None]:
    try:
        return work(item), None
    except Exception:  # noqa: BLE001 - it is raised again where the result is wanted
        return None, traceback.format_exc()
