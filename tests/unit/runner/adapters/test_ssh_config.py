"""What of the user's ``~/.ssh/config`` counts, read by ``ssh -G`` and handed on in the run's own file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.adapters.ssh_config import Hop, ask_ssh, find_way, write_way
from runner.errors import UsageError
from runner.world import RealWorld


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def configure(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)


def way(host: str, identity_file: str | None = None) -> tuple[Hop, ...]:
    return find_way(RealWorld(), host, identity_file)


def test_of_a_name_five_keys_and_the_jump_count(home: Path) -> None:
    configure(
        home,
        'Host box\n HostName 203.0.113.7\n User me\n Port 2222\n IdentityFile ~/.ssh/a\n IdentityFile "/keys/b c"\n'
        " ProxyJump gate\n ForwardAgent yes\n RemoteCommand rm -rf /\n StrictHostKeyChecking no\n SendEnv *\n"
        "Host gate\n HostName 198.51.100.1\n User door\n",
    )

    gate, box = way("box")

    assert (gate.address, gate.port, gate.user, gate.identity_files) == ("198.51.100.1", 22, "door", None)
    assert (box.address, box.port, box.user) == ("203.0.113.7", 2222, "me")
    assert box.identity_files == (f"{home}/.ssh/a", "/keys/b c")


def test_the_runs_own_file_holds_nothing_else_and_is_the_users_alone(home: Path, tmp_path: Path) -> None:
    configure(
        home,
        "Host box\n HostName 203.0.113.7\n User me\n IdentityFile ~/.ssh/a\n ProxyJump gate\n LocalForward 1 b:2\n"
        " UserKnownHostsFile /dev/null\nHost gate\n HostName 198.51.100.1\n User door\n ForwardX11 yes\n",
    )
    file = tmp_path / "run" / "ssh" / "config"

    write_way(file, way("box"))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == (
        "Host douse-jump-1\n  HostName 198.51.100.1\n  User door\n  Port 22\n"
        f'  UserKnownHostsFile "{tmp_path}/run/ssh/known_jumps" ~/.ssh/known_hosts\n'
        "  StrictHostKeyChecking accept-new\n  BatchMode yes\n  ConnectTimeout 15\n"
        "  ServerAliveInterval 5\n  ServerAliveCountMax 3\n"
        "\n"
        "Host 203.0.113.7\n  HostName 203.0.113.7\n  User me\n  Port 22\n"
        f'  IdentityFile "{home}/.ssh/a"\n  IdentitiesOnly yes\n'
        f"  ProxyCommand ssh -F {file} -W [%h]:%p douse-jump-1\n"
    )


def test_ssh_reads_from_the_runs_file_what_was_written(home: Path, tmp_path: Path) -> None:
    configure(
        home,
        "Host box\n HostName 203.0.113.7\n User me\n Port 2222\n IdentityFile ~/.ssh/100%%\n"
        " ProxyCommand nc -X 5 'a%%b' %h %p %r %n\n",
    )
    file = tmp_path / "config"

    (box,) = way("box")
    write_way(file, (box,))
    read = ask_ssh(RealWorld(), file, "203.0.113.7")

    assert box.command == "nc -X 5 'a%b' 203.0.113.7 2222 me box"
    assert box.identity_files == (f"{home}/.ssh/100%",)
    assert (read.address, read.port, read.user) == (box.address, box.port, box.user)
    assert (read.identity_files, read.command, read.jump) == (box.identity_files, box.command, None)


def test_tokens_home_and_variables_in_a_path_are_filled_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    configure(
        home, "Host box\n HostName b.example\n User me\n IdentityFile ${KEYS}/%n-%h-%r-%p\n IdentityFile %d/.ssh/x\n"
    )

    (box,) = way("box")

    assert box.identity_files == ("/keys/box-b.example-me-22", f"{home}/.ssh/x")


def test_a_file_without_an_identity_leaves_agent_and_usual_files(home: Path, tmp_path: Path) -> None:
    configure(home, "Host box\n HostName b.example\nHost none\n IdentityFile none\n")

    assert [way(name)[0].identity_files for name in ("box", "none", "me@b.example")] == [None, (), None]
    for name, files in (("box", None), ("none", ())):
        write_way(tmp_path / name, way(name))
        assert ask_ssh(RealWorld(), tmp_path / name, way(name)[0].address).identity_files == files


def test_the_run_files_own_key_takes_the_place_of_those_of_the_name(home: Path) -> None:
    configure(home, "Host box\n HostName b.example\n IdentityFile ~/.ssh/a\n IdentityFile ~/.ssh/b\n")

    assert way("box", "/keys/mine")[0].identity_files == ("/keys/mine",)


def test_of_an_address_the_users_configuration_says_nothing(home: Path) -> None:
    configure(home, "Host *\n User other\n Port 99\n ProxyJump gate\n IdentityFile ~/.ssh/a\n")

    assert way("me@203.0.113.7") == (Hop("me@203.0.113.7", "203.0.113.7", 22, "me"),)
    assert way("me@[2001:db8::7]:2222")[0].address == "2001:db8::7"


def test_jumps_are_one_after_the_other_and_the_first_ones_own_way_counts(home: Path, tmp_path: Path) -> None:
    configure(
        home,
        "Host box\n HostName 10.0.0.9\n ProxyJump door@first:2200,ssh://second\n"
        "Host first\n HostName 198.51.100.1\n User unused\n ProxyJump outer\n"
        "Host second\n HostName 198.51.100.2\n ProxyJump never\n"
        "Host outer\n HostName 198.51.100.3\n ProxyCommand nc %h %p\n",
    )

    found = way("box")
    write_way(tmp_path / "config", found)

    assert [(hop.address, hop.port) for hop in found] == [
        ("198.51.100.3", 22),
        ("198.51.100.1", 2200),
        ("198.51.100.2", 22),
        ("10.0.0.9", 22),
    ]
    assert found[1].user == "door"
    lines = [line.strip() for line in (tmp_path / "config").read_text().splitlines() if "Proxy" in line]
    assert lines == [
        "ProxyCommand nc 198.51.100.3 22",
        *(f"ProxyCommand ssh -F {tmp_path}/config -W [%h]:%p douse-jump-{number}" for number in (1, 2, 3)),
    ]


def test_a_jump_that_would_lead_to_itself_is_left_out_as_ssh_does(home: Path) -> None:
    configure(home, "Host gate\n HostName 198.51.100.1\nHost *\n User me\n ProxyJump gate\n")

    assert [hop.address for hop in way("box.example")] == ["198.51.100.1", "box.example"]


def test_jumps_in_a_circle_are_refused(home: Path) -> None:
    configure(home, "Host a\n ProxyJump b\nHost b\n ProxyJump a\n")

    with pytest.raises(UsageError, match="leads over more than 8 machines to a"):
        way("a")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("HostName a;id", "HostName 'a;id'"),
        ("User $(id)", "User '$(id)'"),
        ("IdentityFile ~/.ssh/%C", "%C in"),
        ("IdentityFile relative", "IdentityFile 'relative'"),
        ('IdentityFile "/a${NOT_SET_ANYWHERE}b"', "IdentityFile '/a${NOT_SET_ANYWHERE}b'"),
        ("ProxyCommand nc %k", "%k in 'nc %k'"),
    ],
)
def test_what_cannot_be_handed_on_is_refused_by_its_key(home: Path, line: str, says: str) -> None:
    configure(home, f"Host box\n {line}\n")

    with pytest.raises(UsageError) as caught:
        way("box")

    assert says in caught.value.message


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=id", "a b", "a;id", "a\nb", "me@-oProxyCommand=id", "-l@b", "a/b", "*"]
)
def test_a_name_that_is_none_reaches_no_ssh(home: Path, host: str) -> None:
    with pytest.raises(UsageError, match="neither user@address"):
        way(host)


def test_a_configuration_that_ssh_cannot_read_is_reported_in_its_words(home: Path) -> None:
    configure(home, "Host box\n NoSuchOption yes\n")

    with pytest.raises(UsageError, match=r"(?i)bad configuration option: nosuchoption"):
        way("box")


def test_without_a_configuration_a_name_is_an_address(home: Path) -> None:
    (box,) = way("box.example")

    assert (box.address, box.port, box.user) == ("box.example", 22, RealWorld().user)
