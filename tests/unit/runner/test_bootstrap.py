"""The set-up makes an environment once, renews it when its lock changes, and says what is wrong when it fails."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runner import bootstrap
from runner.bootstrap import (
    EXTRAS,
    EXTRAS_FILE,
    BootstrapError,
    Target,
    add_extra,
    ensure,
    explain,
    main,
    parse_pip_settings,
    standing,
    torch_arguments,
)

TARGET = Target(".venv", "requirements/control.lock", "about a second")
REPOSITORY = Path(__file__).resolve().parents[3]


class FakeTools:
    """Stands at the process seam: makes the files that venv, pip and uv would, and counts."""

    def __init__(self) -> None:
        self.argvs: list[list[str]] = []
        self.fails_with: str | None = None
        self.first_is_running = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def run(self, argv: list[str], environment: dict[str, str], log: Path, root: Path) -> None:
        self.argvs.append([part.replace(str(root), "ROOT") for part in argv])
        self.first_is_running.set()
        assert self.may_go_on.wait(240)
        if argv[1:3] == ["-m", "venv"]:
            shutil.rmtree(root / ".venv", ignore_errors=True)
            (root / ".venv" / "bin").mkdir(parents=True)
            (root / ".venv" / "bin" / "python").touch()
        if self.fails_with is not None and ("sync" in argv or "--no-compile" in argv):
            raise BootstrapError(*explain(self.fails_with), log)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "control.lock").write_text("rich==1 --hash=sha256:00\n")
    for name in EXTRAS:
        (tmp_path / "requirements" / f"{name}.lock").write_text(f"{name}==1 --hash=sha256:00\n")
    return tmp_path


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    fake = FakeTools()
    monkeypatch.setattr(bootstrap, "_run", fake.run)
    monkeypatch.setattr(bootstrap, "uv_environment", lambda python: {})
    monkeypatch.setattr(bootstrap, "torch_arguments", lambda environment: [])
    return fake


def test_set_up_starts_exactly_these_programs(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)

    venv, pip, uv, away = (" ".join(argv) for argv in tools.argvs)
    assert venv == f"{sys.executable} -m venv --clear ROOT/.venv"
    assert pip == (
        "ROOT/.venv/bin/python -m pip install --quiet --no-deps --retries 2 --only-binary :all: --require-hashes "
        "-r requirements/uv.lock"
    )
    assert uv == (
        "ROOT/.venv/bin/uv pip sync --python ROOT/.venv/bin/python --require-hashes --no-progress "
        "--require-build-hashes --build-constraints requirements/build.lock requirements/control.lock"
    )
    assert away == "ROOT/.venv/bin/python -m pip uninstall --quiet --yes --disable-pip-version-check uv setuptools"


def test_what_the_lock_names_stays_after_the_set_up(root: Path, tools: FakeTools) -> None:
    (root / TARGET.lock).write_text("setuptools==1 --hash=sha256:00\nuv==1 ; python_version < '4' --hash=sha256:00\n")

    ensure(root, TARGET)

    assert [argv[1] for argv in tools.argvs] == ["-m", "-m", "pip"]


def test_an_extra_is_installed_once_by_its_hashed_lock(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    tools.argvs.clear()

    add_extra(root, "aws")
    add_extra(root, "aws")

    assert [" ".join(argv) for argv in tools.argvs] == [
        (
            "ROOT/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile "
            "--retries 1 --timeout 10 --only-binary :all: --require-hashes -r requirements/aws.lock"
        )
    ]
    assert list(json.loads((root / ".venv" / EXTRAS_FILE).read_text())) == ["aws"]
    ensure(root, TARGET)
    assert len(tools.argvs) == 1


@pytest.mark.parametrize("changed", ["control", "aws"])
def test_a_renewal_brings_the_extras_along(root: Path, tools: FakeTools, changed: str) -> None:
    ensure(root, TARGET)
    add_extra(root, "pages")
    add_extra(root, "aws")
    (root / "requirements" / f"{changed}.lock").write_text("rich==2 --hash=sha256:11\n")
    tools.argvs.clear()

    ensure(root, TARGET)
    ensure(root, TARGET)
    add_extra(root, "aws")

    (sync,) = (argv for argv in tools.argvs if "sync" in argv)
    assert sync[-3:] == ["requirements/control.lock", "requirements/aws.lock", "requirements/pages.lock"]
    assert len(tools.argvs) == 4


def test_a_renewal_that_failed_still_knows_the_extras(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    add_extra(root, "aws")
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")
    tools.fails_with = "No space left on device"
    with pytest.raises(BootstrapError):
        ensure(root, TARGET)
    tools.fails_with = None
    tools.argvs.clear()

    ensure(root, TARGET)

    assert tools.argvs[2][-1] == "requirements/aws.lock"


def test_an_extra_that_cannot_be_installed_is_tried_again(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    tools.fails_with = "error: Connection refused"
    with pytest.raises(BootstrapError, match="the package index cannot be reached") as caught:
        add_extra(root, "aws")
    assert caught.value.log == root / "build" / "setup-venv-aws.log"
    tools.fails_with = None

    add_extra(root, "aws")

    assert list(json.loads((root / ".venv" / EXTRAS_FILE).read_text())) == ["aws"]


def test_an_extra_of_another_version_of_douse_is_forgotten(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    (root / ".venv" / EXTRAS_FILE).write_text('{"gone": "00"}')
    tools.argvs.clear()

    ensure(root, TARGET)

    assert tools.argvs == []


def test_a_second_call_does_and_says_nothing(root: Path, tools: FakeTools, capsys: pytest.CaptureFixture[str]) -> None:
    python = ensure(root, TARGET)
    first = capsys.readouterr()
    count = len(tools.argvs)

    assert ensure(root, TARGET) == python == root / ".venv" / "bin" / "python"

    assert len(tools.argvs) == count
    assert first.err == "setting up .venv (first time, about a second)… done in 0 s\n"
    assert first.out == ""
    assert capsys.readouterr() == ("", "")


def test_a_changed_lock_renews_the_environment(
    root: Path, tools: FakeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure(root, TARGET)
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")

    ensure(root, TARGET)

    assert len(tools.argvs) == 8
    assert "(its lock or its Python has changed, about a second)" in capsys.readouterr().err


def test_an_environment_is_taken_as_it_stands_whatever_its_lock_says_and_made_where_there_is_none(
    root: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verbs that terminate: a lock that was changed must not stop them, least of all without a network."""
    monkeypatch.setattr(bootstrap, "REPOSITORY", root)
    monkeypatch.setattr(bootstrap, "TARGETS", {"control": TARGET})

    assert (main(["control", "--standing"]), len(tools.argvs)) == (0, 4)
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")
    assert (main(["control", "--standing"]), len(tools.argvs)) == (0, 4)
    assert (main(["control"]), len(tools.argvs)) == (0, 8)


