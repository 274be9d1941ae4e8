"""The package cache that boxes share: filled once from the locks, so that an environment takes seconds, offline."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import py_compile
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from runner.adapters.process import run
from runner.bootstrap import torch_arguments, uv_environment
from runner.errors import ToolError
from runner.run.run_dir import PROJECT
from trainer.files import cache_folder, read_json, write_json

LOCK = PROJECT / "requirements" / "trainer-cpu.lock"
RCLONE_LOCK = PROJECT / "requirements" / "rclone.lock"
UV_LOCK = PROJECT / "requirements" / "uv.lock"
TIMEOUT_S = 1800.0
ARCHIVES = "archive-v0"
"""Where uv keeps unpacked wheels: large, and only ever read."""
BOX_USER = 1000
BOX_CACHE_TAG = "cpython-311"
BOX_PYTHON = "/usr/bin/python3"
UV_TOML = """# What this box installs, it takes from the cache that is shared into it.
offline = true
link-mode = "symlink"
python-downloads = "never"
"""


class CacheError(ToolError):
    """The shared package cache cannot be filled."""


@dataclass(frozen=True)
class Cache:
    """What a box is given of the package cache.

    Attributes:
        layers: Folders to lay over one another as the box's uv cache, the topmost first.
        uv_home: Home of the locked uv, named as the playbooks look for it.
        wheel_folders: Folders of wheels in this machine's pip configuration; the box sees them at the same place.
        pip_conf: The box's settings for pip.
    """

    layers: tuple[Path, ...]
    uv_home: Path
    wheel_folders: tuple[Path, ...]
    pip_conf: str
    uv_toml: str = UV_TOML


def warm_cache() -> Cache:
    """Return the shared cache, filled with what the locks for a CPU and for rclone name; quick when it is.

    Raises:
        CacheError: If a package cannot be had.
    """
    if (cache := read_cache()) is not None:
        return cache
    base = _base()
    base.mkdir(parents=True, exist_ok=True)
    with (base / "cache.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (cache := read_cache()) is not None:
            return cache
        settings = _settings()
        home = _make_uv_home(base)
        with tempfile.TemporaryDirectory(dir=base, prefix="fill-") as folder:
            _fill(home / "bin" / "uv", settings, Path(folder))
        layer = _make_layer(base)
        write_json(_stamp(), {"layer": layer.name})
    cache = read_cache()
    if cache is None:
        raise CacheError(
            "boxes: the package cache was emptied while it was filled", resolution="run `make rehearse` again"
        )
    return cache


def read_cache() -> Cache | None:
    """Return the shared cache if it holds what these locks name, else ``None``."""
    stamp, home = read_json(_stamp()), _uv_home(_base())
    if stamp is None or not (home / "bin" / "uv").exists():
        return None
    layer = _base() / str(stamp["layer"])
    if not layer.is_dir():
        return None
    settings = _settings()
    return Cache((layer, _uv_cache()), home, _wheel_folders(settings), _pip_conf(settings))


def _base() -> Path:
    return cache_folder() / "rehearsal"


def _uv_cache() -> Path:
    return cache_folder() / "uv"


def _stamp() -> Path:
    """Return the file that says what the cache holds; it is in the cache, so that who empties one empties both."""
    words = [path.read_bytes() for path in (LOCK, RCLONE_LOCK, UV_LOCK)]
    words.append(json.dumps(_settings(), sort_keys=True).encode())
    return _uv_cache() / f".rehearsal-{hashlib.sha256(b'|'.join(words)).hexdigest()[:16]}.json"


def _settings() -> dict[str, str]:
    """Return uv's settings from this machine's pip configuration and this process's environment."""
    return {
        **_pip_settings(),
        **{name: os.environ[name] for name in ("UV_DEFAULT_INDEX", "UV_FIND_LINKS") if name in os.environ},
    }


_known_settings: dict[str, str] | None = None


def _pip_settings() -> dict[str, str]:
    global _known_settings  # noqa: PLW0603 - pip takes half a second to answer, and it is asked for each box
    if _known_settings is None:
        _known_settings = uv_environment(Path(sys.executable))
    return _known_settings


def _wheel_folders(settings: Mapping[str, str]) -> tuple[Path, ...]:
    words = settings.get("UV_FIND_LINKS", "").split(",")
    return tuple(Path(word) for word in words if word.startswith("/") and Path(word).is_dir())


