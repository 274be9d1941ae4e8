"""A machine behind SSH, against a real sshd on loopback."""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import logging
import os
import threading
from pathlib import Path

import paramiko
import pytest
from paramiko.common import cMSG_CHANNEL_SUCCESS

from runner.adapters import ssh
from runner.adapters.machine import Allowance
from runner.adapters.process import ToolCancelledError, ToolTimeoutError
from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_login import Way
from runner.errors import ConnectionLostError, HostKeyError, HostWordsError, TransferError
from runner.run.models import Host
from runner.world import RealWorld
from tests.unit.runner.adapters.hostile_host import hostile_host
from tests.unit.runner.conftest import CommandLine, Sshd, wait_until

pytestmark = pytest.mark.enable_socket
PLENTY = Allowance(1 << 30)


def host_of(server: Sshd, host_key: str | None = None) -> Host:
    return Host(
        "127.0.0.1", server.port, getpass.getuser(), "given", "given-machine", "here", False, 0.0, host_key, "local"
    )


@pytest.fixture
def machine(sshd: Sshd, tmp_path: Path) -> SshMachine:
    return SshMachine(RealWorld(), host_of(sshd), tmp_path / "known_hosts", Way(str(sshd.identity)))


def test_a_program_runs_there_with_its_arguments_untouched(machine: SshMachine) -> None:
    done = machine.run(["printf", "%s|", "a b", "$HOME", "; false", "ü"], timeout_s=20, env={"X": "1 2"})

    assert (done.exit_code, done.stdout) == (0, "a b|$HOME|; false|ü|")


def test_exit_status_and_both_streams_come_back(machine: SshMachine) -> None:
    done = machine.run(["sh", "-c", "echo out; echo err >&2; exit 7"], timeout_s=20)

    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_a_program_that_does_not_end_is_given_up(machine: SshMachine) -> None:
    with pytest.raises(ToolTimeoutError, match="ssh: sleep did not finish within 0 s"):
        machine.run(["sleep", "5"], timeout_s=0.3)
    with pytest.raises(ToolCancelledError):
        machine.run(["sleep", "5"], timeout_s=20, cancel=lambda: True)


def test_folders_travel_both_ways(machine: SshMachine, tmp_path: Path) -> None:
    source, there = tmp_path / "source", str(tmp_path / "there" / "deep")
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "big").write_bytes(b"x" * 3_000_000)
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)

    machine.put(source, there)
    machine.get(there, tmp_path / "back", PLENTY)

    assert (tmp_path / "back" / "sub" / "big").read_bytes() == b"x" * 3_000_000
    assert machine.names(there) == ["run.sh", "sub"]
    assert machine.run([f"{there}/run.sh"], timeout_s=20).exit_code == 0
    machine.remove_tree(there)
    assert not machine.exists(there)


def test_a_folder_that_somebody_else_makes_at_the_same_moment_is_there(
    machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "there").mkdir()
    seen: list[str] = []
    look = SshMachine.exists

    def late(self: SshMachine, path: str) -> bool:
        seen.append(path)
        return look(self, path) and not path.endswith("there")

    monkeypatch.setattr(SshMachine, "exists", late)

    machine.put(tmp_path / "file", str(tmp_path / "there" / "file"))

    assert (tmp_path / "there" / "file").read_text() == "x"
    assert str(tmp_path / "there") in seen


def test_a_file_is_read_from_an_offset_and_a_missing_one_is_empty(machine: SshMachine, tmp_path: Path) -> None:
    (tmp_path / "events").write_text("one\ntwo\n")

    assert machine.read_from(str(tmp_path / "events"), 4) == b"two\n"
    assert machine.read_from(str(tmp_path / "nothing"), 0) == b""
    assert machine.names(str(tmp_path / "nothing")) == []


def test_fetching_what_is_not_there_is_no_lost_connection(machine: SshMachine, tmp_path: Path) -> None:
    with pytest.raises(TransferError):
        machine.get(str(tmp_path / "nothing"), tmp_path / "back", PLENTY)


def test_a_home_folder_that_is_a_template_is_refused(machine: SshMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paramiko.SFTPClient, "normalize", lambda self, path: "/home/user/{{ lookup('pipe', 'id') }}")

    with pytest.raises(HostWordsError, match="the home folder"):
        _ = machine.home


def test_the_host_key_is_pinned_on_first_sight(machine: SshMachine, sshd: Sshd, tmp_path: Path) -> None:
    machine.connect()

    key = (sshd.folder / "host_key.pub").read_text().split()
    assert (tmp_path / "known_hosts").read_text() == f"[127.0.0.1]:{sshd.port} {key[0]} {key[1]}\n"


def test_another_host_key_is_refused(machine: SshMachine, sshd: Sshd, tmp_path: Path) -> None:
    machine.connect()
    machine.close()
    sshd.stop()
    sshd.make_host_key()
    sshd.start()

    with pytest.raises(HostKeyError, match="shows another host key"):
        machine.connect()


