"""Write down what the environment that runs this holds: ``describe_environment.py UV LOCK TARGET``.

Two environments are the same when their digests are: that of the sorted packages, the Python version and the lock. The
trainer's own wheel is left out, which is installed later and known by its own SHA-256. Prints ``changed`` or
``unchanged``.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

OWN = re.compile(r"douse(==| @ )")


def main() -> int:
    """Write the description unless it stands there already."""
    uv, lock, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    found = describe(freeze(uv), platform.python_version(), hashlib.sha256(lock.read_bytes()).hexdigest())
    text = json.dumps(found, indent=1) + "\n"
    if target.exists() and target.read_text() == text:
        print("unchanged")
        return 0
    draft = target.with_name(f".{target.name}.part")
    draft.write_text(text)
    draft.replace(target)
    print("changed")
    return 0


def freeze(uv: str) -> list[str]:
    """Return the packages installed beside us, as uv lists them."""
    command = [uv, "pip", "freeze", "--python", sys.executable]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout.splitlines()


def describe(packages: list[str], python: str, lock_sha256: str) -> dict[str, Any]:
    """Return the description with its digest.

    Args:
        packages: Lines of ``uv pip freeze``, in any order.
        python: Version of Python.
        lock_sha256: SHA-256 of the lock the packages come from.
    """
    lines = sorted(line.strip() for line in packages if line.strip() and not OWN.match(line))
    whole = "\n".join([f"python {python}", f"lock {lock_sha256}", *lines])
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return {"digest": digest, "python": python, "lock_sha256": lock_sha256, "packages": lines}


if __name__ == "__main__":
    sys.exit(main())
