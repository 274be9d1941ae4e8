"""One door to time, chance and surroundings: ``runner/world.py``. Whoever goes around it cannot be simulated."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.run.run_dir import PROJECT

RUNNER = PROJECT / "runner"
DOORS = (
    "runner/world.py",  # the door itself
    "runner/cli/parser.py",  # makes the world of the command line where none is handed in
    "runner/cli/terminate.py",  # makes the world of `make terminate`, which needs nothing else of the command line
    "runner/clouds/__main__.py",  # makes the world of the provider's process
    "runner/adapters/notices/__main__.py",  # makes the world of the process that sends a notice
    "runner/guard/__main__.py",  # makes the world of the guard's process, which leaves the tree of its runner
    "runner/bootstrap.py",  # runs before there is a package (docs/decisions/0002)
    "runner/adapters/ansible_process.py",  # makes the world of Ansible's process
    "runner/adapters/process.py",  # starts the programs, and waits for them
    "runner/simulation/",  # the other side of the door
    "runner/emulation/",  # other people's clouds and machines, as processes of their own
    "runner/rehearsal/",  # what drives them
    "runner/clouds/*/emulator/",
    "runner/provider/plugin.py",  # a program of Terraform's: its handshake, its sockets, its end
    "runner/provider/service.py",  # answers Terraform in grpc's own threads
    "runner/adapters/machine.py",  # this machine as one to train on: simulated lives have a stand-in of it
    "runner/adapters/ssh_login.py",  # the way in to a machine behind SSH: likewise
)
"""Who may look outside by himself, and why."""
MODULES = frozenset(
    {
        "fcntl", "getpass", "random", "secrets", "select", "selectors", "socket", "subprocess", "tempfile",
        "threading", "time", "uuid",
    }
)  # fmt: skip
"""What they have is time, chance or the surroundings: nobody else imports them."""
ATTRIBUTES = frozenset(
    {
        "os.environ", "os.environb", "os.getenv", "os.getpid", "os.kill", "os.killpg", "os.fork", "os.pipe", "os.open",
        "os.fdopen", "os.urandom", "datetime.now", "datetime.today", "datetime.utcnow", "date.today", "signal.signal",
        "Path.home", "Path.cwd", "shutil.rmtree", "shutil.which", "urllib.request",
    }
)  # fmt: skip
METHODS = frozenset({"expanduser"})
"""Methods that ask the environment whatever they are called on."""


def is_door(path: Path) -> bool:
    name = str(path.relative_to(PROJECT))
    return any(path.match(f"{door}**/*") or name.startswith(door) or path.match(door) for door in DOORS) or (
        "/emulator/" in name
    )


def ways_around(source: str) -> Iterator[str]:
    """Yield what a module imports or calls that only the door may."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module.split(".")[0] in MODULES:
                yield node.module
            yield from (f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in ATTRIBUTES)
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if f"{owner}.{node.attr}" in ATTRIBUTES or node.attr in METHODS:
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RealWorld":
            yield "RealWorld()"


def modules() -> list[Path]:
    return [path for path in sorted(RUNNER.rglob("*.py")) if not is_door(path)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PROJECT)))
def test_nobody_goes_around_the_door(path: Path) -> None:
    found = sorted(set(ways_around(path.read_text(encoding="utf-8"))))

    assert found == [], "ask the world for it (runner/world.py)"


def test_ruff_bans_what_only_the_door_may_use() -> None:
    ruff = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    banned = {
        name.removeprefix("datetime.").removeprefix("pathlib.") for name in ruff["flake8-tidy-imports"]["banned-api"]
    }
    let_in = {name for name, rules in ruff["per-file-ignores"].items() if "TID251" in rules}

    assert banned == MODULES | ATTRIBUTES
    assert let_in - {"!runner/**"} == {pattern_of(door) for door in DOORS}


def pattern_of(door: str) -> str:
    """Return the pattern by which ruff leaves a door alone."""
    return f"{door}**" if door.endswith("/") else door


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("import time", "time"),
        ("import urllib.request\nurllib.request.urlopen('x')", "urllib.request"),
        ("from threading import Thread", "threading"),
        ("import os\nx = os.environ['A']", "os.environ"),
        ("from os import environ", "os.environ"),
        ("from datetime import datetime\ndatetime.now()", "datetime.now"),
        ("from pathlib import Path\nPath('~').expanduser()", ".expanduser"),
        ("from runner.world import RealWorld\nRealWorld()", "RealWorld()"),
    ],
)
def test_a_way_around_is_seen(source: str, way: str) -> None:
    assert way in set(ways_around(source))


def test_what_the_world_has_is_no_way_around() -> None:
    assert (
        set(ways_around("def f(world):\n    world.now()\n    world.event().wait(2)\n    world.environ['A']")) == set()
    )
