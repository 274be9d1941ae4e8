"""``python -m runner.adapters.notices``: send one notice to everybody it is for, and say for each what became of it.

A process of its own: what hangs in it delays nobody, apprise takes no memory of a runner, and it outlives a runner that
has ended by a few seconds at most.
"""

from __future__ import annotations

import sys

from runner.adapters.notices.delivery import deliver
from runner.adapters.notices.order import line_of, read_order
from runner.world import RealWorld


def main() -> int:
    """Send the notice of this process's order."""
    world = RealWorld()
    deliver(read_order(world.environ), world, lambda found: print(line_of(found), flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
