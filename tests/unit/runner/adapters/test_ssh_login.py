"""The way in to a machine of the user's own: over a bastion, with the right key, and why not, against real servers."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runner.adapters import ssh_login
from runner.adapters.ssh import SshMachine
from runner.adapters.ssh_config import PINS, find_way, pins_of, write_way
from runner.adapters.ssh_login import Way, unreachable
from runner.errors import ConnectionLostError, HostKeyError
from runner.run.models import Host
from runner.world import RealWorld
from tests.unit.runner.conftest import Sshd, serving, wait_until

pytestmark = pytest.mark.enable_socket


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, without an agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real agent without keys; its socket."""
    place = Path("/tmp") / f"douse-agent-{os.getpid()}"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    wait_until(place.exists)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    yield place
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    place.unlink(missing_ok=True)


def make_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True, timeout=60)
    return path


def hold(*paths: Path) -> None:
    """Let the agent hold keys."""
    subprocess.run(["ssh-add", "-q", *map(str, paths)], check=True, timeout=60, stdin=subprocess.DEVNULL)


def reach(folder: Path, host: str, identity: Path | None = None) -> SshMachine:
    """Return the machine that a host given by the user stands for, by the run's own file."""
    way = find_way(RealWorld(), host, None if identity is None else str(identity))
    last = way[-1]
    write_way(folder / "ssh" / "config", way)
    machine = Host(last.address, last.port, last.user, "given", "given-machine", "here", False, 0.0, None, "local")
    return SshMachine(RealWorld(), machine, folder / "known_hosts", Way(config=folder / "ssh" / "config"))


def name_box(home: Path, sshd: Sshd, *lines: str, identity: Path | None = None) -> None:
    text = f"Host box\n HostName 127.0.0.1\n Port {sshd.port}\n User {getpass.getuser()}\n"
    text += f" IdentityFile {identity or sshd.identity}\n" + "".join(f" {line}\n" for line in lines)
    (home / ".ssh" / "config").write_text(text)


def name_gate(home: Path, bastion: Sshd, *lines: str) -> None:
    with (home / ".ssh" / "config").open("a") as file:
        file.write(f"Host gate\n HostName 127.0.0.1\n Port {bastion.port}\n User {getpass.getuser()}\n")
        file.write(f" IdentityFile {bastion.identity}\n" + "".join(f" {line}\n" for line in lines))


def refused(machine: SshMachine) -> ConnectionLostError:
    with pytest.raises(ConnectionLostError) as caught:
        machine.connect()
    return caught.value


# over a bastion


def test_files_and_programs_go_over_the_bastion(home: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd) -> None:
    name_box(home, sshd, "ProxyJump gate")
    name_gate(home, bastion)
    machine = reach(tmp_path, "box")
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)

    machine.put(tmp_path / "file", str(tmp_path / "there" / "file"))

    assert machine.run(["sh", "-c", "echo $SSH_CONNECTION"], timeout_s=60).exit_code == 0
    assert (tmp_path / "there" / "file").stat().st_size == 3_000_000
    assert "Accepted publickey" in (bastion.folder / "sshd.log").read_text()
    machine.close()
    bastion.stop()
    assert "Connection refused" in refused(machine).message


