"""``down``, ``sweep APPLY=1`` and ``terminate`` end a machine on each cloud, whatever is wrong on the user's side.

The run has every file that today's code leaves of one whose runner was killed. No Terraform is installed.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters import packages
from runner.adapters.keys import make_key
from runner.adapters.terraform import STATE_FILE, VARIABLES_FILE
from runner.cli import parser as cli
from runner.cli import terminate as terminating
from runner.context import Context
from runner.errors import EXIT_LEFTOVERS
from runner.lifecycle import finish
from runner.run.run_dir import RunDir, write_json
from runner.run.run_file import run_file_mapping
from runner.run.state import RunState
from runner.world import RealDisk
from tests.unit.runner.emulation.metered import RUN_ID, Rig, rig
from tests.unit.runner.full_disk import FullDisk
from tests.unit.runner.made_plan import made_plan
from tests.unit.runner.test_runs_of_format_1 import Gone

VERBS = ("down", "sweep", "terminate")
CLOUDS = ("lambda", "runpod", "aws")
QUICK = ("lambda", "runpod")
"""AWS is emulated behind a real socket; one test of each verb is enough of that."""
FILES = (
    "config.json",
    "plan.json",
    "state.json",
    "journal.jsonl",
    "host.json",
    "lease.json",
    "guard.json",
    "data_manifest.json",
    "events.jsonl",
    "lock",
    "known_hosts",
    "ssh/id_ed25519",
    "ssh/host_ed25519",
    f"terraform/{STATE_FILE}",
    f"terraform/{VARIABLES_FILE}",
    "../swept.json",
)
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "newer": lambda content: content.replace(b"{", b'{"of_a_newer_version": 1, ', 1),
}


class ReadOnlyDisk(FullDisk):
    """A disk on which nothing may be changed, no lock taken and nothing removed."""

    def write(self, path: Path, content: bytes, mode: int | None = None) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def lock(self, path: Path) -> Any:
        self.write(path, b"")

    def remove(self, path: Path) -> None:
        self.write(path, b"")

    def rename(self, path: Path, target: Path) -> None:
        self.write(path, b"")

    def remove_tree(self, path: Path) -> None:
        self.write(path, b"")


class ClosedFolder(RealDisk):
    """A disk whose folder of runs may not be looked into."""

    def names(self, path: Path) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@pytest.fixture(autouse=True)
def nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "machine", lambda self, host: Gone())
    monkeypatch.setattr(finish, "COLLECT_RETRY_S", ())
    monkeypatch.setattr(packages, "has", lambda name: False)  # the page of a run takes its time


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[[str], Rig]]:
    """Return a way to have a run on a cloud whose runner was killed two hours ago; its machine bills."""
    with ExitStack() as rigs:

        def make(cloud: str) -> Rig:
            made = rigs.enter_context(rig(cloud))
            made.world._disk = RealDisk()  # type: ignore[assignment]
            made.world._environ["DOUSE_CACHE"] = str(tmp_path / "cache")
            made.run = RunDir(tmp_path / "runs" / RUN_ID, made.world)
            _lived(made, cloud)
            made.world.sleep(7200.0)
            return made

        yield make


def _lived(made: Rig, cloud: str) -> None:
    """Leave what a run leaves that has come to its training."""
    run, said_at = made.run, made.world.now().isoformat()
    run.path.mkdir(parents=True)
    ctx = made.context(cloud)
    write_json(run.config, run_file_mapping(ctx.run_file))
    ctx.keep_plan(made_plan(environment=cloud, terraform="/no/such/terraform"))
    RunState(run).begin("provision")
    machine_id = made.provision(cloud)
    RunState(run).end("provision", "done", 1.0)
    RunState(run).begin("train")
    write_json(run.file("lease.json"), {"word": "renew", "said_at": said_at, "listener": "runs"})
    write_json(run.file("guard.json"), {"pid": 1, "at": said_at, "said": "the runner is gone"})
    write_json(run.file("data_manifest.json"), {"files": {}})
    run.events.write_bytes(b'{"event": "step", "step": 1, "max_steps": 2, "loss": 1.0}\n')
    run.file("lock").write_bytes(b"")
    run.known_hosts.write_text("203.0.113.7 ssh-ed25519 AAAA\n")
    for name in (run.login_key, run.host_key):
        make_key(name)
    run.terraform.mkdir()
    write_json(run.terraform / STATE_FILE, {"version": 4, "resources": [{"name": machine_id}]})
    ends = (made.world.now() + timedelta(hours=9)).isoformat()
    write_json(run.terraform / VARIABLES_FILE, {"expires_at": ends, "candidates": []})
    write_json(run.path.parent / "swept.json", {cloud: said_at})


def ask(verb: str, made: Rig, cloud: str) -> int:
    """Give a command as a user would whose runner was killed, and return its exit status."""
    for path in (
        made.run.config.path,
        made.run.file("lease.json").path,
        made.run.path,
    ):  # the virtual time is not that of the real disk
        if path.exists():
            os.utime(path, (made.world.now().timestamp() - 7200.0,) * 2)
    words = ["--runs-dir", str(made.run.path.parent)]
    if verb == "terminate":
        return terminating.main(["--run", RUN_ID, "--env", cloud], made.world)
    if verb == "sweep":
        return cli.main(["sweep", "--apply", *words], made.world)
    return cli.main(["down", "--run", RUN_ID, *words], made.world)


def damage(run: RunDir, name: str, how: str) -> None:
    path = run.path / name
    content = DAMAGES[how](path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("verb", VERBS)
def test_without_terraform(
    verb: str, cloud: str, killed: Callable[[str], Rig], capsys: pytest.CaptureFixture[str]
) -> None:
    made = killed(cloud)

    status = ask(verb, made, cloud)

    assert made.lab.billing() == []
    assert status == 0, capsys.readouterr()


def test_every_file_of_a_run_is_tried(killed: Callable[[str], Rig]) -> None:
    """Whoever adds a file to a run adds it here."""
    run = killed("lambda").run
    there = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}

    assert {name.removesuffix(".pub") for name in there} == {name for name in FILES if not name.startswith("..")}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verb", ["down", "sweep"])
def test_with_a_damaged_file(
    verb: str, name: str, how: str, killed: Callable[[str], Rig], capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = QUICK[(FILES.index(name) + list(DAMAGES).index(how)) % 2]
    made = killed(cloud)
    damage(made.run, name, how)

    status = ask(verb, made, cloud)

    said = capsys.readouterr()
    assert made.lab.billing() == [], said
    assert status in ((0,) if verb == "sweep" else (0, 1)), said


@pytest.mark.parametrize("disk", [FullDisk, ReadOnlyDisk, ClosedFolder])
@pytest.mark.parametrize("cloud", QUICK)
@pytest.mark.parametrize("verb", VERBS)
def test_with_a_disk_that_is_of_no_use(
    verb: str,
    cloud: str,
    disk: type[RealDisk],
    killed: Callable[[str], Rig],
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = killed(cloud)
    made.world._disk = disk()  # type: ignore[assignment]

    status = ask(verb, made, cloud)

    said = capsys.readouterr()
    if verb == "sweep" and disk is ClosedFolder:
        assert status == EXIT_LEFTOVERS, said  # whose the machine is cannot be known, and is said
        return
    assert made.lab.billing() == [], said
    assert status in (0, 1), said


@pytest.mark.parametrize("cloud", QUICK)
@pytest.mark.parametrize("verb", VERBS)
def test_with_nothing_to_print_to(
    verb: str, cloud: str, killed: Callable[[str], Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = killed(cloud)
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)

    assert (ask(verb, made, cloud), made.lab.billing()) == (0, [])


@pytest.mark.parametrize("cloud", QUICK)
@pytest.mark.parametrize("verb", VERBS)
def test_with_a_pipe_that_nobody_reads_in_another_locale(
    verb: str, cloud: str, killed: Callable[[str], Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = killed(cloud)
    made.world._environ.update({"LC_ALL": "C", "LANG": "tr_TR.ISO-8859-9"})
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "w", buffering=1, encoding="ascii") as dead:
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, dead)
        assert (ask(verb, made, cloud), made.lab.billing()) == (0, [])


OTHERS_TROUBLES = [
    {"LAMBDA_API_KEY_FILE": "/no/such/key"},
    {"LAMBDA_API_KEY": "its-client-is-broken"},  # nothing here knows the way to that account: its client has a defect
]


@pytest.mark.parametrize("variables", OTHERS_TROUBLES)
@pytest.mark.parametrize("verb", VERBS)
def test_with_another_cloud_that_cannot_be_asked(
    verb: str, variables: dict[str, str], killed: Callable[[str], Rig], capsys: pytest.CaptureFixture[str]
) -> None:
    made = killed("runpod")
    made.world._environ.update(variables)

    status = ask(verb, made, "runpod")

    said = capsys.readouterr()
    assert made.lab.billing() == [], said
    assert status == (EXIT_LEFTOVERS if verb == "sweep" else 0), said
    assert verb != "sweep" or "lambda" in said.err


@pytest.mark.parametrize("given", [[], ["--run", RUN_ID]])
def test_down_finds_the_latest_run_without_its_configuration(given: list[str], killed: Callable[[str], Rig]) -> None:
    made = killed("lambda")
    earlier = RunDir(made.run.path.parent / "20261120-015500-tiny", made.world)
    earlier.path.mkdir()
    write_json(earlier.config, json.loads(made.run.config.read_text()))
    made.run.config.unlink()

    cli.main(["down", *given, "--runs-dir", str(made.run.path.parent)], made.world)

    assert made.lab.billing() == []