def _pip_conf(settings: Mapping[str, str]) -> str:
    """Return the box's settings for pip, from which the playbooks make uv's: the same, so that the cache fits."""
    lines = ["[global]", "disable-pip-version-check = true"]
    if "UV_DEFAULT_INDEX" in settings:
        lines.append(f"index-url = {settings['UV_DEFAULT_INDEX']}")
    if "UV_FIND_LINKS" in settings:
        lines.append(f"find-links = {settings['UV_FIND_LINKS'].replace(',', ' ')}")
    return "\n".join(lines) + "\n"


def _uv_home(base: Path) -> Path:
    """Return where the role python_env looks for uv; Ansible reads the lock without its last newline."""
    return base / f"uv-{hashlib.sha256(UV_LOCK.read_bytes().rstrip()).hexdigest()[:16]}"


def _make_uv_home(base: Path) -> Path:
    """Make the home of the locked uv as the playbooks would, with the box's Python in the place of this machine's."""
    home = _uv_home(base)
    if (home / "bin" / "uv").exists():
        return home
    part = home.with_name(f"{home.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    _tool([sys.executable, "-m", "venv", str(part)])
    pip = [str(part / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    _tool([*pip, "--requirement", str(UV_LOCK)])
    python = part / "bin" / "python"
    python.unlink()
    python.symlink_to(BOX_PYTHON)
    part.rename(home)
    return home


def _fill(uv: Path, settings: Mapping[str, str], folder: Path) -> None:
    """Install the locks into a folder that is thrown away; what stays is the cache."""
    environment = {**settings, **uv_environment(Path(sys.executable)), "UV_CACHE_DIR": str(_uv_cache())}
    argv = [str(uv), "pip", "install", "--quiet", "--no-progress", "--no-deps", "--require-hashes", "--no-config"]
    argv += ["--python-version", "3.11", "--target", str(folder), "--link-mode", "symlink", "--only-binary", ":all:"]
    argv += [*torch_arguments(environment), "--requirement", str(LOCK), "--requirement", str(RCLONE_LOCK)]
    _tool(argv, environment)


def _make_layer(base: Path) -> Path:
    """Make what lies over the cache in a box: its folders and small files, owned by the box's user, and pyc files.

    The user of a box has to write beside and into what root of this machine has cached, and without compiled modules
    every box would compile some thousand of them for its first import.
    """
    uv_cache = _uv_cache()
    layer = base / f"layer-{_stamp().stem.removeprefix('.rehearsal-')}"
    part = layer.with_name(f"{layer.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for folder, names, files in os.walk(uv_cache):
        target = part / Path(folder).relative_to(uv_cache)
        target.mkdir()
        if ARCHIVES not in target.relative_to(part).parts:
            for name in files:
                shutil.copyfile(Path(folder, name), target / name)
        names[:] = [name for name in names if not Path(folder, name).is_symlink() and name != "__pycache__"]
    _compile(uv_cache / ARCHIVES, part / ARCHIVES)
    for folder, _, files in os.walk(part):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            os.chown(path, BOX_USER, BOX_USER)
    shutil.rmtree(layer, ignore_errors=True)
    part.rename(layer)
    return layer


def _compile(archives: Path, target: Path) -> None:
    """Compile the cache's modules for the box's Python, if this one is of the same version."""
    if sys.implementation.cache_tag != BOX_CACHE_TAG:
        return
    pairs = []
    for source in archives.rglob("*.py"):
        if any(part.endswith(".data") for part in source.parts):  # a wheel's scripts; uv refuses a folder among them
            continue
        compiled = target / source.relative_to(archives).parent / "__pycache__" / f"{source.stem}.{BOX_CACHE_TAG}.pyc"
        pairs.append((str(source), str(compiled)))
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        list(pool.map(_compile_one, pairs, chunksize=200))


def _compile_one(pair: tuple[str, str]) -> None:
    """Compile one module; what cannot be compiled is a test's bad example, or for another Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(py_compile.PyCompileError, UnicodeDecodeError):
            py_compile.compile(pair[0], pair[1], doraise=True)


def _tool(argv: list[str], environment: Mapping[str, str] | None = None) -> None:
    done = run(argv, timeout_s=TIMEOUT_S, env=environment)
    if done.exit_code != 0:
        raise CacheError(
            "boxes: the package cache cannot be filled",
            details=done.last_words or None,
            resolution="connect to the package index as `make setup` does, then run `make rehearse` again",
        )