def test_a_folder_that_a_shell_would_take_apart_is_no_obstacle_to_ssh_itself(
    home: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd
) -> None:
    folder = tmp_path / "all of John's $(false) 100%"
    name_box(home, sshd, "ProxyJump gate")
    name_gate(home, bastion)
    machine = reach(folder, "box")

    assert machine.run(["echo", "hello"], timeout_s=60).stdout == "hello\n"
    machine.close()
    pins = ["-o", f"UserKnownHostsFile={home}/pins", "-o", "StrictHostKeyChecking=accept-new"]
    argv = ["ssh", "-F", str(folder / "ssh" / "config"), *pins, "127.0.0.1", "echo hello"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    assert (done.stdout, done.returncode) == ("hello\n", 0), done.stderr  # as Ansible starts it


def test_nothing_that_carries_a_connection_outlives_it(home: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd) -> None:
    name_box(home, sshd, "ProxyJump gate")
    name_gate(home, bastion)
    machine = reach(tmp_path, "box")
    machine.connect()
    carriers = [child for child in psutil.Process().children(recursive=True) if "douse-jump-1" in child.cmdline()]

    machine.close()

    assert len(carriers) == 1
    assert not carriers[0].is_running()


def test_the_bastions_key_is_pinned_by_the_run_and_the_users_file_is_not_written(
    home: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd
) -> None:
    name_box(home, sshd, "ProxyJump gate")
    name_gate(home, bastion)
    machine = reach(tmp_path, "box")
    machine.connect()
    machine.close()

    assert (tmp_path / "ssh" / PINS).read_text().startswith(f"[127.0.0.1]:{bastion.port} ")
    assert not (home / ".ssh" / "known_hosts").exists()

    bastion.stop()
    bastion.make_host_key()
    bastion.start()

    assert "Host key verification failed" in refused(machine).message


def test_a_proxy_command_carries_the_connection(home: Path, tmp_path: Path, sshd: Sshd) -> None:
    pipe = "import socket, sys, threading; s = socket.create_connection((sys.argv[1], int(sys.argv[2])))"
    program = home / "carry.py"
    program.write_text(
        f"{pipe}\nimport os\n"
        "def up():\n    while data := os.read(0, 65536):\n        s.sendall(data)\n    os._exit(0)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536):\n    os.write(1, data)\n"
    )
    name_box(home, sshd, f"ProxyCommand {shutil.which('python3')} {program} %h %p")
    machine = reach(tmp_path, "box")

    assert machine.run(["echo", "hello"], timeout_s=60).stdout == "hello\n"
    machine.close()


def test_a_bastion_that_lets_nobody_on_is_said_to_be_it(home: Path, tmp_path: Path, sshd: Sshd) -> None:
    with serving(tmp_path / "closed", "AllowTcpForwarding no") as closed:
        name_box(home, sshd, "ProxyJump gate")
        name_gate(home, closed)

        err = refused(reach(tmp_path, "box"))

    assert f"over {getpass.getuser()}@127.0.0.1:{closed.port}:" in err.message
    assert "administratively prohibited" in err.message
    assert "ProxyJump" in err.resolution


def test_a_bastion_that_takes_no_key_of_ours_is_said_to_be_it(
    home: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd
) -> None:
    (bastion.folder / "authorized_keys").write_text("")
    name_box(home, sshd, "ProxyJump gate")
    name_gate(home, bastion)

    assert ": Permission denied (publickey" in refused(reach(tmp_path, "box")).message


def test_the_port_behind_the_bastion_is_closed(home: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd) -> None:
    name_box(home, sshd, "ProxyJump gate")
    name_gate(home, bastion)
    sshd.stop()

    assert "connect failed: Connection refused" in refused(reach(tmp_path, "box")).message


# keys


def test_nine_keys_of_the_agent_are_too_many_and_a_named_one_is_not(
    home: Path, tmp_path: Path, sshd: Sshd, agent: Path
) -> None:
    hold(*(make_key(tmp_path / f"key{number}") for number in range(9)))
    (home / ".ssh" / "id_ed25519").write_bytes(sshd.identity.read_bytes())

    err = refused(reach(tmp_path, sshd.host))

    assert err.message.endswith("hung up after 6 keys (too many authentication failures)")
    assert "SET=compute.identity_file" in err.resolution
    reach(tmp_path, sshd.host, sshd.identity).connect()
    name_box(home, sshd)
    reach(tmp_path, "box").connect()


def test_an_encrypted_key_needs_the_agent(home: Path, tmp_path: Path, sshd: Sshd, agent: Path) -> None:
    key = tmp_path / "locked"
    shutil.copy(sshd.identity, key)
    shutil.copy(f"{sshd.identity}.pub", f"{key}.pub")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(key)], check=True, timeout=60)

    err = refused(reach(tmp_path, sshd.host, key))

    assert f"the key {key} is encrypted, and the agent does not hold it" in err.message
    assert err.resolution == f"unlock it: `ssh-add {key}`"
    hold(sshd.identity)
    reach(tmp_path, sshd.host, key).connect()


def test_a_public_half_will_do_only_where_the_agent_holds_the_other(
    home: Path, tmp_path: Path, sshd: Sshd, agent: Path
) -> None:
    public = Path(f"{sshd.identity}.pub")

    err = refused(reach(tmp_path, sshd.host, public))

    assert f"{public} is the public half of a key" in err.message
    assert err.resolution == f"name {sshd.identity} instead"
    hold(sshd.identity)
    reach(tmp_path, sshd.host, public).connect()