def test_a_key_that_was_promised_is_the_only_one_taken(sshd: Sshd, tmp_path: Path) -> None:
    other = (sshd.folder / "id_ed25519.pub").read_text().strip()
    promised = (sshd.folder / "host_key.pub").read_text().strip()

    with pytest.raises(HostKeyError):
        SshMachine(RealWorld(), host_of(sshd, other), tmp_path / "a", Way(str(sshd.identity))).connect()
    SshMachine(RealWorld(), host_of(sshd, promised), tmp_path / "b", Way(str(sshd.identity))).connect()


def test_a_refused_login_names_the_command_to_try(sshd: Sshd, tmp_path: Path) -> None:
    (sshd.folder / "authorized_keys").write_text("")

    with pytest.raises(ConnectionLostError) as caught:
        SshMachine(RealWorld(), host_of(sshd), tmp_path / "known_hosts", Way(str(sshd.identity))).connect()

    name = f"{getpass.getuser()}@127.0.0.1:{sshd.port}"
    assert caught.value.message == f"ssh: {name} refuses the login: it does not take {sshd.identity}"
    assert "`ssh-copy-id`" in caught.value.resolution


def test_nobody_listening_is_a_lost_connection(sshd: Sshd, machine: SshMachine) -> None:
    sshd.stop()

    with pytest.raises(ConnectionLostError, match="cannot reach"):
        machine.connect()


def test_a_connection_that_breaks_is_reported_and_opened_again(machine: SshMachine, sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "events").write_text("one\n")
    machine.read_from(str(tmp_path / "events"), 0)
    sshd.stop()
    with pytest.raises(ConnectionLostError):
        machine.read_from(str(tmp_path / "events"), 0)
    sshd.start()

    assert machine.read_from(str(tmp_path / "events"), 0) == b"one\n"


# a host that lies


