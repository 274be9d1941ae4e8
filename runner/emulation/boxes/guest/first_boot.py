"""What happens in a box before its sshd: host key, user, user data. Runs in the box, on its own Python alone.

``first_boot.py vm`` is a unit of systemd; ``first_boot.py pod`` goes on as what the pod is started with.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INSTANCE = Path("/var/lib/cloud/instance")
SHARED_CACHE = Path("/var/cache/rehearsal")
SSH = Path("/etc/ssh")
SSHD = "/usr/sbin/sshd"
OWN_START = Path("/start.sh")
"""What a pod's image starts by itself; a command in its place has to start it."""
RUNCMD_TIMEOUT_S = 300


def main() -> None:
    """Make the box what was ordered."""
    started = time.monotonic()
    order = json.loads((INSTANCE / "box.json").read_text())
    user_data = order["user_data"]
    set_host_keys(user_data)
    is_first, done = not (INSTANCE / "done").exists(), INSTANCE / "done"
    if is_first:
        write_files(user_data["write_files"], deferred=False)
    home = add_user(order["user"], order["public_keys"])
    link_cache(home, order["user"])
    if is_first:
        write_files(user_data["write_files"], deferred=True)
        run_commands(user_data["runcmd"])
        done.touch()
    print(f"first boot: done in {time.monotonic() - started:.2f} s", flush=True)
    if sys.argv[1] == "pod":
        start_pod(order)


def start_pod(order: dict[str, Any]) -> None:
    """Go on as the pod's command; only the image's own start, which a command has to call, starts sshd."""
    text = f"#!/bin/sh\nmkdir -p /run/sshd\nexec {SSHD} -D -e -p {order['port']} -o UsePAM=no\n"
    write(OWN_START, text, 0o755)
    argv = shlex.split(order["command"]) or [str(OWN_START)]
    os.execvp(argv[0], argv)  # noqa: S606


def set_host_keys(user_data: dict[str, Any]) -> None:
    """Put the ordered host key in place, or make one."""
    path, keys = SSH / "ssh_host_ed25519_key", user_data["ssh_keys"]
    if keys is not None:
        for old in SSH.glob("ssh_host_*") if user_data["ssh_deletekeys"] else []:
            old.unlink()
        write(path, keys["ed25519_private"].rstrip("\n") + "\n", 0o600)
        write(path.with_suffix(".pub"), keys["ed25519_public"].rstrip("\n") + "\n")
    elif not path.exists():
        subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def write_files(entries: list[dict[str, Any]], *, deferred: bool) -> None:
    """Write the files of the user data: those that wait for the user, or those that do not."""
    for entry in entries:
        if entry["defer"] == deferred:
            write_entry(entry)


def write_entry(entry: dict[str, Any]) -> None:
    """Write a file as ``write_files`` says."""
    content = entry["content"].encode()
    if entry["encoding"] != "text/plain":
        content = base64.b64decode(content)
    path = Path(entry["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if entry["append"] else os.O_TRUNC)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
    user, _, group = entry["owner"].partition(":")
    shutil.chown(path, user, group or user)
    path.chmod(int(entry["permissions"], 8))


def add_user(user: str, public_keys: list[str]) -> Path:
    """Let a user log in with keys and become root without a password; return the home folder."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        argv = ["/usr/sbin/useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", user]
        subprocess.run(argv, check=True)
        account = pwd.getpwnam(user)
    if account.pw_uid != 0:
        write(Path("/etc/sudoers.d", f"90-{user}"), f"{user} ALL=(ALL) NOPASSWD:ALL\n", 0o440)
    folder = Path(account.pw_dir, ".ssh")
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = [key.strip() for key in [*public_keys, os.environ.get("PUBLIC_KEY", "")] if key.strip()]
    write(folder / "authorized_keys", "".join(f"{key}\n" for key in dict.fromkeys(keys)), 0o600)
    for path in (folder, folder / "authorized_keys"):
        os.chown(path, account.pw_uid, account.pw_gid)
    return Path(account.pw_dir)


def link_cache(home: Path, user: str) -> None:
    """Let the user's package cache be the one that is shared into the box."""
    if not SHARED_CACHE.is_dir():
        return
    for folder in (home / ".cache", home / ".cache" / "douse"):
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    for shared in SHARED_CACHE.iterdir():
        link = home / ".cache" / "douse" / shared.name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(shared)


def run_commands(commands: list[str | list[str]]) -> None:
    """Run the commands of the user data as one script, as cloud-init does; a failure is reported, and stops there."""
    if not commands:
        return
    lines = [command if isinstance(command, str) else shlex.join(command) for command in commands]
    script = INSTANCE / "scripts" / "runcmd"
    write(script, "#!/bin/sh\n" + "".join(f"{line}\n" for line in lines), 0o700)
    try:
        argv = [str(script)]
        status = subprocess.run(argv, timeout=RUNCMD_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False).returncode
    except subprocess.TimeoutExpired:
        status = -1
    print(f"first boot: runcmd ended with {status}", flush=True)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file of root's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    path.chmod(mode)


if __name__ == "__main__":
    main()
