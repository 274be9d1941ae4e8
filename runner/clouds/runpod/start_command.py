"""What a pod is started with: the watch that ends one which is never set up, and then the image's own start."""

from __future__ import annotations

import base64
import gzip
import json
from functools import lru_cache

import yaml

from runner.run.run_dir import PROJECT

OWN_START = "/start.sh"
IMAGES = ("runpod/base:", "runpod/pytorch:")
"""Images whose command is ``OWN_START`` (github.com/runpod/containers): a command of ours takes its place."""
FOLDER = "/var/lib/douse-boot"
"""On the pod, as the inventory says to the role of the lease."""
PROGRAM = PROJECT / "playbooks" / "roles" / "lease" / "files" / "douse_boot.py"
ROLES = PROJECT / "inventories" / "runpod" / "group_vars" / "all" / "roles.yml"


def why_no_boot_lease(image: str | None) -> str | None:
    """Return why a pod with an image of the user's has no lease before it is set up, ``None`` where it has one."""
    if image is None or image.startswith(IMAGES):
        return None
    return f"Douse does not know how {image} starts, so it starts nothing before it"


def start_command(ttl_s: int) -> str:
    """Return the command that starts the watch and then the image's own start; base64 needs no quotes.

    Args:
        ttl_s: How long the pod may take until it has its lease, in seconds.
    """
    unpack = _unpack_all(ttl_s)
    watch = f"setsid python3 {PROGRAM.name} {FOLDER} >> boot.log 2>&1 < /dev/null"
    return f"bash -c 'mkdir -p {FOLDER}; cd {FOLDER}; {unpack}; ({watch} &); cd /; exec {OWN_START}'"


@lru_cache(maxsize=8)
def _unpack_all(ttl_s: int) -> str:
    """Return what writes the program and its settings.

    Each step that calls Terraform wants it again; what it is made of comes with Douse, and changes with no run.
    """
    api = yaml.safe_load(ROLES.read_text(encoding="utf-8"))["lease_api"]
    program, settings = PROGRAM.read_bytes(), json.dumps({"ttl_s": ttl_s, "api": api}).encode()
    return f"{_unpack(program, PROGRAM.name)}; {_unpack(settings, 'settings.json')}"


def _unpack(content: bytes, name: str) -> str:
    """Return what writes a file; where a full disk does not take it, that of the container's last start stays."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    return f"echo {packed} | base64 -d | gzip -d > new && mv new {name}"
