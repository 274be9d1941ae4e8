"""A machine of the user's own: what keeps a run from it is seen before anything is put there, in words of its own."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import LocalMachine
from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_login import Way
from runner.errors import ConnectionLostError, HostKeyError, RunnerError, TransferError
from runner.planning.checks.asking import Question
from runner.planning.checks.given_machine import Seen, check_given, look, see
from runner.planning.checks.line import Check, passed, refusal
from runner.planning.estimate.disk import GIB
from runner.run.models import Completed, Host
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.conftest import Sshd, serving
from tests.unit.runner.planning.checks.small_run import make_run


class There(LocalMachine):
    """A machine whose programs, home and disk are what a test makes them; this one's otherwise."""

    name = "me@there:22"

    def __init__(self, home: Path, answers: Mapping[str, tuple[int, str]] | None = None, free_bytes: int = 1 << 40):
        self.folder, self.answers, self.free = home, dict(answers or {}), free_bytes

    @property
    def home(self) -> str:
        return str(self.folder)

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        for part, (code, printed) in self.answers.items():
            if any(part in word for word in argv):
                return Completed(tuple(argv), code, printed)
        return super().run(argv, **options)

    def free_bytes(self, path: str) -> int:
        return self.free


HEARS = {"douse-hears": (0, "douse-hears\n")}
GPU = {"nvidia-smi": (0, "NVIDIA A10, 580.95.05, 8.6\nx86_64\n")}


def lines(seen: Seen | RunnerError, needed_gib: float = 5.0) -> dict[str, Check]:
    def answer() -> Seen:
        if isinstance(seen, RunnerError):
            raise seen
        return seen

    question = Question(RealWorld(), answer, name="login")
    return {line.name: line for line in check_given(question, needed_gib, lambda: None)}


def test_what_will_do_is_shown(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    found = lines(see(There(home, GPU, 7 * GIB), make_run(tmp_path)))

    assert [(line.name, line.status) for line in found.values()] == [
        ("login", "pass"), ("disk there", "pass"), ("python there", "pass"), ("gpu there", "pass"),
    ]  # fmt: skip
    assert found["login"].value == "me@there:22"
    assert found["disk there"].value == "7.0 GiB free, 5.0 needed"
    assert found["gpu there"].value == "NVIDIA A10, driver 580.95.05: torch 2.13.0 with CUDA 13.0"
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("free_bytes", "says"),
    [(0, "the disk under {}/.douse/runs is full"), (2 * GIB, "2.0 GiB are free under {}/.douse/runs, 5.0 are needed")],
)
def test_a_disk_that_is_too_small_or_full_is_refused(tmp_path: Path, free_bytes: int, says: str) -> None:
    line = lines(see(There(tmp_path, GPU, free_bytes), make_run(tmp_path)))["disk there"]

    assert line.status == "fail"
    assert line.value.startswith(says.format(tmp_path))
    assert "compute.prefix" in line.remedy


def test_a_shell_that_prints_of_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransferError) as caught:
        see(There(tmp_path, {"douse-hears": (0, "Welcome\x1b[2J to the box\ndouse-hears\n")}), make_run(tmp_path))

    assert "prints 'Welcome to the box' before what any program says" in caught.value.message
    assert "~/.bashrc" in caught.value.resolution


def test_a_login_that_runs_no_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="runs no programs: This account is currently not available"):
        see(There(tmp_path, {"douse-hears": (1, "This account is currently not available.\n")}), make_run(tmp_path))


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=f"{tmp_path} on me@there:22 cannot be written") as caught:
        see(There(tmp_path, {'-w "$1"': (1, "")}), make_run(tmp_path))

    assert "compute.prefix" in caught.value.resolution


def test_the_prefix_of_the_run_file_is_what_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    asked: list[str] = []

    class Noting(There):
        def free_bytes(self, path: str) -> int:
            asked.append(path)
            return 1

    assert (
        see(Noting(tmp_path, GPU), make_run(tmp_path, compute={"prefix": "~/disk/runs"})).folder
        == f"{tmp_path}/disk/runs"
    )
    assert asked == [f"{tmp_path}/disk/runs"]


