"""A remote of rclone's: its sums, files that are there twice, its configuration, a program that is odd or missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from urllib.parse import quote

import pytest

from tests.unit.trainer.checkpoints.small_checkpoints import make_checkpoint
from trainer.checkpoints import rclone as remotes
from trainer.checkpoints.complete import REQUIRED_FILES
from trainer.checkpoints.places import Place, open_place
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import StoreError
from trainer.files import sha256_of_file

ENCRYPTED = """\
# Encrypted rclone configuration File

RCLONE_ENCRYPT_V0:
bm8gc2VjcmV0IGlzIGluIGhlcmUgYXQgYWxsLCBvbmx5IHdvcmRzIHRoYXQgbm9ib2R5IGNhbiBvcGVu
"""


@pytest.fixture
def url(open_remote: Callable[[str], str]) -> str:
    """The address of a store on a remote that has all sums: a folder of this machine."""
    return open_remote("local")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The folder behind that address."""
    return tmp_path / "the store"


def place_of(url: str) -> Place:
    return open_place(url, None)


def stand_in(tmp_path: Path, program: str) -> str:
    """Return a program that is written here, to be asked in place of rclone."""
    path = tmp_path / "stand-in"
    path.write_text(f"#!{sys.executable}\n{dedent(program)}")
    path.chmod(0o755)
    return str(path)


# sums


