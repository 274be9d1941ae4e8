"""Whether this machine can have real boxes, and if not, why."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from runner.adapters.process import run
from runner.emulation.boxes.host import search_path
from trainer.files import cache_folder

PROGRAMS = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "dpkg-deb": "dpkg",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
PROBE = """set -e
ip link add dzprobe type veth peer name dzprobe1
ip link add dzprobebr type bridge
mount -t overlay probe -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t tmpfs tmpfs "$1/lower"
"""


@lru_cache(maxsize=1)
def supported() -> str | None:
    """Return ``None`` where boxes can have a network and a root of their own, else the reason why not.

    It is tried out, in namespaces that are gone with the trial: a container may be root and yet not be allowed to.
    """
    if sys.platform != "linux":
        return "boxes need Linux's namespaces"
    if os.geteuid() != 0:
        return "making network namespaces and mounts needs root"
    missing = sorted({package for name, package in PROGRAMS.items() if shutil.which(name, path=search_path()) is None})
    if missing:
        return f"these packages are missing: {', '.join(missing)}"
    base = cache_folder() / "rehearsal"
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base, prefix="probe-") as folder:
        for name in ("lower", "upper", "work", "root"):
            (Path(folder) / name).mkdir()
        argv = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        done = run([*argv, "sh", "-c", PROBE, "probe", folder], timeout_s=30, env={"PATH": search_path()})
    if done.exit_code != 0:
        last = (done.last_words.splitlines() or ["no reason given"])[-1]
        return f"this machine does not allow namespaces, bridges or overlay mounts: {last}"
    return None


@lru_cache(maxsize=1)
def systemd_supported() -> str | None:
    """Return ``None`` where a box can have systemd as its first process, else the reason why not."""
    if shutil.which("systemd-nspawn", path=search_path()) is None:
        return "the package systemd-container is missing"
    kinds = [line.split()[2:4] for line in Path("/proc/mounts").read_text().splitlines()]
    if not any(kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options) for kind, options in kinds):
        return "no control groups are mounted that systemd could use"
    return None
