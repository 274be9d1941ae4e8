"""Ansible: the real playbook over SSH; failures in words; nothing left when it is cut short."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.adapters import ansible, packages
from runner.adapters.ansible import run_playbook
from runner.adapters.ssh_config import NOTHING, find_way, write_way
from runner.adapters.surroundings import UTF8
from runner.errors import PlaybookFailedError, RunInterruptedError
from runner.lifecycle.steps.configure import make_inventory
from runner.run.models import Box, Host
from runner.run.run_dir import PROJECT
from runner.world import RealWorld
from tests.kept_python import kept_python
from tests.unit.runner.conftest import Sshd, processes_naming, wait_until

INVENTORY = {
    "all": {
        "hosts": {
            "box": {"ansible_connection": "local", "ansible_python_interpreter": kept_python()},
        }
    }
}
TASKS = """
- name: Try
  hosts: box
  gather_facts: false
  tasks:
    - name: Do it
      ansible.builtin.command: {command}
      changed_when: true
"""


RUNNER = """
import sys
from pathlib import Path
from runner.adapters import ansible
from tests.unit.runner.adapters.test_ansible import play
folder = Path(sys.argv[1])
ansible.PROJECT = folder
play("long.yml", folder / "log")
"""
"""A small runner, to be killed."""


@pytest.fixture
def playbooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one's own, for playbooks that misbehave."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    monkeypatch.setattr(ansible, "PROJECT", tmp_path)
    return tmp_path / "playbooks"


def play(name: str, log: Path, **options: Any) -> ansible.PlaybookRun:
    return run_playbook(
        name, inventory=INVENTORY, environment="local", variables={}, world=RealWorld(), log=log, **options
    )


def variables(prefix: Path, cache: Path) -> dict[str, Any]:
    lock = prefix.parent / "tiny.lock"
    lock.write_text("")  # an empty lock installs nothing, with the very same tasks
    uv = Path(sys.executable).parent / "uv"
    return {
        "base_system_disk_gib": 0.1,
        "base_system_prefix": str(prefix),
        "python_env_bootstrap": str(PROJECT / "runner" / "bootstrap.py"),
        "python_env_cache": str(cache),
        "python_env_lock_cpu": str(lock),
        "python_env_locks_gpu": [{"path": str(lock), "driver_min": "525", "machines": [], "needs": "nothing"}],
        "python_env_lock_uv": str(PROJECT / "requirements" / "uv.lock"),
        "python_env_prefix": str(prefix),
        "python_env_uv": str(uv) if uv.exists() else "",
        "trainer_app_prefix": str(prefix),
        "verify_facts_path": str(prefix.parent / "host_facts.json"),
        "verify_modules": ["json"],
        "verify_prefix": str(prefix),
    }


def test_a_machine_without_room_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    inputs = variables(tmp_path / "box", tmp_path / "cache") | {
        "base_system_disk_gib": 1e6,
        "trainer_app_wheel": "unused",
    }

    with pytest.raises(PlaybookFailedError, match=r"Check that the run fits on the disk' failed: .* GiB are free"):
        run_playbook(
            "prepare.yml",
            inventory=INVENTORY,
            environment="local",
            variables=inputs,
            world=RealWorld(),
            log=tmp_path / "log",
        )

    assert not (tmp_path / "box").exists()


def test_a_failed_task_is_named_with_its_own_words(playbooks: Path, tmp_path: Path) -> None:
    (playbooks / "bad.yml").write_text(TASKS.format(command="sh -c 'echo it is broken >&2; exit 4'"))

    with pytest.raises(PlaybookFailedError, match=r"configure: bad\.yml: task 'Do it' failed: ") as caught:
        play("bad.yml", tmp_path / "log")

    assert "it is broken" in str(caught.value.details)
    assert "it is broken" in (tmp_path / "log").read_text()


def test_a_playbook_that_cannot_be_read_is_reported_in_ansibles_words(playbooks: Path, tmp_path: Path) -> None:
    (playbooks / "broken.yml").write_text(TASKS.format(command="true"))  # YAML's true is no command

    with pytest.raises(PlaybookFailedError, match=r"before the first task' failed: .*unexpected parameter type"):
        play("broken.yml", tmp_path / "log")


def test_tasks_are_reported_as_they_begin_and_changes_are_counted(playbooks: Path, tmp_path: Path) -> None:
    (playbooks / "good.yml").write_text(TASKS.format(command="/bin/echo"))
    told: list[str] = []

    done = play("good.yml", tmp_path / "log", on_progress=told.append)

    assert (done.tasks, done.changed, told) == (1, 1, ["Do it"])


def test_nothing_goes_on_when_ansible_is_cut_short(playbooks: Path, tmp_path: Path) -> None:
    mark = tmp_path / "running"
    (playbooks / "long.yml").write_text(TASKS.format(command=f"sh -c 'touch {mark}; sleep 600; true {mark}'"))

    with pytest.raises(RunInterruptedError, match="configure: stopped on request"):
        play("long.yml", tmp_path / "log", cancel=mark.exists)

    wait_until(lambda: processes_naming(str(mark)) == [])


def test_nothing_goes_on_when_the_runner_is_killed(playbooks: Path, tmp_path: Path) -> None:
    mark, scratch = tmp_path / "running", Path(tempfile.mkdtemp(prefix="dt-", dir=tmp_path))
    (playbooks / "long.yml").write_text(TASKS.format(command=f"sh -c 'touch {mark}; sleep 600; true {mark}'"))
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path)], cwd=PROJECT, env={**os.environ, "TMPDIR": str(scratch)}
    )
    wait_until(lambda: mark.exists() or runner.poll() is not None)
    assert processes_naming(str(mark)) != []
    assert processes_naming(str(scratch)) != []

    os.kill(runner.pid, signal.SIGKILL)
    runner.wait(60)

    wait_until(lambda: processes_naming(str(mark)) + processes_naming(str(scratch)) == [])
    wait_until(lambda: list(scratch.glob("douse-*")) == [])


def test_nothing_goes_on_when_whoever_looks_on_fails(playbooks: Path, tmp_path: Path) -> None:
    mark = tmp_path / "running"
    (playbooks / "long.yml").write_text(TASKS.format(command=f"sh -c 'touch {mark}; sleep 600; true {mark}'"))

    def fail(task: str) -> None:
        raise BrokenPipeError(task)

    with pytest.raises(BrokenPipeError, match="Do it"):
        play("long.yml", tmp_path / "log", on_progress=fail)

    wait_until(lambda: processes_naming(str(mark)) == [])


def test_an_ansible_that_cannot_start_is_reported_in_its_own_words(
    playbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with pytest.raises(PlaybookFailedError, match="before the first task' failed: no such module"):
        play("any.yml", tmp_path / "log")


@pytest.mark.parametrize(
    "tasks",
    [TASKS.format(command="/bin/true").replace("hosts: box", "hosts: nobody"), "- hosts: box\n  gather_facts: true\n"],
    ids=["no-host", "no-task"],
)
def test_a_play_that_did_nothing_is_a_failure(playbooks: Path, tmp_path: Path, tasks: str) -> None:
    (playbooks / "nothing.yml").write_text(tasks)

    with pytest.raises(PlaybookFailedError, match=r"nothing\.yml: Ansible reports success, and no task ran"):
        play("nothing.yml", tmp_path / "log")


HOSTILE = {
    "ANSIBLE_INVENTORY_ENABLED": "ini",  # Ansible reads no inventory of ours, and succeeds on no host
    "ANSIBLE_CALLBACK_PLUGINS": "/nowhere",
    "ANSIBLE_STDOUT_CALLBACK": "minimal",
    "ANSIBLE_STRATEGY": "no_such_strategy",
    "ANSIBLE_RUN_TAGS": "no-such-tag",
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "AWX_LIB_DIRECTORY": "/nowhere",
    "RUNNER_OMIT_EVENTS": "True",
    "PYTHONPATH": "/nowhere",
    "LC_ALL": "C",
    "LANG": "de_DE.ISO-8859-1",
}
"""Each of them makes Ansible or ansible-runner do something else."""


def test_nothing_that_the_users_shell_says_of_ansible_changes_a_play(
    playbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".ansible.cfg").write_text("[defaults]\nstrategy = no_such_strategy\n")
    kept = tmp_path / "kept"
    (playbooks / "good.yml").write_text(TASKS.format(command=json.dumps(f"sh -c 'env > {kept}'")))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)

    done = play("good.yml", tmp_path / "log")

    assert (done.tasks, done.changed) == (1, 1)
    found = dict(line.split("=", 1) for line in kept.read_text().splitlines() if "=" in line)
    assert found["LC_ALL"] == UTF8
    assert found["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert {name for name in found if name.startswith("ANSIBLE_")} == {
        "ANSIBLE_CACHE_PLUGIN", "ANSIBLE_CACHE_PLUGIN_CONNECTION", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_CONFIG",
        "ANSIBLE_HOME", "ANSIBLE_HOST_KEY_CHECKING", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_NOCOLOR",
        "ANSIBLE_RETRY_FILES_ENABLED", "ANSIBLE_SSH_ARGS", "ANSIBLE_SSH_CONTROL_PATH_DIR", "ANSIBLE_STDOUT_CALLBACK",
    }  # fmt: skip


def over_ssh(server: Sshd, known_hosts: Path, prefix: Path, config: Path = NOTHING) -> dict[str, Any]:
    """Return the very inventory that the configure step makes for a machine behind SSH."""
    ctx: Any = SimpleNamespace(
        run=SimpleNamespace(known_hosts=known_hosts), identity_file=str(server.identity), ssh_config=config
    )
    host = Host("127.0.0.1", server.port, getpass.getuser(), "i", "given-machine", "here", False, 0.0, None, "local")
    return make_inventory(ctx, host, Box(str(prefix)), packages.python_with_pip())


@pytest.mark.enable_socket
def test_prepare_over_ssh_is_strict_about_the_host_key(
    tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tempfile.mkdtemp(prefix="dt-")  # short: a socket's path may have 100 characters
    monkeypatch.setattr(tempfile, "tempdir", own)
    prefix, known_hosts = tmp_path / "box", tmp_path / "known hosts"
    key = (sshd.folder / "host_key.pub").read_text().split()
    inputs = variables(prefix, tmp_path / "cache") | {"trainer_app_wheel": "unused"}
    inventory = over_ssh(sshd, known_hosts, prefix)

    def prepare() -> ansible.PlaybookRun:
        return run_playbook(
            "prepare.yml",
            inventory=inventory,
            environment="existing",
            variables=inputs,
            world=RealWorld(),
            log=tmp_path / "log",
            tags=["base_system"],  # rehearsals play all roles over SSH
        )

    known_hosts.write_text("")
    with pytest.raises(PlaybookFailedError, match="you have requested strict checking"):
        prepare()
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {key[0]} {key[1]}\n")
    done = prepare()
    assert (done.changed > 0, done.tasks > 5) == (True, True)
    assert processes_naming(own) == []  # no connection master is left behind
    shutil.rmtree(own)


def test_ansible_goes_over_the_bastion_of_the_runs_own_file_and_reads_no_other(
    playbooks: Path, tmp_path: Path, sshd: Sshd, bastion: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tempfile.mkdtemp(prefix="dt-")  # short: a socket's path may have 100 characters
    monkeypatch.setattr(tempfile, "tempdir", own)
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(PROJECT / "inventories" / "existing", tmp_path / "inventories" / "existing")
    user, known_hosts, config = getpass.getuser(), tmp_path / "known hosts", tmp_path / "ssh" / "config"
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host box\n HostName 127.0.0.1\n Port {sshd.port}\n User {user}\n ProxyJump gate\n"
        f" IdentityFile {sshd.identity}\n"
        f"Host gate\n HostName 127.0.0.1\n Port {bastion.port}\n User {user}\n IdentityFile {bastion.identity}\n"
    )
    write_way(config, find_way(RealWorld(), "box", None))
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'host_key.pub').read_text()}")
    (playbooks / "own.yml").write_text(TASKS.format(command=f"touch {tmp_path}/was_here"))

    run_playbook(
        "own.yml",
        inventory=over_ssh(sshd, known_hosts, tmp_path, config),
        environment="existing",
        variables={},
        world=RealWorld(),
        log=tmp_path / "log",
    )

    assert (tmp_path / "was_here").exists()
    assert "Accepted publickey" in (bastion.folder / "sshd.log").read_text()
    assert processes_naming(own) == []
    wait_until(lambda: processes_naming(str(config)) == [])  # nor is what led over the bastion
    shutil.rmtree(own)


def test_ansible_is_told_no_secret_of_the_runner(
    playbooks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LAMBDA_API_KEY", "RUNPOD_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, "a-secret-of-the-runner")
    kept = tmp_path / "kept"
    look = f"sh -c 'env > {kept}; cat \"$ANSIBLE_HOME\"/../artifacts/*/command >> {kept}'"
    (playbooks / "own.yml").write_text(TASKS.format(command=json.dumps(look)))

    play("own.yml", tmp_path / "log")

    assert "ANSIBLE_NOCOLOR=1" in kept.read_text()
    assert '"cwd":' in kept.read_text()
    assert "a-secret-of-the-runner" not in kept.read_text()


def test_no_value_of_inventory_or_variables_is_a_template(playbooks: Path, tmp_path: Path) -> None:
    """A rented machine's home folder was once rendered on this machine, and ran a program of its choice here."""
    ran, kept = tmp_path / "ran", tmp_path / "kept"
    evil = f"{{{{ lookup('pipe', 'touch {ran}') }}}}"
    (playbooks / "own.yml").write_text(
        "- name: Try\n  hosts: box\n  gather_facts: false\n  tasks:\n    - name: Keep\n      ansible.builtin.copy:\n"
        '        content: "{{ of_host }}|{{ given }}|{{ inner.list[0] }}|{{ count + 1 }}"\n'
        f"        dest: {kept}\n"
    )
    inventory: dict[str, Any] = {"all": {"hosts": {"box": INVENTORY["all"]["hosts"]["box"] | {"of_host": evil}}}}

    run_playbook(
        "own.yml",
        inventory=inventory,
        environment="local",
        variables={"given": evil, "inner": {"list": [evil]}, "count": 3},
        world=RealWorld(),
        log=tmp_path / "log",
    )

    assert kept.read_text() == f"{evil}|{evil}|{evil}|4"
    assert not ran.exists()
