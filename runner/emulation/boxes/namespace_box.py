"""One box with namespaces of its own: how it is booted, found and ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from runner.adapters.process import Child, start
from runner.emulation.boxes.address import BoxAddress, BoxOrder
from runner.emulation.boxes.disk import CACHE, Shared, mount_disk, unmount
from runner.emulation.boxes.host import search_path
from runner.emulation.boxes.names import BoxName
from runner.emulation.boxes.network import METADATA, Network, cut, pull_quietly, unplug
from runner.emulation.boxes.support import systemd_supported
from runner.emulation.boxes.tree import build_tree
from runner.emulation.cache import Cache, read_cache
from runner.errors import RunnerError

GUEST = Path(__file__).parent / "guest"
KEPT = "kept_bytecode"
BYTECODE = "var/cache/rehearsal-bytecode"
BOOT_TIMEOUT_S = 1200.0
END_TIMEOUT_S = 10.0
REBOOT = 133
"""Exit status of systemd-nspawn when the machine reboots."""
PROPAGATE = Path("/run/systemd/nspawn/propagate")
"""Where systemd-nspawn leaves an empty folder for each machine that was killed."""


@dataclass
class NamespaceBox:
    """A box: its order, its names, its process."""

    folder: Path
    name: BoxName
    hostname: str
    address: BoxAddress
    order: BoxOrder
    network: Network
    _child: Child | None = None
    _metadata: Child | None = None
    _is_ending: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def boot(self) -> None:
        """Begin to boot; a thread sees it through, and then waits for the box's end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.console.touch()
        self._is_ending = False
        self._thread = threading.Thread(target=self._live, name=self.name.namespace, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it runs or still boots."""
        return self._thread is not None and self._thread.is_alive() and not self._is_ending

    @property
    def console(self) -> Path:
        """What it said on its console."""
        return self.folder / "console.log"

    def end(self) -> None:
        """Let it vanish, and wait until nothing of it runs; its disk stays."""
        pull_quietly(self.name)
        with self._lock:
            self._is_ending = True
            child = self._child
        if child is not None:
            end_process(child)
        if self._metadata is not None:
            self._metadata.kill()
            self._metadata = None
        if self._thread is not None:
            self._thread.join(BOOT_TIMEOUT_S)
        unplug(self.name)
        unmount(self.folder)
        forget_machine(self.name.namespace)

    def partition(self, on: bool) -> None:
        """Cut it off, or let it back."""
        cut(self.name, on)

    def tell(self, notice: bytes) -> None:
        """Let its metadata service tell of a reclaim; the service begins with the first notice."""
        file = self.folder / "notice.json"
        file.write_bytes(notice)
        if self._metadata is None:
            argv = ["nsenter", f"--net=/run/netns/{self.name.namespace}", sys.executable, str(GUEST / "metadata.py")]
            self._metadata = start([*argv, str(file), METADATA], log=self.folder / "metadata.log")

    def _live(self) -> None:
        """Boot, wait for the end, and report it if it was not requested here."""
        try:
            root = self._prepare()
            while self._run(root) == REBOOT:
                continue
        except (RunnerError, OSError) as err:
            details = getattr(err, "details", None)
            self._say(f"boxes: {self.hostname} does not boot: {err}{f' ({details})' if details else ''}")
        if not self._is_ending and self.order.on_exit is not None:
            self._thread = None  # it is dead, for whoever is notified
            self.order.on_exit()

    def _run(self, root: Path) -> int | None:
        """Start it and wait for its end; return its exit status, ``None`` when it is not wanted any more."""
        with self._lock:
            if self._is_ending:
                return None
            self._child = child = self._start(root)
        while (status := child.wait(3600)) is None:
            continue
        return status

    def _prepare(self) -> Path:
        tree, cache = build_tree(self.order.kind), read_cache()
        self.network.plug(self.name, self.folder)
        root = mount_disk(self.folder, tree, self.name.namespace, _shared(cache))
        _install_guest(root, self.hostname, is_vm=self._has_systemd, cache=cache)
        order = {
            "hostname": self.hostname,
            "user": self.order.user,
            "public_keys": self.order.public_keys,
            "port": self.address.port,
            "user_data": self.order.user_data.model_dump(),
            "command": self.order.command,
        }
        path = root / "var/lib/cloud/instance/box.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(order, file)  # it holds the private host key
        return root

    @property
    def _has_systemd(self) -> bool:
        return self.order.kind == "vm" and systemd_supported() is None

    def _start(self, root: Path) -> Child:
        space, lasting = f"/run/netns/{self.name.namespace}", {"PATH": search_path(), "LANG": "C.UTF-8"}
        if self._has_systemd:
            argv = ["systemd-nspawn", "--directory", str(root), "--boot", "--register=no", "--keep-unit", "--quiet"]
            argv += ["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--settings=no"]
            argv += [f"--network-namespace-path={space}", f"--machine={self.name.namespace}"]
            return start([*argv, f"--hostname={self.hostname}"], log=self.console, env={**lasting, **NSPAWN})
        if self.order.kind == "vm":
            self._say(f"boxes: {self.hostname} goes without systemd: {systemd_supported()}")
        argv = ["nsenter", f"--net={space}", "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        argv += ["sh", str(GUEST / "pod_init.sh"), str(root), self.hostname]
        return start(argv, log=self.console, env={**self.order.env, **lasting})

    def _say(self, text: str) -> None:
        with self.console.open("a") as file:
            file.write(f"{text}\n")


def forget_machine(name: str) -> None:
    """Remove the empty folder that systemd-nspawn leaves; none is fine."""
    with contextlib.suppress(OSError):
        (PROPAGATE / name).rmdir()


def end_process(child: Child) -> None:
    """Kill a box by its first process: the kernel then ends every other one in it.

    systemd-nspawn itself is left to see the end of what it started, and to tidy up; it is killed when it does not.
    """
    deadline = time.monotonic() + END_TIMEOUT_S
    while child.poll() is None and time.monotonic() < deadline:
        first = _children(child.pid)
        for pid in first:
            kill_process(pid)
        if not first or child.wait(0.5) is not None:
            break
    child.kill()


def kill_process(pid: int) -> None:
    """SIGKILL a process; one that is gone is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _shared(cache: Cache | None) -> list[Shared]:
    if cache is None:
        return []
    found = [Shared(cache.layers, f"{CACHE}/uv"), Shared((cache.uv_home,), f"{CACHE}/{cache.uv_home.name}")]
    return found + [Shared((folder,), str(folder).lstrip("/"), is_writable=False) for folder in cache.wheel_folders]


def _install_guest(root: Path, hostname: str, *, is_vm: bool, cache: Cache | None) -> None:
    """Put into the box its name, what boots it, and what its pip and uv have to know."""
    (root / "etc/hostname").write_text(f"{hostname}\n")
    (root / "etc/hosts").write_text(HOSTS.format(hostname=hostname))
    programs = root / "usr/lib/rehearsal"
    programs.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(GUEST / "first_boot.py", programs / "first_boot.py")
    _keep_bytecode(root)
    if cache is not None:
        (root / "etc/pip.conf").write_text(cache.pip_conf)
        (root / "etc/uv").mkdir(exist_ok=True)
        (root / "etc/uv/uv.toml").write_text(cache.uv_toml)
    if is_vm:
        units = root / "etc/systemd/system"
        shutil.copyfile(GUEST / "first-boot.service", units / "first-boot.service")
        for target in ("ssh.service.requires", "multi-user.target.wants"):
            (units / target).mkdir(exist_ok=True)
            link = units / target / "first-boot.service"
            if not link.is_symlink():
                link.symlink_to("/etc/systemd/system/first-boot.service")
    else:
        for name in ("poweroff", "shutdown", "halt", "reboot"):
            program = root / "usr/local/sbin" / name
            program.write_text(END_POD)
            program.chmod(0o755)


def _keep_bytecode(root: Path) -> None:
    """Let the box's own Python compile what Ansible sends once, and not anew for each task."""
    packages = root / "usr/lib/python3/dist-packages"
    shutil.copyfile(GUEST / f"{KEPT}.py", packages / f"{KEPT}.py")
    (packages / f"{KEPT}.pth").write_text(f"import {KEPT}; {KEPT}.install()\n")
    folder = root / BYTECODE
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o1777)


NSPAWN = {"SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
"""A rented machine has its ``/tmp`` on its disk."""
HOSTS = """127.0.0.1 localhost
127.0.1.1 {hostname}
::1 localhost ip6-localhost
"""
"""Without its own name in it, sudo stalls."""
END_POD = """#!/bin/sh
# Without systemd, the end of the first process is the end of the box.
exec kill -TERM 1
"""
