"""The examples of a scheduled sweep: each runs a command that there is, and none holds a secret."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from runner.cli.parser import make_parser
from tests.test_readme import wrong_with_make

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "scheduled-sweep"
RUNNER = "-m runner "


def crontab_line() -> str:
    (line,) = [line for line in (FOLDER / "crontab").read_text().splitlines() if not line.startswith("#")]
    return line


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FOLDER / name)
    return parser


def is_a_sweep(words: list[str]) -> bool:
    """Return whether the runner understands the words as a sweep that ends something, living runs left alone."""
    arguments = make_parser().parse_args(words)
    return (arguments.verb, arguments.apply, arguments.all) == ("sweep", True, False)


def test_the_crontab_has_one_line_whose_command_is_a_sweep() -> None:
    *when, command = crontab_line().split(maxsplit=5)

    assert all(re.fullmatch(r"\*|\*/\d+|\d+", field) for field in when)
    assert "%" not in command, "cron takes it for the end of the line"
    said = command.split(RUNNER, 1)[1].split(">", 1)[0]
    assert is_a_sweep(shlex.split(said))


@pytest.mark.parametrize(("status", "printed"), [(0, ""), (3, "still there\n")])
def test_the_crontab_is_silent_unless_something_is_left(status: int, printed: str, tmp_path: Path) -> None:
    program = tmp_path / "douse" / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\ntest "$LAMBDA_API_KEY" = abc || exit 9\necho still there\nexit {status}\n')
    program.chmod(0o755)
    (tmp_path / "douse" / "runs").mkdir()
    settings = tmp_path / ".config" / "douse" / "environment"
    settings.parent.mkdir(parents=True)
    settings.write_text("LAMBDA_API_KEY=abc\n")

    done = subprocess.run(
        ["sh", "-c", crontab_line().split(maxsplit=5)[5]],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert (done.stdout, done.stderr) == (printed, "")


def test_the_timer_starts_the_service_and_the_service_is_a_sweep() -> None:
    service, timer = unit("douse-sweep.service"), unit("douse-sweep.timer")

    assert is_a_sweep(shlex.split(service["Service"]["ExecStart"].split(RUNNER, 1)[1]))
    assert service["Service"]["Type"] == "oneshot"
    assert "Unit" not in timer["Timer"], "a timer starts the service of its own name"
    assert timer["Timer"]["OnCalendar"]


def test_the_workflow_runs_a_target_that_there_is_with_keys_from_its_secrets() -> None:
    workflow = yaml.safe_load((FOLDER / "ci-workflow.yml").read_text())

    job = workflow["jobs"]["sweep"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [(command, wrong_with_make(command)) for command in commands] == [("make sweep APPLY=1", None)]
    assert all(value == f"${{{{ secrets.{name} }}}}" for name, value in job["env"].items())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["on"]["schedule"]


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_example_holds_a_key(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if "secrets." not in line]

    assert [line for line in lines if re.search(r"(_KEY|_TOKEN|_SECRET\w*)\s*[=:]\s*[\"']?[^\s.\"'$]", line)] == []
