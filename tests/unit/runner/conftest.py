"""What the runner's tests share: a run file, the command line with its seams, a real sshd on loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.adapters import secrets
from tests.unit.runner.guard.fake_guard import FakeGuard

BUCKET = "a-bucket"
PROJECT = Path(__file__).resolve().parents[3]
WAIT_S = 240.0
AT_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Becomes a program whose terminal is its standard input: it hears when the window is closed."""


def wait_until(what: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait for something with an end."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@dataclass(frozen=True)
class CommandLine:
    """The command line with the stand-in trainer, in a folder of its own."""

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def config(self) -> Path:
        return self.folder / "run.yml"

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tests.unit.runner.lab.drive", *words, "--runs-dir", str(self.runs)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*words), cwd=PROJECT, capture_output=True, text=True, timeout=240)

    def train(self, *tags: str, extra: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return self.run("train", *self.train_words(*tags), *extra)

    def train_words(self, *tags: str) -> list[str]:
        return ["--config", str(self.config), "--set", f"publishing.tags=[{', '.join(tags)}]"]

    def start(self, *tags: str) -> subprocess.Popen[str]:
        """Start ``train`` and return once the trainer has made a checkpoint."""
        process = subprocess.Popen(
            self.argv("train", *self.train_words(*tags)),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._wait_for_training(process)
        return process

    def start_at_terminal(self, *tags: str) -> tuple[subprocess.Popen[str], int]:
        """Start ``train`` as ``start`` does, at a terminal of its own; return it with the side of the window."""
        window, side = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *self.argv("train", *self.train_words(*tags))],
            cwd=PROJECT,
            stdin=side,
            stdout=side,
            stderr=side,
            text=True,
        )
        os.close(side)
        self._wait_for_training(process)
        return process, window

    def _wait_for_training(self, process: subprocess.Popen[str]) -> None:
        wait_until(lambda: '"checkpoint_saved"' in self.events_text() or process.poll() is not None)
        assert process.poll() is None, process.communicate()

    @property
    def gate(self) -> Path:
        """The file that a trainer waits for where ``gated`` is among the tags."""
        return self.folder / "gate"

    @property
    def gated(self) -> str:
        return f"gate={self.gate}"

    def latest(self) -> Path:
        return max(path for path in self.runs.iterdir() if path.is_dir())

    def events_text(self) -> str:
        found = sorted(self.runs.glob("*/events.jsonl"))
        return found[-1].read_text() if found else ""


@pytest.fixture
def command_line(tmp_path: Path) -> Iterator[CommandLine]:
    (tmp_path / "train.jsonl").write_text('{"prompt": "Why?", "completion": "Because."}\n')
    (tmp_path / "eval.jsonl").write_text('{"prompt": "When?", "completion": "Then."}\n')
    (tmp_path / "run.yml").write_text(
        "run: {name: tiny}\ndata: {train_path: train.jsonl, eval_path: eval.jsonl}\nmonitoring: {tensorboard: false}\n"
    )
    yield CommandLine(tmp_path)
    for pid in processes_naming(str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test start a guard by the way: what this process drives has one that is a list."""
    monkeypatch.setattr("runner.lifecycle.guarding.start_guard", lambda facts, world, log, cancel: FakeGuard())
    monkeypatch.setattr("runner.lifecycle.guarding.may_be_the_account", lambda ctx: True)


def processes_naming(text: str) -> list[int]:
    """Return the processes whose command line holds a text; not ours."""
    import psutil

    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid() and any(text in word for word in process.info["cmdline"] or [])
    ]


@dataclass
class Sshd:
    """A real sshd of our own on a loopback port, as an ordinary configuration."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def identity(self) -> Path:
        return self.folder / "id_ed25519"

    def make_host_key(self) -> None:
        _keygen(self.folder / "host_key")

    def start(self) -> None:
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        self.process = subprocess.Popen(
            [program, "-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.folder / "sshd.log")],
            stdin=subprocess.DEVNULL,
        )
        wait_until(self._answers)

    def stop(self) -> None:
        """End the server and every connection it holds."""
        for pid in processes_naming("sshd"):
            if self.process is not None and _is_child(pid, self.process.pid):
                with contextlib.suppress(ProcessLookupError):  # a connection that has just ended by itself
                    os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S)
            self.process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                return sock.recv(4) == b"SSH-"
        except OSError:
            return False


def _is_child(pid: int, parent: int) -> bool:
    import psutil

    try:
        return parent in [process.pid for process in psutil.Process(pid).parents()]
    except psutil.NoSuchProcess:
        return False


def _keygen(path: Path) -> None:
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)


@contextlib.contextmanager
def serving(folder: Path, *more: str) -> Iterator[Sshd]:
    """Serve from a new folder, with further lines of ``sshd_config`` in front, whose values then count."""
    if shutil.which("sshd") is None and not Path("/usr/sbin/sshd").exists():
        pytest.skip("needs OpenSSH's server")
    folder.mkdir(mode=0o700)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = Sshd(folder, port)
    server.make_host_key()
    _keygen(server.identity)
    (folder / "authorized_keys").write_text((folder / "id_ed25519.pub").read_text())
    (folder / "sshd_config").write_text(
        "".join(f"{line}\n" for line in more) + f"Port {port}\n"
        f"ListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # the server's privilege separation folder
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with serving(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Sshd]:
    """A second server, with a key of its own, that leads on to others."""
    with serving(tmp_path / "bastion", "LogLevel VERBOSE") as server:
        yield server


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that stands in for a machine's file system in memory."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(secrets, "MEMORY", str(folder))
    return folder


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The client of an account that moto plays in this process, with an empty bucket; the environment leads to it."""
    import boto3  # moto takes its time to import, and few tests want it
    from moto import mock_aws

    for name, value in (("ACCESS_KEY_ID", "mine"), ("SECRET_ACCESS_KEY", "my-secret"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
