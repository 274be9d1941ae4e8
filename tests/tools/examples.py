"""How many examples a property test tries: in CI always the same ones, by hand as many others as wanted."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = "DOUSE_EXAMPLES"
"""Variable that multiplies the examples of each property test, and lets chance choose them."""


def examples(number: int) -> settings:
    """Return what a property test is decorated with.

    Args:
        number: How many examples CI tries. They come from the test's own text: a failure there is one here.
    """
    times = int(os.environ.get(TIMES, "0"))
    return settings(
        max_examples=number * max(1, times),
        derandomize=not times,
        database=None,
        deadline=None,  # nothing rests on how fast a machine is
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