@pytest.mark.parametrize("verb", ["down", "terminate", "sweep", "status"])
def test_the_verbs_that_terminate_or_look_take_the_environment_as_it_stands(verb: str) -> None:
    command = ["make", "-n", verb, f"PYTHON={sys.executable}"]
    plain = {"PATH": os.environ["PATH"]}  # `make test ARGS=…` hands its own variables down
    done = subprocess.run(command, cwd=REPOSITORY, env=plain, capture_output=True, text=True, timeout=60)

    module = "runner.cli.terminate" if verb == "terminate" else f"runner {verb}"
    assert f"-m runner.bootstrap control --standing --then -m {module}" in done.stdout


def test_another_python_renews_the_environment(root: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure(root, TARGET)
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")

    ensure(root, TARGET)

    assert len(tools.argvs) == 8


def test_an_environment_that_was_moved_is_made_again(root: Path, tools: FakeTools, tmp_path: Path) -> None:
    ensure(root, TARGET)
    moved = root.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))

    ensure(moved, TARGET)

    assert len(tools.argvs) == 8


def test_a_failed_set_up_leaves_no_stamp_and_is_tried_again(root: Path, tools: FakeTools) -> None:
    tools.fails_with = "No space left on device"
    with pytest.raises(BootstrapError):
        ensure(root, TARGET)
    assert not (root / ".venv" / bootstrap.STAMP).exists()
    tools.fails_with = None

    ensure(root, TARGET)

    assert json.loads((root / ".venv" / bootstrap.STAMP).read_text())["python"] == platform.python_version()


