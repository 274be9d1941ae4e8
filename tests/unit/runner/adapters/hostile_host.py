"""A host that lies: a real SSH server in this process whose SFTP listing and programs are what a test makes them."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import paramiko
from paramiko.common import cMSG_CHANNEL_SUCCESS

from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_login import Way
from runner.run.models import Host
from runner.world import RealWorld

FILE, FOLDER, LINK, DEVICE = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666


class Entry:
    """What the host shows under a path: a file with its content, a folder with its entries, or something else."""

    def __init__(self, mode: int = FILE, content: bytes = b"x", shown_bytes: int | None = None) -> None:
        self.mode, self.content = mode, content
        self.shown_bytes = len(content) if shown_bytes is None else shown_bytes

    def attributes(self, name: str = "") -> paramiko.SFTPAttributes:
        shown = paramiko.SFTPAttributes()
        shown.filename, shown.st_mode, shown.st_size = name, self.mode, self.shown_bytes
        return shown


class Tree:
    """The files of the host: folders by path, each with any names at all."""

    def __init__(self, folders: Mapping[str, list[tuple[str, Entry]]]) -> None:
        self.folders = folders

    def find(self, path: str) -> Entry | None:
        if path in self.folders:
            return Entry(FOLDER)
        folder, _, name = path.rpartition("/")
        return dict(self.folders.get(folder, [])).get(name)


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: Any, tree: Tree, *args: Any, **options: Any) -> None:
        super().__init__(server, *args, **options)
        self.tree = tree

    def list_folder(self, path: str) -> Any:
        if path not in self.tree.folders:
            return paramiko.SFTP_NO_SUCH_FILE
        return [entry.attributes(name) for name, entry in self.tree.folders[path]]

    def lstat(self, path: str) -> Any:
        found = self.tree.find(path)
        return paramiko.SFTP_NO_SUCH_FILE if found is None else found.attributes()

    stat = lstat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        found = self.tree.find(path)
        return paramiko.SFTP_NO_SUCH_FILE if found is None else _Handle(found.content)

    def canonicalize(self, path: str) -> str:
        return path


class _Handle(paramiko.SFTPHandle):
    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def read(self, offset: int, length: int) -> bytes | int:
        return self.content[offset : offset + length] or paramiko.SFTP_EOF


class _Server(paramiko.ServerInterface):
    def __init__(self, answer: Callable[[paramiko.Channel], None], begun: list[threading.Thread]) -> None:
        self.answer, self.begun = answer, begun

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.begun.append(threading.Thread(target=self.answer, args=(channel,), daemon=True))
        return True


class _Transport(paramiko.Transport):
    """Lets a program begin when its client was told so, as sshd does: else what it ends comes before what began it."""

    begun: list[threading.Thread]

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)
        if data.asbytes()[:1] == cMSG_CHANNEL_SUCCESS and self.begun:
            self.begun.pop(0).start()


def _nothing(channel: paramiko.Channel) -> None:
    channel.send_exit_status(0)
    channel.close()


@contextlib.contextmanager
def hostile_host(
    tmp_path: Any,
    tree: Tree | None = None,
    answer: Callable[[paramiko.Channel], None] = _nothing,
    sftp: type[paramiko.SubsystemHandler] = paramiko.SFTPServer,
    **options: Any,
) -> Iterator[SshMachine]:
    """Give a machine whose SFTP server shows ``tree`` and whose programs are played by ``answer``."""
    key, client_key = paramiko.RSAKey.generate(2048), tmp_path / "hostile_id"
    paramiko.RSAKey.generate(2048).write_private_key_file(str(client_key))
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        with contextlib.suppress(OSError, paramiko.SSHException, EOFError):
            while True:
                transport = _Transport(listener.accept()[0])
                transport.begun = []
                transports.append(transport)
                transport.add_server_key(key)
                extra = (_Files, tree or Tree({})) if sftp is paramiko.SFTPServer else ()
                transport.set_subsystem_handler("sftp", sftp, *extra)
                transport.start_server(server=_Server(answer, transport.begun))

    threading.Thread(target=serve, daemon=True).start()
    host = Host("127.0.0.1", listener.getsockname()[1], "u", "i", "m", "here", False, 0.0, None, "existing")
    machine = SshMachine(RealWorld(), host, tmp_path / "hostile_known_hosts", Way(str(client_key)), **options)
    try:
        yield machine
    finally:
        machine.close()
        listener.close()
        for transport in transports:
            transport.close()