def test_what_paramiko_logs_does_not_reach_the_terminal(
    machine: SshMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.run(["true"], timeout_s=60)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own

    logging.getLogger("paramiko.transport").error("Socket exception: No route to host (113)")

    assert capsys.readouterr().err == ""


def flood(channel: paramiko.Channel) -> None:
    with contextlib.suppress(OSError, EOFError):
        while True:
            channel.sendall(b"x" * 30_000)
            channel.sendall_stderr(b"y" * 30_000)


def test_of_what_a_program_writes_a_mebibyte_is_kept_and_the_rest_is_counted(machine: SshMachine) -> None:
    words = "yes | head -c 3000000; yes | head -c 2000000 >&2"
    done = machine.run(["sh", "-c", words], timeout_s=240)

    assert done.stdout == "y\n" * (1 << 19) + "\n(1951424 more bytes were cut)\n"
    assert done.stderr == "y\n" * (1 << 19) + "\n(951424 more bytes were cut)\n"


def test_a_program_that_writes_for_ever_ends_in_time_and_when_asked(tmp_path: Path) -> None:
    with hostile_host(tmp_path, answer=flood) as machine:
        with pytest.raises(ToolTimeoutError):
            machine.run(["true"], timeout_s=0.5)
        with pytest.raises(ToolCancelledError):
            machine.run(["true"], timeout_s=240, cancel=lambda: True)


def test_what_goes_on_when_the_user_loses_patience_is_given_up_and_what_begins_then_is_not(tmp_path: Path) -> None:
    urgent: list[bool] = []

    def lose_patience(channel: paramiko.Channel) -> None:
        if urgent:
            channel.send_exit_status(0)
            channel.close()
        urgent.append(True)

    with hostile_host(tmp_path, answer=lose_patience, is_urgent=lambda: bool(urgent)) as machine:
        with pytest.raises(ToolCancelledError):
            machine.run(["true"], timeout_s=240)
        assert machine.run(["true"], timeout_s=240).exit_code == 0


def test_what_a_program_says_comes_after_that_it_began_however_slow_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = paramiko.Transport._send_user_message

    def slow(transport: paramiko.Transport, data: paramiko.Message) -> None:
        if data.asbytes()[:1] == cMSG_CHANNEL_SUCCESS:
            threading.Event().wait(0.3)
        send(transport, data)

    monkeypatch.setattr(paramiko.Transport, "_send_user_message", slow)

    with hostile_host(tmp_path) as machine:
        assert machine.run(["true"], timeout_s=240).exit_code == 0


def test_a_full_disk_here_is_no_lost_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def receive(*words: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/here/adapter.safetensors")

    monkeypatch.setattr(ssh.Receiver, "receive", receive)

    with hostile_host(tmp_path) as machine, pytest.raises(OSError, match="No space left") as caught:
        machine.get("/adapter", tmp_path / "adapter", PLENTY)
    assert caught.value.errno == errno.ENOSPC


class Silent(paramiko.SubsystemHandler):
    """An SFTP server that never says a word."""

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.recv(1 << 16)
        channel.recv(1 << 16)


class Beside(paramiko.SubsystemHandler):
    """An SFTP server that answers without end, and never what it was asked."""

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.sendall(b"\x00\x00\x00\x05\x02\x00\x00\x00\x03")
        with contextlib.suppress(OSError, EOFError):
            while True:
                channel.sendall(b"\x00\x00\x00\x09\x65\x00\xff\xff\xff\x00\x00\x00\x00" * 1000)


@pytest.mark.parametrize("server", [Silent, Beside])
def test_an_sftp_server_that_never_comes_to_the_point_is_a_lost_connection(
    tmp_path: Path, server: type[paramiko.SubsystemHandler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "PATIENCE_S", 3.0)

    with hostile_host(tmp_path, sftp=server) as machine, pytest.raises(ConnectionLostError, match="no answer within"):
        machine.read_from("/events", 0)


class Garbage(paramiko.SubsystemHandler):
    """An SFTP server that breaks the protocol."""

    answer = b"\x00\x00\x00\x09\x68\x00\x00\x00\x01\xff\xff\xff\xff"

    def start_subsystem(self, name: str, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.recv(1 << 16)
        channel.sendall(b"\x00\x00\x00\x05\x02\x00\x00\x00\x03")
        channel.recv(1 << 16)
        channel.sendall(self.answer)
        channel.recv(1 << 16)


class TooLong(Garbage):
    answer = b"\xff\xff\xff\xff"


class NotText(Garbage):
    answer = b"\x00\x00\x00\x0f\x65\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x02\xff\xff"


@pytest.mark.parametrize("server", [Garbage, TooLong, NotText])
def test_an_answer_that_breaks_the_protocol_is_a_lost_connection(
    tmp_path: Path, server: type[paramiko.SubsystemHandler]
) -> None:
    with hostile_host(tmp_path, sftp=server) as machine, pytest.raises(ConnectionLostError):
        machine.names("/out")


def existing(command_line: CommandLine, server: Sshd) -> list[str]:
    return [
        *("--env", "existing", "--host", server.host),
        *("--set", f"compute.identity_file={server.identity}"),
        *("--set", f"compute.prefix={command_line.folder}/there"),
    ]


def test_a_run_on_an_existing_machine_ends_as_one_on_this(command_line: CommandLine, sshd: Sshd) -> None:
    done = command_line.train(extra=tuple(existing(command_line, sshd)))

    run = command_line.latest()
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 6 steps"
    assert json.loads((run / "host.json").read_text())["port"] == sshd.port
    assert not (command_line.folder / "there" / run.name).exists()
    assert json.loads((run / "receipt.json").read_text())["checks"]["trainer_processes"] == 0


def test_a_run_on_a_machine_behind_a_bastion_takes_the_name_that_the_user_has_for_it(
    command_line: CommandLine, sshd: Sshd, bastion: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, home = getpass.getuser(), tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (home / ".ssh" / "config").write_text(
        f"Host box\n HostName 127.0.0.1\n Port {sshd.port}\n User {user}\n ProxyJump gate\n"
        f" IdentityFile {sshd.identity}\n"
        f"Host gate\n HostName 127.0.0.1\n Port {bastion.port}\n User {user}\n IdentityFile {bastion.identity}\n"
    )
    words = ("--env", "existing", "--host", "box", "--set", f"compute.prefix={command_line.folder}/there")

    done = command_line.train(extra=words)

    run = command_line.latest()
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 6 steps"
    assert json.loads((run / "host.json").read_text())["port"] == sshd.port
    assert "-W [%h]:%p douse-jump-1" in (run / "ssh" / "config").read_text()
    assert "Accepted publickey" in (bastion.folder / "sshd.log").read_text()
    assert not (command_line.folder / "there" / run.name).exists()


def test_no_event_is_lost_or_repeated_when_the_connection_drops(command_line: CommandLine, sshd: Sshd) -> None:
    words = [*command_line.train_words("steps=60", command_line.gated), *existing(command_line, sshd)]
    outcome: list[int] = []
    runner = threading.Thread(target=lambda: outcome.append(command_line.run("train", *words).returncode))
    runner.start()
    wait_until(lambda: '"checkpoint_saved"' in command_line.events_text())

    sshd.stop()
    seen = command_line.events_text()
    command_line.gate.touch()
    events = command_line.folder / "there" / command_line.latest().name / "output" / "events.jsonl"
    wait_until(lambda: len(events.read_text()) > len(seen) + 500)  # training goes on
    sshd.start()
    runner.join(240)

    assert outcome == [0]
    steps = [json.loads(line) for line in command_line.events_text().splitlines()]
    assert [event["step"] for event in steps if event["event"] == "step"] == list(range(1, 61))


def test_an_interrupted_run_goes_on_on_another_machine(command_line: CommandLine, sshd: Sshd) -> None:
    command_line.train("steps=20", "die_at=8")

    resumed = command_line.run("resume", *existing(command_line, sshd))

    assert resumed.returncode == 0, resumed.stderr
    assert "going on from step 6" in resumed.stdout
    assert (command_line.latest() / "adapter" / "adapter_model.safetensors").read_text() == "trained 20 steps"
