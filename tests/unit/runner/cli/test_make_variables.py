"""A variable that no target takes is refused, and the help, the recipes and the documents name the same ones."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from runner.cli.make_variables import MAKEFILE, OF_EVERY_TARGET, complaint, taken_by_target
from runner.cli.verb_table import VERBS, Verb

REPOSITORY = MAKEFILE.parent
TEXT = MAKEFILE.read_text().replace("\\\n", " ")
TAKEN = taken_by_target(TEXT)
PAIRS = [(target, name) for target, variables in TAKEN.items() for name in variables if name != OF_EVERY_TARGET]
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
CODE = [path for path in sorted((REPOSITORY / "runner").rglob("*.py")) if path.name != "make_variables.py"]


def make(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        ["make", *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("train CONIG=my.yml", "CONIG: no such variable of `make train`; did you mean CONFIG?"),
        ("train config=my.yml", "config: no such variable of `make train`; did you mean CONFIG?"),
        ("train ENV=lambda Yes=1", "Yes: no such variable of `make train`; did you mean YES?"),
        ("down CONFIG=my.yml", "CONFIG: no such variable of `make down`"),
        ("status runs RUNN=x", "RUNN: no such variable of `make status runs`; did you mean RUN?"),
        ("-j4 down RNU=x", "RNU: no such variable of `make down`; did you mean RUN?"),
        ("ENV=lambda", "ENV: no such variable of `make help`"),
        ("train CFLAGS=-O2", "CFLAGS: no such variable of `make train`"),
        ("down RUN=", "RUN is given to `make down` without a value"),
        ("train YES=on", "YES is 'on', and it is a switch of `make train`"),
    ],
)
def test_what_no_goal_takes_is_refused_before_any_recipe(words: str, error: str) -> None:
    done = make(*words.split())

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == f"error: {error}"
    assert done.stderr.splitlines()[1].startswith("hint:  ")
    assert done.stderr.splitlines()[2].endswith("*** nothing was started.  Stop.")


@pytest.mark.parametrize(
    "words",
    [
        ["train", "CONFIG=it's a.yml", "YES=1", "SET=run.name=it's run.seed=$$(touch no)"],
        ["status", "down", "RUN=r1", "JSON=1"],
        ["-j2", "train", "MAKEFLAGS=--no-print-directory", "PYTHON=python3"],
        ["sweep", "APPLY=", "ALL=0"],
        ["train", "CONFIG=a -- b"],
        ["test-slow", "ARGS=-x"],
    ],
)
def test_what_a_goal_takes_is_let_through(words: list[str]) -> None:
    done = make("-n", *words)

    assert (done.returncode, done.stderr) == (0, "")
    assert not (REPOSITORY / "no").exists()


@pytest.mark.parametrize(
    "name", ["it's mine", "my data", "grün öß", "a$b", "a$$(touch no)", 'a "b" `c`', "a;b&c|d", "a\\b", "a (b) #1", "*"]
)
@pytest.mark.parametrize("variable", ["CONFIG", "DATA", "SET"])
def test_a_value_reaches_the_program_as_it_was_typed(tmp_path: Path, variable: str, name: str) -> None:
    prefix = "data.train_path=" if variable == "SET" else ""
    echo = tmp_path / "python"
    echo.write_text('#!/bin/sh\n[ "$2" = runner.cli.make_variables ] && echo ok || printf "%s\\n" "$@"\n')
    echo.chmod(0o755)

    done = make("data-check", f"{variable}={prefix}{name}", f"PYTHON={echo}")

    assert done.returncode == 0, done.stderr
    assert f"{prefix}{name}".replace("$$", "$") in done.stdout.splitlines()
    assert not (REPOSITORY / "no").exists()


def test_a_target_that_make_does_not_know_is_left_to_make() -> None:
    done = make("trian", "CONFIG=x")

    assert done.returncode == 2
    assert "No rule to make target 'trian'" in done.stderr


def test_a_shells_own_variables_are_no_business_of_make() -> None:
    assert make("-n", "down", ENV="/etc/kshrc", CONIG="x").returncode == 0


def test_without_a_python_nothing_is_let_through() -> None:
    done = make("-n", "train", "CONFIG=a", "PYTHON=/nowhere/python3")

    assert (done.returncode, done.stdout) == (2, "")


def test_one_goal_of_several_is_enough() -> None:
    targets = {"up": {"CONFIG": False}, "down": {"RUN": False}}

    assert complaint(["RUN=a", "CONFIG=b"], ["up", "down"], targets) is None
    assert complaint(["RUN=a"], ["up"], targets) is not None
    assert complaint(["RUN=a"], ["nothing", "of", "ours"], targets) is None


@pytest.mark.parametrize(("target", "name"), PAIRS)
def test_each_variable_in_the_help_changes_what_its_target_does(target: str, name: str) -> None:
    given = make("-n", target, f"{name}=1")

    assert given.returncode == 0, given.stderr
    assert given.stdout != make("-n", target).stdout


@pytest.mark.parametrize("target", TAKEN)
def test_each_variable_that_a_recipe_reads_is_in_the_help(target: str) -> None:
    assert read_by(recipe(target)) - {OF_EVERY_TARGET} == set(TAKEN[target]) - {OF_EVERY_TARGET}


def test_each_verb_that_prints_json_does_so_from_make_too() -> None:
    verbs = {verb.name for verb in VERBS if "--json" in verb_help(verb)}

    assert verbs == {target for target, variables in TAKEN.items() if "JSON" in variables}


def test_each_command_that_is_written_down_is_one_that_make_takes() -> None:
    commands = [(path, command) for path in (*DOCUMENTS, *CODE) for command in commands_in(path.read_text())]

    assert len(commands) > 100
    assert [(path, command) for path, command in commands if wrong(command) is not None] == []


def test_the_search_for_wrong_commands_finds_them() -> None:
    assert wrong("make resume RUN=<run id> CONFIG=x") is not None
    assert wrong("make train ENV=lambda") is None


def verb_help(verb: Verb) -> str:
    verbs = argparse.ArgumentParser().add_subparsers()
    verb.add_to(verbs)
    return verbs.choices[verb.name].format_help()


def commands_in(text: str) -> list[str]:
    return ["".join(found) for found in re.findall(r"`(make [^`]+)`|^(?:\$ )?(make [a-z].*)$", text, re.MULTILINE)]


def wrong(command: str) -> tuple[str, str] | None:
    """Return what is wrong with a command as it is written down, with its placeholders."""
    names = re.findall(r"(?<=\s)([A-Z]+)=", command)
    goals = list(takewhile(lambda word: "=" not in word, command.split()[1:]))
    return complaint([f"{name}=1" for name in names], goals, TAKEN)


def recipe(target: str) -> str:
    """Return a target's recipe, and those of the targets that it leads to."""
    lines = TEXT.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{target}:"))
    needed = lines[at].partition(":")[2].partition("#")[0].split()
    own = lines[at + 1] if lines[at + 1].startswith("\t") else ""
    return " ".join([own, *(recipe(name) for name in needed)])


def read_by(text: str) -> set[str]:
    """Return the variables of the command line that a piece of the Makefile reads, through others of its variables."""
    found: set[str] = set()
    for name in set(re.findall(r"\$\((?:call (?:flag|given),)?([A-Z_]+)", text)):
        definition = re.search(rf"^{name} = (.*)$", TEXT, re.MULTILINE)
        found |= {name} if definition is None else read_by(definition[1])
    return found - {"MAKEFILE_LIST"}
