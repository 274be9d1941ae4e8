"""Print the settings uv needs on this machine, as JSON: ``uv_settings.py environment|torch``.

Runs on the machine beside a copy of the runner's ``bootstrap.py``, which knows pip's settings.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import douse_bootstrap

if __name__ == "__main__":
    if sys.argv[1] == "environment":
        print(json.dumps(douse_bootstrap.uv_environment(Path(sys.executable))))
    else:
        print(json.dumps(douse_bootstrap.torch_arguments(dict(os.environ))))
