"""The watch that a container is started with: it ends a machine that is never set up, and keeps a lease running.

Standard library only, Python 3.8 or newer, and short, because it travels in the request for the machine::

    douse_boot.py FOLDER    FOLDER/settings.json has ttl_s, and api as the role lease has it

The role writes the lease's prefix into FOLDER/lease. Whenever that lease does not run, it is started again. While there
is none, or it does not start, for ttl_s seconds, the cloud is asked to terminate the machine, for ever.
"""

# ruff: noqa: S310 - the addresses are the cloud's
from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

POLL_S = 10.0
TIMEOUT_S = 60
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
PLAIN = re.compile(r"[\w.:/-]+")
"""What a variable may hold: nothing that changes the meaning of a request."""


def main() -> None:
    """Watch for ever."""
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "settings.json").read_text())
    deadline, number = clock() + left_s(folder, settings["ttl_s"]), 0
    while True:
        try:
            if keeps_lease(folder):
                deadline = clock() + settings["ttl_s"]
                note_end(folder, settings["ttl_s"])
            elif clock() >= deadline:
                number += 1
                ask(settings["api"], number)
        except Exception as err:  # noqa: BLE001 - whatever it is, the machine must not bill on for ever
            print(f"boot: {type(err).__name__}: {err}", flush=True)
        time.sleep(POLL_S)


def clock() -> float:
    """Return seconds that no change of the time of day touches."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def left_s(folder: Path, ttl_s: float) -> float:
    """Return the seconds until the first end: a container that is started again gets no new ones."""
    try:
        return min(ttl_s, float((folder / "ends").read_text()) - time.time())
    except (OSError, ValueError):
        note_end(folder, ttl_s)
        return ttl_s


def note_end(folder: Path, ttl_s: float) -> None:
    """Write down when the machine has to be set up, or its lease to run again, for a container started again."""
    with contextlib.suppress(OSError):  # a full disk keeps nobody from watching
        (folder / "ends").write_text(str(time.time() + ttl_s))


def keeps_lease(folder: Path) -> bool:
    """Start the lease unless it runs. Returns whether there is one that runs."""
    try:
        prefix = Path((folder / "lease").read_text().strip())
    except FileNotFoundError:
        return False
    argv = [sys.executable, str(prefix / "lease" / "douse_lease.py"), "ensure", str(prefix)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0 or b"unchanged" not in done.stdout:
        print(f"boot: the lease was not running: {(done.stdout + done.stderr).decode(errors='replace')}", flush=True)
    return done.returncode == 0


def ask(api: dict[str, Any], number: int) -> None:
    """Ask the cloud to terminate this machine; each try another way."""
    wanted = api["requests"][number % len(api["requests"])]
    body = None if wanted.get("body") is None else filled(json.dumps(wanted["body"])).encode()
    request = urllib.request.Request(filled(wanted["url"]), data=body, method=wanted["method"])
    request.add_header("Authorization", "Bearer " + os.environ[api["key_variable"]])
    request.add_header("Content-Type", "application/json")
    print(f"boot: nobody set this machine up; {wanted['method']} {request.full_url}", flush=True)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        print(f"boot: {answer.status}", flush=True)


def filled(text: str) -> str:
    """Return a request's text with the variables' values in it.

    Raises:
        LookupError: If one is missing, or its value would change the meaning of the request.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2] or ""
        if not PLAIN.fullmatch(found):
            raise LookupError(match[1] + " is missing or not plain")
        return found

    return VARIABLE.sub(value, text)


if __name__ == "__main__":
    main()
