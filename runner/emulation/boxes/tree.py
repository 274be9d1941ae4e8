"""The shared Debian tree that all boxes stand on: built once, read-only from then on."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from pathlib import Path

from runner.adapters.process import run
from runner.emulation.boxes.address import BoxKind
from runner.emulation.boxes.host import BoxError, call, search_path
from runner.emulation.boxes.stand_ins import STAND_INS, make_repository
from trainer.files import cache_folder

SUITE = "bookworm"
"""The Debian release whose Python the locks are made for."""
FORMAT = "1"
PACKAGES = (
    *("apt", "ca-certificates", "curl", "dbus", "iproute2", "kmod", "openssh-server", "procps"),
    *("python3", "python3-apt", "python3-pip", "python3-venv", "rsync", "sudo", "systemd", "systemd-sysv"),
    *("tini", "tmux"),
)
BUILD_TIMEOUT_S = 900.0
LEFT_OUT = ("man", "doc", "locale", "info")
SETTLE = r"""#!/bin/sh
# Runs at the end of the build, in the new tree: packages come from its own repository alone, which needs no network.
set -eu
root=$1
rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/* "$root/etc/apt/apt.conf.d/99mmdebstrap"
echo 'deb [trusted=yes] file:/usr/share/rehearsal/apt ./' > "$root/etc/apt/sources.list.d/rehearsal.list"
chroot "$root" apt-get update -qq
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id"
: > "$root/etc/machine-id"
: > "$root/etc/resolv.conf"
chroot "$root" useradd --create-home --shell /bin/bash --password '*' --uid 1000 ubuntu
cat > "$root/etc/ssh/sshd_config.d/rehearsal.conf" <<'END'
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
END
chroot "$root" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer getty.target systemd-timesyncd.service console-getty.service getty@.service \
  systemd-firstboot.service systemd-journal-flush.service systemd-update-utmp.service 2>/dev/null
"""


def build_tree(kind: BoxKind = "vm") -> Path:  # noqa: ARG001 - see Args
    """Return the root file system that boxes stand on, built on first use (half a minute, 300 MB).

    Args:
        kind: What stands on it; vm and pod share one tree, and a pod does not start its systemd.

    Raises:
        BoxError: If Debian's packages cannot be had.
    """
    base = cache_folder() / "rehearsal"
    tree = base / f"tree-{_key()}"
    if tree.is_dir():
        return tree
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{tree.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            _build(base, tree)
    return tree


def _key() -> str:
    text = "\n".join([FORMAT, SUITE, *PACKAGES, SETTLE, *(repr(package) for package in STAND_INS)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _build(base: Path, tree: Path) -> None:
    part = base / f"{tree.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # of a build that was cut short
    work = base / f"{tree.name}.work"
    shutil.rmtree(work, ignore_errors=True)
    repository = make_repository(work)
    settle = work / "settle.sh"
    settle.write_text(SETTLE)
    settle.chmod(0o755)
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", f"--include={','.join(PACKAGES)}"]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    argv += [*_apt_options(), '--customize-hook=mkdir -p "$1/usr/share/rehearsal"']
    argv += [f"--customize-hook=copy-in {repository} /usr/share/rehearsal", f"--customize-hook={settle}"]
    done = run(
        [*argv, SUITE, str(part), *_sources()],
        timeout_s=BUILD_TIMEOUT_S,
        env={"PATH": search_path()},
        log=base / "build.log",
    )
    if done.exit_code != 0:
        shutil.rmtree(part, ignore_errors=True)
        raise BoxError(
            "boxes: the Debian tree of the boxes cannot be built",
            details=done.last_words or None,
            resolution=f"connect to Debian's packages as apt does here, then `make rehearse`; see {base / 'build.log'}",
        )
    part.rename(tree)
    shutil.rmtree(work)


def _sources() -> list[str]:
    """Return this machine's own sources of the release, nothing where it has none (mmdebstrap knows Debian's)."""
    form = "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    try:
        listing = call(["apt-get", "indextargets", "--format", form])
    except BoxError:
        return []
    found: dict[tuple[str, str], list[str]] = {}
    for line in listing.splitlines():
        made_by, uri, release, component = line.split()
        if made_by == "Packages" and release.split("-")[0] == SUITE:
            found.setdefault((uri, release), []).append(component)
    if not any(release == SUITE for _, release in found):
        return []
    return [f"deb {uri} {release} {' '.join(dict.fromkeys(parts))}" for (uri, release), parts in found.items()]


def _apt_options() -> list[str]:
    """Return how this machine's apt reaches the network, in the words of mmdebstrap."""
    try:
        dump = call(["apt-config", "dump"])
    except BoxError:
        return []
    lines = [
        line for line in dump.splitlines() if line.startswith(("Acquire::http", "Acquire::https", "Acquire::Retries"))
    ]
    return [f"--aptopt={line}" for line in lines if not line.endswith(' "";')]