@pytest.mark.parametrize("kind", ["sha256", "md5", "quickxor", "webdav has none"])
def test_a_file_that_was_damaged_there_is_found_by_whatever_sum_there_is(
    kind: str, open_remote: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = open_remote("local" if kind in remotes.KINDS else "webdav")
    monkeypatch.setattr(remotes, "KINDS", (kind,))
    place, path = place_of(url), tmp_path / "a"
    path.write_text("one")
    place.put(path, "in/a", sha256_of_file(path))
    was_there = place.matches("in/a", path), place.matches("in/a", path, sha256_of_file(path))
    path.write_text("two")

    assert was_there == (True, True)
    assert place.matches("in/a", path) is False
    assert place.matches("in/none", path) is False


def test_a_damaged_file_that_is_as_damaged_there_is_not_what_its_manifest_says(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "KINDS", ("md5",))
    place, path = place_of(url), tmp_path / "a"
    path.write_text("one")
    meant = sha256_of_file(path)
    path.write_text("two")
    place.put(path, "a", sha256_of_file(path))

    assert place.matches("a", path, meant) is False


def test_a_remote_that_keeps_something_else_than_it_was_given_is_reported(
    url: str, rclone: str, tmp_path: Path
) -> None:
    program = f"""
        import pathlib, subprocess, sys
        status = subprocess.run([{rclone!r}, *sys.argv[1:]]).returncode
        if sys.argv[1] == "copyto":
            pathlib.Path(sys.argv[-1].partition(":")[2]).write_text("something else")
        sys.exit(status)
    """
    place = open_place(url, None, rclone=stand_in(tmp_path, program))

    with pytest.raises(StoreError, match="the store/a was written, and the remote has something else"):
        place.write(b"one", "a")


def test_what_is_hidden_or_has_only_begun_is_not_listed(url: str, there: Path) -> None:
    (there / "in").mkdir(parents=True)
    for name in ("in/a", "in/.a.part", "in/a.0f3c9d21.partial", "in/b.partial"):
        (there / name).write_text("x")

    assert place_of(url).sizes() == {"in/a": 1, "in/b.partial": 1}


def test_the_folder_of_the_last_file_goes_with_it_and_others_stay(url: str, there: Path) -> None:
    place = place_of(url)
    for name in ("in/a", "in/b", "out/c"):
        place.write(b"x", name)

    place.remove("in/a")
    place.remove("out/c")

    assert sorted(path.relative_to(there).as_posix() for path in there.rglob("*")) == ["in", "in/b"]


def test_what_is_not_there_is_missing(url: str, tmp_path: Path) -> None:
    place = place_of(url)

    with pytest.raises(FileNotFoundError):
        place.get("in/a", tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        place.read("a")
    with pytest.raises(FileNotFoundError):
        place.put(tmp_path / "nowhere", "a", "0")


# Google Drive keeps two files of one name. Here the second one is called `name~2` on the disk, and listed as `name`.


@pytest.fixture
def drive(rclone: str, tmp_path: Path) -> str:
    """rclone as it sees a remote that keeps several files of one name."""
    program = f"""
        import json, subprocess, sys
        words = [word + "*" if word.startswith("--include=") else word for word in sys.argv[1:]]
        done = subprocess.run([{rclone!r}, *words], stdout=subprocess.PIPE, text=True)
        if words[0] == "lsjson" and done.returncode == 0:
            entries = [entry | {{key: entry[key].removesuffix("~2") for key in ("Path", "Name")}}
                       for entry in json.loads(done.stdout)]
            print(json.dumps(entries))
        else:
            print(done.stdout, end="")
        sys.exit(done.returncode)
    """
    return stand_in(tmp_path, program)


def double(there: Path, name: str, content: str | None = None) -> None:
    twin = there / f"{name}~2"
    twin.write_text((there / name).read_text() if content is None else content)


@pytest.mark.parametrize("name", ["optimizer.pt", "manifest.json"])
def test_two_files_of_one_name_are_damaged_and_the_one_before_is_taken(
    name: str, url: str, drive: str, there: Path, tmp_path: Path
) -> None:
    for step in (4, 8):
        make_checkpoint(tmp_path / "c", step)
    push(tmp_path / "c", url)
    double(there / "checkpoint-8", name, "x" * (there / "checkpoint-8" / name).stat().st_size)

    done = pull(url, tmp_path / "back", rclone=drive)

    assert done.checkpoint == 4
    assert done.remarks == [f"checkpoint-8 has {name} twice, with different contents"]


@pytest.mark.parametrize("name", ["optimizer.pt", "manifest.json"])
def test_two_files_of_one_name_give_way_to_the_one_that_is_pushed(
    name: str, url: str, drive: str, there: Path, tmp_path: Path
) -> None:
    make_checkpoint(tmp_path / "c", 8)
    push(tmp_path / "c", url)
    double(there / "checkpoint-8", name, "x")

    sent = push(tmp_path / "c", url, rclone=drive)

    assert (sent.files, sent.unchanged) == (1, len(REQUIRED_FILES))
    assert sorted(path.name for path in (there / "checkpoint-8").iterdir()) == sorted(
        [*REQUIRED_FILES, "manifest.json"]
    )
    assert pull(url, tmp_path / "back", rclone=drive).remarks == []


def test_two_files_of_one_name_with_one_content_are_as_good_as_one(
    url: str, drive: str, there: Path, tmp_path: Path
) -> None:
    make_checkpoint(tmp_path / "c", 8)
    push(tmp_path / "c", url)
    double(there / "checkpoint-8", "optimizer.pt")

    assert push(tmp_path / "c", url, rclone=drive).files == 0
    assert pull(url, tmp_path / "back", rclone=drive).checkpoint == 8


def test_two_folders_of_one_name_are_no_reason_to_trust_what_is_in_one_of_them(
    url: str, drive: str, there: Path, tmp_path: Path
) -> None:
    """Asked for a folder, rclone lists one of them."""
    place_of(url).write(b"one", "in/a")
    double(there, "in/a")
    program = f"""
        import json, subprocess, sys
        done = subprocess.run([{drive!r}, *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
        is_of_one = sys.argv[1] == "lsjson" and "--recursive" not in sys.argv
        print(json.dumps(json.loads(done.stdout)[:1]) if is_of_one else done.stdout)
        sys.exit(done.returncode)
    """
    (tmp_path / "one").mkdir()

    assert open_place(url, None, rclone=stand_in(tmp_path / "one", program)).sizes() == {"in/a": remotes.UNSURE}


def test_two_plain_files_of_one_name_come_down_as_damaged(url: str, drive: str, there: Path, tmp_path: Path) -> None:
    place_of(url).write(b"one", "a")
    double(there, "a", "two")

    with pytest.raises(StoreError, match="a came down damaged"):
        pull(url, tmp_path / "back", rclone=drive)


def test_only_files_of_that_very_name_are_removed(url: str, drive: str, there: Path) -> None:
    place = open_place(url, None, rclone=drive)
    for name in ("[ab]", "a", "in/[ab]"):
        place.write(b"x", name)
    double(there, "[ab]", "y")
    place.sizes()

    place.remove("[ab]")

    assert sorted(place.sizes()) == ["a", "in/[ab]"]


def test_where_a_remote_has_no_sums_two_files_of_one_name_are_never_one(
    url: str, drive: str, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "KINDS", ())
    place_of(url).write(b"one", "a")
    double(there, "a")

    assert open_place(url, None, rclone=drive).sizes() == {"a": remotes.UNSURE}


# the configuration


def test_a_remote_that_rclone_does_not_know_is_reported(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="rclone has no remote elsewhere") as caught:
        place_of("rclone://elsewhere/runs").sizes()

    assert "`rclone listremotes`" in caught.value.resolution
    assert "RCLONE_CONFIG" in caught.value.resolution


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_configuration_that_needs_its_password_is_reported_and_nobody_is_asked(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    (tmp_path / "rclone.conf").write_text(ENCRYPTED)
    if password is not None:
        monkeypatch.setenv("RCLONE_CONFIG_PASS", password)

    with pytest.raises(StoreError, match="rclone's configuration needs its password") as caught:
        place_of(url).sizes()

    assert "RCLONE_CONFIG_PASS" in caught.value.resolution


def test_a_remote_may_stand_in_variables_alone(there: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCLONE_CONFIG_MINE_TYPE", "local")
    address = f"rclone://mine/{quote(str(there))}"

    place_of(address).write(b"x", "a")

    assert (there / "a").read_bytes() == b"x"


def test_nothing_that_the_users_shell_says_of_rclone_changes_what_is_done(
    url: str, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DRY_RUN": "true", "EXCLUDE": "*", "MAX_SIZE": "1b", "LOG_FILE": str(there / "log")}.items():
        monkeypatch.setenv(f"RCLONE_{name}", value)
    place = place_of(url)

    place.write(b"content", "a")

    assert place.sizes() == {"a": 7}


def test_what_opens_a_remote_is_in_no_message(url: str, tmp_path: Path) -> None:
    (tmp_path / "rclone.conf").write_text("[gone]\ntype = http\nurl = http://127.0.0.1:9/files?token=a-secret&a=b\n")

    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9/files\?….*connection refused") as caught:
        place_of("rclone://gone").sizes()

    assert "secret" not in f"{caught.value.message} {caught.value.details} {caught.value.resolution}"


def test_a_server_that_does_not_answer_is_reported_in_rclones_words(url: str, tmp_path: Path) -> None:
    (tmp_path / "rclone.conf").write_text("[gone]\ntype = webdav\nurl = http://127.0.0.1:9\nvendor = other\n")

    with pytest.raises(StoreError, match=r"rclone://gone/runs refuses: .*connection refused") as caught:
        place_of("rclone://gone/runs").sizes()

    assert caught.value.resolution.startswith("see what `rclone lsd gone:` says")


# the program


def test_without_rclone_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StoreError, match="rclone is not installed here, and rclone://drive needs it"):
        place_of("rclone://drive/runs")


def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes, "ASK_S", 0.5)
    program = f"""
        import os, pathlib, time
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
        time.sleep(600)
    """
    place = open_place("rclone://drive/runs", None, rclone=stand_in(tmp_path, program))

    with pytest.raises(StoreError, match="no answer within"):
        place.remove("a")
    if (tmp_path / "pid").exists():  # it had begun
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit(7)", "refuses: exit status 7"),
        ("import sys; sys.exit('2026/11/30 00:51:32 Failed: as 1.60 says it')", "refuses: Failed: as 1.60 says it"),
        ("import sys; sys.exit('2026/11/30 00:51:32 ERROR : a: as 1.75 does')", "refuses: a: as 1.75 does"),
        ("print('hello')", "rclone's answer is no JSON: 'hello"),
    ],
)
def test_a_program_that_is_no_rclone_is_reported(tmp_path: Path, program: str, words: str) -> None:
    place = open_place("rclone://drive/runs", None, rclone=stand_in(tmp_path, program))

    with pytest.raises(StoreError, match=words):
        place.sizes()


def test_a_program_that_cannot_be_started_is_reported(tmp_path: Path) -> None:
    place = open_place("rclone://drive/runs", None, rclone=str(tmp_path / "none"))

    with pytest.raises(StoreError, match="No such file or directory"):
        place.sizes()