def test_a_key_that_is_not_taken_is_named(tmp_path: Path, sshd: Sshd) -> None:
    other = make_key(tmp_path / "other")

    assert refused(reach(tmp_path, sshd.host, other)).message.endswith(f"refuses the login: it does not take {other}")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "there is no key file {}"), ("hello", "{} is no private key that can be read")],
)
def test_a_file_that_is_no_key_is_named(tmp_path: Path, sshd: Sshd, content: str | None, says: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)

    assert says.format(file) in refused(reach(tmp_path, sshd.host, file)).message


def test_without_any_key_that_is_said(home: Path, tmp_path: Path, sshd: Sshd) -> None:
    err = refused(reach(tmp_path, sshd.host))

    assert err.message.endswith(f"there is no key here, neither in the agent nor in {home}/.ssh")
    assert "ssh-copy-id" in err.resolution


def test_the_usual_file_is_taken_where_none_is_named(home: Path, tmp_path: Path, sshd: Sshd) -> None:
    (home / ".ssh" / "id_ed25519").write_bytes(sshd.identity.read_bytes())

    reach(tmp_path, sshd.host).connect()


def test_of_two_named_keys_the_second_is_taken_as_well(home: Path, tmp_path: Path, sshd: Sshd) -> None:
    name_box(home, sshd, f"IdentityFile {sshd.identity}", identity=make_key(tmp_path / "other"))

    reach(tmp_path, "box").connect()


def test_a_key_that_is_not_enough_is_no_login(tmp_path: Path) -> None:
    with serving(tmp_path / "strict", "AuthenticationMethods publickey,keyboard-interactive",
                 "KbdInteractiveAuthentication yes", "UsePAM yes") as strict:  # fmt: skip
        assert "a key is not enough there" in refused(reach(tmp_path, strict.host, strict.identity)).message


# the network and the host key


def test_a_name_that_nobody_knows_is_said_to_be_one(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*words: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(RealWorld, "connect", unknown)

    err = refused(reach(tmp_path, "nosuchbox"))

    assert "nobody knows this name: it is neither in ~/.ssh/config nor in the DNS" in err.message


def test_a_closed_port_is_said_to_be_one(tmp_path: Path, sshd: Sshd) -> None:
    sshd.stop()

    assert "nothing listens at this port" in refused(reach(tmp_path, sshd.host)).message


@pytest.mark.parametrize(
    ("err", "says"),
    [
        (OSError(113, "No route to host"), "no route leads there"),
        (OSError(101, "Network is unreachable"), "no route leads there"),
        (TimeoutError("timed out"), "nobody answers there"),
        (EOFError(), "EOFError"),
    ],
)
def test_each_trouble_of_the_network_has_words_of_its_own(err: Exception, says: str) -> None:
    assert unreachable("me@b:22", err).message == f"ssh: cannot reach me@b:22: {says}"


def test_a_machine_with_another_key_than_the_pinned_one_is_refused(tmp_path: Path, sshd: Sshd) -> None:
    machine = reach(tmp_path, sshd.host, sshd.identity)
    machine.connect()
    assert pins_of(tmp_path / "known_hosts", "127.0.0.1", sshd.port).startswith(f"[127.0.0.1]:{sshd.port} ssh-")
    assert pins_of(tmp_path / "known_hosts", "127.0.0.1", 22) == ""
    machine.close()
    sshd.stop()
    sshd.make_host_key()
    sshd.start()

    with pytest.raises(HostKeyError, match="shows another host key"):
        machine.connect()


def test_a_rented_machine_reads_nothing_of_the_users(
    home: Path, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ssh" / "config").write_text("Host *\n Port 1\n ProxyCommand false\n IdentityFile /none\n")
    monkeypatch.setattr(ssh_login, "ask_ssh", lambda *words: pytest.fail("it was asked"))
    monkeypatch.setattr("paramiko.Agent", lambda: pytest.fail("the agent was asked"))
    host = Host("127.0.0.1", sshd.port, getpass.getuser(), "i", "gpu", "here", False, 1.0, None, "lambda")

    SshMachine(RealWorld(), host, tmp_path / "known_hosts", Way(str(sshd.identity))).connect()
