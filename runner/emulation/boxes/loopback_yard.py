"""A yard for whoever may not make namespaces: an sshd of one's own for each box, on a loopback port."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil

from runner.adapters.process import Child, start
from runner.emulation.boxes.address import BoxAddress, BoxOrder
from runner.emulation.boxes.host import BoxError, below, call, search_path
from runner.errors import UsageError
from runner.run.run_dir import write_file
from trainer.files import cache_folder

CONFIG = """Port {port}
ListenAddress {address}
HostKey "{folder}/host_key"
PidFile "{folder}/sshd.pid"
AuthorizedKeysFile "{folder}/authorized_keys"
AllowUsers {user}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PermitUserRC no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp -d "{folder}/home"
SetEnv {env}
"""
"""A box is this user's own login with another home; the sessions' first folder is set by ``HOME`` and sftp's option."""
SYSTEMD = Path("/run/systemd/system")
NETWORK = "127.77.0"
"""On Linux all of 127.0.0.0/8 is this machine: so each box has an address of its own, and the same port."""
MOST_BOXES = 254
FIRST_WORDS = "#!/bin/sh\n# A box that is a login has this machine's programs, and must not change this machine.\n"
STAND_INS = {
    "sudo": 'echo "sudo: a box that is only a login has no root" >&2\nexit 1\n',
    "dpkg-query": 'for word in "$@"; do case "$word" in -* | *[{]*) ;; *) echo installed ;; esac; done\n',
}
"""Programs that lie before this machine's own: what a box is asked to install, it is said to have."""
PASSED_ON = ("PIP_", "UV_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_", "REQUESTS_CA_BUNDLE")
"""Variables that a package is found by: the sessions of a box need them as this process does."""


@dataclass
class _Box:
    folder: Path
    address: BoxAddress
    order: BoxOrder
    child: Child
    is_ending: bool = False


