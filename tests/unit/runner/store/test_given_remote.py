"""What a rented machine gets of rclone's configuration: one remote and those that it wraps, nothing of this machine."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import LocalMachine
from runner.errors import TransferError
from runner.run.run_file import RunFile, load_run_file
from runner.store import arming
from runner.store import run_store as storing
from runner.store.given_remote import given_remote
from runner.world import RealWorld
from tests.unit.runner.store.parts import HOST, RUN_ID, context, make_checkpoint, order_of, said
from trainer.__main__ import main
from trainer.checkpoints.complete import newest_complete
from trainer.errors import ConfigError
from trainer.supervisor.outbox import Outbox, read_order

DRIVE = 'type = drive\ntoken = {"access_token":"a-secret"}\n'
PLAIN = {"url": "rclone://webdav/runs", "rclone_on_machine": True}


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        ("[x]\n" + DRIVE, ("x",)),
        ("[x]\ntype = crypt\nremote = my drive:douse\npassword = q\n[my drive]\n" + DRIVE, ("x", "my drive")),
        ("[x]\ntype = alias\nremote = y,chunk_size=8M:a/b:c\n[y]\n" + DRIVE, ("x", "y")),
        ("[x]\ntype = union\nupstreams = y:a z:b:ro\n[y]\n" + DRIVE + "[z]\n" + DRIVE, ("x", "y", "z")),
        ('[x]\ntype = combine\nupstreams = "one=y:a b" two=z:\n[y]\n' + DRIVE + "[z]\n" + DRIVE, ("x", "y", "z")),
        ("[x]\ntype = alias\nremote = :webdav,url='http://127.0.0.1:9/':a\n", ("x",)),
        ("[x]\ntype = s3\nenv_auth = false\nservice_account_file =\n", ("x",)),
        ("[x]\ntype = alias\nremote = x:deeper\n", ("x",)),
    ],
)
def test_the_remote_and_those_that_it_wraps_are_given_and_no_other_one(
    sections: str, names: tuple[str, ...], known: Callable[[str], None]
) -> None:
    known(f"{sections}\n[another]\ntype = drive\ntoken = not yours\n")

    given = given_remote("rclone://x/runs", RealWorld())

    assert given.names == names
    assert "not yours" not in given.text
    assert "a-secret" not in repr(given)


def test_rclone_reads_what_is_given_as_it_was(
    known: Callable[[str], None], rclone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known('[x]\ntype = crypt\nremote = y:a # b;c\npassword = p=q\n[y]\ntype = drive\ntoken = {"a": "b = c"}\n')
    dump = lambda: json.loads(subprocess.check_output([rclone, "config", "dump"]))  # noqa: E731
    before = dump()

    given = given_remote("rclone://x/runs", RealWorld())

    known(given.text)
    assert dump() == before


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("a%(type)s", r"x has %\(…\)s in pass, which rclone would replace"),
        ('`"""', "x has blanks or quotes around pass"),
        ("a\nb", "x has a value of several lines"),
    ],
)
def test_a_value_that_rclone_would_read_as_another_is_not_given(
    value: str, cause: str, known: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known("[x]\ntype = webdav\n")
    monkeypatch.setenv("RCLONE_CONFIG_X_PASS", value)

    with pytest.raises(TransferError, match=cause):
        given_remote("rclone://x/runs", RealWorld())


def test_variables_of_another_remote_whose_name_begins_alike_stay_here(
    known: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known("[my]\ntype = webdav\n[my-crypt]\ntype = crypt\nremote = my:\n")
    monkeypatch.setenv("RCLONE_CONFIG_MY_CRYPT_PASSWORD", "a-secret")
    monkeypatch.setenv("RCLONE_CONFIG_MY_USER", "me")

    assert given_remote("rclone://my/runs", RealWorld()).text == "[my]\ntype = webdav\nuser = me\n"
    assert "password = a-secret" in given_remote("rclone://my-crypt/runs", RealWorld()).text


def test_what_variables_say_of_a_remote_counts_for_more(
    known: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    known("[my-x]\ntype = webdav\nurl = http://127.0.0.1:1\n")
    environ = {"RCLONE_CONFIG_MY_X_URL": "http://127.0.0.1:2", "RCLONE_CONFIG_Y_TYPE": "drive"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert "url = http://127.0.0.1:2" in given_remote("rclone://my-x/runs", RealWorld()).text
    assert given_remote("rclone://y/runs", RealWorld()).text == "[y]\ntype = drive\n"


@pytest.mark.parametrize(
    ("sections", "cause"),
    [
        ("[x]\ntype = local\n", "x is a folder of this machine"),
        ("[x]\ntype = crypt\nremote = /srv/store\n", "x leads to /srv/store, a folder of this machine"),
        ("[x]\ntype = alias\nremote = :local:/srv/store\n", "x leads to :local:/srv/store, a folder of this machine"),
        ("[x]\ntype = union\nupstreams = y:a /srv/b\n[y]\n" + DRIVE, "x leads to /srv/b, a folder of this machine"),
        ("[x]\ntype = crypt\nremote = y:\n[y]\ntype = local\n", "y is a folder of this machine"),
        ("[x]\ntype = drive\nservice_account_file = /home/me/key.json\n", "x has service_account_file, which leads"),
        ("[x]\ntype = sftp\nkey_file = ~/.ssh/id\n", "x has key_file, which leads"),
        ("[x]\ntype = s3\nenv_auth = true\n", "x has env_auth, which leads"),
        ("[x]\ntype = webdav\nbearer_token_command = pass show x\n", "x has bearer_token_command, which leads"),
        ("[x]\ntype = box\ntoken = {}\n", "x is of type box, whose token serves in one place only"),
        (
            "[x]\ntype = sftp\nhost = h\n",
            "x has neither pass nor key_pem, so that the SSH agent of this machine opens it",
        ),
        ("[x]\ntype = sftp\npass = p\nkey_use_agent = true\n", "x has key_use_agent, which leads"),
        ("[x]\ntype = azureblob\naccount = a\nuse_az = true\n", "x has use_az, which leads"),
        ("[x]\ntype = webdav\nunix_socket = /run/dav\n", "x has unix_socket, which leads"),
        ("[x]\ntype = smb\nuse_kerberos = true\n", "x has use_kerberos, which leads"),
        ("[x]\ntype = smb\nkerberos_ccache = /tmp/krb5cc\n", "x has kerberos_ccache, which leads"),
        ("[x]\ntype = hdfs\nservice_principal_name = s\n", "x has service_principal_name, which leads"),
        (
            "[x]\ntype = alias\nremote = y,env_auth,chunk_size=8M:a\n[y]\n" + DRIVE,
            "x has env_auth, which leads to something on this machine",
        ),
        (
            "[x]\ntype = alias\nremote = :sftp,host='h:22',pass=p,key_file=\"/home/me/id\":a\n",
            "x has key_file, which leads to something on this machine",
        ),
        ("[x]\ntype = alias\nremote = :crypt,remote='/srv/store',password=p:\n", "x leads to /srv/store, a folder"),
        ("[x]\ntype = alias\nremote = :alias,remote='y:a':b\n", "rclone has no remote y, which x leads to"),
        ("[x]\ntype = crypt\nremote = y:\n", "rclone has no remote y, which x leads to"),
        ("[y]\ntype = drive\n", "rclone has no remote x"),
    ],
)
def test_a_remote_that_is_of_no_use_elsewhere_is_refused_before_anything_is_rented(
    sections: str, cause: str, known: Callable[[str], None], tmp_path: Path
) -> None:
    known(sections)

    with pytest.raises(TransferError, match=cause) as caught:
        storing.check_store(
            RealWorld(), context(tmp_path, {"url": "rclone://x/runs", "rclone_on_machine": True}).run_file
        )

    assert caught.value.resolution


def test_a_configuration_that_cannot_be_read_is_reported(known: Callable[[str], None]) -> None:
    known("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nAAAA\n")

    with pytest.raises(TransferError, match="rclone's configuration cannot be read") as caught:
        given_remote("rclone://x/runs", RealWorld())

    assert "RCLONE_CONFIG_PASS" in str(caught.value.resolution)


# the machine


@pytest.fixture
def told(open_remote: Callable[[str], str], memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A rented machine that was told of a remote which it reaches; nothing of this machine's leads there any more."""
    ctx = context(tmp_path, {"url": open_remote("webdav"), "rclone_on_machine": True})
    storing.check_store(ctx.world, ctx.run_file)
    arming.arm(ctx, HOST, LocalMachine())
    return ctx


def test_a_machine_has_the_remote_in_its_memory_alone(told: Any, memory: Path, tmp_path: Path) -> None:
    order = order_of(tmp_path)

    path = Path(json.loads(Path(order["environment_file"]).read_text())["RCLONE_CONFIG"])
    assert memory in path.parents
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("[webdav]\n")
    assert order["rclone"] == f"{tmp_path}/box/{RUN_ID}/rclone/bin/rclone"
    assert said(told)[-1] == "store: the machine has your rclone's webdav in its memory"


def test_where_there_is_no_file_system_in_memory_the_run_says_so(
    open_remote: Callable[[str], str], memory: Path, tmp_path: Path
) -> None:
    ctx = context(tmp_path, {"url": open_remote("webdav"), "rclone_on_machine": True})
    memory.rmdir()

    arming.arm(ctx, HOST, LocalMachine())

    assert said(ctx)[-1].endswith("webdav on its disk: it has no file system in memory")


def test_it_sends_each_checkpoint_itself(
    told: Any, rclone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = order_of(tmp_path)
    program = Path(order["rclone"])
    program.parent.mkdir(parents=True)
    program.symlink_to(rclone)
    here = dict(RealWorld().environ)
    monkeypatch.setenv("RCLONE_CONFIG", "/dev/null")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    output = Path(order["folder"])
    make_checkpoint(output / "checkpoints", 8)

    assert Outbox(read_order(tmp_path / "box" / RUN_ID / "lease" / "upload.json"), output).send(is_last=True)

    monkeypatch.setenv("RCLONE_CONFIG", here["RCLONE_CONFIG"])
    monkeypatch.setenv("PATH", here["PATH"])
    storing.fetch_past(told)
    assert newest_complete(told.run.checkpoints)[0].step == 8  # type: ignore[union-attr]


def test_it_brings_what_is_left_there_when_its_lease_runs_out(
    told: Any, rclone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = order_of(tmp_path)
    make_checkpoint(Path(order["folder"]) / "checkpoints", 8)
    with monkeypatch.context() as there:
        there.setattr("trainer.__main__.os.environ", {})
        words = ["--folder", order["folder"], "--url", order["url"], "--environment-file", order["environment_file"]]
        assert main(["sync", "push", *words, "--rclone", rclone]) == 0

    storing.fetch_past(told)
    assert newest_complete(told.run.checkpoints)[0].step == 8  # type: ignore[union-attr]


@pytest.mark.parametrize(("env", "is_on"), [("local", True), ("lambda", False)])
def test_no_other_machine_is_given_a_remote(
    env: str, is_on: bool, known: Callable[[str], None], memory: Path, tmp_path: Path
) -> None:
    known("[webdav]\ntype = webdav\nurl = http://127.0.0.1:9\n")
    ctx = context(tmp_path, PLAIN | {"rclone_on_machine": is_on}, env=env)

    arming.arm(ctx, HOST, LocalMachine())

    assert not arming.is_armed(ctx.run_file)
    assert list(memory.iterdir()) == []


# the run file


def test_a_machine_that_sends_its_work_itself_waits_as_long_as_with_s3() -> None:
    of = lambda **more: RunFile.model_validate({"store": PLAIN | more}).idle_minutes  # noqa: E731

    assert (of(), of(rclone_on_machine=False)) == (10, 60)


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ("store: {url: 's3://bucket/x', rclone_on_machine: true}", "only rclone:// has use for it"),
        ("store: {rclone_on_machine: true}", "store.url is None"),
        (
            "store: {url: 'rclone://x/y', rclone_on_machine: true}\ncompute: {trust: any}",
            "the owner of a community machine could read what opens your remote",
        ),
    ],
)
def test_what_contradicts_it_is_refused(wrong: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(wrong)

    with pytest.raises(ConfigError, match=cause):
        load_run_file(tmp_path / "run.yaml")
