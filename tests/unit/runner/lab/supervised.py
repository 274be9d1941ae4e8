"""The product's supervisor over the stand-in for the trainer: what a box with ``DOUSE_LAB_SUPERVISOR`` starts.

``python3 supervised.py INTERPRETER -m trainer supervise …``, beside the product's ``trainer`` and the packages that its
supervisor needs. INTERPRETER runs the stand-in, and this file again for the supervisor's own verbs.
"""

from __future__ import annotations

import sys
from pathlib import Path

STALL_S = 6.0
"""In place of ten minutes and of half an hour, which a rehearsal would wait for."""


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parent))
    sys.executable = sys.argv[1]
    from trainer.__main__ import main as trainer
    from trainer.supervisor import stall

    stall.FLOOR_S = stall.FIRST_S = STALL_S
    return trainer(sys.argv[4:])


if __name__ == "__main__":
    sys.exit(main())
