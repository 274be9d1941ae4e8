"""How the threads that compute on a CPU wait for one another."""

from __future__ import annotations

import os

SPIN_COUNT = "3000"
"""How often a waiting thread looks again before it sleeps: some 80 µs, where libgomp's own 300,000 last longer than the
slice of time that a scheduler gives to another process. ``docs/benchmarks.md`` has the other numbers tried."""


def let_waiting_threads_sleep() -> None:
    """Have a thread that waits at a barrier sleep after a short while; call it before torch is imported.

    PyTorch's OpenMP (libgomp, on Linux) lets it spin for milliseconds. Beside other work that is time which the thread
    that it waits for would need, and the two starve each other. It is set on every machine: which device computes is
    known only once torch is loaded, and with a GPU these threads have next to nothing to do. What the user's
    environment says about waiting stands; an OpenMP other than libgomp does not know the variable.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