def renew_in_vain(root: Path, tools: FakeTools) -> None:
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")
    tools.fails_with = "error: Connection refused"
    with pytest.raises(BootstrapError, match="the package index cannot be reached"):
        ensure(root, TARGET)


def test_a_failed_renewal_lets_the_environment_stand_again_and_is_tried_again(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    (root / ".venv" / "package").touch()
    renew_in_vain(root, tools)
    assert sorted(path.name for path in root.glob(".venv*")) == [".venv", ".venv.lock"]
    assert (root / ".venv" / "package").exists()
    tools.fails_with = None

    ensure(root, TARGET)

    assert not (root / ".venv" / "package").exists()
    assert sorted(path.name for path in root.glob(".venv*")) == [".venv", ".venv.lock"]


def test_a_failed_renewal_is_no_matter_once_the_lock_is_the_old_one_again(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    old_lock = (root / TARGET.lock).read_text()
    renew_in_vain(root, tools)
    (root / TARGET.lock).write_text(old_lock)
    tools.argvs.clear()

    ensure(root, TARGET)

    assert tools.argvs == []


@pytest.mark.parametrize("moment", ["before", "while another is made", "after that was killed", "after it failed"])
def test_whoever_terminates_finds_the_environment_that_stands_whatever_its_lock_says(
    moment: str, root: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(root, TARGET)
    (root / ".venv" / "package").touch()
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")
    found: list[Path | None] = []
    if moment == "while another is made":
        made = tools.run

        def run(argv: list[str], environment: dict[str, str], log: Path, root: Path) -> None:
            made(argv, environment, log, root)
            found.append(standing(root, TARGET))

        monkeypatch.setattr(bootstrap, "_run", run)
        ensure(root, TARGET)
    elif moment == "after that was killed":
        (root / ".venv").rename(root / ".venv.before")
        (root / ".venv" / "bin").mkdir(parents=True)
        (root / ".venv" / "bin" / "python").touch()
    elif moment == "after it failed":
        renew_in_vain(root, tools)

    place = ".venv.before" if moment in ("while another is made", "after that was killed") else ".venv"
    assert set(found or [standing(root, TARGET)]) == {root / place / "bin" / "python"}


def test_a_set_up_after_one_that_was_killed_has_its_extras(root: Path, tools: FakeTools) -> None:
    ensure(root, TARGET)
    add_extra(root, "aws")
    (root / ".venv").rename(root / ".venv.before")
    (root / ".venv").mkdir()
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")
    tools.argvs.clear()

    ensure(root, TARGET)

    assert tools.argvs[2][-1] == "requirements/aws.lock"
    assert standing(root, TARGET) == root / ".venv" / "bin" / "python"
    assert not (root / ".venv.before").exists()


def test_nothing_stands_where_the_first_set_up_was_killed(root: Path, tools: FakeTools) -> None:
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").touch()

    assert standing(root, TARGET) is None


def test_the_verbs_that_terminate_install_nothing(
    root: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []
    ensure(root, bootstrap.TARGETS["control"])
    (root / TARGET.lock).write_text("rich==2 --hash=sha256:11\n")
    tools.argvs.clear()
    monkeypatch.setattr(bootstrap, "REPOSITORY", root)
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin"})
    monkeypatch.setattr(os, "execv", lambda program, argv: went.append(program))

    assert main(["control", "--standing", "--then", "-m", "runner", "down"]) == 0

    assert went == [str(root / ".venv" / "bin" / "python")]
    assert tools.argvs == []


def test_two_at_once_set_up_once(root: Path, tools: FakeTools, capsys: pytest.CaptureFixture[str]) -> None:
    tools.may_go_on.clear()
    threads = [threading.Thread(target=ensure, args=(root, TARGET)) for _ in range(2)]

    threads[0].start()
    assert tools.first_is_running.wait(240)
    threads[1].start()
    deadline = time.monotonic() + 60
    while "waiting for another set-up to finish…\n" not in capsys.readouterr().err:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    tools.may_go_on.set()
    for thread in threads:
        thread.join(60)

    assert len(tools.argvs) == 4


def test_a_tool_that_outlives_a_killed_set_up_still_holds_the_lock(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()

    with bootstrap._only_one(tmp_path / "lock") as held:
        check = f"import fcntl, os; os.fstat({held}); fcntl.flock({held}, fcntl.LOCK_EX | fcntl.LOCK_NB)"
        bootstrap._run([sys.executable, "-c", check], dict(os.environ), log, tmp_path)

    assert log.read_text() == ""


def test_a_missing_lock_is_reported(root: Path, tools: FakeTools) -> None:
    (root / TARGET.lock).unlink()

    with pytest.raises(BootstrapError) as caught:
        ensure(root, TARGET)

    assert caught.value.message == "cannot read requirements/control.lock: No such file or directory"
    assert caught.value.resolution == "restore it: git checkout requirements"


def test_a_folder_that_cannot_be_written_is_reported(root: Path, tools: FakeTools) -> None:
    (root / ".venv.lock").mkdir()

    with pytest.raises(BootstrapError) as caught:
        ensure(root, TARGET)

    assert caught.value.message == f"cannot write {root}/.venv.lock: Is a directory"
    assert caught.value.resolution == "check who owns the folder"


def test_a_failure_is_shown_in_three_lines(
    root: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "REPOSITORY", root)
    tools.fails_with = "error sending request for url"

    status = main(["control"])

    assert status == 1
    assert capsys.readouterr().err.splitlines() == [
        "setting up .venv (first time, about 20 s)… failed",
        "error: setup: the package index cannot be reached",
        "hint:  connect to the network, or give pip a mirror or proxy; then repeat the command",
        f"log:   {root}/build/setup-venv.log",
    ]


@pytest.mark.parametrize(
    ("then", "program"), [(["-m", "runner", "--config", "a file.yml"], "python"), (["shellcheck", "a b"], "shellcheck")]
)
def test_then_goes_on_as_a_program_of_the_environment(
    root: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch, then: list[str], program: str
) -> None:
    monkeypatch.setattr(bootstrap, "REPOSITORY", root)
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin"})
    started: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *call: started.append(call))

    main(["control", "--then", *then])

    folder = root / ".venv" / "bin"
    arguments = then if program == "python" else then[1:]
    assert started == [(str(folder / program), [str(folder / program), *arguments])]
    assert os.environ == {"PATH": f"{folder}:/usr/bin", "VIRTUAL_ENV": str(root / ".venv")}


@pytest.mark.parametrize(
    "name", ["runner/__init__.py", "runner/bootstrap.py", "runner/cli/__init__.py", "runner/cli/make_variables.py"]
)
def test_an_old_python_can_read_the_file(name: str) -> None:
    ast.parse((REPOSITORY / name).read_text(), feature_version=(3, 8))


def test_an_old_python_without_a_newer_one_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.2")
    monkeypatch.setattr(shutil, "which", lambda name: None)

    assert main(["control"]) == 1

    assert capsys.readouterr().err.splitlines() == [
        "error: setup: Python 3.9.2 is too old; Douse needs 3.11 or newer",
        "hint:  install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11",
    ]


def test_an_old_python_hands_over_to_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class HandedOverError(Exception):
        pass

    def execv(program: str, argv: list[str]) -> None:
        raise HandedOverError(program, argv)

    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "control"])
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "python3.12" else None)
    monkeypatch.setattr(os, "execv", execv)

    with pytest.raises(HandedOverError) as caught:
        main(["control"])

    assert caught.value.args == ("/opt/python3.12", ["/opt/python3.12", "-m", "runner.bootstrap", "control"])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("error: Failed to fetch\n  Caused by: dns error: failed to lookup", "the package index cannot be reached"),
        ("WARNING: Retrying: Temporary failure in name resolution\nERROR: No matching distribution found for uv",
         "the package index cannot be reached"),
        ("The virtual environment was not created successfully because ensurepip is not available.",
         "this Python comes without venv"),
        ("/usr/bin/python3: No module named venv", "this Python comes without venv"),
        ("error: failed to write: No space left on device (os error 28)", "the disk is full"),
        ("error: Hash mismatch for `rich==15.0.0`", "a download is not the file that the lock names"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "a download is not the file that the lock names"),
        ("  x No solution found when resolving dependencies", "a locked package is not offered to this machine"),
        ("first\n\n  error: something new  \n", "error: something new"),
        ("", "a tool failed without a message"),
    ],
)  # fmt: skip
def test_what_tools_say_becomes_one_line(said: str, message: str) -> None:
    assert explain(said)[0] == message


