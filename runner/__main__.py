"""``python -m runner``."""

from __future__ import annotations

import sys

from runner.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
