"""The habits of the project that no other tool checks."""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from runner.cli.parser import make_parser

REPOSITORY = Path(__file__).resolve().parents[2]
MAY_START_PROCESSES = {
    "runner/adapters/process.py",
    "runner/bootstrap.py",
    "runner/emulation/boxes/guest/first_boot.py",  # runs inside a box, where there is nothing of ours
    "trainer/checkpoints/rclone_program.py",
    "trainer/supervisor/supervise.py",
}
CI_NEEDS = ("chromium", "chromedriver", "ssh", "sshd", "mmdebstrap", "systemd-nspawn", "ip", "mkfs.ext4")
HOSTS = ("py" + "pi.org", "pythonhosted" + ".org", "download.pytorch" + ".org", "registry.npmjs" + ".org")
MACHINE_PATHS = re.compile(r"(?<![\w.$}])(/(work|root|opt/wheels|opt/pypi|tmp/lab)/)")


def committed_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in done.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def started_by(tree: ast.AST) -> bool:
    """Return whether a module can start processes: imports subprocess or names what os has for it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(name.name.split(".")[0] == "subprocess" for name in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "subprocess":
            return True
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = re.match(r"os\.(system|popen|spawn|posix_spawn|exec|fork)", f"{node.value.id}.{node.attr}")
            if found:
                return True
    return False


def make(*arguments: str, **variables: str) -> str:
    """Return what make says, with a shell environment of its own."""
    environment = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        ["make", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_the_process_modules_start_processes() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for package in ("runner", "trainer")
        for path in (REPOSITORY / package).rglob("*.py")
        if started_by(ast.parse(path.read_text()))
    }

    assert found == MAY_START_PROCESSES


@pytest.mark.parametrize(
    ("source", "starts"),
    [
        ("import subprocess", True),
        ("def late():\n    from subprocess import run", True),
        ("import os\nos.system('true')", True),
        ("import os\nos.execv('/bin/true', ['true'])", True),
        ("import os\nos.getpid()", False),
        ("from runner.adapters import process", False),
    ],
)
def test_the_search_for_processes_finds_them(source: str, starts: bool) -> None:
    assert started_by(ast.parse(source)) is starts


def test_no_committed_file_knows_a_machine_or_a_registry() -> None:
    problems = []
    for path in committed_files():
        text = path.read_bytes().decode(errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            match = MACHINE_PATHS.search(line)
            if match or any(host in line for host in HOSTS):
                problems.append(f"{path.relative_to(REPOSITORY)}:{number} {line.strip()[:100]}")

    assert problems == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see /" + "work/main/README.md", True),
        ("find-links = /" + "opt/wheels/", True),
        ("runs/x/work/file", False),
        ("${prefix}/work/file", False),
        ("/home/me/models", False),
        ("/tmp/anything", False),
    ],
)
def test_the_search_for_machine_paths_finds_them(line: str, found: bool) -> None:
    assert bool(MACHINE_PATHS.search(line)) is found


def test_make_alone_prints_the_grouped_targets() -> None:
    lines = make().splitlines()

    assert lines[0] == "usage: make <target> [NAME=value ...]"
    groups = [line.split(":")[0] for line in lines[1:] if line and not line.startswith(" ")]
    assert groups == ["Train", "Rehearse", "Look", "Steer", "Step by step", "Develop"]
    targets = [line.split()[0] for line in lines if line.startswith("  ")]
    assert {"train", "plan", "watch", "down", "resume", "report", "test", "check", "lock"} <= set(targets)
    assert all(len(line) <= 120 for line in lines)


def test_every_target_is_phony_and_one_call() -> None:
    text = (REPOSITORY / "Makefile").read_text().replace("\\\n", " ")
    phony = set(re.search(r"^\.PHONY:(.*)$", text, re.MULTILINE)[1].split())  # type: ignore[index]
    recipes: dict[str, int] = {}
    target = ""
    for line in text.splitlines():
        match = re.match(r"([a-z-]+):", line)
        if match:
            target = match[1]
            recipes[target] = 0
        elif line.startswith("\t"):
            recipes[target] += 1

    assert set(recipes) == phony
    assert {name for name, count in recipes.items() if count > 1} == set()


def test_variables_on_the_command_line_become_flags() -> None:
    run_file = ["CONFIG=my runs/a.yml", "DATA=d", "SET=run.seed=1 run.name=x"]

    said = make("-n", "train", "ENV=existing", "HOST=me@box:2222", "DETACH=1", *run_file)

    assert shlex.split(said)[7:] == [
        *("train", "--config", "my runs/a.yml", "--data", "d", "--env", "existing"),
        *("--host", "me@box:2222", "--set", "run.seed=1 run.name=x", "--detach"),
    ]


def test_variables_of_the_shell_do_not_count() -> None:
    said = make("-n", "train", ENV="/etc/kshrc", HOST="this-machine", CONFIG="x", DETACH="1")

    assert said == "python3 -m runner.bootstrap control --then -m runner train"


def understood(recipe: str) -> argparse.Namespace:
    """Return what the runner makes of a recipe's command line."""
    words = shlex.split(recipe)
    return make_parser().parse_args(words[words.index("runner") + 1 :])


@pytest.mark.parametrize("fails", ["", "rclone", "test", "check", "test-rehearsal-chosen", "test-slow"])
def test_ci_ends_red_with_whatever_part_fails_and_shows_the_checks(fails: str, tmp_path: Path) -> None:
    make = f'case $1 in check) echo "the checks say";; esac; [ "$1" != "{fails}" ]'
    python3 = f'[ "$3" != "{fails}" ]'
    stubs = {**dict.fromkeys(CI_NEEDS, "true"), "make": make, "python3": python3, "pgrep": "false"}
    for name, does in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "DOUSE_PROVIDER_MIRROR": "/nowhere"}

    done = subprocess.run(
        [REPOSITORY / ".ci" / "run"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode == 0) is (fails == ""), done.stdout + done.stderr
    assert ("the checks say" in done.stdout) is (fails not in {"rclone", "test"}), done.stdout


@pytest.mark.parametrize("target", ["train", "plan", "up", "data-check"])
def test_the_runner_understands_what_starts_a_run(target: str) -> None:
    said = make("-n", target, "CONFIG=a.yml", "DATA=d", "ENV=existing", "HOST=me@box", "SET=run.seed=1 run.name=x")

    arguments = understood(said)

    assert (arguments.verb, str(arguments.config), str(arguments.data)) == (target, "a.yml", "d")
    assert (arguments.env, arguments.host, arguments.set) == ("existing", "me@box", ["run.seed=1 run.name=x"])


@pytest.mark.parametrize(
    "target", ["status", "watch", "logs", "report", "resume", "down", "configure", "launch", "collect"]
)
def test_the_runner_understands_which_run(target: str) -> None:
    with_run = understood(make("-n", target, "RUN=r1"))
    without = understood(make("-n", target))

    assert (with_run.verb, with_run.run, without.run) == (target, "r1", None)


def test_the_runner_understands_the_targets_without_variables() -> None:
    assert understood(make("-n", "runs")).verb == "runs"


def test_ci_runs_the_checks_and_all_tests() -> None:
    path = REPOSITORY / ".ci" / "run"
    calls = re.findall(r"\bpart \S+ make (\S+)", path.read_text(), re.MULTILINE)

    assert calls == ["test", "check", "test-slow", "test-rehearsal-chosen"]
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()
