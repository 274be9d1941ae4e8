"""``make down`` on a damaged run: the machine goes whatever is wrong with the folder, and the exit status is honest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.cli import parser as cli
from runner.clouds import registry
from runner.context import Context
from runner.errors import EXIT_DONE, EXIT_FAILED, EXIT_LEFTOVERS, AccountError
from runner.lifecycle import by_mark, finish, guarding, standing
from runner.lifecycle.steps import destroy
from runner.run.models import TrainerStatus
from runner.run.run_dir import PROJECT
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.full_disk import FullDisk
from tests.unit.runner.test_runs_of_format_1 import Gone, Later

RUN_ID = "20261128-160000-tiny"
"""A run on RunPod whose runner was killed while it trained; its machine bills."""
KEPT = PROJECT / "tests" / "data" / "runs-of-format-1" / RUN_ID
NAMES = sorted(path.relative_to(KEPT).as_posix() for path in KEPT.rglob("*") if path.is_file())
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[]",
    "a number": lambda content: b"7",
    "deep": lambda content: b"[" * 100_000,
    "no text": lambda content: b"\xff\x00\xfe",
    "newer": lambda content: content.replace(b"{", b'{"of_a_newer_version": 1, ', 1),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "runs" / RUN_ID))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """RunPod with the run's machine, which does not answer; no other cloud is configured, and Terraform is missing."""
    machine = json.loads((KEPT / "host.json").read_text())["instance_id"]
    found = FakeCloud([thing(resource_id=machine, run_id=RUN_ID, cloud="runpod")], name="runpod")
    closed = {name: f"{name}: there is no key" for name in registry.CLOUDS if name != "runpod"}

    def open_cloud(name: str, world: object) -> FakeCloud:
        if name != "runpod":
            raise AccountError(f"{name}: there is no key", resolution="set it")
        return found

    for module in (by_mark, destroy):
        monkeypatch.setattr(module, "open_cloud", open_cloud)
        monkeypatch.setattr(module, "accounts", lambda world: registry.Accounts([found], closed, {}))
    monkeypatch.setattr(Context, "machine", lambda self, host: Gone())
    monkeypatch.setattr(finish, "COLLECT_RETRY_S", ())
    return found


def down(run: Path) -> int:
    return cli.main(["down", "--run", RUN_ID, "--runs-dir", str(run.parent)], Later({}))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_the_machine_goes_whatever_is_wrong_with_a_file(
    run: Path, cloud: FakeCloud, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = DAMAGES[damage]((run / name).read_bytes())
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)

    status = down(run)

    said = capsys.readouterr()
    assert cloud.there == [], said.err
    assert status != EXIT_LEFTOVERS or "was not asked" in said.err, said.err


