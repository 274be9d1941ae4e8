"""How the threads that compute on a CPU wait for one another."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

SPIN_COUNT = "3000"
"""How often a waiting thread looks again before it sleeps, where the kernel does not say how long threads wait for a
core: some 80 µs, where libgomp's own 300,000 last longer than the slice of time that a scheduler gives to others."""

LOOK_EVERY_S = 1.0
CROWDED = 0.1
"""Seconds that this process's threads, together, wait for a core in a second: from here on others need the cores as
well. Alone on two cores it was 0.02 at most, beside one neighbour 0.6 and more."""

_TASKS = Path("/proc/self/task")


def yield_to_neighbours() -> None:
    """Have threads that wait at a barrier sleep soon while others need the cores; call it before torch is imported.

    PyTorch's OpenMP (libgomp, on Linux) lets a waiting thread spin for milliseconds. Alone that is the fastest. Beside
    other work it is time which the thread that it waits for would need, and the two starve each other. So a thread of
    this process looks every second whether its threads get the cores they ask for. What the user's environment says
    about waiting stands; an OpenMP other than libgomp is left alone.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    if not (_TASKS / str(os.getpid()) / "schedstat").exists():
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
        return
    threading.Thread(target=watch, args=(time.sleep, time.monotonic), name="neighbours", daemon=True).start()


def watch(wait: Callable[[float], object], monotonic_s: Callable[[], float]) -> None:
    """Look forever, with a wait before each look, and keep a crowd here while others need the cores."""
    crowd: Crowd | None = None
    waited_s, at_s = seconds_without_a_core(), monotonic_s()
    while True:
        wait(LOOK_EVERY_S)
        waited_before_s, waited_s = waited_s, seconds_without_a_core()
        before_s, at_s = at_s, monotonic_s()
        crowded = waited_s - waited_before_s > CROWDED * (at_s - before_s)
        if crowded and crowd is None:
            crowd = Crowd()
        elif not crowded and crowd is not None:
            crowd.leave()
            crowd = None


class Crowd:
    """More OpenMP threads than cores, asleep: then libgomp has every thread that waits sleep at once.

    It looks at the count of its threads at each wait, so this can be changed while it computes, where its variables are
    read once. What is computed stays the same to the last bit: no team gets another number of threads.
    """

    def __init__(self) -> None:
        """Come, if this process has loaded libgomp."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stay, name="crowd", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """End the threads; libgomp lets those of a team go with the thread that asked for it."""
        self._over.set()
        self._thread.join()

    def _stay(self) -> None:
        library = _openmp()
        if library is not None:
            # Each of the team's threads calls this function once; it is in C, so none of them needs Python.
            library.GOMP_parallel(library.omp_get_num_threads, None, (os.cpu_count() or 1) + 1, 0)
        self._over.wait()


def seconds_without_a_core() -> float:
    """Return how long this process's threads have been ready to run without running, all of them together."""
    waited_ns = 0
    for task in _TASKS.iterdir():
        try:
            waited_ns += int((task / "schedstat").read_text(encoding="ascii").split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since
    return waited_ns / 1e9


def _openmp() -> ctypes.CDLL | None:
    """Return the libgomp that this process has loaded."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        path = Path(line.split(maxsplit=5)[-1])
        if path.name.startswith("libgomp"):
            return ctypes.CDLL(str(path))
    return None