def test_the_environment_wins_over_pips_files() -> None:
    listing = """:env:.find-links='/mine'
global.cert='/etc/ca.pem'
global.find-links='/a /b'
global.index-url='https://one.invalid/simple'
install.index-url='https://two.invalid/simple'
a line of something else"""

    assert parse_pip_settings(listing) == {
        "find-links": "/mine",
        "cert": "/etc/ca.pem",
        "index-url": "https://two.invalid/simple",
    }


def test_uv_is_told_what_pip_knows_unless_it_was_told_already(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in bootstrap.UV_NAMES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", "/a /b")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_CERT", "/theirs.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.pem")

    has_pip = importlib.util.find_spec("pip") is not None
    found = bootstrap.uv_environment(Path(sys.executable if has_pip else sys._base_executable))  # type: ignore[attr-defined]

    assert found == {"UV_FIND_LINKS": "/a,/b", "UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple"}


def test_uv_is_told_nothing_when_pip_does_not_answer() -> None:
    assert bootstrap.uv_environment(Path("/no/such/python")) == {}


@pytest.mark.parametrize(
    ("wheel", "machine", "python", "arguments"),
    [
        (None, "x86_64", (3, 11), ["--torch-backend", "cpu"]),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "x86_64", (3, 11), []),
        ("numpy-2.4.6-cp311-cp311-manylinux_2_28_x86_64.whl", "x86_64", (3, 11), ["--torch-backend", "cpu"]),
        (None, "aarch64", (3, 11), []),
        (None, "x86_64", (3, 12), []),
    ],
)
def test_the_cpu_build_of_torch_is_looked_for_where_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wheel: str | None,
    machine: str,
    python: tuple[int, int],
    arguments: list[str],
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "version_info", (*python, 7))
    if wheel is not None:
        (tmp_path / wheel).touch()

    assert torch_arguments({"UV_FIND_LINKS": f"/elsewhere,{tmp_path}"}) == arguments


def test_without_a_network_the_real_set_up_fails_in_plain_words(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "requirements", tmp_path / "requirements")
    (tmp_path / "runner").mkdir()
    for name in ("__init__.py", "bootstrap.py"):
        shutil.copy(REPOSITORY / "runner" / name, tmp_path / "runner")
    closed = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_FIND_LINKS": ""}

    done = subprocess.run(
        [sys.executable, "-m", "runner.bootstrap", "control", "--then", "-c", "print('never')"],
        cwd=tmp_path, env={**os.environ, **closed}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "setting up .venv (first time, about 20 s)… failed",
        "error: setup: the package index cannot be reached",
        "hint:  connect to the network, or give pip a mirror or proxy; then repeat the command",
        f"log:   {tmp_path}/build/setup-venv.log",
    ]
    assert not (tmp_path / ".venv" / bootstrap.STAMP).exists()