class LoopbackYard:
    """Boxes that are only a login: their own home and host key, on this machine's own disk and network."""

    def __init__(self, folder: Path, reason: str) -> None:
        """Keep the reason why there is no better yard, for what has to be refused."""
        self._folder, self._reason = folder, reason
        self._boxes: dict[str, _Box] = {}
        self._booted = 0
        self._user, self._port = getpass.getuser(), _free_port()

    @property
    def gateway(self) -> str | None:
        """There is no network between this machine and its boxes."""
        return None

    @property
    def login(self) -> tuple[str, int]:
        """The user who logs in, and the port at which a cloud that reports no port has its boxes."""
        return self._user, self._port

    def boot(self, box: str, order: BoxOrder) -> BoxAddress:
        """Start a box's sshd."""
        if self.is_alive(box):
            raise UsageError(f"boxes: {box} runs already", resolution="give each box a name of its own")
        sshd = shutil.which("sshd", path=search_path())
        if sshd is None:
            raise BoxError("boxes: there is no sshd on this machine", resolution="install openssh-server")
        old = self._boxes.get(box)
        address = old.address if old is not None else self._new_address(order)
        folder = self._folder / "boxes" / box
        _make_home(folder)
        _make_host_key(folder, order)
        keys = [*order.public_keys, order.env.get("PUBLIC_KEY", "")]
        write_file(folder / "authorized_keys", "".join(f"{key.strip()}\n" for key in keys if key.strip()).encode())
        words = {
            **{key: value for key, value in os.environ.items() if key.upper().startswith(PASSED_ON)},
            **{key: value for key, value in order.env.items() if key != "PUBLIC_KEY"},
            "HOME": str(folder / "home"),
            "PATH": f"{folder / 'bin'}:{search_path()}",
        }
        env = " ".join(f'"{key}={value}"' for key, value in words.items() if not set(value) & set('"\n'))
        config = CONFIG.format(folder=folder, address=address.host, port=address.port, user=address.user, env=env)
        write_file(folder / "sshd_config", config.encode())
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        if order.user_data.runcmd or order.user_data.write_files or order.command:
            with (folder / "console.log").open("a") as file:
                file.write("boxes: this box is a login alone: write_files, runcmd and commands are passed over\n")
        child = start([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], log=folder / "console.log")
        self._boxes[box] = new = _Box(folder, address, order, child)
        threading.Thread(target=_watch, args=(new,), name=f"box-{box}", daemon=True).start()
        return address

    def is_alive(self, box: str) -> bool:
        """Return whether a box's sshd runs."""
        return box in self._boxes and self._boxes[box].child.poll() is None

    def alive(self) -> list[str]:
        """Return the names of the boxes that run."""
        return [box for box in list(self._boxes) if self.is_alive(box)]

    def kill(self, box: str) -> None:
        """End a box's sshd with all sessions, without a word."""
        if box in self._boxes:
            found = self._boxes[box]
            found.is_ending = True
            end_sessions(found.folder / "home")
            sessions = below(found.child.pid)
            found.child.kill()
            for session in sessions:
                with contextlib.suppress(psutil.NoSuchProcess):
                    session.kill()
            end_sessions(found.folder / "home")

    def remove(self, box: str) -> None:
        """End a box and delete its folder."""
        self.kill(box)
        if box in self._boxes:
            shutil.rmtree(self._boxes.pop(box).folder, ignore_errors=True)

    def partition(self, box: str, on: bool) -> None:
        """Refuse: nobody can be cut off loopback."""
        self._refuse("cutting a box off the network", box)

    def tell(self, box: str, notice: bytes) -> None:
        """Do nothing: a login of this machine has no metadata service."""

    def console(self, box: str) -> str:
        """Return the output of a box's sshd."""
        path = self._boxes[box].folder / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def namespace(self, box: str) -> str | None:
        """A box shares this machine's network."""
        return None

    def close(self) -> None:
        """Remove all boxes."""
        for box in list(self._boxes):
            self.remove(box)

    def _new_address(self, order: BoxOrder) -> BoxAddress:
        """Return where a new box listens; a cloud that reports no ports has all of them at the same one."""
        self._booted += 1
        if sys.platform == "linux":
            return BoxAddress(f"{NETWORK}.{1 + self._booted % MOST_BOXES}", self._port, self._user)
        if order.kind == "pod":
            return BoxAddress("127.0.0.1", _free_port(), self._user)
        if self.alive():
            raise BoxError(
                "boxes: this machine has one address, and one such box at a time",
                resolution="rehearse with one machine, or on Linux",
            )
        return BoxAddress("127.0.0.1", self._port, self._user)

    def _refuse(self, what: str, box: str) -> None:
        raise UsageError(
            f"boxes: {what} needs a real box, and {box} is none: {self._reason}",
            resolution="rehearse as root on Linux, or leave this fault out",
        )


def why_no_logins() -> str | None:
    """Return ``None`` where a box may be a login of this machine, else the reason why not."""
    if shutil.which("sshd", path=search_path()) is None:
        return "there is no sshd here: install openssh-server"
    if os.geteuid() == 0 and SYSTEMD.is_dir():
        return "a login as root would set up services on this very machine"
    return None


def end_sessions(home: Path) -> list[int]:
    """SIGKILL every process of this user that has a box's home as its own; return their ids."""
    ended = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("HOME") == str(home):
                process.kill()
                ended.append(process.pid)
    return ended


def _watch(box: _Box) -> None:
    """Wait for the end of a box, and report it if it was not requested here."""
    while box.child.wait(3600) is None:
        continue
    if not box.is_ending and box.order.on_exit is not None:
        box.order.on_exit()


def _make_home(folder: Path) -> None:
    """Make a box's home, with this user's package cache in it, and the programs that guard this machine."""
    home, own = folder / "home", Path.home()
    for target, there in ((cache_folder(), ".cache/douse"), (own / ".config" / "pip", ".config/pip")):
        link = home / there
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() and (target.is_dir() or target == cache_folder()):
            target.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    for name, text in STAND_INS.items():
        write_file(folder / "bin" / name, (FIRST_WORDS + text).encode())
        (folder / "bin" / name).chmod(0o755)


def _make_host_key(folder: Path, order: BoxOrder) -> None:
    path, keys = folder / "host_key", order.user_data.ssh_keys
    if keys is not None:
        write_file(path, keys.ed25519_private.rstrip("\n").encode() + b"\n")
        path.chmod(0o600)
    elif not path.exists():
        call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