def test_without_a_python_that_trains_the_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = There(tmp_path, HEARS | GPU)
    monkeypatch.setattr("runner.adapters.interpreter.LocalMachine", SshMachine)
    machine.answers["sys.version_info"] = (1, "")

    line = lines(see(machine, make_run(tmp_path)))["python there"]

    assert line.status == "fail"
    assert line.value == "me@there:22 has no Python 3.11 or newer with venv"
    assert "apt-get install" in line.remedy


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        ((127, ""), "warn", "no NVIDIA driver: it would train on the CPU"),
        ((9, "NVIDIA-SMI has failed\n"), "fail", "the NVIDIA driver does not answer: NVIDIA-SMI has failed"),
        ((9, "\n"), "fail", "the NVIDIA driver does not answer: exit status 9"),
    ],
)
def test_a_driver_that_is_missing_is_said_and_one_that_fails_refused(
    tmp_path: Path, answer: tuple[int, str], status: str, says: str
) -> None:
    line = lines(see(There(tmp_path, {"nvidia-smi": answer}), make_run(tmp_path)))["gpu there"]

    assert (line.status, line.value) == (status, says)


def test_a_login_that_fails_is_exit_2_with_its_cause_and_hides_the_rest() -> None:
    found = lines(ConnectionLostError("ssh: me@there:22 refuses the login: because", resolution="do that"))

    assert [line.status for line in found.values()] == ["fail", "skip", "skip", "skip"]
    refused = refusal(found.values())
    assert refused is not None
    assert (refused.exit_code, refused.message, refused.resolution) == (
        2,
        "ssh: me@there:22 refuses the login: because",
        "do that",
    )


# against a real server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path / "home"


def run_on(tmp_path: Path, server: Sshd) -> RunFile:
    compute = {"env": "existing", "host": server.host, "identity_file": str(server.identity)}
    return make_run(tmp_path, compute=compute | {"prefix": f"{tmp_path}/there/runs"})


@pytest.mark.enable_socket
def test_a_real_machine_is_looked_at_and_nothing_is_put_there(home: Path, tmp_path: Path, sshd: Sshd) -> None:
    seen = look(run_on(tmp_path, sshd), RealWorld())

    assert seen.name == f"{getpass.getuser()}@127.0.0.1:{sshd.port}"
    assert seen.python == passed("python there", seen.python.value)
    assert seen.free_bytes > 0
    assert not (tmp_path / "there").exists()


@pytest.mark.enable_socket
def test_a_real_shell_that_prints_is_refused(home: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "loud", 'ForceCommand echo "Good morning"; eval "$SSH_ORIGINAL_COMMAND"') as server,
        pytest.raises(TransferError, match="prints 'Good morning'"),
    ):
        look(run_on(tmp_path, server), RealWorld())


@pytest.mark.enable_socket
def test_a_server_without_sftp_is_said_to_be_one(home: Path, tmp_path: Path) -> None:
    with (
        serving(
            tmp_path / "plain",
            'ForceCommand case "$SSH_ORIGINAL_COMMAND" in *sftp*) exit 1;; esac; eval "$SSH_ORIGINAL_COMMAND"',
        ) as server,
        pytest.raises(TransferError, match="takes no files: its sshd offers no SFTP"),
    ):
        look(run_on(tmp_path, server), RealWorld())


@pytest.mark.enable_socket
def test_a_key_that_changed_since_the_run_began_is_refused_before_anything(
    home: Path, tmp_path: Path, sshd: Sshd
) -> None:
    host = Host("127.0.0.1", sshd.port, getpass.getuser(), "given", "given-machine", "here", False, 0.0, None, "local")
    pinned = tmp_path / "known_hosts"
    SshMachine(RealWorld(), host, pinned, Way(str(sshd.identity))).connect()
    sshd.stop()
    sshd.make_host_key()
    sshd.start()

    with pytest.raises(HostKeyError, match="shows another host key"):
        look(run_on(tmp_path, sshd), RealWorld(), pinned)
    assert look(run_on(tmp_path, sshd), RealWorld()).name