@pytest.mark.parametrize("name", NAMES)
def test_the_guard_of_a_run_ends_where_nothing_is_left_whatever_is_wrong_with_a_file(
    run: Path, cloud: FakeCloud, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    for module in (by_mark, guarding):
        monkeypatch.setattr(module, "end_guard", lambda run_id, world: ended.append(run_id))
    (run / name).write_bytes(b"")

    status = down(run)

    assert (RUN_ID in ended) == (status != EXIT_LEFTOVERS)


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_that_stays_is_status_three_whatever_is_wrong_with_a_file(
    run: Path, cloud: FakeCloud, name: str
) -> None:
    cloud.ends_slowly = 10_000
    (run / name).write_bytes(b"")

    assert down(run) == EXIT_LEFTOVERS


def test_a_machine_that_is_listed_late_goes_though_nothing_of_its_folder_can_be_read(
    run: Path, cloud: FakeCloud
) -> None:
    (run / "config.json").write_bytes(b"")
    cloud.appears_at_look, cloud.there = {3: cloud.there[0]}, []

    assert down(run) == EXIT_FAILED
    assert (cloud.looks > 3, cloud.there) == (True, [])


def test_a_folder_that_is_gone_does_not_keep_the_machine(
    run: Path, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run)

    assert down(run) == EXIT_LEFTOVERS
    assert cloud.there == []
    assert "lambda was not asked: lambda: there is no key" in capsys.readouterr().err


def test_without_an_account_nothing_is_promised(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.json").write_bytes(b"")

    assert down(run) == EXIT_LEFTOVERS
    assert "RUNPOD_API_KEY" in capsys.readouterr().err


def test_what_was_seen_to_be_gone_is_said_and_there_is_no_receipt(
    run: Path, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.json").write_bytes(b'{"compute": {"env": "runpod"}, "of_a_newer_version": {}}')

    assert down(run) == EXIT_FAILED
    said = capsys.readouterr()
    assert "own listing shows nothing of it on runpod" in said.err
    assert not (run / "receipt.json").exists()


def rented_with(run: Path, cloud: FakeCloud) -> None:
    """Let the run's journal say which account was asked, as it does since then."""
    journal = run / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["action"] == "provision" and line["kind"] == "intent":
            line |= {"account": cloud.fingerprint("s"), "salt": "s"}
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_another_accounts_key_is_no_proof(run: Path, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]) -> None:
    rented_with(run, cloud)
    cloud.key, cloud.there = "another", []

    assert down(run) == EXIT_LEFTOVERS
    assert "this runpod account shows nothing of run" in capsys.readouterr().err
    assert not (run / "receipt.json").exists()


def test_a_full_disk_makes_another_accounts_key_no_proof(
    run: Path, cloud: FakeCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    rented_with(run, cloud)
    cloud.key, cloud.there = "another", []
    world = Later({})
    world._disk = FullDisk()

    status = cli.main(["down", "--run", RUN_ID, "--runs-dir", str(run.parent)], world)

    said = capsys.readouterr().err
    assert status == EXIT_LEFTOVERS, said
    assert "this runpod account shows nothing of run" in said
    assert "cannot be written (No space left on device)" in said


def test_a_new_key_of_the_same_account_is_proved_by_what_it_shows(run: Path, cloud: FakeCloud) -> None:
    rented_with(run, cloud)
    cloud.key = "rotated"

    assert down(run) == EXIT_DONE
    assert cloud.there == []
    assert (run / "receipt.json").exists()


def test_with_its_own_account_an_empty_listing_is_a_proof(run: Path, cloud: FakeCloud) -> None:
    rented_with(run, cloud)
    cloud.there = []

    down(run)

    assert json.loads((run / "receipt.json").read_text())["checks"]["clouds"] == {"runpod": 0}


@pytest.mark.parametrize("verb", ["watch", "resume"])
def test_nobody_goes_on_with_a_machine_under_another_account(
    run: Path, cloud: FakeCloud, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rented_with(run, cloud)
    cloud.key, cloud.there = "another", []
    monkeypatch.setattr(standing, "trainer_status", lambda ctx: TrainerStatus("running"))

    assert cli.main([verb, "--run", RUN_ID, "--runs-dir", str(run.parent)], Later({})) == EXIT_LEFTOVERS
    assert f"{verb}: this runpod account shows nothing of run {RUN_ID}" in capsys.readouterr().err
    assert cloud.asked_to_end == []


def test_nobody_goes_on_with_a_machine_without_a_key(
    run: Path, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(by_mark, "open_cloud", registry.open_cloud)
    monkeypatch.setattr(standing, "trainer_status", lambda ctx: TrainerStatus("running"))

    assert cli.main(["watch", "--run", RUN_ID, "--runs-dir", str(run.parent)], Later({})) == EXIT_LEFTOVERS
    said = capsys.readouterr().err
    assert f"watch: the machine of run {RUN_ID} bills, and could not be terminated in the end" in said
    assert "RUNPOD_API_KEY" in said


@pytest.mark.parametrize(("typed", "status"), [("yes\n", 0), ("y\n", EXIT_LEFTOVERS), ("\n", EXIT_LEFTOVERS)])
def test_only_a_typed_yes_closes_what_nobody_can_show(
    run: Path, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, typed: str, status: int
) -> None:
    rented_with(run, cloud)
    cloud.key, cloud.there = "another", []
    monkeypatch.setattr("runner.cli.consent.sys", Terminal(typed))

    words = ["down", "--run", RUN_ID, "--close", "--runs-dir", str(run.parent)]
    assert cli.main(words, Later({})) == status
    assert (run / "closed.json").exists() is (status == 0)
    assert not (run / "receipt.json").exists()


def test_without_a_terminal_nothing_is_closed(run: Path, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    rented_with(run, cloud)
    cloud.key, cloud.there = "another", []
    monkeypatch.setattr("runner.cli.consent.sys", Terminal("yes\n", is_one=False))

    words = ["down", "--run", RUN_ID, "--close", "--runs-dir", str(run.parent)]
    assert cli.main(words, Later({})) == EXIT_LEFTOVERS
    assert not (run / "closed.json").exists()


class Terminal:
    """Stands for ``sys`` with somebody at a terminal."""

    def __init__(self, typed: str, *, is_one: bool = True) -> None:
        self.stdin = self.stdout = self.stderr = self
        self._typed, self._is_one = typed, is_one

    def isatty(self) -> bool:
        return self._is_one

    def write(self, text: str) -> None:
        """Show nothing."""

    def flush(self) -> None:
        """Show nothing."""

    def readline(self) -> str:
        return self._typed


def test_a_receipt_names_a_cloud_whose_key_cannot_be_read(
    run: Path, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    rented_with(run, cloud)
    known = registry.Accounts([cloud], {"lambda": "lambda: there is no key"}, {"aws": "aws: the key cannot be read"})
    monkeypatch.setattr(destroy, "accounts", lambda world: known)

    down(run)

    assert json.loads((run / "receipt.json").read_text())["clouds_not_read"] == {"aws": "aws: the key cannot be read"}
